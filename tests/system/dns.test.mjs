// Names: kdig asks over UDP and TCP, from outside and from a pod; what is not ours is asked of the machine's resolver, a knotd of the
// test's own, for pods alone.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync, chmodSync, rmSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

// The machine's resolver is whoever /etc/resolv.conf names: Mainstay runs where that file names the test's.
const folder = mkdtempSync(join(tmpdir(), 'mainstay-dns-'));
const upstream = `127.53.${Number(process.env.MAINSTAY_TEST_SLOT ?? 0)}.1`;
const real = process.env.MAINSTAY_BINARY ?? resolve(import.meta.dirname, '../../build/mainstay');
writeFileSync(join(folder, 'resolv.conf'), `nameserver ${upstream}\n`);
writeFileSync(join(folder, 'mainstay'), `#!/bin/sh
[ "$1" = up ] || exec ${real} "$@"
exec unshare -m --propagation slave sh -c 'mount --bind ${folder}/resolv.conf /etc/resolv.conf && exec ${real} "$@"' up "$@"
`);
chmodSync(join(folder, 'mainstay'), 0o755);
process.env.MAINSTAY_BINARY = join(folder, 'mainstay');
const { Mainstay, run, ok, until } = await import('./lib/mainstay.mjs');

let m, knot;
before(async () => {
  mkdirSync(join(folder, 'knot'));
  writeFileSync(join(folder, 'example.test.zone'), `$ORIGIN example.test.
@ 3600 SOA ns hostmaster 1 7200 1800 86400 30
  NS ns
ns A 192.0.2.53
www 60 A 192.0.2.80
alias CNAME www
big 60 TXT ${Array.from({ length: 30 }, (_, i) => `"${String(i).padStart(3, '0')}${'x'.repeat(97)}"`).join(' ')}
`);
  writeFileSync(join(folder, 'knot.conf'), `server:
    rundir: ${folder}/knot
    listen: ${upstream}@53
database:
    storage: ${folder}/knot
zone:
  - domain: example.test
    storage: ${folder}
    file: example.test.zone
`);
  knot = spawn('knotd', ['-c', join(folder, 'knot.conf')], { stdio: 'ignore' });
  await until('knotd answers', async () => (await run('kdig', ['+short', `@${upstream}`, 'www.example.test'])).stdout.trim() === '192.0.2.80');
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.cliOk(['team', 'create', 'shop']);
}, { timeout: 120000 });
after(async () => {
  await m?.down();
  knot?.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

// The answers' sections of kdig as text; `at` "address@port".
const dig = async (name, type = 'A', { tcp = false, args = [], at } = {}) => {
  const [host, port] = (at ?? m.dns).split(':');
  const out = (await run('kdig', [`@${host}`, '-p', port, '+noall', '+header', '+answer', '+authority', '+additional', '+retry=0', ...(tcp ? ['+tcp'] : []), ...args, name, type])).stdout;
  return { text: out, status: /status: (\w+)/.exec(out)?.[1], flags: /Flags: ([^;]*);/.exec(out)?.[1] ?? '', records: out.split('\n').filter((l) => l && !l.startsWith(';')) };
};
const apply = (...objects) => m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }) });
const serve = 'import http.server, socketserver; http.server.ThreadingHTTPServer(("", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()';
const pod = (name, { spec = {}, command } = {}) => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', labels: { app: name } },
  spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image: 'mainstay.dev/runner', command: command ?? ['python3', '-uc', serve], ports: [{ name: 'http', containerPort: 8080 }] }], ...spec },
});
const exec = (name, ...command) => m.kubectl(['exec', '-n', 'shop', name, '--', ...command], { timeout: 60000 });
const address = async (name) => (await m.json(['get', 'pod', name, '-n', 'shop'])).status.podIP;

test('services, named ports, aliases and the way back', { timeout: 120000 }, async () => {
  await apply(
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'shop' }, spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] } },
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'peers', namespace: 'shop' }, spec: { clusterIP: 'None', selector: { app: 'web' }, ports: [{ name: 'http', port: 8080 }] } },
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'outside', namespace: 'shop' }, spec: { type: 'ExternalName', externalName: 'alias.example.test' } },
    pod('web', { spec: { hostname: 'first', subdomain: 'peers' } }),
    pod('client', { command: ['sleep', '3600'] }));
  await until('both pods are ready', async () => (await m.json(['get', 'pods', '-n', 'shop'])).items.filter((p) => p.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True')).length === 2);
  const ip = await until('an address', async () => (await m.json(['get', 'service', 'web', '-n', 'shop'])).spec.clusterIP);
  for (const tcp of [false, true]) {
    const a = await until('the Service by its name', async () => { const r = await dig('Web.shop.svc.cluster.local', 'A', { tcp }); return r.records.length && r; });
    assert.equal(a.status, 'NOERROR');
    assert.match(a.flags, /aa/);
    assert.match(a.records[0], new RegExp(`\\sA\\s+${ip}$`));
    const srv = await dig('_http._tcp.web.shop.svc.cluster.local', 'SRV', { tcp });
    assert.match(srv.text, /SRV\s+0 100 80 web\.shop\.svc\.cluster\.local\./);
    const back = await dig('x', 'PTR', { tcp, args: ['-x', ip] });
    assert.match(back.text, /PTR\s+web\.shop\.svc\.cluster\.local\./);
  }
  const api = await dig('kubernetes.default.svc.cluster.local');
  assert.equal(api.records.length, 1, api.text);
});

test('a headless service names its pods, and pods have names of their own', { timeout: 60000 }, async () => {
  const ip = await address('web');
  const dashed = ip.replaceAll('.', '-');
  await until('the pod below its Service', async () => (await dig('peers.shop.svc.cluster.local')).text.includes(ip));
  assert.match((await dig('first.peers.shop.svc.cluster.local')).text, new RegExp(`A\\s+${ip}`));
  assert.match((await dig('_http._tcp.peers.shop.svc.cluster.local', 'SRV')).text, /SRV\s+0 100 8080 first\.peers\.shop/);
  assert.match((await dig(`${dashed}.shop.pod.cluster.local`)).text, new RegExp(`A\\s+${ip}`));
  assert.match((await dig('x', 'PTR', { args: ['-x', ip] })).text, /PTR/);
});

test('missing names and missing types are told apart; nothing is told to strangers', { timeout: 60000 }, async () => {
  const none = await dig('nope.shop.svc.cluster.local');
  assert.equal(none.status, 'NXDOMAIN');
  assert.match(none.text, /^cluster\.local\.\s+\d+\s+IN\s+SOA/m);
  const type = await dig('web.shop.svc.cluster.local', 'AAAA');
  assert.equal(type.status, 'NOERROR');
  assert.match(type.text, /SOA/);
  assert.equal((await dig('cluster.local', 'AXFR', { tcp: true })).status ?? 'REFUSED', 'REFUSED');
  assert.equal((await dig('www.example.test')).status, 'REFUSED', 'this is no open resolver');
  assert.match((await dig('cluster.local', 'SOA')).text, /SOA\s+ns\.dns\.cluster\.local\./);
  assert.match((await dig('localhost', 'NS')).text, /NS\s+ns\.localhost\./);
});

test('hosts of the edge are names of the platform domain', { timeout: 60000 }, async () => {
  await apply({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'front', namespace: 'shop-dev' }, spec: { ports: [{ name: 'http', port: 80 }] } });
  const found = await until('the host', async () => { const r = await dig('front.dev.shop.localhost'); return r.records.length && r; });
  assert.match(found.text, /A\s+127\.0\.0\.1/);
  await m.kubectlOk(['delete', 'service', 'front', '-n', 'shop-dev']);
  await until('the host is gone', async () => (await dig('front.dev.shop.localhost')).status === 'NXDOMAIN');
});

test('a pod finds a Service by its short name, and the world by the machine\'s resolver', { timeout: 120000 }, async () => {
  const conf = await exec('client', 'cat', '/etc/resolv.conf');
  assert.match(conf.stdout, /search shop\.svc\.cluster\.local svc\.cluster\.local cluster\.local/);
  assert.match(conf.stdout, /options ndots:5/);
  const ip = (await m.json(['get', 'service', 'web', '-n', 'shop'])).spec.clusterIP;
  const found = await exec('client', 'getent', 'ahostsv4', 'web');
  assert.ok(found.stdout.includes(ip), found.all);
  const fetched = await exec('client', 'curl', '-sS', '-m', '10', '-o', '/dev/null', '-w', '%{http_code}', 'http://web.shop/');
  assert.equal(fetched.stdout, '200', fetched.all);
  const python = await exec('client', 'python3', '-c', 'import socket; print(socket.getaddrinfo("first.peers", 80, socket.AF_INET)[0][4][0])');
  assert.equal(python.stdout.trim(), await address('web'), python.all);
  assert.match((await exec('client', 'getent', 'ahostsv4', 'www.example.test')).stdout, /192\.0\.2\.80/);
  assert.match((await exec('client', 'getent', 'ahostsv4', 'outside')).stdout, /192\.0\.2\.80/, 'an ExternalName is followed outside');
  const again = await exec('client', 'kdig', '+short', 'www.example.test');
  assert.equal(again.stdout.trim(), '192.0.2.80', again.all);
  // Longer than UDP takes: cut, and asked again over TCP.
  const big = await exec('client', 'kdig', 'big.example.test', 'TXT');
  assert.match(big.all, /TCP/);
  assert.match(big.stdout, /029x{97}/, big.all);
  assert.match((await exec('client', 'kdig', 'nope.example.test')).stdout, /NXDOMAIN/);
});

test('dnsPolicy and dnsConfig', { timeout: 60000 }, async () => {
  const print = ['sh', '-c', 'cat /etc/resolv.conf'];
  await apply(
    pod('own', { command: print, spec: { restartPolicy: 'Never', dnsPolicy: 'None', dnsConfig: { nameservers: ['192.0.2.9'], searches: ['a.test', 'b.test'], options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }] } } }),
    pod('plain', { command: print, spec: { restartPolicy: 'Never', dnsPolicy: 'Default' } }),
    pod('more', { command: print, spec: { restartPolicy: 'Never', dnsConfig: { searches: ['a.test'], options: [{ name: 'ndots', value: '1' }] } } }));
  const log = (name) => until(`${name} has ended`, async () => {
    if ((await m.json(['get', 'pod', name, '-n', 'shop'])).status.phase !== 'Succeeded') return undefined;
    return { text: (await m.kubectlOk(['logs', name, '-n', 'shop'])).stdout };
  });
  assert.equal((await log('own')).text, 'nameserver 192.0.2.9\nsearch a.test b.test\noptions edns0\noptions ndots:2\n');
  assert.doesNotMatch((await log('plain')).text, /cluster\.local/);
  assert.match((await log('more')).text, /search shop\.svc\.cluster\.local svc\.cluster\.local cluster\.local a\.test\noptions ndots:1\n/);
});

test('many queries, none lost', { timeout: 60000 }, async () => {
  const [host, port] = m.dns.split(':');
  const names = join(folder, 'queries');
  writeFileSync(names, Array.from({ length: 500 }, (_, i) => (i % 2 ? 'web.shop.svc.cluster.local A' : `missing${i}.shop.svc.cluster.local A`)).join('\n') + '\n');
  const all = await Promise.all([0, 1, 2, 3].map(() => run('sh', ['-c', `sed 's/ A$//' ${names} | xargs -n 250 kdig @${host} -p ${port} +noall +header +retry=0 +time=5`], { timeout: 50000 })));
  const text = all.map((r) => r.all).join('');
  assert.equal((text.match(/status: (NOERROR|NXDOMAIN)/g) ?? []).length, 2000, text.slice(0, 500));
});

test('after kill -9 the names are the same', { timeout: 90000 }, async () => {
  const before = (await dig('web.shop.svc.cluster.local')).records;
  await m.kill9();
  await m.start();
  await until('the same answer', async () => JSON.stringify((await dig('web.shop.svc.cluster.local')).records) === JSON.stringify(before));
  const found = await exec('client', 'getent', 'ahostsv4', 'web');
  assert.equal(found.code, 0, found.all);
  const row = (await m.json(['get', 'capability', 'dns'])).status;
  assert.equal(row.healthy, true, JSON.stringify(row));
});
