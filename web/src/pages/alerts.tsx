import { mainstay, useWatchAll } from '../api/watch';
import { condition, type AlertObject, type AlertReceiver, type PrometheusRule } from '../api/types';
import { AlertRows } from '../components/alerts';
import { Empty, Gate, PageFrame, Phase, Section, teamCrumbs } from '../components/basics';
import { Rows } from '../components/table';
import { useParams } from '../router';
import { useTeam } from '../session';

const platform = 'kube-system'; // whose rules watch every workload

interface AlertRule {
  key: string;
  object: PrometheusRule;
  alert: string;
  expr?: string;
  for?: string;
}
const alertRules = (objects: PrometheusRule[]): AlertRule[] =>
  objects.flatMap((object) =>
    (object.spec?.groups ?? []).flatMap((group, g) =>
      (group.rules ?? []).flatMap(({ alert, ...rule }, i) => {
        const key = `${object.metadata.namespace}/${object.metadata.name}/${g}/${i}`;
        return alert ? [{ key, object, alert, expr: rule.expr, for: rule.for }] : [];
      }),
    ),
  );

// A rule that the engine has refused, or cannot evaluate, says why.
function RuleState({ object, raised }: { object: PrometheusRule; raised?: AlertObject }) {
  const bad = ['Accepted', 'Evaluated'].map((type) => condition(object, type)).find((c) => c?.status === 'False');
  if (!bad) return <Phase phase={raised?.status?.state ?? 'inactive'} />;
  return (
    <>
      <Phase phase={bad.reason} />
      <div className="muted tiny any">{bad.message}</div>
    </>
  );
}

function howOf({ spec }: AlertReceiver): string {
  if (spec?.email) return `e-mail to ${(spec.email.to ?? []).join(', ')}`;
  if (spec?.webhook) return `webhook ${spec.webhook.url ?? 'of a Secret'}`;
  return '–';
}
const matchersOf = ({ spec }: AlertReceiver) =>
  spec?.matchers?.map((m) => `${m.name}${m.op ?? '='}${m.value}`).join(', ') || 'all of its namespace';

export default function Alerts() {
  const { team } = useParams();
  const { namespaces } = useTeam(team);
  const alerts = useWatchAll<AlertObject>(namespaces.map((n) => mainstay('alerts', n)));
  const rules = useWatchAll<PrometheusRule>(
    [...namespaces, platform].map((n) => `/apis/monitoring.coreos.com/v1/namespaces/${n}/prometheusrules`),
  );
  const receivers = useWatchAll<AlertReceiver>(namespaces.map((n) => mainstay('alertreceivers', n)));
  const all = alertRules(rules.items);
  // Of the alerts that a rule has raised, one that fires.
  const raised = ({ alert, object: { metadata } }: AlertRule) => {
    const all = alerts.items.filter(
      ({ spec: { alert: name, rule } }) =>
        name === alert && rule?.name === metadata.name && rule.namespace === metadata.namespace,
    );
    return all.find((a) => a.status?.state === 'firing') ?? all[0];
  };
  return (
    <PageFrame
      title="Alerts"
      description="What is wrong now, when an alert is raised, and who is told."
      crumbs={teamCrumbs(team, { text: 'Alerts' })}
    >
      <Section title="Now">
        <Gate
          live={alerts}
          what="alerts"
          empty={
            <Empty
              level="h3"
              title="Nothing is wrong that a rule knows of"
              command={`mainstay alerts --team ${team}`}
            />
          }
        >
          <AlertRows alerts={alerts.items} />
        </Gate>
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
            columns={['Alert', 'State', 'When', 'For', 'Object']}
            rows={all.map((r) => ({
              key: r.key,
              cells: [
                r.alert,
                <RuleState key="s" object={r.object} raised={raised(r)} />,
                <code key="e" className="any tiny">
                  {r.expr}
                </code>,
                r.for ?? '0s',
                <span key="o" className="any">
                  {r.object.metadata.namespace}/{r.object.metadata.name}
                </span>,
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
            <Empty level="h3" title="Nobody is told yet" command="kubectl explain alertreceiver.spec">
              An AlertReceiver names a webhook or an address.
            </Empty>
          }
        >
          <Rows
            label="Receivers"
            columns={['Receiver', 'State', 'How', 'Which alerts']}
            rows={receivers.items.map((r) => {
              const accepted = condition(r, 'Accepted');
              return {
                key: `${r.metadata.namespace}/${r.metadata.name}`,
                cells: [
                  `${r.metadata.namespace}/${r.metadata.name}`,
                  <div key="s">
                    <Phase phase={accepted?.status === 'False' ? 'Refused' : accepted ? 'Ready' : 'Pending'} />
                    {accepted?.status === 'False' && <div className="muted tiny any">{accepted.message}</div>}
                  </div>,
                  <span key="h" className="any">
                    {howOf(r)}
                  </span>,
                  matchersOf(r),
                ],
              };
            })}
          />
        </Gate>
      </Section>
    </PageFrame>
  );
}
