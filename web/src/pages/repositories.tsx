import { mainstay, useWatch } from '../api/watch';
import { condition, type Repository, type WorkflowRun } from '../api/types';
import { Ago, Command, Empty, Gate, PageFrame, Phase, Sha, teamCrumbs } from '../components/basics';
import { newestFirst } from '../components/runs';
import { Rows } from '../components/table';
import { Link, useParams } from '../router';

export default function Repositories() {
  const { team } = useParams();
  const live = useWatch<Repository>(mainstay('repositories', team));
  const runs = useWatch<WorkflowRun>(mainstay('workflowruns', team));
  const list = [...live.items].sort((a, b) => a.metadata.name.localeCompare(b.metadata.name));
  const last = (name: string) => newestFirst(runs.items).find((r) => r.spec.repository === name);
  return (
    <PageFrame title="Repositories" crumbs={teamCrumbs(team, { text: 'Repositories' })}>
      <Gate
        live={live}
        what="repositories"
        empty={
          <Empty title="This team has no repository yet" command={`mainstay repo create web --team ${team}`}>
            Make one, then push a commit: it is built, checked and deployed.
          </Empty>
        }
      >
        <Rows
          label="Repositories"
          columns={['Repository', 'Default branch', 'Last push', 'Last run']}
          rows={list.map((r) => {
            const branch = r.spec.defaultBranch ?? 'main';
            const ref = r.status?.refs?.[`refs/heads/${branch}`];
            const run = last(r.metadata.name);
            return {
              key: r.metadata.name,
              cells: [
                <>
                  <Link to={`/teams/${team}/repositories/${r.metadata.name}`}>{r.metadata.name}</Link>
                  {r.spec.description && <div className="muted tiny">{r.spec.description}</div>}
                </>,
                branch,
                ref ? (
                  <>
                    <Sha sha={ref.sha} /> by {ref.pushedBy}, <Ago time={ref.pushedAt} />
                  </>
                ) : condition(r, 'Ready')?.status === 'True' ? (
                  <span className="muted">nothing pushed yet</span>
                ) : (
                  <Phase phase="Not ready" />
                ),
                run ? (
                  <Link to={`/teams/${team}/runs/${run.metadata.name}`}>
                    <Phase phase={run.status?.phase ?? 'Pending'} />
                  </Link>
                ) : (
                  '–'
                ),
              ],
            };
          })}
        />
        <div className="muted tiny">
          Another one: <Command>{`mainstay repo create NAME --team ${team}`}</Command>
        </div>
      </Gate>
    </PageFrame>
  );
}
