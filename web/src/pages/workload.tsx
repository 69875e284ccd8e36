import {
  Alert,
  Button,
  Card,
  CardBody,
  CardFooter,
  CardTitle,
  FormSelect,
  FormSelectOption,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Tab,
  Tabs,
  TabTitleText,
  TextArea,
} from '@patternfly/react-core';
import { useState } from 'react';
import { post } from '../api/http';
import { useRange } from '../api/prometheus';
import { apps, core, mainstay, useWatch, useWatchAll } from '../api/watch';
import { at, type AnyObject, type Deployment, type EventObject, type Pod, type Service } from '../api/types';
import { Ago, Empty, Gate, Loading, PageFrame, Phase, Problem, Section, Sha } from '../components/basics';
import { Chart } from '../components/chart';
import { LogView } from '../components/log';
import { newestFirst } from '../components/runs';
import { Rows } from '../components/table';
import { Findings } from '../components/findings';
import { Link, setQuery, useParams, useQuery } from '../router';
import { useSession, useTeam } from '../session';
import { managed, stateOf, workloadOf } from './workloads';

interface Place {
  name: string;
  state?: string;
  action?: string;
  requestedBy?: string;
  deployedAt?: string;
  url?: string;
  message?: string;
}
interface Approval {
  environment: string;
  by: string;
  at: string;
  comment?: string;
  attestation?: string;
}
const placesOf = (r: AnyObject) => at<Place[]>(r, 'status.environments') ?? [];
const spec = (r: AnyObject, key: string) => at<string>(r, `spec.${key}`) ?? '';
type Verb = 'promote' | 'approve' | 'rollback';

// One question before a verb that changes what users see; its answer is told in words.
function Ask({
  verb,
  release,
  environment,
  close,
}: {
  verb: Verb;
  release: AnyObject;
  environment: string;
  close: () => void;
}) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const [comment, setComment] = useState('');
  const name = {
    promote: `Promote to ${environment}`,
    approve: `Approve for ${environment}`,
    rollback: `Roll back ${environment}`,
  }[verb];
  const go = () => {
    setBusy(true);
    setError('');
    post(`${mainstay('releases', release.metadata.namespace)}/${release.metadata.name}/${verb}`, {
      environment,
      ...(verb === 'approve' && comment ? { comment } : {}),
    }).then(close, (e: Error) => {
      setError(e.message);
      setBusy(false);
    });
  };
  return (
    <Modal isOpen variant="small" onClose={close} aria-labelledby="ask-title">
      <ModalHeader title={name} labelId="ask-title" />
      <ModalBody>
        <p>
          {verb === 'promote' && (
            <>
              Release <b>{release.metadata.name}</b> ({spec(release, 'subject') || spec(release, 'commit').slice(0, 7)})
              goes to <b>{environment}</b> with the image and configuration it has been tried with.
            </>
          )}
          {verb === 'approve' && (
            <>
              You vouch for release <b>{release.metadata.name}</b> in <b>{environment}</b>. This is signed and kept with
              the image. Its authors cannot approve it.
            </>
          )}
          {verb === 'rollback' && (
            <>
              Leaves release <b>{release.metadata.name}</b> in <b>{environment}</b>; the one that was deployed there
              before comes back, with its configuration.
            </>
          )}
        </p>
        {verb === 'approve' && (
          <>
            <label htmlFor="ask-comment">Comment (optional)</label>
            <TextArea id="ask-comment" value={comment} onChange={(_e, v) => setComment(v)} rows={2} maxLength={1000} />
          </>
        )}
        {error && <Alert isInline variant="danger" title={error} role="alert" />}
      </ModalBody>
      <ModalFooter>
        <Button variant={verb === 'rollback' ? 'danger' : 'primary'} onClick={go} isLoading={busy} isDisabled={busy}>
          {name}
        </Button>
        <Button variant="link" onClick={close}>
          Cancel
        </Button>
      </ModalFooter>
    </Modal>
  );
}

function Releases({
  team,
  workload,
  releases,
  environments,
}: {
  team: string;
  workload: string;
  releases: AnyObject[];
  environments: { name: string }[];
}) {
  const [ask, setAsk] = useState<{ verb: Verb; release: AnyObject; environment: string }>();
  const in_ = (r: AnyObject, e: string) => placesOf(r).find((p) => p.name === e);
  const actions = (r: AnyObject) => {
    const out: { verb: Verb; environment: string }[] = [];
    environments.forEach(({ name }, i) => {
      const here = in_(r, name),
        before = i > 0 ? in_(r, environments[i - 1].name) : undefined;
      if (here?.state === 'AwaitingApproval') out.push({ verb: 'approve', environment: name });
      if (
        i > 0 &&
        (before?.state === 'Deployed' || before?.state === 'Superseded') &&
        (!here || ['Superseded', 'RolledBack', 'Failed'].includes(here.state ?? ''))
      )
        out.push({ verb: 'promote', environment: name });
      if (
        here?.state === 'Deployed' &&
        releases.some((o) => o !== r && ['Superseded', 'RolledBack'].includes(in_(o, name)?.state ?? ''))
      )
        out.push({ verb: 'rollback', environment: name });
    });
    return out;
  };
  const words = { promote: 'Promote to', approve: 'Approve for', rollback: 'Roll back' };
  return (
    <>
      <Rows
        label="Releases"
        columns={['Release', 'Commit', ...environments.map((e) => e.name), 'Actions']}
        rows={newestFirst(releases)
          .slice(0, 30)
          .map((r) => ({
            key: r.metadata.name,
            cells: [
              <div key="n">
                <b className="any">{r.metadata.name}</b>
                <div className="muted tiny">
                  <Ago time={r.metadata.creationTimestamp} />
                  {spec(r, 'author') && ` by ${spec(r, 'author')}`}
                </div>
              </div>,
              <div key="c">
                <Link
                  to={`/teams/${team}/repositories/${spec(r, 'repository').split('/').pop()}/commits/${spec(r, 'commit')}`}
                >
                  <Sha sha={spec(r, 'commit')} />
                </Link>{' '}
                <span className="tiny">{spec(r, 'subject')}</span>
              </div>,
              ...environments.map((e) => {
                const p = in_(r, e.name);
                const approvals = (at<Approval[]>(r, 'status.approvals') ?? []).filter((a) => a.environment === e.name);
                return (
                  <div key={e.name}>
                    {p ? <Phase phase={p.state} /> : <span className="muted">–</span>}
                    {p?.message && <div className="muted tiny any">{p.message}</div>}
                    {approvals.map((a) => (
                      <div key={a.by} className="muted tiny">
                        approved by {a.by}
                      </div>
                    ))}
                  </div>
                );
              }),
              <div key="a" className="row">
                {actions(r).map((a) => (
                  <Button
                    key={a.verb + a.environment}
                    size="sm"
                    variant={a.verb === 'rollback' ? 'secondary' : 'primary'}
                    onClick={() => setAsk({ ...a, release: r })}
                  >
                    {words[a.verb]} {a.environment}
                  </Button>
                ))}
              </div>,
            ],
          }))}
      />
      {ask && <Ask {...ask} close={() => setAsk(undefined)} />}
      <p className="visually-hidden" role="status">
        {releases.length} releases of {workload}
      </p>
    </>
  );
}

function Metrics({ team, namespace, workload }: { team: string; namespace: string; workload: string }) {
  const [minutes, setMinutes] = useState(60);
  const pods = `namespace="${namespace}",pod=~"${workload}-.*"`;
  const panels: { title: string; unit: string; queries: { query: string; legend?: string }[] }[] = [
    {
      title: 'Requests',
      unit: 'reqps',
      queries: [
        {
          query: `sum by (code) (rate(mainstay_edge_requests_total{namespace="${namespace}",workload="${workload}"}[2m]))`,
          legend: '{{code}}',
        },
      ],
    },
    {
      title: 'Latency, 95 of 100 are faster',
      unit: 's',
      queries: [
        {
          query: `histogram_quantile(0.95, sum by (le) (rate(mainstay_edge_request_duration_seconds_bucket{namespace="${namespace}",workload="${workload}"}[2m])))`,
          legend: 'p95',
        },
      ],
    },
    {
      title: 'CPU',
      unit: 'cores',
      queries: [{ query: `sum by (pod) (rate(container_cpu_usage_seconds_total{${pods}}[2m]))`, legend: '{{pod}}' }],
    },
    {
      title: 'Memory',
      unit: 'bytes',
      queries: [{ query: `sum by (pod) (container_memory_working_set_bytes{${pods}})`, legend: '{{pod}}' }],
    },
  ];
  const [round, setRound] = useState(0);
  return (
    <div className="stack tab-body">
      <div className="row">
        <label htmlFor="range">Time</label>
        <div>
          <FormSelect id="range" value={String(minutes)} onChange={(_e, v) => setMinutes(Number(v))}>
            {[
              [15, '15 minutes'],
              [60, '1 hour'],
              [360, '6 hours'],
              [1440, '1 day'],
              [10080, '7 days'],
            ].map(([v, t]) => (
              <FormSelectOption key={v} value={String(v)} label={`Last ${t}`} />
            ))}
          </FormSelect>
        </div>
        <Button variant="secondary" onClick={() => setRound(round + 1)}>
          Read again
        </Button>
        <Link to={`/teams/${team}/dashboards/kube-system/workload?var-namespace=${namespace}&var-workload=${workload}`}>
          Its dashboard
        </Link>
      </div>
      <div className="grid wide">
        {panels.map((p) => (
          <Panel key={`${p.title}${round}`} {...p} minutes={minutes} />
        ))}
      </div>
    </div>
  );
}
function Panel({
  title,
  unit,
  queries,
  minutes,
}: {
  title: string;
  unit: string;
  queries: { query: string; legend?: string }[];
  minutes: number;
}) {
  const { series, error } = useRange(queries, minutes);
  return (
    <Card isCompact>
      <CardTitle component="h3">{title}</CardTitle>
      <CardBody>
        {error ? (
          <Problem error={error} what="metrics" />
        ) : series ? (
          <Chart series={series} label={title} unit={unit} height={180} min={0} />
        ) : (
          <Loading what={`Loading ${title}`} />
        )}
      </CardBody>
    </Card>
  );
}

export default function WorkloadPage() {
  const { team, workload } = useParams();
  const query = useQuery();
  const { environments } = useTeam(team);
  const { me } = useSession();
  const deployments = useWatchAll<Deployment>(
    environments.map((e) => `${apps('deployments', e.namespace)}?${managed}`),
  );
  const services = useWatchAll<Service>(environments.map((e) => core('services', e.namespace)));
  const allReleases = useWatch<AnyObject>(mainstay('releases', team));
  const releases = allReleases.items.filter((r) => spec(r, 'workload') === workload);
  const mine = deployments.items.filter((d) => workloadOf(d) === workload);
  const env =
    environments.find((e) => e.name === query.get('env')) ??
    environments.find((e) => mine.some((d) => d.metadata.namespace === e.namespace)) ??
    environments[0];
  const pods = useWatch<Pod>(
    env && `${core('pods', env.namespace)}?labelSelector=${encodeURIComponent(`app.kubernetes.io/name=${workload}`)}`,
  );
  const events = useWatch<EventObject>(env && core('events', env.namespace));
  const about = newestFirst(events.items).filter((e) => {
    const n = (e.involvedObject ?? e.regarding)?.name ?? '';
    return n === workload || n.startsWith(`${workload}-`);
  });
  const digest = mine
    .find((d) => d.metadata.namespace === env?.namespace)
    ?.spec.template.spec.containers[0]?.image.split('@')[1];
  const tab = query.get('tab') ?? 'releases';
  return (
    <PageFrame
      title={workload}
      label={`${workload}, workload of ${team}`}
      crumbs={[
        { text: team, to: `/teams/${team}` },
        { text: 'Workloads', to: `/teams/${team}/workloads` },
        { text: workload },
      ]}
    >
      <Gate
        live={{ ...deployments, items: [...mine, ...releases] }}
        what="this workload"
        empty={
          <Empty title={`${workload} runs nowhere yet`} command="git push origin main">
            It appears when its first run deploys it.
          </Empty>
        }
      >
        <Section title="Environments">
          <div className="pipeline">
            {environments.map((e) => {
              const d = mine.find((x) => x.metadata.namespace === e.namespace);
              const url = services.items.find(
                (s) => s.metadata.namespace === e.namespace && s.metadata.name === workload,
              )?.metadata.annotations?.['mainstay.dev/url'];
              const released = releases.find((r) =>
                placesOf(r).some((p) => p.name === e.name && p.state === 'Deployed'),
              );
              const a = d?.spec.template.metadata?.annotations;
              return (
                <Card key={e.name} isCompact component="article" data-environment={e.name}>
                  <CardTitle component="h3">
                    <span className="row apart">
                      {e.name}
                      {d ? <Phase phase={stateOf(d).phase} /> : <span className="muted tiny">not deployed</span>}
                    </span>
                  </CardTitle>
                  <CardBody>
                    {d ? (
                      <>
                        <div>{stateOf(d).text} pods ready</div>
                        <div className="tiny">
                          {released ? (
                            <>
                              release <b>{released.metadata.name}</b>
                            </>
                          ) : (
                            <>
                              commit <Sha sha={a?.['mainstay.dev/commit']} />
                            </>
                          )}
                        </div>
                      </>
                    ) : (
                      <span className="muted tiny">Promote a release to deploy it here.</span>
                    )}
                  </CardBody>
                  {url && (
                    <CardFooter>
                      <a className="any" href={url} target="_blank" rel="noreferrer">
                        {url}
                      </a>
                    </CardFooter>
                  )}
                </Card>
              );
            })}
          </div>
        </Section>
        <div className="row block">
          <label htmlFor="env">Environment shown below</label>
          <div>
            <FormSelect id="env" value={env?.name} onChange={(_e, v) => setQuery({ env: v })}>
              {environments.map((e) => (
                <FormSelectOption key={e.name} value={e.name} label={e.name} />
              ))}
            </FormSelect>
          </div>
        </div>
        <Tabs
          activeKey={tab}
          onSelect={(_e, key) => setQuery({ tab: String(key) })}
          aria-label="Parts of the workload"
          mountOnEnter
          unmountOnExit
          isOverflowHorizontal={false}
        >
          <Tab eventKey="releases" title={<TabTitleText>Releases</TabTitleText>}>
            <div className="tab-body">
              <Gate
                live={{ ...allReleases, items: releases }}
                what="releases"
                empty={
                  <Empty title="There is no release yet" command="git push origin main">
                    Each run that deploys makes a release, which can be promoted and rolled back.
                  </Empty>
                }
              >
                <Releases team={team} workload={workload} releases={releases} environments={environments} />
              </Gate>
              {me && releases.length > 0 && (
                <p className="muted tiny">
                  You are {me.name}. Approvals count from people who did not write the release.
                </p>
              )}
            </div>
          </Tab>
          <Tab eventKey="pods" title={<TabTitleText>Pods</TabTitleText>}>
            <div className="tab-body">
              <Gate
                live={pods}
                what="pods"
                empty={
                  <Empty
                    title={`No pod of ${workload} in ${env?.name}`}
                    command={`kubectl get events -n ${env?.namespace}`}
                  />
                }
              >
                <Rows
                  label="Pods"
                  columns={['Pod', 'State', 'Restarts', 'Address', 'Since']}
                  rows={pods.items.map((p) => {
                    const c = p.status?.containerStatuses ?? [];
                    const why = c.map((x) => Object.values(x.state ?? {})[0]?.reason).find(Boolean);
                    return {
                      key: p.metadata.name,
                      cells: [
                        <span key="n" className="any">
                          {p.metadata.name}
                        </span>,
                        <Phase
                          key="s"
                          phase={c.length && c.every((x) => x.ready) ? 'Ready' : (why ?? p.status?.phase)}
                        />,
                        c.reduce((n, x) => n + x.restartCount, 0),
                        p.status?.podIP ?? '–',
                        <Ago key="a" time={p.status?.startTime} />,
                      ],
                    };
                  })}
                />
              </Gate>
            </div>
          </Tab>
          <Tab eventKey="logs" title={<TabTitleText>Logs</TabTitleText>}>
            <div className="tab-body">
              {env && (
                <LogView
                  namespace={env.namespace}
                  selection={{ workload }}
                  title={`${workload} in ${env.name}`}
                  showPod
                />
              )}
            </div>
          </Tab>
          <Tab eventKey="metrics" title={<TabTitleText>Metrics</TabTitleText>}>
            {env && <Metrics team={team} namespace={env.namespace} workload={workload} />}
          </Tab>
          <Tab eventKey="events" title={<TabTitleText>Events</TabTitleText>}>
            <div className="tab-body">
              <Gate
                live={{ ...events, items: about }}
                what="events"
                empty={<Empty title="Nothing noteworthy has happened" />}
              >
                <Rows
                  label="Events"
                  columns={['When', 'Kind', 'Reason', 'About', 'Message']}
                  rows={about.slice(0, 100).map((e) => ({
                    key: e.metadata.name,
                    cells: [
                      <Ago key="a" time={e.lastTimestamp ?? e.eventTime ?? e.metadata.creationTimestamp} />,
                      <Phase key="t" phase={e.type} />,
                      e.reason,
                      <span key="o" className="any">
                        {(e.involvedObject ?? e.regarding)?.kind} {(e.involvedObject ?? e.regarding)?.name}
                      </span>,
                      <span key="m" className="any">
                        {e.message}
                      </span>,
                    ],
                  }))}
                />
              </Gate>
            </div>
          </Tab>
          <Tab eventKey="provenance" title={<TabTitleText>Provenance</TabTitleText>}>
            <div className="tab-body">
              <Findings
                team={team}
                workload={workload}
                digest={digest}
                deployment={mine.find((d) => d.metadata.namespace === env?.namespace)}
              />
            </div>
          </Tab>
        </Tabs>
      </Gate>
    </PageFrame>
  );
}
