// Requests with the signed-in user's token. Failures are ApiError, with the words of the API's Status.
import { refresh, signOut, token } from './auth';

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly reason = '',
  ) {
    super(message);
  }
  get absent() {
    return this.status === 404 || this.status === 501;
  }
  get denied() {
    return this.status === 403;
  }
  // There is nothing of this kind here at all, which is not the same as one of them being gone.
  get notOffered() {
    return this.status === 501 || (this.status === 404 && /requested resource|no handler for route/.test(this.message));
  }
}

export function errorOf(status: number, text: string): ApiError {
  try {
    const body = JSON.parse(text);
    if (body?.kind === 'Status') return new ApiError(status, body.message ?? `status ${status}`, body.reason);
    if (Array.isArray(body?.errors) && body.errors.length) return new ApiError(status, body.errors.join('; '));
    if (typeof body?.error === 'string') return new ApiError(status, body.error);
    text = '';
  } catch {
    /* not JSON */
  }
  return new ApiError(status, text.slice(0, 500) || `Mainstay answers ${status}.`);
}

export interface Options {
  method?: string;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export async function request(
  path: string,
  { method = 'GET', body, headers = {}, signal }: Options = {},
): Promise<Response> {
  for (let attempt = 0; ; ++attempt) {
    const access = await token();
    const all: Record<string, string> = { Accept: 'application/json', ...headers };
    if (access) all.Authorization = `Bearer ${access}`;
    if (body !== undefined) all['Content-Type'] ??= 'application/json';
    let answer: Response;
    try {
      answer = await fetch(path, {
        method,
        headers: all,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError(0, 'Mainstay does not answer. It may be restarting; try again in a moment.');
    }
    if (answer.status === 401 && access) {
      if (attempt > 0) signOut('Your session has ended. Please sign in again.');
      else if (await refresh()) continue;
    }
    if (!answer.ok) throw errorOf(answer.status, await answer.text());
    return answer;
  }
}

export async function json<T>(path: string, options?: Options): Promise<T> {
  const answer = await request(path, options);
  const text = await answer.text();
  return (text ? JSON.parse(text) : {}) as T;
}
export const post = <T>(path: string, body: unknown) => json<T>(path, { method: 'POST', body });
export const mergePatch = <T>(path: string, body: unknown) =>
  json<T>(path, { method: 'PATCH', body, headers: { 'Content-Type': 'application/merge-patch+json' } });
