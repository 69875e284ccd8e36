// The jobs of a run, in columns by what they wait for.
import type { Job } from '../api/types';
import { Duration } from './basics';

const dot: Record<string, string> = {
  Succeeded: 'good',
  Failed: 'bad',
  Cancelled: 'bad',
  Running: 'busy',
  Pending: 'none',
  Skipped: 'none',
};
export const Dot = ({ phase }: { phase?: string }) => (
  <span className={`dot ${dot[phase ?? ''] ?? 'none'}`} aria-hidden="true" />
);

// The column of each job: one after the last of those it needs. A job that needs nothing known stands in the first.
export function columnsOf(jobs: Job[]): Job[][] {
  const level = new Map<string, number>();
  for (let round = 0; round < jobs.length; ++round)
    for (const job of jobs)
      level.set(job.id, Math.max(0, ...(job.needs ?? []).map((id) => (level.has(id) ? level.get(id)! + 1 : 0))));
  const columns: Job[][] = [];
  for (const job of jobs) (columns[Math.min(level.get(job.id) ?? 0, jobs.length)] ??= []).push(job);
  return columns.filter(Boolean);
}

export function JobGraph({ jobs, chosen, choose }: { jobs: Job[]; chosen?: Job; choose: (job: Job) => void }) {
  return (
    <div className="graph" role="group" aria-label="Jobs in the order they run">
      {columnsOf(jobs).map((column, i) => [
        i > 0 && <div key={`l${i}`} className="graph-link" aria-hidden="true" />,
        <div key={i} className="graph-column">
          {column.map((job) => (
            <button key={job.name ?? job.id} className="job" aria-pressed={chosen === job} onClick={() => choose(job)}>
              <Dot phase={job.phase} />
              <span>
                <span className="name">{job.name ?? job.id}</span>
                <br />
                <span className="muted tiny">
                  {job.phase ?? 'Pending'}
                  {job.startedAt && (
                    <>
                      {' '}
                      · <Duration from={job.startedAt} to={job.finishedAt} />
                    </>
                  )}
                </span>
              </span>
            </button>
          ))}
        </div>,
      ])}
    </div>
  );
}
