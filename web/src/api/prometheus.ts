// The metrics API: what a caller may see follows from the token.
import { useCallback, useEffect, useState } from 'react';
import { json, type ApiError } from './http';
import type { Series } from '../components/chart';

interface Vector {
  metric: Record<string, string>;
  value?: [number, string];
  values?: [number, string][];
}
interface Answer {
  data: { resultType: string; result: Vector[] };
}

export const nameOf = (metric: Record<string, string>, legend?: string) => {
  if (legend && legend !== '__auto') return legend.replace(/\{\{\s*([^}\s]+)\s*\}\}/g, (_m, key) => metric[key] ?? '');
  const { __name__, ...labels } = metric;
  const entries = Object.entries(labels);
  if (entries.length === 1) return entries[0][1];
  return (
    `${__name__ ?? ''}${entries.length ? `{${entries.map(([k, v]) => `${k}="${v}"`).join(', ')}}` : ''}` || 'value'
  );
};

export async function range(query: string, from: number, to: number, legend?: string, points = 180): Promise<Series[]> {
  const step = Math.max(5, Math.ceil((to - from) / 1000 / points));
  const q = new URLSearchParams({ query, start: String(from / 1000), end: String(to / 1000), step: String(step) });
  const { data } = await json<Answer>(`/prometheus/api/v1/query_range?${q}`);
  return data.result.map((r) => ({
    name: nameOf(r.metric, legend),
    points: (r.values ?? []).map(([t, v]) => [t * 1000, Number(v)] as [number, number]),
  }));
}
export async function instant(query: string, time?: number): Promise<Vector[]> {
  const { data } = await json<Answer>(
    `/prometheus/api/v1/query?${new URLSearchParams({ query, ...(time ? { time: String(time / 1000) } : {}) })}`,
  );
  return data.resultType === 'scalar'
    ? [{ metric: {}, value: data.result as unknown as [number, string] }]
    : data.result;
}

// Several queries over the last `minutes`, asked when they change and when the reader asks again: metrics have no watch.
export function useRange(queries: { query: string; legend?: string }[], minutes: number) {
  const key = JSON.stringify(queries);
  const [state, setState] = useState<{ series?: Series[]; error?: ApiError }>({});
  const [round, setRound] = useState(0);
  useEffect(() => {
    let gone = false;
    const to = Date.now();
    Promise.all((JSON.parse(key) as typeof queries).map((q) => range(q.query, to - minutes * 60e3, to, q.legend))).then(
      (all) => {
        if (!gone) setState({ series: all.flat() });
      },
      (error) => {
        if (!gone) setState({ error });
      },
    );
    return () => {
      gone = true;
    };
  }, [key, minutes, round]);
  return { ...state, again: useCallback(() => setRound((n) => n + 1), []) };
}
