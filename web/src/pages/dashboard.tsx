import { Button, Card, CardBody, CardTitle, FormSelect, FormSelectOption, TextInput } from '@patternfly/react-core';
import { useEffect, useMemo, useState } from 'react';
import { ApiError } from '../api/http';
import { searchLines, type LogLine } from '../api/loki';
import { instant, nameOf, useRange } from '../api/prometheus';
import { mainstay, useWatchOne } from '../api/watch';
import { at, type AnyObject } from '../api/types';
import { Empty, Gate, Loading, PageFrame, Problem } from '../components/basics';
import { Chart, format } from '../components/chart';
import { Rows } from '../components/table';
import { setQuery, useParams, useQuery } from '../router';
import { useTeam } from '../session';
import { modelOf } from './dashboards';

interface Target {
  expr?: string;
  legendFormat?: string;
  instant?: boolean;
  hide?: boolean;
}
interface GrafanaPanel {
  id?: number;
  type?: string;
  title?: string;
  description?: string;
  targets?: Target[];
  panels?: GrafanaPanel[];
  gridPos?: { w?: number; h?: number };
  fieldConfig?: { defaults?: { unit?: string; min?: number } };
  options?: { content?: string };
}
interface Variable {
  name?: string;
  type?: string;
  query?: unknown;
  current?: { value?: unknown };
  options?: { value?: string; text?: string }[];
  hide?: number;
  label?: string;
}

// Grafana's variables: $name, ${name}, ${name:regex} and those of its own that queries use.
export function fill(expr: string, variables: Record<string, string>, minutes: number): string {
  const step = Math.max(60, Math.ceil((minutes * 60) / 180) * 4);
  const all: Record<string, string> = {
    __rate_interval: `${step}s`,
    __interval: `${step}s`,
    __range: `${minutes * 60}s`,
    __range_s: String(minutes * 60),
    ...variables,
  };
  return expr.replace(/\$\{(\w+)(?::\w+)?\}|\$(\w+)/g, (whole, a, b) => all[a ?? b] ?? whole);
}

function Value({
  panel,
  queries,
  minutes,
}: {
  panel: GrafanaPanel;
  queries: { query: string; legend?: string }[];
  minutes: number;
}) {
  const [rows, setRows] = useState<{ name: string; labels: Record<string, string>; value: number }[]>();
  const [error, setError] = useState<ApiError>();
  const key = JSON.stringify(queries);
  useEffect(() => {
    let gone = false;
    Promise.all(
      queries.map(async (q) =>
        (await instant(q.query)).map((r) => ({
          name: nameOf(r.metric, q.legend),
          labels: r.metric,
          value: Number(r.value?.[1]),
        })),
      ),
    ).then(
      (all) => {
        if (!gone) setRows(all.flat());
      },
      (e) => {
        if (!gone) setError(e);
      },
    );
    return () => {
      gone = true;
    };
  }, [key, minutes]); // eslint-disable-line
  const unit = panel.fieldConfig?.defaults?.unit;
  if (error) return <Problem error={error} what="metrics" />;
  if (!rows) return <Loading what={`Loading ${panel.title ?? 'a panel'}`} />;
  if (panel.type === 'table') {
    const keys = [...new Set(rows.flatMap((r) => Object.keys(r.labels)))].filter((k) => k !== '__name__').slice(0, 6);
    return rows.length ? (
      <Rows
        label={panel.title ?? 'Table'}
        columns={[...keys, 'Value']}
        rows={rows
          .slice(0, 100)
          .map((r, i) => ({ key: String(i), cells: [...keys.map((k) => r.labels[k] ?? ''), format(r.value, unit)] }))}
      />
    ) : (
      <span className="muted">No figures yet.</span>
    );
  }
  return (
    <div className="row">
      {rows.length ? (
        rows.slice(0, 8).map((r, i) => (
          <div key={i}>
            <div className="stat">{format(r.value, unit)}</div>
            {rows.length > 1 && <div className="muted tiny any">{r.name}</div>}
          </div>
        ))
      ) : (
        <span className="stat muted">–</span>
      )}
    </div>
  );
}
function Lines({
  panel,
  queries,
  minutes,
}: {
  panel: GrafanaPanel;
  queries: { query: string; legend?: string }[];
  minutes: number;
}) {
  const { series, error } = useRange(queries, minutes);
  if (error) return <Problem error={error} what="metrics" />;
  if (!series) return <Loading what={`Loading ${panel.title ?? 'a panel'}`} />;
  return (
    <Chart
      series={series}
      label={panel.title ?? 'Chart'}
      unit={panel.fieldConfig?.defaults?.unit}
      min={panel.fieldConfig?.defaults?.min}
      height={Math.max(150, (panel.gridPos?.h ?? 8) * 24)}
    />
  );
}

function Output({ panel, queries, minutes }: { panel: GrafanaPanel; queries: { query: string }[]; minutes: number }) {
  const [lines, setLines] = useState<LogLine[]>();
  const [error, setError] = useState<ApiError>();
  const key = JSON.stringify(queries);
  useEffect(() => {
    let gone = false;
    Promise.all(queries.map((q) => searchLines(q.query, minutes, 100))).then(
      (all) => {
        if (!gone)
          setLines(
            all
              .flat()
              .sort((a, b) => b.time - a.time)
              .slice(0, 200),
          );
      },
      (e) => {
        if (!gone) setError(e);
      },
    );
    return () => {
      gone = true;
    };
  }, [key, minutes]); // eslint-disable-line
  if (error) return <Problem error={error} what="logs" />;
  if (!lines) return <Loading what={`Loading ${panel.title ?? 'a panel'}`} />;
  return (
    <div className="log" role="log" aria-label={panel.title ?? 'Logs'} tabIndex={0}>
      {lines.length === 0 && <div className="none">No line in this time.</div>}
      {lines.map((l, i) => (
        <div key={i}>
          <span className="t">{new Date(l.time).toLocaleTimeString()}</span>
          <span className="s" title={l.labels.pod}>
            {l.labels.pod ?? l.labels.source}
          </span>
          <span>{l.text}</span>
        </div>
      ))}
    </div>
  );
}

function Panel({
  panel,
  variables,
  minutes,
}: {
  panel: GrafanaPanel;
  variables: Record<string, string>;
  minutes: number;
}) {
  const queries = useMemo(
    () =>
      (panel.targets ?? [])
        .filter((t) => t.expr && !t.hide)
        .map((t) => ({ query: fill(t.expr!, variables, minutes), legend: t.legendFormat })),
    [panel, variables, minutes],
  );
  const width = Math.min(24, panel.gridPos?.w ?? 12);
  const body =
    panel.type === 'text' ? (
      <p>{panel.options?.content}</p>
    ) : panel.type === 'stat' || panel.type === 'gauge' || panel.type === 'table' || panel.type === 'bargauge' ? (
      <Value panel={panel} queries={queries} minutes={minutes} />
    ) : panel.type === 'timeseries' || panel.type === 'graph' ? (
      <Lines panel={panel} queries={queries} minutes={minutes} />
    ) : panel.type === 'logs' ? (
      <Output panel={panel} queries={queries} minutes={minutes} />
    ) : (
      <p className="muted">This console does not draw panels of type {panel.type}.</p>
    );
  return (
    <div
      ref={(e) => {
        if (e) e.style.gridColumn = `span ${width}`;
      }}
    >
      <Card isCompact isFullHeight component="article">
        <CardTitle component="h2">{panel.title}</CardTitle>
        <CardBody>{body}</CardBody>
      </Card>
    </div>
  );
}

export default function DashboardPage() {
  const { team, namespace, dashboard } = useParams();
  const query = useQuery();
  const live = useWatchOne<AnyObject>(mainstay('dashboards', namespace), dashboard);
  const model = useMemo(() => modelOf(live.object), [live.object]);
  const minutes = Number(query.get('minutes') ?? 60);
  const [round, setRound] = useState(0);
  const list = at<Variable[]>(model, 'templating.list') ?? [];
  const text = query.toString();
  const { environments } = useTeam(team);
  const first = environments[0]?.namespace ?? `${team}-dev`;
  const variables = useMemo(() => {
    const asked = new URLSearchParams(text);
    return Object.fromEntries(
      list
        .filter((v) => v.name)
        .map((v) => {
          // What this page knows already: whose it is, and where that team's workloads run first.
          const now =
            v.current?.value ??
            ({ team, namespace: first, workload: '' } as Record<string, string>)[v.name!] ??
            v.options?.[0]?.value ??
            (typeof v.query === 'string' && (v.type === 'constant' || v.type === 'textbox') ? v.query : '.*');
          return [
            v.name!,
            asked.get(`var-${v.name}`) ?? (Array.isArray(now) ? now.join('|') : String(now === '$__all' ? '.*' : now)),
          ];
        }),
    );
  }, [list, text, team, first]); // eslint-disable-line
  const panels = (at<GrafanaPanel[]>(model, 'panels') ?? []).flatMap((p) =>
    p.type === 'row' ? (p.panels ?? []) : [p],
  );
  return (
    <PageFrame
      title={at<string>(model, 'title') ?? dashboard}
      crumbs={[
        { text: team, to: `/teams/${team}` },
        { text: 'Dashboards', to: `/teams/${team}/dashboards` },
        { text: dashboard },
      ]}
      actions={
        <>
          {list
            .filter((v) => v.options?.length && !v.hide)
            .map((v) => (
              <FormSelect
                key={v.name}
                aria-label={v.label ?? v.name}
                value={variables[v.name!]}
                onChange={(_e, value) => setQuery({ [`var-${v.name}`]: value })}
              >
                {v.options!.map((o) => (
                  <FormSelectOption key={o.value} value={o.value} label={o.text ?? o.value ?? ''} />
                ))}
              </FormSelect>
            ))}
          {list
            .filter((v) => v.type === 'textbox' && !v.hide && v.name !== 'team')
            .map((v) => (
              <div key={v.name} className="row">
                <label htmlFor={`v-${v.name}`}>{v.label ?? v.name}</label>
                <div>
                  <TextInput
                    id={`v-${v.name}`}
                    key={variables[v.name!]}
                    defaultValue={variables[v.name!]}
                    onBlur={(e) => setQuery({ [`var-${v.name}`]: e.currentTarget.value || undefined })}
                    onKeyDown={(e) => {
                      if (e.key === 'Enter') setQuery({ [`var-${v.name}`]: e.currentTarget.value || undefined });
                    }}
                  />
                </div>
              </div>
            ))}
          <FormSelect aria-label="Time" value={String(minutes)} onChange={(_e, v) => setQuery({ minutes: v })}>
            {[
              [15, '15 minutes'],
              [60, '1 hour'],
              [360, '6 hours'],
              [1440, '1 day'],
              [10080, '7 days'],
            ].map(([v, t]) => (
              <FormSelectOption key={v} value={String(v)} label={`Last ${t}`} />
            ))}
          </FormSelect>
          <Button variant="secondary" onClick={() => setRound(round + 1)}>
            Read again
          </Button>
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
              <Panel key={`${p.id ?? i}/${round}`} panel={p} variables={variables} minutes={minutes} />
            ))}
          </div>
        )}
      </Gate>
    </PageFrame>
  );
}
