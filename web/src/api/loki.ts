import { json } from './http';

export interface LogLine {
  time: number;
  text: string;
  labels: Record<string, string>;
}

// Lines of the last `minutes` that a LogQL query finds, the newest first.
export async function searchLines(logql: string, minutes: number, limit: number): Promise<LogLine[]> {
  const end = Date.now(),
    start = end - minutes * 60e3;
  const parameters = new URLSearchParams({
    query: logql,
    start: `${start}000000`,
    end: `${end}000000`,
    limit: String(limit),
    direction: 'backward',
  });
  const { data } = await json<{ data: { result: { stream: Record<string, string>; values: [string, string][] }[] } }>(
    `/loki/api/v1/query_range?${parameters}`,
  );
  return data.result
    .flatMap((s) => s.values.map(([ns, text]) => ({ time: Number(ns.slice(0, -6)), text, labels: s.stream })))
    .sort((a, b) => b.time - a.time);
}
