// Live collections: one watch a path, shared by all who show it, kept for a moment after the last has gone. The first
// events of a watch are the list (Kubernetes' sendInitialEvents); after a break it goes on from the last revision seen,
// and lists anew where that is too old (410).
import { useEffect, useMemo, useState } from 'react';
import { ApiError } from './http';
import { openLines } from './stream';
import { onTokenChange, signedIn } from './auth';
import type { KObject, Status } from './types';

export interface Live<T> {
  items: T[];
  ready: boolean;
  error?: ApiError;
}

const lingerMs = 15_000;

class Collection {
  items = new Map<string, KObject>();
  ready = false;
  error?: ApiError;
  users = new Set<() => void>();
  private staging?: Map<string, KObject>;
  private revision = '';
  private stop?: () => void;
  private linger?: ReturnType<typeof setTimeout>;
  private told = false;

  constructor(private readonly path: string) {}

  use(f: () => void) {
    clearTimeout(this.linger);
    this.users.add(f);
    if (!this.stop && !this.error) this.open();
    return () => {
      this.users.delete(f);
      if (this.users.size === 0) this.linger = setTimeout(() => this.close(), lingerMs);
    };
  }
  retry() {
    this.error = undefined;
    this.ready = false;
    this.revision = '';
    this.open();
    this.changed();
  }

  close() {
    clearTimeout(this.linger);
    this.stop?.();
    this.stop = undefined;
    if (collections.get(this.path) === this) collections.delete(this.path);
  }

  private changed() {
    if (this.told) return;
    this.told = true;
    queueMicrotask(() => {
      this.told = false;
      this.users.forEach((f) => f());
    });
  }

  private open() {
    this.stop?.();
    const query = new URLSearchParams({ watch: 'true', allowWatchBookmarks: 'true' });
    // A list that broke off half-way has no revision to go on from: it is asked for again.
    if (this.revision && !this.staging) query.set('resourceVersion', this.revision);
    else {
      query.set('sendInitialEvents', 'true');
      query.set('resourceVersionMatch', 'NotOlderThan');
      this.staging = new Map();
    }
    this.stop = openLines(`${this.path}${this.path.includes('?') ? '&' : '?'}${query}`, {
      line: (line) => this.event(JSON.parse(line)),
      end: (error) => {
        if (error && error.status !== 410) return this.fail(error);
        if (error) this.revision = '';
        this.open();
      },
      dropped: () => this.open(),
    });
  }

  private fail(error: ApiError) {
    this.stop?.();
    this.stop = undefined;
    this.error = error;
    this.changed();
  }

  private event({ type, object }: { type: string; object: KObject & Partial<Status> }) {
    if (type === 'ERROR') {
      this.revision = '';
      if (object.code === 410) this.open();
      else this.fail(new ApiError(object.code ?? 500, object.message ?? 'The watch failed.'));
      return;
    }
    this.revision = object.metadata.resourceVersion ?? this.revision;
    if (type === 'BOOKMARK') {
      if (this.staging && object.metadata.annotations?.['k8s.io/initial-events-end']) {
        this.items = this.staging;
        this.staging = undefined;
        this.ready = true;
        this.changed();
      }
      return;
    }
    const into = this.staging ?? this.items;
    const key = `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
    if (type === 'DELETED') into.delete(key);
    else into.set(key, object);
    if (!this.staging) this.changed();
  }
}

const collections = new Map<string, Collection>();
const collectionOf = (path: string) => {
  let found = collections.get(path);
  if (!found) collections.set(path, (found = new Collection(path)));
  return found;
};
// Another person may sign in next: nothing of the last one's stays.
onTokenChange(() => {
  if (!signedIn()) collections.forEach((c) => c.close());
});

// Objects of several paths as one list. A path of which nothing may be seen is left out where others may; where none may, or
// where one fails otherwise, the error says why.
export function useWatchAll<T extends KObject>(paths: string[]): Live<T> & { retry: () => void } {
  const key = paths.join('\n');
  const [version, setVersion] = useState(0);
  const used = useMemo(() => (key ? key.split('\n').map(collectionOf) : []), [key]);
  useEffect(() => {
    const stops = used.map((c) => c.use(() => setVersion((v) => v + 1)));
    setVersion((v) => v + 1);
    return () => stops.forEach((stop) => stop());
  }, [used]);
  return useMemo(() => {
    const good = used.filter((c) => !c.error);
    const failed = used.find((c) => c.error && !c.error.denied && !c.error.absent);
    return {
      items: good.flatMap((c) => [...c.items.values()]) as T[],
      ready: good.every((c) => c.ready),
      error: failed?.error ?? (good.length === 0 ? used[0]?.error : undefined),
      retry: () => used.filter((c) => c.error).forEach((c) => c.retry()),
    };
    // eslint-disable-next-line
  }, [used, version]);
}

export const useWatch = <T extends KObject>(path: string | undefined) => useWatchAll<T>(path ? [path] : []);

export function useWatchOne<T extends KObject>(path: string, name: string) {
  const all = useWatch<T>(`${path}?fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`);
  return { ...all, object: all.items[0] as T | undefined };
}

export const mainstay = (plural: string, namespace?: string) =>
  `/apis/mainstay.dev/v1${namespace ? `/namespaces/${namespace}` : ''}/${plural}`;
export const core = (plural: string, namespace: string) => `/api/v1/namespaces/${namespace}/${plural}`;
