import { mainstay, useWatchAll, useWatchOne } from '../api/watch';
import type { Amounts, ResourceQuota, Usage, UsageReport } from '../api/types';
import { Command, Empty, Gate, PageFrame, Section, teamCrumbs } from '../components/basics';
import { Figure } from '../components/figure';
import { Rows } from '../components/table';
import { Link, useParams } from '../router';
import { useTeam } from '../session';

type Resource = 'cpu' | 'memory' | 'storage';

// "250m of 1": used of what is asked for.
function Share({ of, resource }: { of: Usage; resource: Resource }) {
  const asked = of.requested?.[resource],
    used = of.used?.[resource];
  if ((!asked || asked === '0') && (!used || used === '0')) return <>–</>;
  return (
    <span className="nowrap">
      {asked ?? '0'} <span className="muted tiny">({used ?? '0'} used)</span>
    </span>
  );
}
const amounts = (u: Usage) => (['cpu', 'memory', 'storage'] as const).map((r) => <Share key={r} of={u} resource={r} />);
const free = (f: Amounts | undefined) =>
  Object.entries(f ?? {})
    .map(([name, amount]) => `${amount} ${name}`)
    .join(', ');

function Workloads({ team, environment }: { team: string; environment: Usage }) {
  const rows = (environment.workloads ?? []).map((w) => ({
    key: w.name ?? '',
    cells: [
      environment.name ? <Link to={`/teams/${team}/workloads/${w.name}`}>{w.name}</Link> : w.name,
      ...amounts(w),
      w.monthlyCost ?? '–',
    ],
  }));
  return rows.length ? (
    <Rows
      label={`Usage of ${environment.name || 'builds'}`}
      columns={['Workload', 'CPU', 'Memory', 'Storage', 'A month']}
      rows={rows}
    />
  ) : (
    <p className="muted">Nothing runs there.</p>
  );
}

function Quotas({ namespaces }: { namespaces: string[] }) {
  const live = useWatchAll<ResourceQuota>(namespaces.map((n) => `/api/v1/namespaces/${n}/resourcequotas`));
  const rows = live.items.flatMap((q) =>
    Object.entries(q.status?.hard ?? q.spec?.hard ?? {}).map(([name, hard]) => ({
      key: `${q.metadata.namespace}/${q.metadata.name}/${name}`,
      cells: [q.metadata.namespace, name, q.status?.used?.[name] ?? '–', hard],
    })),
  );
  const none = (
    <Empty level="h3" title="No quota limits this team" command="kubectl explain resourcequota.spec">
      An administrator limits an environment with a ResourceQuota.
    </Empty>
  );
  return (
    <Gate live={{ ...live, items: rows }} what="quotas" empty={none}>
      <Rows label="Quotas" columns={['Namespace', 'What', 'Used', 'At most']} rows={rows} />
    </Gate>
  );
}

export default function Costs() {
  const { team } = useParams();
  const { namespaces } = useTeam(team);
  const live = useWatchOne<UsageReport>(mainstay('usagereports', team), 'current');
  const s = live.object?.status;
  return (
    <PageFrame
      title="Usage and costs"
      description="What the team asks for and uses, and what that costs a month by the platform's price list."
      crumbs={teamCrumbs(team, { text: 'Usage and costs' })}
    >
      <Gate
        live={live}
        what="the usage of this team"
        empty={<Empty title="Not counted yet" command={`mainstay usage ${team}`} />}
      >
        {s && (
          <>
            <Section title="The whole team">
              <div className="row figures">
                <Figure name="a month" value={s.monthlyCost ? `${s.monthlyCost} ${s.currency ?? ''}` : 'no price'} />
                <Figure name="CPU asked for" value={s.requested?.cpu} />
                <Figure name="memory asked for" value={s.requested?.memory} />
                <Figure name="storage used" value={s.used?.storage} />
                <Figure name="addresses" value={s.requested?.addresses} />
              </div>
            </Section>
            {(s.environments ?? []).map((e) => (
              <Section
                key={e.namespace}
                title={e.name ? `Environment ${e.name}` : 'Builds and jobs'}
                actions={
                  <span className="muted">
                    {e.monthlyCost ? `${e.monthlyCost} ${s.currency ?? ''} a month` : ''}
                    {free(e.free) && ` (quotas leave ${free(e.free)})`}
                  </span>
                }
              >
                <Workloads team={team} environment={e} />
              </Section>
            ))}
          </>
        )}
      </Gate>
      <Section title="Quotas">
        <Quotas namespaces={namespaces} />
      </Section>
      <div className="muted tiny">
        In a terminal: <Command>{`mainstay usage ${team}`}</Command>
      </div>
    </PageFrame>
  );
}
