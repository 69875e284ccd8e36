// Loki's API: lines of logs, Events, the edge and the audit log, searched and followed.
import { useMemo } from 'react';
import { json } from './http';
import { useLines } from './lines';

export interface LogLine {
  time: number; // milliseconds since 1970
  text: string;
  labels: Record<string, string>;
}
interface Stream {
  stream: Record<string, string>;
  values: [string, string][];
}
const nanoseconds = (ms: number) => `${Math.round(ms * 1000)}000`; // the engine counts in microseconds
const linesOf = (streams: Stream[]): LogLine[] =>
  streams.flatMap((s) => s.values.map(([ns, text]) => ({ time: Number(ns) / 1e6, text, labels: s.stream })));
const readTail = (text: string) => linesOf((JSON.parse(text) as { streams: Stream[] }).streams);
const newestFirst = (a: LogLine, b: LogLine) => b.time - a.time;

// Lines before a time that a LogQL query finds, the newest first.
export async function linesBefore(logql: string, end: number, minutes: number, limit: number): Promise<LogLine[]> {
  const query = new URLSearchParams({
    query: logql,
    start: nanoseconds(end - minutes * 60e3),
    end: nanoseconds(end - 0.001),
    limit: String(limit),
    direction: 'backward',
  });
  const { data } = await json<{ data: { result: Stream[] } }>(`/loki/api/v1/query_range?${query}`);
  return linesOf(data.result).sort(newestFirst);
}

// The newest `limit` lines of the last `minutes`, then those that come, the newest first.
export function useTail(logql: string, minutes: number, limit: number) {
  const path = useMemo(() => {
    const start = nanoseconds(Date.now() - minutes * 60e3);
    return `/loki/api/v1/tail?${new URLSearchParams({ query: logql, limit: String(limit), start })}`;
  }, [logql, minutes, limit]);
  const { lines, ...rest } = useLines<LogLine>(path, readTail, 1000);
  return { lines: useMemo(() => lines && [...lines].sort(newestFirst), [lines]), ...rest };
}
