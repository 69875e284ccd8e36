// Pods of a workload in one environment, and what has happened to them.
import { core, useWatch } from '../../api/watch';
import type { EventObject, Pod } from '../../api/types';
import { Ago, Empty, Gate, Phase } from '../../components/basics';
import { newestFirst } from '../../components/runs';
import { Rows } from '../../components/table';

interface Where {
  namespace: string;
  workload: string;
}

function podState(pod: Pod): string | undefined {
  const containers = pod.status?.containerStatuses ?? [];
  if (containers.length && containers.every((c) => c.ready)) return 'Ready';
  const why = containers.map((c) => Object.values(c.state ?? {})[0]?.reason).find(Boolean);
  return why ?? pod.status?.reason ?? pod.status?.phase;
}

export function Pods({ namespace, workload }: Where) {
  const selector = encodeURIComponent(`app.kubernetes.io/name=${workload}`);
  const pods = useWatch<Pod>(`${core('pods', namespace)}?labelSelector=${selector}`);
  const none = <Empty title={`No pod of ${workload} in ${namespace}`} command={`kubectl get events -n ${namespace}`} />;
  const rows = newestFirst(pods.items).map((p) => {
    const containers = p.status?.containerStatuses ?? [];
    const message = containers.map((c) => Object.values(c.state ?? {})[0]?.message).find(Boolean);
    return {
      key: p.metadata.name,
      cells: [
        <span key="n" className="any">
          {p.metadata.name}
        </span>,
        <div key="s">
          <Phase phase={podState(p)} />
          {message && <div className="muted tiny any">{message}</div>}
        </div>,
        containers.reduce((n, c) => n + c.restartCount, 0),
        p.status?.podIP ?? '–',
        <Ago key="a" time={p.status?.startTime} />,
      ],
    };
  });
  return (
    <Gate live={pods} what="pods" empty={none}>
      <Rows label="Pods" columns={['Pod', 'State', 'Restarts', 'Address', 'Since']} rows={rows} />
    </Gate>
  );
}

// Events name the objects of a workload by its name or one that begins with it; `others` run beside it.
export function Events({ namespace, workload, others, place }: Where & { others: string[]; place: string }) {
  const events = useWatch<EventObject>(core('events', namespace));
  const objectOf = (e: EventObject) => e.involvedObject ?? e.regarding;
  const timeOf = (e: EventObject) => e.lastTimestamp ?? e.eventTime ?? e.metadata.creationTimestamp ?? '';
  const isOf = (name: string, of: string) => name === of || name.startsWith(`${of}-`);
  const longer = others.filter((other) => isOf(other, workload) && other !== workload);
  const about = events.items
    .filter((e) => {
      const name = objectOf(e)?.name ?? '';
      return isOf(name, workload) && !longer.some((other) => isOf(name, other));
    })
    .sort((a, b) => timeOf(b).localeCompare(timeOf(a)));
  const rows = about.slice(0, 100).map((e) => ({
    key: e.metadata.name,
    cells: [
      <Ago key="a" time={timeOf(e)} />,
      <Phase key="t" phase={e.type} />,
      `${e.reason}${(e.count ?? 1) > 1 ? ` (${e.count} times)` : ''}`,
      <span key="o" className="any">
        {objectOf(e)?.kind} {objectOf(e)?.name}
      </span>,
      <span key="m" className="any">
        {e.message}
      </span>,
    ],
  }));
  const none = (
    <Empty
      title="Nothing noteworthy has happened within the last hour"
      command={`mainstay logs ${workload} ${place} --source events --since 24h`}
    >
      Older Events are kept with the logs:
    </Empty>
  );
  return (
    <Gate live={{ ...events, items: about }} what="events" empty={none}>
      <Rows label="Events" columns={['When', 'Kind', 'Reason', 'About', 'Message']} rows={rows} />
    </Gate>
  );
}
