// A plain request, for what never changes: asked again whenever the path changes.
import { useEffect, useState } from 'react';
import { json, type ApiError } from './http';

// What was answered to the path before stays until there is another answer.
export function useAsk<T>(path: string): { value?: T; error?: ApiError } {
  const [state, setState] = useState<{ value?: T; error?: ApiError }>({});
  useEffect(() => {
    const stop = new AbortController();
    json<T>(path, { signal: stop.signal }).then(
      (value) => setState({ value }),
      (error) => {
        if (!stop.signal.aborted) setState({ error });
      },
    );
    return () => stop.abort();
  }, [path]);
  return state;
}
