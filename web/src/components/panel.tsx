// A panel of a dashboard in Grafana's JSON model.
import { useMemo } from 'react';
import { useTail } from '../api/loki';
import { useInstant, type Figure, type Query } from '../api/prometheus';
import { Loading, Problem } from './basics';
import { format } from './format';
import { LogLines } from './log';
import { MetricsChart, PanelCard } from './metrics';
import { Rows } from './table';

interface Target {
  expr?: string;
  legendFormat?: string;
  hide?: boolean;
}
export interface GrafanaPanel {
  id?: number;
  type?: string;
  title?: string;
  targets?: Target[];
  panels?: GrafanaPanel[]; // of a row
  gridPos?: { w?: number; h?: number };
  fieldConfig?: { defaults?: { unit?: string; min?: number } };
  options?: { content?: string };
}
interface Part {
  panel: GrafanaPanel;
  title: string;
  queries: Query[];
  minutes: number;
}

// Grafana's variables: $name, ${name}, ${name:regex} and those of its own that queries use.
function fill(expr: string, variables: Record<string, string>, minutes: number): string {
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

function FigureTable({ title, figures, unit }: { title: string; figures: Figure[]; unit?: string }) {
  // What all have in common tells nothing, and how they were scraped is no reader's concern.
  const differs = (key: string) => figures.length === 1 || new Set(figures.map((f) => f.labels[key])).size > 1;
  const keys = [...new Set(figures.flatMap((f) => Object.keys(f.labels)))]
    .filter((key) => !['__name__', 'instance', 'job'].includes(key) && differs(key))
    .slice(0, 5);
  const rows = figures.slice(0, 100).map((f, i) => ({
    key: String(i),
    cells: [...keys.map((k) => f.labels[k] ?? ''), format(f.value, unit)],
  }));
  return rows.length ? (
    <Rows label={title} columns={[...keys, 'Value']} rows={rows} />
  ) : (
    <span className="muted">No figures yet.</span>
  );
}

function Figures({ panel, title, queries }: Part) {
  const { value, error, retry } = useInstant(queries);
  const unit = panel.fieldConfig?.defaults?.unit;
  if (error) return <Problem error={error} what="metrics" retry={retry} />;
  if (!value) return <Loading what={`Loading ${title}`} />;
  if (panel.type === 'table') return <FigureTable title={title} figures={value} unit={unit} />;
  if (!value.length) return <span className="stat muted">–</span>;
  return (
    <div className="row">
      {value.slice(0, 8).map((f, i) => (
        <div key={i}>
          <div className="stat">{format(f.value, unit)}</div>
          {value.length > 1 && <div className="muted tiny any">{f.name}</div>}
        </div>
      ))}
    </div>
  );
}

function Output({ title, query, minutes }: { title: string; query: string; minutes: number }) {
  const { lines, error, retry } = useTail(query, minutes, 100);
  if (error) return <Problem error={error} what="logs" retry={retry} />;
  if (!lines) return <Loading what={`Loading ${title}`} />;
  return (
    <div className="log" role="log" aria-live="off" aria-label={title} tabIndex={0}>
      {lines.length === 0 && <div className="none">No line in this time.</div>}
      <LogLines
        entries={lines
          .slice(0, 200)
          .map((l) => ({ time: new Date(l.time), source: l.labels.pod ?? l.labels.source, text: l.text }))}
      />
    </div>
  );
}

function PanelBody(part: Part) {
  const { panel, title, queries, minutes } = part;
  const { unit, min } = panel.fieldConfig?.defaults ?? {};
  switch (panel.type) {
    case 'text':
      return <p>{panel.options?.content}</p>;
    case 'stat':
    case 'gauge':
    case 'bargauge':
    case 'table':
      return <Figures {...part} />;
    case 'timeseries':
    case 'graph': {
      const height = Math.max(150, (panel.gridPos?.h ?? 8) * 24);
      return <MetricsChart title={title} queries={queries} minutes={minutes} unit={unit} min={min} height={height} />;
    }
    case 'logs':
      return queries.map((q) => <Output key={q.query} title={title} query={q.query} minutes={minutes} />);
    default:
      return <p className="muted">This console does not draw panels of type {panel.type}.</p>;
  }
}

export function Panel({
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
      (panel.targets ?? []).flatMap((t): Query[] =>
        t.expr && !t.hide ? [{ query: fill(t.expr, variables, minutes), legend: t.legendFormat }] : [],
      ),
    [panel, variables, minutes],
  );
  const width = Math.min(24, panel.gridPos?.w ?? 12);
  return (
    // The content security policy allows no style attribute, so that the width is set on the element.
    <div
      ref={(e) => {
        if (e) e.style.gridColumn = `span ${width}`;
      }}
    >
      <PanelCard title={panel.title} level="h2">
        <PanelBody panel={panel} title={panel.title ?? 'A panel'} queries={queries} minutes={minutes} />
      </PanelCard>
    </div>
  );
}
