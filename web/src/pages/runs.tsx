import { mainstay, useWatch } from '../api/watch';
import type { WorkflowRun } from '../api/types';
import { Empty, Gate, PageFrame, teamCrumbs } from '../components/basics';
import { RunRows } from '../components/runs';
import { useParams } from '../router';

export default function Runs() {
  const { team } = useParams();
  const live = useWatch<WorkflowRun>(mainstay('workflowruns', team));
  return (
    <PageFrame title="Runs" crumbs={teamCrumbs(team, { text: 'Runs' })}>
      <Gate
        live={live}
        what="runs"
        empty={
          <Empty title="Nothing has run yet" command="git push origin main">
            A push to a repository of this team starts a run.
          </Empty>
        }
      >
        <RunRows runs={live.items} team={team} repository />
      </Gate>
    </PageFrame>
  );
}
