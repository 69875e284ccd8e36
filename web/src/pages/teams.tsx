import { condition } from '../api/types';
import { Ago, Empty, Gate, PageFrame, Phase } from '../components/basics';
import { Rows } from '../components/table';
import { Link } from '../router';
import { environmentsOf, useSession } from '../session';

export default function Teams() {
  const { teams, teamsReady, teamsError, retryTeams } = useSession();
  return (
    <PageFrame title="Teams" description="A team owns repositories, environments and what runs in them.">
      <Gate
        live={{ ready: teamsReady, error: teamsError, items: teams, retry: retryTeams }}
        what="teams"
        empty={
          <Empty title="There is no team yet" command="mainstay team create shop">
            An administrator makes the first one:
          </Empty>
        }
      >
        <Rows
          label="Teams"
          columns={['Team', 'Members', 'Environments', 'State', 'Made']}
          rows={teams.map((t) => ({
            key: t.metadata.name,
            cells: [
              <>
                <Link to={`/teams/${t.metadata.name}`}>{t.metadata.name}</Link>
                {t.spec.displayName && t.spec.displayName !== t.metadata.name && (
                  <div className="muted tiny">{t.spec.displayName}</div>
                )}
              </>,
              t.spec.members?.length ?? 0,
              environmentsOf(t)
                .map((e) => e.name)
                .join(', '),
              <Phase phase={condition(t, 'Ready')?.status === 'True' ? 'Ready' : 'Not ready'} />,
              <Ago time={t.metadata.creationTimestamp} />,
            ],
          }))}
        />
      </Gate>
    </PageFrame>
  );
}
