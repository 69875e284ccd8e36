import { mainstay, useWatchAll } from '../api/watch';
import { at, type AnyObject } from '../api/types';
import { Empty, Gate, PageFrame, teamCrumbs } from '../components/basics';
import { Rows } from '../components/table';
import { Link, useParams } from '../router';
import { useTeam } from '../session';

export const modelOf = (d: AnyObject | undefined) => {
  const spec = d?.spec ?? {};
  const raw = spec.model ?? spec.json ?? spec.dashboard ?? spec;
  if (typeof raw !== 'string') return raw as Record<string, unknown>;
  try {
    return JSON.parse(raw) as Record<string, unknown>;
  } catch {
    return {};
  }
};

export default function Dashboards() {
  const { team } = useParams();
  const { namespaces } = useTeam(team);
  // The platform's own, which show each reader what they may see, are in kube-system.
  const live = useWatchAll<AnyObject>([...namespaces, 'kube-system'].map((n) => mainstay('dashboards', n)));
  return (
    <PageFrame title="Dashboards" crumbs={teamCrumbs(team, { text: 'Dashboards' })}>
      <Gate
        live={live}
        what="dashboards"
        empty={
          <Empty title="This team has no dashboard yet" command={`kubectl apply -n ${team} -f dashboard.yaml`}>
            A dashboard is an object that holds Grafana's JSON model.
          </Empty>
        }
      >
        <Rows
          label="Dashboards"
          columns={['Dashboard', 'Namespace', 'Panels']}
          rows={[...live.items]
            .sort((a, b) => a.metadata.name.localeCompare(b.metadata.name))
            .map((d) => ({
              key: `${d.metadata.namespace}/${d.metadata.name}`,
              cells: [
                <Link key="l" to={`/teams/${team}/dashboards/${d.metadata.namespace}/${d.metadata.name}`}>
                  {at<string>(modelOf(d), 'title') ?? d.metadata.name}
                </Link>,
                d.metadata.namespace,
                at<unknown[]>(modelOf(d), 'panels')?.length ?? 0,
              ],
            }))}
        />
      </Gate>
    </PageFrame>
  );
}
