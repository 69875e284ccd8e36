// Many GET requests over one WebSocket (/console/stream): a browser opens only six HTTP/1.1 connections to a server, fewer
// than a page has watches. The protocol is told in src/capabilities/console/stream.h.
import { onTokenChange, refresh, token } from './auth';
import { errorOf, type ApiError } from './http';

export interface Receiver {
  head(status: number): void;
  data(text: string): void;
  end(): void; // the answer is complete
  dropped(): void; // the connection broke, or the answer did; open() again, it waits for the next one
}
interface Open {
  path: string;
  to: Receiver;
  decoder: TextDecoder;
}

const brokenMs = 1000; // what breaks off each time is not asked for in a busy loop

const open = new Map<number, Open>();
let socket: WebSocket | undefined;
let ready = false,
  connecting = false,
  failures = 0,
  nextId = 1;
const stateListeners = new Set<(connected: boolean) => void>();
const tell = (connected: boolean) => stateListeners.forEach((f) => f(connected));
export function onConnection(f: (connected: boolean) => void) {
  stateListeners.add(f);
  return () => {
    stateListeners.delete(f);
  };
}

export function openStream(path: string, to: Receiver): () => void {
  const id = nextId++;
  open.set(id, { path, to, decoder: new TextDecoder() });
  // The connection may be older than its token, which a machine that slept has not renewed: that comes first.
  if (ready)
    void token().then(() => {
      if (open.has(id)) send({ id, get: path });
    });
  else void connect();
  return () => {
    if (open.delete(id) && ready) send({ cancel: id });
  };
}

const send = (message: object) => {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
};

async function connect() {
  if (socket || connecting) return;
  connecting = true;
  const access = await token();
  connecting = false;
  if (!access || socket || open.size === 0) return;
  const s = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/console/stream`);
  s.binaryType = 'arraybuffer';
  socket = s;
  s.onopen = () => {
    send({ token: access });
    ready = true;
    for (const [id, { path }] of open) send({ id, get: path });
  };
  s.onmessage = (event) => {
    if (event.data instanceof ArrayBuffer) receive(new Uint8Array(event.data));
  };
  s.onclose = (event) => void closed(s, event.code);
}

function receive(bytes: Uint8Array) {
  const end = bytes.indexOf(10);
  const [id, kind, status] = new TextDecoder().decode(bytes.subarray(0, end)).split(' ');
  const entry = open.get(Number(id));
  failures = 0;
  if (!entry) return;
  tell(true);
  if (kind === 'h') entry.to.head(Number(status));
  else if (kind === 'd') entry.to.data(entry.decoder.decode(bytes.subarray(end + 1), { stream: true }));
  else if (kind === 'b')
    setTimeout(() => {
      if (open.delete(Number(id))) entry.to.dropped();
    }, brokenMs);
  else {
    open.delete(Number(id));
    entry.to.end();
  }
}

async function closed(s: WebSocket, code: number) {
  if (socket !== s) return;
  socket = undefined;
  ready = false;
  const lost = [...open.values()];
  open.clear();
  if (lost.length) tell(false);
  // Receivers open anew at once; what they ask for waits in `open` for the next connection.
  connecting = true;
  lost.forEach(({ to }) => to.dropped());
  const before = failures++;
  const renewed = code === 4401 && (await refresh());
  const wait = renewed && before === 0 ? 0 : Math.min(10_000, 250 * 2 ** before) * (0.75 + Math.random() / 2);
  setTimeout(() => {
    connecting = false;
    void connect();
  }, wait);
}

onTokenChange(() => {
  void token().then((access) => {
    if (access) {
      send({ token: access });
      void connect();
    } else if (socket) {
      const s = socket;
      s.close(1000);
    }
  });
});
addEventListener('online', () => {
  failures = 0;
  void connect();
});

export interface LineReceiver {
  line(text: string): void;
  end(error?: ApiError): void; // the answer is complete, or was refused
  dropped(): void; // as a Receiver's
}

// An answer of lines, each given as soon as it is whole.
export function openLines(path: string, to: LineReceiver): () => void {
  let status = 0,
    text = '',
    stopped = false;
  const stop = openStream(path, {
    head: (s) => {
      status = s;
    },
    data: (chunk) => {
      text += chunk;
      if (status !== 200) return;
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) if (line && !stopped) to.line(line);
    },
    end: () => to.end(status === 200 ? undefined : errorOf(status, text)),
    dropped: () => to.dropped(),
  });
  return () => {
    stopped = true;
    stop();
  };
}
