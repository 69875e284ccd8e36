import type { WorkflowRun } from '../api/types';
import { Link } from '../router';
import { Ago, Duration, Phase, Sha } from './basics';
import { Rows } from './table';

export const newestFirst = <T extends { metadata: { creationTimestamp?: string; name: string } }>(items: T[]) =>
  [...items].sort(
    (a, b) =>
      (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? '') ||
      b.metadata.name.localeCompare(a.metadata.name),
  );
export const refName = (ref = '') => ref.replace(/^refs\/(heads|tags)\//, '');

export function RunRows({ runs, team, repository }: { runs: WorkflowRun[]; team: string; repository?: boolean }) {
  return (
    <Rows
      label="Runs"
      columns={['Run', 'State', 'Commit', 'By', 'Began', 'Took']}
      rows={newestFirst(runs)
        .slice(0, 100)
        .map((r) => ({
          key: r.metadata.name,
          cells: [
            <Link key="l" to={`/teams/${team}/runs/${r.metadata.name}`}>
              {repository ? `${r.spec.repository} ` : ''}#{r.spec.number ?? r.metadata.name}
            </Link>,
            <Phase key="p" phase={r.status?.phase ?? 'Pending'} />,
            <span key="c">
              <Sha sha={r.spec.commit} /> <span className="muted">{refName(r.spec.ref)}</span>
            </span>,
            r.spec.actor ?? '–',
            <Ago key="a" time={r.metadata.creationTimestamp} />,
            <Duration key="d" from={r.status?.startedAt} to={r.status?.finishedAt} />,
          ],
        }))}
    />
  );
}
