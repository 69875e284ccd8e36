import { Card, CardBody, CardTitle, Label } from '@patternfly/react-core';
import { mainstay, useWatch, useWatchAll } from '../api/watch';
import type { AlertObject, Capability, WorkflowRun } from '../api/types';
import { AlertRows } from '../components/alerts';
import { Ago, Empty, Gate, PageFrame, Phase, Section, Sha } from '../components/basics';
import { newestFirst } from '../components/runs';
import { Link } from '../router';
import { environmentsOf, useSession } from '../session';

function Capabilities() {
  const live = useWatch<Capability>(mainstay('capabilities'));
  const numbers = [...new Set(live.items.map((c) => c.spec.number))].sort((a, b) => a - b);
  return (
    <Section title="Capabilities">
      <Gate live={live} what="capabilities">
        <div className="grid">
          {numbers.map((number) => {
            const parts = live.items
              .filter((c) => c.spec.number === number)
              .sort((a, b) => (a.spec.part ?? '').localeCompare(b.spec.part ?? ''));
            const present = parts.filter((p) => p.status?.provider && p.status.provider !== 'none');
            const bad = present.some((p) => p.status?.healthy === false);
            return (
              <Card key={number} isCompact component="article" data-capability={number}>
                <CardTitle component="h3">
                  <span className="row apart">
                    <span>
                      {number}. {parts[0].spec.title}
                    </span>
                    {bad ? (
                      <Label status="danger" isCompact>
                        Degraded
                      </Label>
                    ) : present.length ? (
                      <Label status="success" isCompact>
                        Healthy
                      </Label>
                    ) : (
                      <Label color="grey" isCompact>
                        Absent
                      </Label>
                    )}
                  </span>
                </CardTitle>
                <CardBody>
                  {parts.map((part) => {
                    const here = part.status?.provider && part.status.provider !== 'none';
                    const text =
                      part.status?.healthy === false || !here
                        ? part.status?.message || (part.spec.lostWithout && `Without it: ${part.spec.lostWithout}`)
                        : part.status?.engine || part.status?.provider;
                    return (
                      <div key={part.metadata.name} className="capability-part">
                        <span
                          className={`dot ${here ? (part.status?.healthy === false ? 'bad' : 'good') : 'none'}`}
                          aria-hidden="true"
                        />
                        <div>
                          <div>
                            {part.spec.part || part.metadata.name}
                            <span className="visually-hidden">
                              {here ? (part.status?.healthy === false ? ' is degraded' : ' is healthy') : ' is absent'}
                            </span>
                          </div>
                          {text && <div className="muted tiny any">{text}</div>}
                        </div>
                      </div>
                    );
                  })}
                </CardBody>
              </Card>
            );
          })}
        </div>
      </Gate>
    </Section>
  );
}

// What fires in the reader's teams, or anywhere for administrators; nothing where nothing does.
function FiringAlerts() {
  const { mine, admin } = useSession();
  const namespaces = mine
    .slice(0, 12)
    .flatMap((team) => [team.metadata.name, ...environmentsOf(team).map((e) => e.namespace)]);
  const alerts = useWatchAll<AlertObject>(admin ? [mainstay('alerts')] : namespaces.map((n) => mainstay('alerts', n)));
  const firing = alerts.items.filter((a) => a.status?.state === 'firing');
  const unknown = alerts.error && !alerts.error.absent;
  if (!firing.length && !unknown) return null;
  return (
    <Section title="Alerts">
      <Gate live={alerts} what="alerts">
        <AlertRows alerts={firing} />
      </Gate>
    </Section>
  );
}

function LatestRuns() {
  const { mine } = useSession();
  const teams = mine.slice(0, 12);
  const live = useWatchAll<WorkflowRun>(teams.map((t) => mainstay('workflowruns', t.metadata.name)));
  const latest = newestFirst(live.items).slice(0, 8);
  if (teams.length === 0) return null;
  return (
    <Section title="Latest runs">
      <Gate
        live={live}
        what="runs"
        empty={
          <Empty level="h3" title="Nothing has run yet" command={`git push origin main`}>
            Push a commit to a repository of your team; its run shows up here at once.
          </Empty>
        }
      >
        <ul className="card-list">
          {latest.map((run) => (
            <li key={run.metadata.uid}>
              <Phase phase={run.status?.phase ?? 'Pending'} />
              <Link to={`/teams/${run.metadata.namespace}/runs/${run.metadata.name}`}>
                {run.metadata.namespace}/{run.spec.repository} {run.spec.number ? `#${run.spec.number}` : ''}
              </Link>
              <span className="muted tiny">
                <Sha sha={run.spec.commit} /> by {run.spec.actor ?? 'unknown'},{' '}
                <Ago time={run.metadata.creationTimestamp} />
              </span>
            </li>
          ))}
        </ul>
      </Gate>
    </Section>
  );
}

export default function Overview() {
  const { me, mine, teamsReady, admin } = useSession();
  return (
    <PageFrame title="Overview" description={me && `Signed in as ${me.name}${admin ? ', an administrator' : ''}.`}>
      {teamsReady && me && mine.length === 0 && (
        <Section title="Your teams">
          <Empty level="h3" title="You are in no team yet" command={admin ? 'mainstay team create shop' : undefined}>
            {admin
              ? 'A team has repositories, environments and members. Make the first one:'
              : 'Ask an administrator, or an owner of a team, to add you.'}
          </Empty>
        </Section>
      )}
      <FiringAlerts />
      <LatestRuns />
      <Capabilities />
    </PageFrame>
  );
}
