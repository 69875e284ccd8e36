// The metrics API: what a caller may see follows from the token.
import { json } from './http';
import { useFresh } from './scrapes';
import type { Series } from '../components/chart';

interface Sample {
  metric: Record<string, string>;
  value?: [number, string];
  values?: [number, string][];
}
interface Answer {
  data: { resultType: string; result: Sample[] };
}
export interface Query {
  query: string;
  legend?: string; // as Grafana's: "{{pod}}"
}
export interface Figure {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const points = 180; // of a chart
const stepOf = (minutes: number) => Math.max(5, Math.ceil((minutes * 60) / points)); // seconds

function nameOf(metric: Record<string, string>, legend?: string): string {
  if (legend && legend !== '__auto') return legend.replace(/\{\{\s*([^}\s]+)\s*\}\}/g, (_m, key) => metric[key] ?? '');
  const { __name__, ...labels } = metric;
  const entries = Object.entries(labels);
  if (entries.length === 1) return entries[0][1];
  const text = entries.map(([k, v]) => `${k}="${v}"`).join(', ');
  return `${__name__ ?? ''}${text && `{${text}}`}` || 'value';
}

const ask = async (path: string, parameters: Record<string, string>, signal: AbortSignal) =>
  (await json<Answer>(`/prometheus/api/v1/${path}?${new URLSearchParams(parameters)}`, { signal })).data;

async function range({ query, legend }: Query, minutes: number, signal: AbortSignal): Promise<Series[]> {
  const step = stepOf(minutes);
  // On whole steps, so that the points of one answer are those of the next, and the chart moves on without a jerk.
  const end = Math.floor(Date.now() / 1000 / step) * step;
  const span = { start: String(end - minutes * 60), end: String(end), step: String(step) };
  const { result } = await ask('query_range', { query, ...span }, signal);
  return result.map((r) => ({
    name: nameOf(r.metric, legend),
    points: (r.values ?? []).map(([t, v]): [number, number] => [t * 1000, Number(v)]),
  }));
}

async function instant({ query, legend }: Query, signal: AbortSignal): Promise<Figure[]> {
  const data = await ask('query', { query }, signal);
  const result =
    data.resultType === 'scalar' ? [{ metric: {}, value: data.result as unknown as [number, string] }] : data.result;
  return result.map((r) => ({ name: nameOf(r.metric, legend), labels: r.metric, value: Number(r.value?.[1]) }));
}

// Several queries over the last `minutes`; new points come with the scrapes, as often as the chart has a place for one.
export const useRange = (queries: Query[], minutes: number) =>
  useFresh(JSON.stringify([queries, minutes]), stepOf(minutes) * 1000, async (signal) =>
    (await Promise.all(queries.map((q) => range(q, minutes, signal)))).flat(),
  );
// Several queries' values now, anew with each scrape.
export const useInstant = (queries: Query[]) =>
  useFresh(JSON.stringify(queries), 0, async (signal) =>
    (await Promise.all(queries.map((q) => instant(q, signal)))).flat(),
  );
