// Lines that come by themselves: what was kept first, then what is added. For React.
import { useEffect, useState } from 'react';
import type { ApiError } from './http';
import { openLines } from './stream';

export interface Lines<T> {
  lines?: T[]; // undefined: nothing has been answered yet
  error?: ApiError;
  retry: () => void;
}

const gatherMs = 60; // lines that come together are drawn together

// Each line of the answer is read into any number of entries, of which the last `most` are kept. An answer that goes on
// begins with what there is already, so that after a break it replaces what was shown.
export function useLines<T>(path: string | undefined, read: (line: string) => T[], most: number): Lines<T> {
  const [state, setState] = useState<Omit<Lines<T>, 'retry'>>({});
  const [round, setRound] = useState(0);
  useEffect(() => {
    setState({});
    if (!path) return;
    let lines: T[] = [],
      stop = () => {},
      timer: ReturnType<typeof setTimeout> | undefined;
    const show = () => {
      timer = undefined;
      setState({ lines: [...lines] });
    };
    const open = () => {
      let fresh = true;
      stop = openLines(path, {
        line: (text) => {
          if (fresh) lines = [];
          fresh = false;
          lines.push(...read(text));
          if (lines.length > most * 1.2) lines = lines.slice(-most);
          timer ??= setTimeout(show, gatherMs);
        },
        end: (error) => {
          clearTimeout(timer);
          setState(error ? { error } : { lines });
        },
        dropped: open, // what was shown stays until the new answer begins
      });
    };
    open();
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [path, round]);
  return { ...state, retry: () => setRound((n) => n + 1) };
}
