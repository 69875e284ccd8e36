// The mesh between real pods: what crosses a meshed pod's link is TLS and never the words themselves; identities decide
// who may call; connections outlive Mainstay, and the proxy comes back when it is killed.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { Mainstay, run, until, binary, existsSync, readFileSync, join } from './lib/mainstay.mjs';

const marker = 'PLAINTEXT-MARKER-7f3a';
const serve = `
import socket, threading
def answer(c):
    while True:
        data = c.recv(4096)
        if not data: break
        c.sendall(b'echo ' + data)
    c.close()
s = socket.create_server(('0.0.0.0', 8080), backlog=64)
while True:
    c, a = s.accept()
    threading.Thread(target=answer, args=(c,)).start()
`;
const call = `
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
s.sendall(sys.argv[3].encode())
got = s.recv(4096).decode()
print(got)
sys.exit(0 if got.startswith('echo') else 1)
`;
// Writes a line, reads its echo, for ever: prints how often.
const chatter = `
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
n = 0
while True:
    s.sendall(b'x')
    if not s.recv(100): sys.exit(3)
    n += 1
    print(n, flush=True)
    time.sleep(0.02)
`;
const pod = (namespace, name, account) => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels: { app: name } },
  spec: { terminationGracePeriodSeconds: 0, serviceAccountName: account, containers: [{ name: 'c', image: 'mainstay.dev/runner', command: ['python3', '-uc', serve],
    ports: [{ name: 'web', containerPort: 8080 }], readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 } }] },
});
const policy = (namespace, name, spec) => ({ apiVersion: 'mainstay.dev/v1', kind: 'AuthorizationPolicy', metadata: { name, namespace }, spec });

let m;
const ip = {}, at = { web: 'shop', db: 'shop', other: 'shop', plain: 'default', target: 'default' };
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.cliOk(['team', 'create', 'shop']);
  await m.kubectlOk(['label', 'namespace', 'shop', 'mainstay.dev/mesh=true']);
  for (const name of ['web', 'other']) await m.kubectlOk(['create', 'serviceaccount', name, '-n', 'shop']);
  await apply(...Object.entries(at).map(([name, namespace]) => pod(namespace, name, ['web', 'other'].includes(name) ? name : 'default')),
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'db', namespace: 'shop' }, spec: { selector: { app: 'db' }, ports: [{ port: 80, targetPort: 'web' }] } });
  for (const [name, namespace] of Object.entries(at)) ip[name] = await until(`pod ${name} is ready`, async () => {
    const { status } = await m.json(['get', 'pod', name, '-n', namespace]);
    return status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') && status.podIP;
  });
}, { timeout: 120000 });
after(async () => { await m?.down(); });

async function apply(...objects) {
  await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }) });
}
const reach = (from, address, port = 8080, word = marker) =>
  m.kubectl(['exec', '-n', at[from], from, '--', 'python3', '-c', call, address, String(port), word], { timeout: 20000 });
const reaches = (...args) => until(`${args} is let through`, async () => { const a = await reach(...args); return a.code === 0 ? a : Promise.reject(new Error(a.all)); });
const refused = (...args) => until(`${args} is refused`, async () => (await reach(...args)).code !== 0);

async function linkOf(address) {
  const found = (await run('ip', ['-o', '-4', 'route', 'show', address])).stdout.match(/dev (\S+)/);
  assert.ok(found, `no route to ${address}`);
  return found[1];
}
// What crosses a pod's link while something happens.
async function captured(address, happen) {
  const file = join(m.dataDir, `capture-${Math.random().toString(36).slice(2)}.pcap`);
  const dump = spawn('tcpdump', ['-i', await linkOf(address), '-s', '0', '-U', '-w', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  await new Promise((done, fail) => {
    dump.stderr.on('data', (text) => { if (/listening on/.test(text)) done(); });
    dump.on('exit', (code) => fail(new Error(`tcpdump ended with ${code}`)));
  });
  try {
    await happen();
    await until('packets in the capture', async () => readFileSync(file).length > 500);
  } finally {
    dump.removeAllListeners('exit');
    const ended = new Promise((done) => dump.on('exit', done));
    dump.kill('SIGINT');
    await ended;
  }
  return readFileSync(file);
}
const proxyPid = async () => Number(readFileSync(join(m.dataDir, 'run/engines/mesh-proxy.pid'), 'utf8').split('\n')[0]);
async function counted(source, destination, allowed) {
  const metrics = (await m.kubectlOk(['get', '--raw', '/metrics'])).stdout;
  const line = metrics.split('\n').find((l) => l.startsWith('mainstay_mesh_connections_total') && l.includes(`source="${source}"`) &&
    l.includes(`destination="${destination}"`) && l.includes(`allowed="${allowed}"`));
  return line ? Number(line.split(' ').pop()) : 0;
}
const id = (namespace, account) => `spiffe://localhost/ns/${namespace}/sa/${account}`;

test('without the mesh the words are seen on the link', async () => {
  const packets = await captured(ip.target, () => reaches('plain', ip.target));
  assert.ok(packets.includes(marker), 'the capture shows plain text, so it would show it elsewhere too');
});

test('within the mesh the links of both pods show TLS and no plain text', async () => {
  for (const [watched, address, port] of [[ip.web, ip.db, 8080], [ip.db, ip.db, 8080]]) {
    const packets = await captured(watched, () => reaches('web', address, port));
    assert.ok(!packets.includes(marker), 'no plain text');
    assert.ok(packets.includes(Buffer.from([0x16, 0x03, 0x01])), 'a TLS handshake record');
    assert.ok(packets.includes(Buffer.from([0x17, 0x03, 0x03])), 'TLS application data');
  }
});

test('a service leads through the mesh, too', async () => {
  const address = (await m.json(['get', 'service', 'db', '-n', 'shop'])).spec.clusterIP;
  const packets = await captured(ip.db, () => reaches('web', address, 80));
  assert.ok(!packets.includes(marker));
});

test('connections are counted by who called whom', async () => {
  await until('the count', async () => await counted(id('shop', 'web'), id('shop', 'default'), true) > 0);
});

test('nothing leaves a meshed pod for one that is not in the mesh, and plain text does not get in', async () => {
  await refused('web', ip.target);
  await apply({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'open', namespace: 'shop' }, spec: { podSelector: {}, ingress: [{}] } });
  const before = await counted('unknown', id('shop', 'default'), false);
  await until('the plain caller is refused by the mesh', async () => {
    assert.notEqual((await reach('plain', ip.db)).code, 0);
    return await counted('unknown', id('shop', 'default'), false) > before;
  });
});

test('a policy says who may call, by identity', async () => {
  await reaches('other', ip.db);
  await apply(policy('shop', 'db', { selector: { matchLabels: { app: 'db' } }, rules: [{ principals: [id('shop', 'web')], ports: [8080] }] }));
  await refused('other', ip.db);
  await reaches('web', ip.db);
  await until('the refusal is counted', async () => await counted(id('shop', 'other'), id('shop', 'default'), false) > 0);
  await apply(policy('shop', 'db', { selector: { matchLabels: { app: 'db' } }, action: 'DENY', rules: [{ principals: [id('shop', 'w*')] }] }));
  await refused('web', ip.db);
  await reaches('other', ip.db);
  await m.kubectlOk(['delete', 'authorizationpolicy', 'db', '-n', 'shop']);
  await reaches('web', ip.db);
});

// A connection between two pods on which bytes go to and fro, for as long as `during` takes.
async function chatting(from, to, during) {
  const client = spawn('nsenter', [`--net=/run/netns/${await linkOf(ip[from])}`, 'python3', '-uc', chatter, ip[to], '8080'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let count = 0, ended = false;
  client.stdout.on('data', (text) => { count = Number(String(text).trim().split('\n').pop()); });
  client.on('exit', () => { ended = true; });
  const goesOn = async (when) => {
    const now = count;
    await until(`echoes ${when}`, async () => count > now + 10);
    assert.equal(ended, false);
  };
  try {
    await goesOn('at first');
    await during(goesOn);
  } finally { client.kill('SIGKILL'); }
}
// The certificate that a pod's side of the proxy shows.
async function shown(address) {
  const session = await run('openssl', ['s_client', '-connect', `${address}:15006`, '-servername', 'port-8080.mesh'], { timeout: 10000 });
  const { stdout } = await run('openssl', ['x509', '-noout', '-serial', '-enddate', '-ext', 'subjectAltName'], { input: session.stdout });
  const [, serial] = /serial=(\S+)/.exec(stdout), [, end] = /notAfter=(.+)/.exec(stdout);
  return { serial, end: Date.parse(end), text: stdout };
}
async function restart({ program, moreFlags }) {
  await m.kill9();
  Object.assign(m, { program, moreFlags });
  await m.start();
}

test('a connection outlives Mainstay, killed and started again', { timeout: 60000 }, async () => {
  await chatting('web', 'db', async (goesOn) => {
    const proxy = await proxyPid();
    await m.kill9();
    await goesOn('while Mainstay is down');
    await m.start();
    await goesOn('after its start');
    assert.equal(await proxyPid(), proxy, 'the same proxy');
    await reaches('web', ip.db);
  });
});

test('certificates are renewed at half their life; open connections go on, new ones are let in', { timeout: 120000 }, async () => {
  await restart({ moreFlags: ['--mesh-certificate-lifetime', '16s'] });
  const first = await until('a short certificate', async () => { const one = await shown(ip.db); return one.end < Date.now() + 20000 && one; });
  assert.ok(first.text.includes(id('shop', 'default')), first.text);
  await chatting('web', 'db', async (goesOn) => {
    const second = await until('another certificate', async () => { const one = await shown(ip.db); return one.serial !== first.serial && one; });
    assert.ok(second.end > first.end);
    assert.ok(Date.now() < first.end, 'before the first has expired');
    await until('the first has expired', () => Date.now() > first.end + 1000);
    await goesOn('after the first certificate has expired');
    await reaches('web', ip.db);
  });
});

test('after an upgrade a new proxy takes over; the old one ends with its last connection', { timeout: 120000 }, async () => {
  const program = join(m.dataDir, 'mainstay-upgraded');
  copyFileSync(binary, program);
  const old = await proxyPid();
  const alive = () => existsSync(`/proc/${old}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${old}/status`, 'utf8'));
  await chatting('web', 'db', async (goesOn) => {
    await restart({ program });
    const fresh = await until('another proxy', async () => { const pid = await proxyPid(); return pid !== old && pid; });
    await reaches('web', ip.db);
    await reaches('other', ip.db);
    await goesOn('over the old proxy');
    assert.ok(alive(), 'it still has a connection');
    await restart({ program });
    await reaches('web', ip.db);
    assert.equal(await proxyPid(), fresh, 'of the same program: it stays');
    await goesOn('still');
  });
  await until('the old proxy has ended', () => !alive());
});

test('the proxy, killed, is back with all identities', async () => {
  const old = await proxyPid();
  process.kill(old, 'SIGKILL');
  await reaches('web', ip.db);
  assert.notEqual(await proxyPid(), old);
});

test('the edge reaches a meshed workload over TLS, as itself', { timeout: 240000 }, async () => {
  await m.baseImage();
  await m.kubectlOk(['label', 'namespace', 'shop-dev', 'mainstay.dev/mesh=true']);
  await m.cliOk(['repo', 'create', 'hello', '--team', 'shop']);
  const work = await m.workTree('shop', 'hello', { from: 'examples/hello' });
  await work.commit('First');
  const pushed = await work.push();
  assert.equal(pushed.code, 0, pushed.all);
  const [serving] = (await m.json(['get', 'pods', '-n', 'shop-dev'])).items;
  const packets = await captured(serving.status.podIP, () => until('an answer', async () => {
    const answer = await m.edge(m.host('hello', 'dev', 'shop'), { path: `/${marker}` });
    return answer.code === 0 && !/503|cannot answer/.test(answer.stdout);
  }));
  assert.ok(!packets.includes(marker), 'the path is not seen on the link');
  assert.ok(packets.includes(Buffer.from([0x17, 0x03, 0x03])));
  const account = serving.spec.serviceAccountName ?? 'default';
  await until('the edge is counted', async () => await counted(id('mainstay-system', 'edge'), id('shop-dev', account), true) > 0);
  // The port by which HAProxy comes to the proxy is nobody else's way in: only what was redirected there is carried.
  const [, port] = /redirect to :(\d+)/.exec((await run('nft', ['list', 'table', 'ip', `${m.bridge}-mesh`])).stdout);
  const knock = 'import socket, sys\ns = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5)\ns.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")\ntry: got = s.recv(100)\nexcept ConnectionResetError: got = b""\nprint("got", len(got))';
  const stranger = await run('setpriv', ['--reuid=nobody', '--regid=nogroup', '--clear-groups', '/usr/bin/python3', '-c', knock, port]);
  assert.match(stranger.stdout, /^got 0/, stranger.all);
});

test('the label taken away, the pod speaks plainly again', async () => {
  await m.kubectlOk(['label', 'namespace', 'shop', 'mainstay.dev/mesh-']);
  await until('plain text', async () => (await captured(ip.db, () => reaches('web', ip.db))).includes(marker), { limit: 60000 });
});
