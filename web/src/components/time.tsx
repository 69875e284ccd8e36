// Times as people say them.
import { useEffect, useState } from 'react';

// One clock for all times shown: it ticks for the words alone, nothing is asked of the server.
const tickers = new Set<() => void>();
setInterval(() => tickers.forEach((f) => f()), 15_000);
function useTick() {
  const [, set] = useState(0);
  useEffect(() => {
    const f = () => set((n) => n + 1);
    tickers.add(f);
    return () => {
      tickers.delete(f);
    };
  }, []);
}

export function span(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s < 600 && s % 60 ? ` ${s % 60} s` : ''}`;
  if (s < 86400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}
export function Ago({ time }: { time?: string }) {
  useTick();
  if (!time) return <>–</>;
  const date = new Date(time);
  const gone = Date.now() - date.getTime();
  return (
    <time dateTime={time} title={date.toLocaleString()}>
      {gone < 5000 ? 'just now' : `${span(gone)} ago`}
    </time>
  );
}
export function Duration({ from, to }: { from?: string; to?: string }) {
  useTick();
  if (!from) return <>–</>;
  return <>{span((to ? new Date(to).getTime() : Date.now()) - new Date(from).getTime())}</>;
}
