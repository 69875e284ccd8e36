// Who is signed in. Tokens live in memory and, so that a reload keeps the session, in this tab's sessionStorage; they end
// with the tab. Sign-in is OpenID Connect's code flow with PKCE (RFC 7636), or a pasted access token.
import { useSyncExternalStore } from 'react';

interface Tokens {
  access: string;
  refresh?: string;
  expiresAt?: number;
  pasted?: boolean;
  id?: string;
}
interface Discovery {
  authorization_endpoint?: string;
  token_endpoint?: string;
  end_session_endpoint?: string;
  revocation_endpoint?: string;
}

const clientId = 'mainstay-console';
const storageKey = 'mainstay.tokens',
  flowKey = 'mainstay.flow';
const redirectUri = `${location.origin}/console/callback`;

let tokens: Tokens | undefined = read<Tokens>(storageKey);
let refreshing: Promise<boolean> | undefined;
let discovered: Promise<Discovery> | undefined;
let message = '';
const listeners = new Set<() => void>();

function read<T>(key: string): T | undefined {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? 'null') ?? undefined;
  } catch {
    return undefined;
  }
}
function set(next: Tokens | undefined) {
  tokens = next;
  try {
    if (next) sessionStorage.setItem(storageKey, JSON.stringify(next));
    else sessionStorage.removeItem(storageKey);
  } catch {
    /* memory alone */
  }
  listeners.forEach((tell) => tell());
}
const subscribe = (tell: () => void) => {
  listeners.add(tell);
  return () => {
    listeners.delete(tell);
  };
};
export const onTokenChange = subscribe;
export const signedIn = () => tokens !== undefined;
export const useSignedIn = () => useSyncExternalStore(subscribe, signedIn);
export const signOutMessage = () => message;

// The network, or a Mainstay that restarts: what was asked may go well later.
class Unreachable extends Error {
  constructor() {
    super('Mainstay does not answer. Check that it runs, then try again.');
  }
}
async function reach(path: string, init?: RequestInit): Promise<Response> {
  const answer = await fetch(path, init).catch(() => undefined);
  if (!answer || (answer.status >= 500 && answer.status !== 501)) throw new Unreachable();
  return answer;
}

export function discovery(): Promise<Discovery> {
  discovered ??= reach('/.well-known/openid-configuration')
    .then((r): Discovery | Promise<Discovery> => (r.ok ? r.json() : {}))
    .catch((error) => {
      discovered = undefined;
      throw error;
    });
  return discovered;
}
const relative = (url: string) => {
  const u = new URL(url, location.href);
  return u.pathname + u.search;
};

const base64url = (bytes: Uint8Array) =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

export async function signIn(returnTo: string) {
  const { authorization_endpoint } = await discovery();
  if (!authorization_endpoint) throw new Error('This Mainstay has no sign-in page. Use a token.');
  const verifier = random(),
    state = random(),
    nonce = random();
  sessionStorage.setItem(flowKey, JSON.stringify({ verifier, state, nonce, returnTo }));
  const challenge = base64url(
    new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))),
  );
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    scope: 'openid profile email groups offline_access',
    state,
    nonce,
    code_challenge: challenge,
    code_challenge_method: 'S256',
  });
  location.assign(`${relative(authorization_endpoint)}?${query}`);
}

function accept(answer: Record<string, unknown>, before?: Tokens) {
  if (typeof answer.access_token !== 'string') throw new Error('The answer to the sign-in holds no token.');
  const seconds = typeof answer.expires_in === 'number' ? answer.expires_in : undefined;
  set({
    access: answer.access_token,
    refresh: typeof answer.refresh_token === 'string' ? answer.refresh_token : before?.refresh,
    id: typeof answer.id_token === 'string' ? answer.id_token : before?.id,
    expiresAt: seconds ? Date.now() + seconds * 1000 : undefined,
  });
}

async function askForTokens(parameters: Record<string, string>): Promise<Record<string, unknown>> {
  const { token_endpoint } = await discovery();
  if (!token_endpoint) throw new Error('This Mainstay gives no tokens for sign-ins.');
  const answer = await reach(relative(token_endpoint), {
    method: 'POST',
    body: new URLSearchParams({ client_id: clientId, ...parameters }),
  });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error_description ?? body.error ?? `The sign-in failed (${answer.status}).`);
  return body;
}

// Ends the flow that signIn() began; gives the path to go on at. Throws with words for the person.
export async function finishSignIn(query: URLSearchParams): Promise<string> {
  const flow = read<{ verifier: string; state: string; returnTo: string }>(flowKey);
  sessionStorage.removeItem(flowKey);
  if (query.get('error'))
    throw new Error(query.get('error_description') ?? query.get('error') ?? 'The sign-in was refused.');
  const code = query.get('code');
  if (!flow || !code || query.get('state') !== flow.state)
    throw new Error('This sign-in was not begun in this tab. Please sign in again.');
  message = '';
  accept(
    await askForTokens({
      grant_type: 'authorization_code',
      code,
      redirect_uri: redirectUri,
      code_verifier: flow.verifier,
    }),
  );
  return flow.returnTo;
}

// Tries the token before it is kept. Throws with words for the person.
export async function useToken(text: string) {
  const access = text.trim();
  const answer = await reach('/apis/authentication.k8s.io/v1/selfsubjectreviews', {
    method: 'POST',
    headers: { Authorization: `Bearer ${access}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' }),
  });
  if (answer.status === 401)
    throw new Error('This token is not valid, or not any more. Make a new one: mainstay user token NAME');
  if (!answer.ok) throw new Error(`Mainstay answers ${answer.status}.`);
  message = '';
  set({ access, pasted: true });
}

// A token good for at least half a minute, or undefined.
export async function token(): Promise<string | undefined> {
  if (tokens?.expiresAt && tokens.expiresAt - Date.now() < 30_000) await refresh();
  return tokens?.access;
}

// One refresh at a time: refresh tokens rotate, and one that is used twice ends the session. False: there is no other token now;
// where the session has ended, the person has been signed out.
export function refresh(): Promise<boolean> {
  refreshing ??= (async () => {
    const before = tokens;
    if (!before?.refresh) {
      signOut('Your session has ended. Please sign in again.');
      return false;
    }
    try {
      accept(await askForTokens({ grant_type: 'refresh_token', refresh_token: before.refresh }), before);
      return true;
    } catch (error) {
      if (error instanceof Unreachable) return false; // the session may go on later
      signOut('Your session has ended. Please sign in again.');
      return false;
    }
  })().finally(() => {
    refreshing = undefined;
  });
  return refreshing;
}

// `why` is shown on the sign-in page. A person who signs out also ends the browser's session at the provider, which comes
// back to /console/; a session that ended by itself has nothing left to end.
export function signOut(why = '', { everywhere = false } = {}) {
  const before = tokens;
  message = why;
  set(undefined);
  if (!before?.refresh) return;
  const end = async () => {
    const { revocation_endpoint, end_session_endpoint } = await discovery();
    if (revocation_endpoint)
      await fetch(relative(revocation_endpoint), {
        method: 'POST',
        body: new URLSearchParams({ client_id: clientId, token: before.refresh! }),
      }).catch(() => {});
    if (!everywhere || !end_session_endpoint) return;
    const query = new URLSearchParams({ client_id: clientId, post_logout_redirect_uri: `${location.origin}/console/` });
    if (before.id) query.set('id_token_hint', before.id);
    location.assign(`${relative(end_session_endpoint)}?${query}`);
  };
  end().catch(() => {});
}

// Refreshes a minute before the end, so that streams go on without a break.
let timer: ReturnType<typeof setTimeout> | undefined;
function schedule() {
  clearTimeout(timer);
  if (tokens?.expiresAt && tokens.refresh)
    timer = setTimeout(
      () => {
        void refresh();
      },
      Math.max(5_000, tokens.expiresAt - Date.now() - 60_000),
    );
}
subscribe(schedule);
schedule();
