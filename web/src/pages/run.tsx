import { Alert, Button } from '@patternfly/react-core';
import { useState } from 'react';
import { mergePatch } from '../api/http';
import { mainstay, useWatchOne } from '../api/watch';
import type { Job, WorkflowRun } from '../api/types';
import {
  Ago,
  Duration,
  Empty,
  Fact,
  Facts,
  Gate,
  PageFrame,
  Phase,
  Section,
  Sha,
  teamCrumbs,
} from '../components/basics';
import { AskDialog } from '../components/ask';
import { Dot, JobGraph } from '../components/graph';
import { LogView } from '../components/log';
import { refName } from '../components/runs';
import { Rows } from '../components/table';
import { Link, useParams } from '../router';

function Steps({ job }: { job: Job }) {
  if (!job.steps?.length)
    return job.message ? (
      <Alert isInline isPlain variant={job.phase === 'Failed' ? 'danger' : 'info'} title={job.message} />
    ) : null;
  return (
    <ol className="steps" aria-label={`Steps of ${job.name ?? job.id}`}>
      {job.steps.map((step, i) => (
        <li key={i}>
          <Dot phase={step.phase} />
          <div>
            <div className="any">
              {step.name ?? `Step ${i + 1}`} <span className="visually-hidden">{step.phase}</span>
            </div>
            {(step.message || step.detail) && (
              <div className={`tiny any ${step.phase === 'Failed' ? '' : 'muted'}`}>{step.message || step.detail}</div>
            )}
          </div>
          <span className="muted tiny nowrap">
            {step.startedAt && <Duration from={step.startedAt} to={step.finishedAt} />}
          </span>
        </li>
      ))}
    </ol>
  );
}

function Cancel({ run }: { run: WorkflowRun }) {
  const [asked, setAsked] = useState(false);
  const { name, namespace } = run.metadata;
  const ended = ['Succeeded', 'Failed', 'Cancelled'].includes(run.status?.phase ?? '');
  if (ended) return null;
  return (
    <>
      <Button variant="secondary" onClick={() => setAsked(true)} isDisabled={run.spec.cancel}>
        {run.spec.cancel ? 'Being cancelled' : 'Cancel the run'}
      </Button>
      {asked && (
        <AskDialog
          title={`Cancel ${name}`}
          action="Cancel the run"
          danger
          send={() => mergePatch(`${mainstay('workflowruns', namespace)}/${name}`, { spec: { cancel: true } })}
          close={() => setAsked(false)}
        >
          Its jobs are stopped. What it has deployed already stays.
        </AskDialog>
      )}
    </>
  );
}

export default function RunPage() {
  const { team, run: name } = useParams();
  const live = useWatchOne<WorkflowRun>(mainstay('workflowruns', team), name);
  const [picked, setPicked] = useState<string>();
  const run = live.object,
    s = run?.status;
  const jobs = s?.jobs ?? [];
  const key = (j: Job) => j.name ?? j.id;
  // The job that was picked, else the one that tells most: failed, running, then the last.
  const job =
    jobs.find((j) => key(j) === picked) ??
    jobs.find((j) => j.phase === 'Failed') ??
    jobs.find((j) => j.phase === 'Running') ??
    jobs[jobs.length - 1];
  const repository = run?.spec.repository ?? '';
  return (
    <PageFrame
      title={
        <span className="row">
          {run ? `${repository} #${run.spec.number ?? ''}` : name}
          {run && (
            <span role="status" data-testid="run-phase">
              <Phase phase={s?.phase ?? 'Pending'} />
            </span>
          )}
        </span>
      }
      label={run ? `Run ${run.spec.number ?? ''} of ${repository}` : name}
      crumbs={teamCrumbs(team, { text: 'Runs', to: `/teams/${team}/runs` }, { text: name })}
      actions={run && <Cancel run={run} />}
    >
      <Gate
        live={live}
        what="this run"
        empty={
          <Empty title="There is no such run" command={`kubectl get workflowruns -n ${team}`}>
            It may have been deleted.
          </Empty>
        }
      >
        {run && (
          <>
            {s?.phase === 'Failed' && s.message && (
              <Alert isInline variant="danger" title={s.message} className="block" />
            )}
            <Section title="Jobs">
              {jobs.length === 0 ? (
                <p className="muted" role="status">
                  Waiting for its first job …
                </p>
              ) : (
                <JobGraph jobs={jobs} chosen={job} choose={(j) => setPicked(key(j))} />
              )}
              {job && <Steps job={job} />}
            </Section>
            {job?.pod && (
              <Section title={`Output of ${key(job)}`}>
                <LogView namespace={team} selection={{ pod: job.pod }} title={key(job)} />
              </Section>
            )}
            <Section title="Facts">
              <Facts wide>
                <Fact term="Commit">
                  <Link to={`/teams/${team}/repositories/${repository}/commits/${run.spec.commit}`}>
                    <Sha sha={run.spec.commit} />
                  </Link>{' '}
                  on {refName(run.spec.ref)}
                </Fact>
                <Fact term="By">
                  {run.spec.actor ?? 'unknown'} ({run.spec.event ?? 'push'})
                </Fact>
                <Fact term="Workflow">{run.spec.workflow ?? 'default'}</Fact>
                <Fact term="Began">
                  <Ago time={s?.startedAt ?? run.metadata.creationTimestamp} />, took{' '}
                  <Duration from={s?.startedAt} to={s?.finishedAt} />
                </Fact>
                {s?.deployments?.map((d) => (
                  <Fact key={`${d.namespace}/${d.name}`} term={`Deployed to ${d.namespace}`}>
                    {d.url ? (
                      <a href={d.url} target="_blank" rel="noreferrer">
                        {d.url}
                      </a>
                    ) : (
                      d.name
                    )}{' '}
                    · <Link to={`/teams/${team}/workloads/${d.name}`}>workload</Link>
                  </Fact>
                ))}
              </Facts>
            </Section>
            {!!s?.images?.length && (
              <Section title="Images">
                <Rows
                  label="Images"
                  columns={['Image', 'Digest', 'Packages', 'SBOM', 'Provenance']}
                  rows={s.images.map((i) => ({
                    key: i.digest ?? i.reference ?? '',
                    cells: [
                      i.repository,
                      <Sha key="d" sha={i.digest} />,
                      i.packages ?? '–',
                      i.sbom ? 'attached' : '–',
                      i.provenance ? 'signed' : (i.message ?? '–'),
                    ],
                  }))}
                />
              </Section>
            )}
          </>
        )}
      </Gate>
    </PageFrame>
  );
}
