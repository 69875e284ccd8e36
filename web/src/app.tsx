import { PageSection } from '@patternfly/react-core';
import {
  Component,
  lazy,
  Suspense,
  useEffect,
  useState,
  type ComponentType,
  type LazyExoticComponent,
  type ReactNode,
} from 'react';
import { finishSignIn, useSignedIn } from './api/auth';
import { Center, Empty, Loading, PageFrame, Problem } from './components/basics';
import { Link, match, navigate, Params, usePath } from './router';
import { SessionProvider, useSession } from './session';
import { Shell } from './shell';

const SignIn = lazy(() => import('./pages/signin'));

type Part = LazyExoticComponent<ComponentType>;
const routes: [string, Part][] = [
  ['/', lazy(() => import('./pages/overview'))],
  ['/teams', lazy(() => import('./pages/teams'))],
  ['/teams/:team', lazy(() => import('./pages/team'))],
  ['/teams/:team/repositories', lazy(() => import('./pages/repositories'))],
  ['/teams/:team/repositories/:repository', lazy(() => import('./pages/repository'))],
  ['/teams/:team/repositories/:repository/commits/:sha', lazy(() => import('./pages/commit'))],
  ['/teams/:team/runs', lazy(() => import('./pages/runs'))],
  ['/teams/:team/runs/:run', lazy(() => import('./pages/run'))],
  ['/teams/:team/workloads', lazy(() => import('./pages/workloads'))],
  ['/teams/:team/workloads/:workload', lazy(() => import('./pages/workload'))],
  ['/teams/:team/resources', lazy(() => import('./pages/resources'))],
  ['/teams/:team/terraform', lazy(() => import('./pages/terraform'))],
  ['/teams/:team/terraform/:namespace/:workspace', lazy(() => import('./pages/workspace'))],
  ['/teams/:team/costs', lazy(() => import('./pages/costs'))],
  ['/teams/:team/secrets', lazy(() => import('./pages/secrets'))],
  ['/teams/:team/dashboards', lazy(() => import('./pages/dashboards'))],
  ['/teams/:team/dashboards/:namespace/:dashboard', lazy(() => import('./pages/dashboard'))],
  ['/teams/:team/alerts', lazy(() => import('./pages/alerts'))],
  ['/addresses', lazy(() => import('./pages/addresses'))],
  ['/capacity', lazy(() => import('./pages/capacity'))],
  ['/audit', lazy(() => import('./pages/audit'))],
];

// A part that cannot be loaded (an older page after an upgrade) or fails says so, and the shell goes on.
class Guard extends Component<{ children: ReactNode; path: string }, { error?: Error }> {
  state: { error?: Error } = {};
  static getDerivedStateFromError(error: Error) {
    return { error };
  }
  componentDidUpdate(before: { path: string }) {
    if (before.path !== this.props.path && this.state.error) this.setState({ error: undefined });
  }
  render() {
    if (!this.state.error) return this.props.children;
    return (
      <PageSection>
        <Problem error={this.state.error} what="this page" retry={() => location.reload()} />
      </PageSection>
    );
  }
}

const Wait = () => (
  <PageSection>
    <Loading />
  </PageSection>
);

// A team that is not there has no pages, and none of them needs to say so; nor that teams are not known yet.
function KnownTeam({ name, children }: { name?: string; children: ReactNode }) {
  const { teams, teamsReady, teamsError, retryTeams } = useSession();
  if (!name || teams.some((t) => t.metadata.name === name)) return children;
  if (!teamsReady && !teamsError) return <Wait />;
  return (
    <PageFrame title={name} crumbs={[{ text: 'Teams', to: '/teams' }, { text: name }]}>
      {teamsError ? (
        <Problem error={teamsError} what="teams" retry={retryTeams} />
      ) : (
        <Empty title={`There is no team ${name}`} command={`mainstay team create ${name}`}>
          An administrator makes teams.
        </Empty>
      )}
    </PageFrame>
  );
}

function Current() {
  const path = usePath();
  for (const [pattern, Part] of routes) {
    const params = match(pattern, path);
    if (params)
      return (
        <Params.Provider value={params}>
          <Guard path={path}>
            <Suspense fallback={<Wait />}>
              <KnownTeam name={params.team}>
                <Part key={path} />
              </KnownTeam>
            </Suspense>
          </Guard>
        </Params.Provider>
      );
  }
  return (
    <PageFrame title="There is no such page">
      <p>
        Go back, or to <Link to="/">the overview</Link>.
      </p>
    </PageFrame>
  );
}

function Callback() {
  const [error, setError] = useState<Error>();
  useEffect(() => {
    finishSignIn(new URLSearchParams(location.search)).then((to) => navigate(to, { replace: true }), setError);
  }, []);
  if (!error)
    return (
      <div className="signin">
        <Loading what="Signing in" />
      </div>
    );
  return (
    <Suspense fallback={null}>
      <SignIn problem={error.message} />
    </Suspense>
  );
}

export function App() {
  const signedIn = useSignedIn();
  const path = usePath();
  // Who comes here by the browser's history has signed in before.
  useEffect(() => {
    if (path === '/callback' && signedIn) navigate('/', { replace: true });
  }, []);
  if (path === '/callback' && !signedIn) return <Callback />;
  if (path === '/callback')
    return (
      <Center>
        <Loading what="Signing in" />
      </Center>
    );
  if (!signedIn)
    return (
      <Suspense fallback={null}>
        <SignIn />
      </Suspense>
    );
  return (
    <SessionProvider>
      <Shell>
        <Current />
      </Shell>
    </SessionProvider>
  );
}
