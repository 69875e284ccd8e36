import { TextInput } from '@patternfly/react-core';
import { useEffect, useMemo, useRef } from 'react';
import { mainstay, useWatchOne } from '../api/watch';
import { at, type AnyObject } from '../api/types';
import { Choice, Empty, Gate, PageFrame, teamCrumbs } from '../components/basics';
import { TimeSpan } from '../components/metrics';
import { Panel, type GrafanaPanel } from '../components/panel';
import { setQuery, useParams, useQuery } from '../router';
import { useTeam } from '../session';
import { modelOf } from './dashboards';

interface Variable {
  name?: string;
  type?: string;
  label?: string;
  query?: unknown;
  current?: { value?: unknown };
  options?: { value?: string; text?: string }[];
  hide?: number;
}

// What a variable is where nobody has chosen: as the model says, else what this page knows already, else everything.
function initial(v: Variable, known: Record<string, string>): string {
  const typed = v.type === 'constant' || v.type === 'textbox' ? v.query : undefined;
  const value = v.current?.value ?? known[v.name ?? ''] ?? v.options?.[0]?.value ?? typed ?? '.*';
  if (Array.isArray(value)) return value.join('|');
  return value === '$__all' ? '.*' : String(value);
}

function VariableField({ variable, value }: { variable: Variable; value: string }) {
  const name = variable.name ?? '',
    label = variable.label ?? name;
  const choose = (next: string) => setQuery({ [`var-${name}`]: next || undefined });
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (field.current) field.current.value = value;
  }, [value]);
  if (variable.options?.length) {
    const options = variable.options.map((o) => [o.value ?? '', o.text ?? o.value ?? ''] as const);
    return <Choice label={label} value={value} options={options} onChange={choose} />;
  }
  if (variable.type !== 'textbox' || name === 'team') return null;
  return (
    <div className="row">
      <label htmlFor={`v-${name}`}>{label}</label>
      <div>
        <TextInput
          id={`v-${name}`}
          ref={field}
          defaultValue={value}
          onBlur={(e) => choose(e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.key === 'Enter') choose(e.currentTarget.value);
          }}
        />
      </div>
    </div>
  );
}

export default function DashboardPage() {
  const { team, namespace, dashboard } = useParams();
  const query = useQuery();
  const { environments } = useTeam(team);
  const live = useWatchOne<AnyObject>(mainstay('dashboards', namespace), dashboard);
  const model = useMemo(() => modelOf(live.object), [live.object]);
  const minutes = Number(query.get('minutes') ?? 60);
  const list = useMemo(() => (at<Variable[]>(model, 'templating.list') ?? []).filter((v) => v.name), [model]);
  const first = environments[0]?.namespace ?? `${team}-dev`;
  const text = query.toString();
  const variables = useMemo(() => {
    const asked = new URLSearchParams(text);
    const known = { team, namespace: first, workload: '' };
    return Object.fromEntries(list.map((v) => [v.name!, asked.get(`var-${v.name}`) ?? initial(v, known)]));
  }, [list, text, team, first]);
  const panels = useMemo(
    () => (at<GrafanaPanel[]>(model, 'panels') ?? []).flatMap((p) => (p.type === 'row' ? (p.panels ?? []) : [p])),
    [model],
  );
  return (
    <PageFrame
      title={at<string>(model, 'title') ?? dashboard}
      crumbs={teamCrumbs(team, { text: 'Dashboards', to: `/teams/${team}/dashboards` }, { text: dashboard })}
      actions={
        <>
          {list
            .filter((v) => !v.hide)
            .map((v) => (
              <VariableField key={v.name} variable={v} value={variables[v.name!]} />
            ))}
          <TimeSpan minutes={minutes} onChange={(m) => setQuery({ minutes: String(m) })} />
        </>
      }
    >
      <Gate
        live={live}
        what="this dashboard"
        empty={<Empty title="There is no such dashboard" command={`kubectl get dashboards -n ${namespace}`} />}
      >
        {panels.length === 0 ? (
          <Empty title="This dashboard has no panel" command={`kubectl edit dashboard ${dashboard} -n ${namespace}`} />
        ) : (
          <div className="panels">
            {panels.map((p, i) => (
              <Panel key={p.id ?? `at ${i}`} panel={p} variables={variables} minutes={minutes} />
            ))}
          </div>
        )}
      </Gate>
    </PageFrame>
  );
}
