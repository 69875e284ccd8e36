import { Button } from '@patternfly/react-core';
import { useCallback, useEffect, useState } from 'react';
import { json, type ApiError } from '../api/http';
import { mainstay, useWatchAll } from '../api/watch';
import { at, type AnyObject } from '../api/types';
import { Ago, Empty, Gate, Loading, PageFrame, Phase, Problem, Section } from '../components/basics';
import { Rows } from '../components/table';
import { useParams } from '../router';
import { useTeam } from '../session';

interface Alert {
  labels: Record<string, string>;
  annotations?: Record<string, string>;
  state?: string;
  activeAt?: string;
  startsAt?: string;
}
interface Rule {
  alert?: string;
  expr?: string;
  for?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

export default function Alerts() {
  const { team } = useParams();
  const { environments } = useTeam(team);
  const namespaces = [team, ...environments.map((e) => e.namespace)];
  const rules = useWatchAll<AnyObject>(
    namespaces.map((n) => `/apis/monitoring.coreos.com/v1/namespaces/${n}/prometheusrules`),
  );
  const receivers = useWatchAll<AnyObject>(namespaces.map((n) => mainstay('alertreceivers', n)));
  const [alerts, setAlerts] = useState<Alert[]>();
  const [error, setError] = useState<ApiError>();
  const load = useCallback(() => {
    setError(undefined);
    json<{ data: { alerts: Alert[] } }>('/prometheus/api/v1/alerts').then((a) => setAlerts(a.data.alerts), setError);
  }, []);
  useEffect(load, [load]);
  const mine = alerts?.filter((a) => !a.labels.namespace || namespaces.includes(a.labels.namespace));
  const all = rules.items.flatMap((r) =>
    (at<{ name?: string; rules?: Rule[] }[]>(r, 'spec.groups') ?? []).flatMap((g) =>
      (g.rules ?? [])
        .filter((x) => x.alert)
        .map((x) => ({ ...x, object: r.metadata.name, namespace: r.metadata.namespace })),
    ),
  );
  return (
    <PageFrame
      title="Alerts"
      crumbs={[{ text: 'Teams', to: '/teams' }, { text: team, to: `/teams/${team}` }, { text: 'Alerts' }]}
      actions={
        <Button variant="secondary" onClick={load}>
          Read again
        </Button>
      }
    >
      <Section title="Now">
        {error ? (
          <Problem error={error} what="alerts" retry={load} />
        ) : !mine ? (
          <Loading what="Loading alerts" />
        ) : mine.length === 0 ? (
          <Empty level="h3" title="Nothing is wrong that a rule knows of" />
        ) : (
          <Rows
            label="Alerts"
            columns={['State', 'Alert', 'What', 'Severity', 'Since']}
            rows={mine.map((a, i) => ({
              key: String(i),
              cells: [
                <Phase key="s" phase={a.state ?? 'firing'} />,
                a.labels.alertname,
                <span key="w" className="any">
                  {a.annotations?.summary ??
                    a.annotations?.description ??
                    Object.entries(a.labels)
                      .filter(([k]) => k !== 'alertname')
                      .map(([k, v]) => `${k}=${v}`)
                      .join(' ')}
                </span>,
                a.labels.severity ?? '–',
                <Ago key="t" time={a.activeAt ?? a.startsAt} />,
              ],
            }))}
          />
        )}
      </Section>
      <Section title="Rules">
        <Gate
          live={{ ...rules, items: all }}
          what="alert rules"
          empty={
            <Empty
              level="h3"
              title="The team has no rule of its own"
              command={`kubectl apply -n ${team} -f rules.yaml`}
            >
              A PrometheusRule says when to alert. Crash loops, errors and latency of every workload are watched without
              one.
            </Empty>
          }
        >
          <Rows
            label="Rules"
            columns={['Alert', 'When', 'For', 'Object']}
            rows={all.map((r, i) => ({
              key: String(i),
              cells: [
                r.alert,
                <code key="e" className="any tiny">
                  {r.expr}
                </code>,
                r.for ?? '0s',
                `${r.namespace}/${r.object}`,
              ],
            }))}
          />
        </Gate>
      </Section>
      <Section title="Who is told">
        <Gate
          live={receivers}
          what="alert receivers"
          empty={
            <Empty level="h3" title="Nobody is told yet" command={`kubectl apply -n ${team} -f receiver.yaml`}>
              An AlertReceiver names a webhook or an address.
            </Empty>
          }
        >
          <Rows
            label="Receivers"
            columns={['Receiver', 'How']}
            rows={receivers.items.map((r) => ({
              key: `${r.metadata.namespace}/${r.metadata.name}`,
              cells: [r.metadata.name, Object.keys(r.spec ?? {}).join(', ')],
            }))}
          />
        </Gate>
      </Section>
    </PageFrame>
  );
}
