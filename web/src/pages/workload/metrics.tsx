import { MetricsChart, PanelCard, TimeSpan } from '../../components/metrics';
import { Link, setQuery, useQuery } from '../../router';

const panelsOf = (namespace: string, workload: string) => {
  const its = `{namespace="${namespace}",workload="${workload}"}`;
  return [
    {
      title: 'Requests',
      unit: 'reqps',
      query: `sum by (code) (rate(mainstay_edge_requests_total${its}[2m]))`,
      legend: '{{code}}',
    },
    {
      title: 'Latency, 95 of 100 are faster',
      unit: 's',
      query: `histogram_quantile(0.95, sum by (le) (rate(mainstay_edge_request_duration_seconds_bucket${its}[2m])))`,
      legend: 'p95',
    },
    {
      title: 'CPU',
      unit: 'cores',
      query: `sum by (pod) (rate(container_cpu_usage_seconds_total${its}[2m]))`,
      legend: '{{pod}}',
    },
    {
      title: 'Memory',
      unit: 'bytes',
      query: `sum by (pod) (container_memory_working_set_bytes${its})`,
      legend: '{{pod}}',
    },
  ];
};

export function Metrics({ team, namespace, workload }: { team: string; namespace: string; workload: string }) {
  const minutes = Number(useQuery().get('minutes') ?? 60);
  const dashboard = `/teams/${team}/dashboards/kube-system/workload?var-namespace=${namespace}&var-workload=${workload}`;
  return (
    <div className="stack">
      <div className="row">
        <TimeSpan minutes={minutes} onChange={(m) => setQuery({ minutes: String(m) })} />
        <Link to={dashboard}>Its dashboard</Link>
        <span className="muted tiny">New figures appear by themselves.</span>
      </div>
      <div className="grid wide">
        {panelsOf(namespace, workload).map(({ title, unit, ...query }) => (
          <PanelCard key={title} title={title} level="h3">
            <MetricsChart title={title} unit={unit} queries={[query]} minutes={minutes} height={180} min={0} />
          </PanelCard>
        ))}
      </div>
    </div>
  );
}
