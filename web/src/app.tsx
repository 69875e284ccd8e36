import {
  Button,
  FormSelect,
  FormSelectOption,
  Masthead,
  MastheadBrand,
  MastheadContent,
  MastheadLogo,
  MastheadMain,
  MastheadToggle,
  Nav,
  NavGroup,
  NavItem,
  NavList,
  Page,
  PageSection,
  PageSidebar,
  PageSidebarBody,
  PageToggleButton,
  Tooltip,
} from '@patternfly/react-core';
import BarsIcon from '@patternfly/react-icons/dist/esm/icons/bars-icon';
import MoonIcon from '@patternfly/react-icons/dist/esm/icons/moon-icon';
import SearchIcon from '@patternfly/react-icons/dist/esm/icons/search-icon';
import SignOutAltIcon from '@patternfly/react-icons/dist/esm/icons/sign-out-alt-icon';
import SunIcon from '@patternfly/react-icons/dist/esm/icons/sun-icon';
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
import { finishSignIn, signOut, useSignedIn } from './api/auth';
import { onConnection } from './api/stream';
import { Center, Empty, Loading, Problem } from './components/basics';
import { base, follow, Link, match, navigate, Params, usePath } from './router';
import { SessionProvider, useSession } from './session';
import { setTheme, useDark } from './theme';

const SignIn = lazy(() => import('./pages/signin'));
const Palette = lazy(() => import('./components/palette'));

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
  ['/teams/:team/secrets', lazy(() => import('./pages/secrets'))],
  ['/teams/:team/dashboards', lazy(() => import('./pages/dashboards'))],
  ['/teams/:team/dashboards/:namespace/:dashboard', lazy(() => import('./pages/dashboard'))],
  ['/teams/:team/alerts', lazy(() => import('./pages/alerts'))],
  ['/addresses', lazy(() => import('./pages/addresses'))],
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

function Current() {
  const path = usePath();
  for (const [pattern, Part] of routes) {
    const params = match(pattern, path);
    if (params)
      return (
        <Params.Provider value={params}>
          <Guard path={path}>
            <Suspense
              fallback={
                <PageSection>
                  <Loading />
                </PageSection>
              }
            >
              <Part key={path} />
            </Suspense>
          </Guard>
        </Params.Provider>
      );
  }
  return (
    <PageSection>
      <Empty title="There is no such page">
        Go back, or to <Link to="/">the overview</Link>.
      </Empty>
    </PageSection>
  );
}

function Logo() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#06c" />
      <path
        d="M16 5v22M16 7 6 24h20z"
        fill="none"
        stroke="#fff"
        strokeWidth="2.4"
        strokeLinejoin="round"
        strokeLinecap="round"
      />
    </svg>
  );
}

function Sidebar({ close }: { close: () => void }) {
  const path = usePath();
  const { team, teams, mine } = useSession();
  const item = (to: string, text: string, exact = false) => (
    <NavItem
      key={to}
      itemId={to}
      to={base + to}
      isActive={exact ? path === to : path === to || path.startsWith(`${to}/`)}
      onClick={(event) => {
        follow(event as unknown as React.MouseEvent, to);
        if (innerWidth < 1200) close();
      }}
    >
      {text}
    </NavItem>
  );
  const shown = mine.length ? mine : teams;
  return (
    <PageSidebarBody>
      <Nav aria-label="Pages">
        <NavList>
          {item('/', 'Overview', true)}
          {item('/teams', 'Teams', true)}
        </NavList>
        {team && (
          <>
            <div className="team-switch">
              <label htmlFor="team">Team</label>
              <FormSelect id="team" value={team} onChange={(_e, value) => navigate(`/teams/${value}`)}>
                {!shown.some((t) => t.metadata.name === team) && <FormSelectOption value={team} label={team} />}
                {shown.map((t) => (
                  <FormSelectOption key={t.metadata.name} value={t.metadata.name} label={t.metadata.name} />
                ))}
              </FormSelect>
            </div>
            <NavList>
              {item(`/teams/${team}`, 'Members', true)}
              {item(`/teams/${team}/repositories`, 'Repositories')}
              {item(`/teams/${team}/runs`, 'Runs')}
              {item(`/teams/${team}/workloads`, 'Workloads')}
              {item(`/teams/${team}/resources`, 'Resources')}
              {item(`/teams/${team}/secrets`, 'Secrets')}
              {item(`/teams/${team}/dashboards`, 'Dashboards')}
              {item(`/teams/${team}/alerts`, 'Alerts')}
            </NavList>
          </>
        )}
        <NavGroup title="Platform">
          {item('/addresses', 'Address pools')}
          {item('/audit', 'Audit')}
        </NavGroup>
      </Nav>
    </PageSidebarBody>
  );
}

function ThemeButton() {
  const dark = useDark();
  const text = dark ? 'Use the light theme' : 'Use the dark theme';
  return (
    <Tooltip content={text}>
      <Button
        variant="plain"
        aria-label={text}
        icon={dark ? <SunIcon /> : <MoonIcon />}
        onClick={() => setTheme(dark ? 'light' : 'dark')}
      />
    </Tooltip>
  );
}

// Says when live views stand still, and when they move again.
function Connection() {
  const [lost, setLost] = useState(false);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = onConnection((connected) => {
      clearTimeout(timer);
      if (connected) setLost(false);
      else timer = setTimeout(() => setLost(true), 1500);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, []);
  return (
    <span role="status" className="tiny">
      {lost ? 'Reconnecting …' : ''}
    </span>
  );
}

function Shell() {
  const { me } = useSession();
  const [open, setOpen] = useState(() => innerWidth >= 1200);
  const [palette, setPalette] = useState(false);
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        setPalette((p) => !p);
      }
    };
    addEventListener('keydown', key);
    return () => removeEventListener('keydown', key);
  }, []);
  const masthead = (
    <Masthead>
      <MastheadMain>
        <MastheadToggle>
          <PageToggleButton
            variant="plain"
            aria-label="Navigation"
            isSidebarOpen={open}
            onSidebarToggle={() => setOpen(!open)}
          >
            <BarsIcon />
          </PageToggleButton>
        </MastheadToggle>
        <MastheadBrand>
          <MastheadLogo component={(props) => <Link {...props} to="/" />}>
            <span className="brand">
              <Logo /> Mainstay
            </span>
          </MastheadLogo>
        </MastheadBrand>
      </MastheadMain>
      <MastheadContent>
        <div className="masthead-end">
          <Connection />
          <Button
            variant="secondary"
            icon={<SearchIcon />}
            onClick={() => setPalette(true)}
            aria-label="Search and commands (Ctrl K)"
          >
            <span className="hide-phone">
              Search <kbd>Ctrl K</kbd>
            </span>
          </Button>
          <ThemeButton />
          <span className="hide-phone tiny" data-testid="me">
            {me?.name}
          </span>
          <Tooltip content="Sign out">
            <Button
              variant="plain"
              aria-label={`Sign out${me ? ` ${me.name}` : ''}`}
              icon={<SignOutAltIcon />}
              onClick={() => signOut('You have signed out.', { everywhere: true })}
            />
          </Tooltip>
        </div>
      </MastheadContent>
    </Masthead>
  );
  return (
    <Page
      masthead={masthead}
      mainContainerId="main"
      mainAriaLabel="Content"
      skipToContent={
        <a className="skip" href="#main">
          Skip to the content
        </a>
      }
      sidebar={
        <PageSidebar isSidebarOpen={open}>
          <Sidebar close={() => setOpen(false)} />
        </PageSidebar>
      }
    >
      <Current />
      {palette && (
        <Suspense fallback={null}>
          <Palette close={() => setPalette(false)} />
        </Suspense>
      )}
    </Page>
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
      <Shell />
    </SessionProvider>
  );
}
