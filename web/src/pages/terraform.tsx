import { mainstay, useWatchAll } from '../api/watch';
import { condition, type Workspace } from '../api/types';
import { Ago, Command, Empty, Gate, PageFrame, Phase, teamCrumbs } from '../components/basics';
import { Rows } from '../components/table';
import { Link, useParams } from '../router';
import { useTeam } from '../session';

const sourceOf = ({ spec }: Workspace) => {
  const s = spec?.source;
  if (s?.repository) return `${s.repository}${s.path ? `/${s.path}` : ''}`;
  return s?.files ? 'written in the workspace' : 'keeps a state only';
};

// What a workspace is in: drifted before all else, since nobody asked for that.
export const stateOf = (w: Workspace) =>
  condition(w, 'Drifted')?.status === 'True' ? 'Drifted' : (w.status?.phase ?? (w.spec?.source ? 'Pending' : 'Ready'));

export default function Terraform() {
  const { team } = useParams();
  const { environments, namespaces } = useTeam(team);
  const live = useWatchAll<Workspace>(namespaces.map((n) => mainstay('workspaces', n)));
  const rows = live.items.map((w) => {
    const { name, namespace } = w.metadata;
    return {
      key: `${namespace}/${name}`,
      cells: [
        <div key="l">
          <Link to={`/teams/${team}/terraform/${namespace}/${name}`}>{name}</Link>
          {w.spec?.description && <div className="muted tiny any">{w.spec.description}</div>}
        </div>,
        namespace,
        <Phase key="p" phase={stateOf(w)} />,
        <span key="s" className="any">
          {sourceOf(w)}
        </span>,
        w.status?.resources ?? 0,
        <Ago key="a" time={w.status?.updatedAt} />,
      ],
    };
  });
  return (
    <PageFrame
      title="Terraform"
      description="Workspaces keep the state of a module; with a source, the platform plans and applies it."
      crumbs={teamCrumbs(team, { text: 'Terraform' })}
    >
      <Gate
        live={live}
        what="Terraform workspaces"
        empty={
          <Empty title="This team has no workspace yet" command="kubectl explain workspace.spec.source">
            A Workspace names a module in one of the team&apos;s repositories. It is planned at once, and applied when
            somebody has approved the plan. Claims of a class that is a module get theirs by themselves.
          </Empty>
        }
      >
        <Rows
          label="Workspaces"
          columns={['Workspace', 'Namespace', 'State', 'Module', 'Resources', 'State written']}
          rows={rows}
        />
        <div className="muted tiny">
          In a terminal: <Command>{`mainstay terraform runs NAME -n ${environments[0]?.namespace ?? team}`}</Command>
        </div>
      </Gate>
    </PageFrame>
  );
}
