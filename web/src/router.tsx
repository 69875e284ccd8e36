// Paths below /console/, the browser's history, and links.
import { createContext, useContext, useSyncExternalStore, type AnchorHTMLAttributes, type MouseEvent } from 'react';

export const base = '/console';
const listeners = new Set<() => void>();
const notify = () => listeners.forEach((f) => f());
addEventListener('popstate', notify);

const current = () =>
  (location.pathname.startsWith(base) ? location.pathname.slice(base.length) : location.pathname).replace(/\/+$/, '') ||
  '/';
const subscribe = (f: () => void) => {
  listeners.add(f);
  return () => {
    listeners.delete(f);
  };
};
export const usePath = () => useSyncExternalStore(subscribe, current);
export const useQuery = () => new URLSearchParams(useSyncExternalStore(subscribe, () => location.search));

export function navigate(to: string, { replace = false } = {}) {
  if (replace) history.replaceState(null, '', base + to);
  else history.pushState(null, '', base + to);
  notify();
  // Not the window scrolls, but the page within its frame.
  if (!replace) for (let e = document.getElementById('main'); e; e = e.parentElement) e.scrollTop = 0;
}
export function setQuery(changes: Record<string, string | undefined>) {
  const query = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(changes))
    if (value) query.set(key, value);
    else query.delete(key);
  const text = query.toString();
  navigate(current() + (text ? `?${text}` : ''), { replace: true });
}

export function follow(event: MouseEvent, to: string) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return;
  event.preventDefault();
  navigate(to);
}
export function Link({ to, ...rest }: { to: string } & AnchorHTMLAttributes<HTMLAnchorElement>) {
  return (
    <a
      {...rest}
      href={base + to}
      onClick={(event) => {
        rest.onClick?.(event);
        follow(event, to);
      }}
    />
  );
}

// "/teams/:team" against "/teams/shop": {team: 'shop'}.
export function match(pattern: string, path: string): Record<string, string> | undefined {
  const want = pattern.split('/'),
    have = path.split('/');
  const params: Record<string, string> = {};
  if (want.length !== have.length) return undefined;
  for (let i = 0; i < want.length; ++i)
    if (want[i].startsWith(':')) params[want[i].slice(1)] = decoded(have[i]);
    else if (want[i] !== have[i]) return undefined;
  return params;
}
const decoded = (part: string) => {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a lone % is one
  }
};

export const Params = createContext<Record<string, string>>({});
export const useParams = () => useContext(Params);
