// Alerts that fire or are about to: objects of the namespace they speak of, gone once they are over.
import type { AlertObject } from '../api/types';
import { Ago, Phase } from './basics';
import { Rows } from './table';

const severities = ['critical', 'warning', 'info'];
// What fires first, then by severity, then the newest.
function order(a: AlertObject, b: AlertObject): number {
  const firing = (x: AlertObject) => (x.status?.state === 'firing' ? 0 : 1);
  const severity = (x: AlertObject) => severities.indexOf(x.spec.labels?.severity ?? '') + 1 || 9;
  const since = (x: AlertObject) => x.status?.activeAt ?? '';
  return firing(a) - firing(b) || severity(a) - severity(b) || since(b).localeCompare(since(a));
}

function whatOf({ spec }: AlertObject): string {
  const { summary, description } = spec.annotations ?? {};
  if (summary || description) return summary ?? description;
  const labels = Object.entries(spec.labels ?? {}).filter(([key]) => key !== 'alertname');
  return labels.map(([key, value]) => `${key}=${value}`).join(' ');
}

export function AlertRows({ alerts }: { alerts: AlertObject[] }) {
  const rows = [...alerts].sort(order).map((a) => ({
    key: `${a.metadata.namespace}/${a.metadata.name}`,
    cells: [
      <Phase key="p" phase={a.status?.state} />,
      a.spec.alert,
      <span key="w" className="any">
        {whatOf(a)}
      </span>,
      a.metadata.namespace,
      a.spec.labels?.severity ? <Phase key="s" phase={a.spec.labels.severity} /> : '–',
      <Ago key="t" time={a.status?.activeAt} />,
    ],
  }));
  return <Rows label="Alerts" columns={['State', 'Alert', 'What', 'Namespace', 'Severity', 'Since']} rows={rows} />;
}
