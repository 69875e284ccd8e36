// Figures are new when the metrics engine has scraped, which it tells over the stream: what shows them asks again then, and
// not by a clock. One stream serves all charts, and only while the page is visible.
import { useEffect, useRef, useState } from 'react';
import type { ApiError } from './http';
import { openLines } from './stream';

const path = '/apis/mainstay.dev/v1/metrics/scrapes';
const listeners = new Set<() => void>();
let stop: (() => void) | undefined;

const tell = () => listeners.forEach((f) => f());
function open() {
  stop = openLines(path, {
    line: tell,
    end: () => {
      stop = undefined;
    },
    dropped: () => {
      open();
      tell(); // scrapes may have been missed
    },
  });
}
function adjust() {
  const wanted = listeners.size > 0 && !document.hidden;
  if (wanted && !stop) open();
  else if (!wanted && stop) {
    stop();
    stop = undefined;
  }
}
document.addEventListener('visibilitychange', () => {
  adjust();
  if (!document.hidden) tell();
});
export function onScrape(f: () => void) {
  listeners.add(f);
  adjust();
  return () => {
    listeners.delete(f);
    adjust();
  };
}

export interface Asked<T> {
  value?: T;
  error?: ApiError;
  retry: () => void;
}

// What `ask` answers: when `key` changes, and anew after each scrape where its last answer is older than `everyMs`. The
// answer before stays until there is another.
export function useFresh<T>(key: string, everyMs: number, ask: (signal: AbortSignal) => Promise<T>): Asked<T> {
  const [state, setState] = useState<{ key: string; value?: T; error?: ApiError }>({ key });
  const latest = useRef(ask);
  latest.current = ask;
  const retry = useRef(() => {});
  useEffect(() => {
    let asked = 0,
      busy: AbortController | undefined;
    const go = () => {
      if (busy || document.hidden) return;
      const mine = (busy = new AbortController());
      asked = Date.now();
      latest
        .current(mine.signal)
        .then(
          (value) => setState({ key, value }),
          (error) => {
            if (!mine.signal.aborted) setState({ key, error });
          },
        )
        .finally(() => {
          busy = undefined;
        });
    };
    retry.current = go;
    go();
    // A little less, since a scrape may be told a moment early.
    const forget = onScrape(() => {
      if (Date.now() - asked >= everyMs - 1000) go();
    });
    return () => {
      forget();
      busy?.abort();
    };
  }, [key, everyMs]);
  const known = state.key === key;
  return {
    value: known ? state.value : undefined,
    error: known ? state.error : undefined,
    retry: () => retry.current(),
  };
}
