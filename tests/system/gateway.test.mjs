// Gateway API and Ingress at the edge, asked with curl and openssl s_client: matches, filters, weights that move traffic without a
// lost request, certificates by host, and hosts that belong to other teams.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { Mainstay, run, ok, until, join } from './lib/mainstay.mjs';

let m, dev, other;
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  for (const user of ['ann', 'bob']) await m.cliOk(['user', 'create', user]);
  await m.cliOk(['team', 'create', 'shop', '--member', 'ann:developer']);
  await m.cliOk(['team', 'create', 'rival', '--member', 'bob:owner']);
  dev = { KUBECONFIG: await m.kubeconfigFor('ann', await m.token('ann')) };
  other = { KUBECONFIG: await m.kubeconfigFor('bob', await m.token('bob')) };
  // In the team's own namespace, where admission asks for no provenance.
  await apply(...['v1', 'v2'].flatMap((name) => [pod(name), service(name)]));
  await until('both pods are ready', async () => (await m.json(['get', 'pods', '-n', 'shop'])).items.filter((p) => p.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True')).length === 2, { limit: 60000 });
}, { timeout: 180000 });
after(async () => { await m?.down(); });

// Answers with its name, the path and the headers it was asked with.
const echo = `
import http.server, json, os
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"who": os.environ["WHO"], "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.send_header("X-From", os.environ["WHO"]); self.send_header("Server-Secret", "1"); self.end_headers(); self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("", 8080), H).serve_forever()`;
const pod = (name) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', labels: { app: name } },
  spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image: 'mainstay.dev/runner', command: ['python3', '-uc', echo], env: [{ name: 'WHO', value: name }], readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 } }] } });
const service = (name) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'shop' }, spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] } });
const edge = { name: 'edge', namespace: 'mainstay-edge', sectionName: 'https' };
const route = (name, spec, { ns = 'shop', annotations = {}, parent = edge } = {}) => ({ apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { name, namespace: ns, annotations }, spec: { parentRefs: [parent], ...spec } });
const to = (name, weight) => ({ name, port: 80, ...(weight === undefined ? {} : { weight }) });
const apply = (...items) => m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
const applyAs = (env, ...items) => m.kubectl(['apply', '-f', '-'], { env, input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
const condition = async (name, type, ns = 'shop') => (await m.json(['get', 'httproute', name, '-n', ns])).status?.parents?.[0]?.conditions.find((c) => c.type === type);
const accepted = (name, ns) => until(`${name} is accepted`, async () => (await condition(name, 'Accepted', ns))?.status === 'True');
const get = async (host, path = '/', args = []) => {
  const answer = await m.edge(host, { path, args: ['-D', '-', ...args] });
  const [head, ...rest] = answer.stdout.split('\r\n\r\n');
  let body; try { body = JSON.parse(rest.join('\r\n\r\n')); } catch { body = {}; }
  return { ...answer, status: Number(head.split(' ')[1]), head, ...body };
};
const plain = (host, path = '/') => run('curl', ['-sS', '-o', '/dev/null', '-m', '10', '-w', '%{http_code} %{redirect_url}', '--resolve', `${host}:${m.http.split(':')[1]}:127.0.0.1`, `http://${host}:${m.http.split(':')[1]}${path}`]);
const issuer = async (host) => (await run('sh', ['-c', `openssl s_client -connect ${m.https} -servername ${host} </dev/null 2>/dev/null | openssl x509 -noout -issuer -subject -ext subjectAltName -fingerprint`])).stdout;

test('the platform brings its class and a Gateway that is programmed', async () => {
  const gateway = await until('programmed', async () => { const g = await m.json(['get', 'gateway', 'edge', '-n', 'mainstay-edge']); return g.status?.conditions?.find((c) => c.type === 'Programmed')?.status === 'True' && g; });
  assert.deepEqual(gateway.status.listeners.map((l) => l.name), ['http', 'https']);
  const classes = await m.json(['get', 'gatewayclass', 'mainstay']);
  assert.equal(classes.status.conditions[0].status, 'True');
});

test('a developer routes by path, method, header and query', { timeout: 60000 }, async () => {
  const made = await applyAs(dev, route('match', { hostnames: ['match.shop.localhost'], rules: [
    { matches: [{ path: { type: 'PathPrefix', value: '/' } }], backendRefs: [to('v1')] },
    { matches: [{ path: { type: 'PathPrefix', value: '/two' } }, { headers: [{ name: 'X-Canary', value: "it's \"100%\"" }] }, { queryParams: [{ name: 'v', value: '2' }] }, { method: 'POST' }], backendRefs: [to('v2')] },
    { matches: [{ path: { type: 'Exact', value: '/two/exact' } }], backendRefs: [to('v1')] },
  ] }));
  assert.equal(made.code, 0, made.all);
  await accepted('match');
  const host = 'match.shop.localhost';
  await until('it serves', async () => (await get(host)).who === 'v1');
  assert.equal((await get(host, '/two')).who, 'v2');
  assert.equal((await get(host, '/two/more?x=1')).who, 'v2');
  assert.equal((await get(host, '/twofold')).who, 'v1', 'prefixes are whole segments');
  assert.equal((await get(host, '/two/exact')).who, 'v1');
  assert.equal((await get(host, '/', ['-H', "X-Canary: it's \"100%\""])).who, 'v2');
  assert.equal((await get(host, '/', ['-H', 'X-Canary: no'])).who, 'v1');
  assert.equal((await get(host, '/?v=2')).who, 'v2');
  assert.equal((await get(host, '/', ['-X', 'POST'])).who, 'v2');
  assert.match((await plain(host)).stdout, /^308 https:\/\/match\.shop\.localhost:/);
});

test('filters change requests and answers', { timeout: 60000 }, async () => {
  await apply(route('filters', { hostnames: ['filters.shop.localhost'], rules: [
    { matches: [{ path: { value: '/api/v1' } }], filters: [
      { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'X-Set', value: "a 'b' %[env(PATH)]; c" }], remove: ['X-Gone'] } },
      { type: 'ResponseHeaderModifier', responseHeaderModifier: { add: [{ name: 'Content-Security-Policy', value: "default-src 'self'" }], remove: ['Server-Secret'] } },
      { type: 'URLRewrite', urlRewrite: { hostname: 'inside.test', path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/new' } } }], backendRefs: [to('v1')] },
    { matches: [{ path: { value: '/old' } }], filters: [{ type: 'RequestRedirect', requestRedirect: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/fresh' }, statusCode: 301 } }] },
  ] }));
  await accepted('filters');
  const host = 'filters.shop.localhost';
  const answer = await until('it serves', async () => { const r = await get(host, '/api/v1/x?q=1', ['-H', 'X-Gone: 1']); return r.who && r; });
  assert.equal(answer.path, '/new/x?q=1');
  assert.equal(answer.headers['x-set'], "a 'b' %[env(PATH)]; c");
  assert.equal(answer.headers['x-gone'], undefined);
  assert.equal(answer.headers.host, 'inside.test');
  assert.equal(answer.headers['x-forwarded-host'].split(':')[0], host);
  assert.match(answer.head, /content-security-policy: default-src 'self'/i);
  assert.doesNotMatch(answer.head, /server-secret/i);
  const moved = await get(host, '/old/thing?a=b');
  assert.equal(moved.status, 301);
  assert.match(moved.head, new RegExp(`location: https://${host}:\\d+/fresh/thing\\?a=b`, 'i'));
});

test('weights move the traffic to a canary while nobody loses a request', { timeout: 120000 }, async () => {
  const weights = (a, b) => apply(route('canary', { hostnames: ['canary.shop.localhost'], rules: [{ backendRefs: [to('v1', a), to('v2', b)] }] }));
  const host = 'canary.shop.localhost';
  await weights(1, 0);
  await accepted('canary');
  await until('v1 alone', async () => (await get(host)).who === 'v1');
  const count = async (n) => {
    const seen = { v1: 0, v2: 0, failed: 0 };
    const out = await m.edge(host, { args: ['-w', '\\n', ...Array.from({ length: n - 1 }, () => `https://${host}:${m.https.split(':')[1]}/`)] });
    for (const line of out.stdout.trim().split('\n')) { try { seen[JSON.parse(line).who]++; } catch { seen.failed++; } }
    return seen;
  };
  let stop = false;
  const bad = [];
  const load = (async () => { while (!stop) { const r = await get(host); if (r.status !== 200) bad.push(r.all); } })();
  const pid = async () => (await run('pgrep', ['-fn', `haproxy -f ${m.dataDir}/edge`])).stdout.trim();
  await weights(80, 20);
  await until('some of it at v2', async () => (await count(20)).v2 > 0);
  const before = await pid();
  const share = await count(200);
  assert.equal(share.failed, 0);
  assert.ok(share.v2 >= 30 && share.v2 <= 50, `20 of 100 go to v2: ${JSON.stringify(share)}`);
  await weights(20, 80);
  await until('most of it at v2', async () => { const s = await count(50); return s.v2 > s.v1; });
  await weights(0, 1);
  await until('all of it at v2', async () => (await count(20)).v1 === 0);
  stop = true;
  await load;
  assert.deepEqual(bad, []);
  assert.equal(await pid(), before, 'weights are told to the process that runs');
});

test('each host has a certificate: the platform\'s, or one from a Secret that is changed while it serves', { timeout: 120000 }, async () => {
  assert.match(await issuer('canary.shop.localhost'), /DNS:canary\.shop\.localhost/);
  await m.kubectlOk(['annotate', 'team', 'shop', 'mainstay.dev/allowed-hosts=www.shop.test, *.api.shop.test']);
  const folder = join(m.dataDir, 'own');
  mkdirSync(folder);
  const secret = async (name) => {
    await ok('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '5', '-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:www.shop.test', '-keyout', `${folder}/key`, '-out', `${folder}/crt`]);
    await apply({ apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata: { name: 'own', namespace: 'shop' }, data: { 'tls.crt': readFileSync(`${folder}/crt`).toString('base64'), 'tls.key': readFileSync(`${folder}/key`).toString('base64') } });
  };
  await secret('first');
  await apply({ apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata: { name: 'www', namespace: 'shop' }, spec: {
    tls: [{ hosts: ['www.shop.test'], secretName: 'own' }],
    rules: [{ host: 'www.shop.test', http: { paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'v1', port: { name: 'http' } } } }, { path: '/two', pathType: 'Exact', backend: { service: { name: 'v2', port: { number: 80 } } } }] } }] } });
  await until('the Secret\'s certificate', async () => /CN ?= ?first/.test(await issuer('www.shop.test')));
  const trust = ['--cacert', `${folder}/crt`];
  assert.equal((await get('www.shop.test', '/', trust)).who, 'v1');
  assert.equal((await get('www.shop.test', '/two', trust)).who, 'v2');
  const pid = async () => (await run('pgrep', ['-fn', `haproxy -f ${m.dataDir}/edge`])).stdout.trim();
  const before = await pid();
  await secret('second');
  await until('the new certificate', async () => /CN ?= ?second/.test(await issuer('www.shop.test')));
  assert.equal(await pid(), before, 'a new certificate needs no new process');
  assert.equal((await get('www.shop.test', '/', trust)).who, 'v1');
  const [host, port] = m.dns.split(':');
  assert.equal((await run('kdig', [`@${host}`, '-p', port, '+short', 'www.shop.test'])).stdout.trim(), '127.0.0.1');
});

test('a team claims no host of another, and refers to nothing of another', { timeout: 60000 }, async () => {
  const steal = { hostnames: ['match.shop.localhost'], rules: [{ backendRefs: [to('v1')] }] };
  assert.equal((await applyAs(other, route('steal', steal, { ns: 'rival' }))).code, 0);
  assert.notEqual((await applyAs(other, route('steal', steal, { ns: 'shop' }))).code, 0, 'not in the other team\'s namespace');
  const refused = await until('a verdict', () => condition('steal', 'Accepted', 'rival'));
  assert.equal(refused.reason, 'HostnameNotAllowed', JSON.stringify(refused));
  assert.equal((await applyAs(other, route('borrow', { hostnames: ['a.rival.localhost'], rules: [{ backendRefs: [{ name: 'v1', namespace: 'shop', port: 80 }] }] }, { ns: 'rival' }))).code, 0);
  const reference = await until('a verdict', () => condition('borrow', 'ResolvedRefs', 'rival'));
  assert.equal(reference.reason, 'RefNotPermitted');
  assert.equal((await get('a.rival.localhost')).status, 500);
  assert.notEqual((await m.kubectl(['get', 'httproutes', '-n', 'shop'], { env: other })).code, 0);
  assert.notEqual((await m.kubectl(['annotate', 'team', 'rival', 'mainstay.dev/allowed-hosts=*.test'], { env: other })).code, 0, 'grants are an administrator\'s to make');
  await applyAs(other, { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', metadata: { name: 'mine', namespace: 'rival' }, spec: { gatewayClassName: 'mainstay', listeners: [{ name: 'a', hostname: 'www.shop.test', port: 443, protocol: 'HTTPS' }] } });
  const listener = await until('a verdict', async () => (await m.json(['get', 'gateway', 'mine', '-n', 'rival'])).status?.listeners?.[0]?.conditions.find((c) => c.type === 'Accepted'));
  assert.equal(listener.reason, 'HostnameNotAllowed');
  // The other team lets it in.
  await apply({ apiVersion: 'gateway.networking.k8s.io/v1beta1', kind: 'ReferenceGrant', metadata: { name: 'rival', namespace: 'shop' }, spec: { from: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'rival' }], to: [{ group: '', kind: 'Service', name: 'v1' }] } });
  await until('served by grant', async () => (await get('a.rival.localhost')).who === 'v1');
});

test('the older of two routes keeps what both claim', { timeout: 60000 }, async () => {
  await apply(route('usurper', { hostnames: ['match.shop.localhost'], rules: [{ backendRefs: [to('v2')] }] }));
  const verdict = await until('a verdict', () => condition('usurper', 'Accepted'));
  assert.equal(verdict.status, 'False');
  assert.match(verdict.message, /older HTTPRoute shop\/match/);
  assert.equal((await get('match.shop.localhost')).who, 'v1');
});

test('what would reach into HAProxy\'s configuration is refused', { timeout: 60000 }, async () => {
  const bad = [
    { rules: [{ matches: [{ path: { value: '/a b' } }] }] },
    { rules: [{ matches: [{ path: { value: "/a'" } }] }] },
    { rules: [{ matches: [{ path: { type: 'RegularExpression', value: '/(a+)+' } }] }] },
    { rules: [{ matches: [{ headers: [{ name: 'X\nY', value: 'z' }] }] }] },
    { hostnames: ['a.shop.localhost }'] },
    { rules: [{ filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'X', value: 'a\nhttp-request deny' }] } }] }] },
  ];
  for (const spec of bad) {
    const made = await m.kubectl(['apply', '-f', '-'], { input: JSON.stringify(route('bad', spec)) });
    assert.notEqual(made.code, 0, JSON.stringify(spec));
  }
  await apply(route('slash', { hostnames: ['b.shop.localhost'], rules: [{ filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'X', value: 'a\\' }] } }], backendRefs: [to('v1')] }] }));
  const verdict = await until('a verdict', () => condition('slash', 'Accepted'));
  assert.equal(verdict.reason, 'UnsupportedValue');
  assert.equal((await get('match.shop.localhost')).who, 'v1', 'others are served as before');
});

test('addresses may be let in or kept out, and each has a rate', { timeout: 60000 }, async () => {
  const spec = (host) => ({ hostnames: [host], rules: [{ backendRefs: [to('v1')] }] });
  await apply(
    route('kept', spec('kept.shop.localhost'), { annotations: { 'mainstay.dev/allow-sources': '192.0.2.0/24' } }),
    route('rate', spec('rate.shop.localhost'), { annotations: { 'mainstay.dev/rate-limit': '5' } }));
  await until('kept out', async () => (await get('kept.shop.localhost')).status === 403);
  await until('served', async () => (await get('rate.shop.localhost')).who === 'v1');
  const port = m.https.split(':')[1];
  const burst = await m.edge('rate.shop.localhost', { args: ['-o', '/dev/null', '-w', '%{http_code}\\n', ...Array.from({ length: 40 }, () => ['-o', '/dev/null', `https://rate.shop.localhost:${port}/`]).flat()] });
  assert.ok(burst.stdout.includes('429'), burst.all);
});

test('after kill -9 of Mainstay the edge serves on, and the next start finds it as it is', { timeout: 90000 }, async () => {
  await m.kill9();
  assert.equal((await get('match.shop.localhost')).who, 'v1');
  const pid = (await run('pgrep', ['-fn', `haproxy -f ${m.dataDir}/edge`])).stdout.trim();
  await m.start();
  assert.equal((await get('match.shop.localhost', '/two')).who, 'v2');
  assert.equal((await run('pgrep', ['-fn', `haproxy -f ${m.dataDir}/edge`])).stdout.trim(), pid, 'the same process goes on');
  await m.kubectlOk(['delete', 'httproute', 'match', 'usurper', '-n', 'shop']);
  // Its certificate is gone with it.
  await until('the host is gone', async () => (await get('match.shop.localhost', '/', ['-k'])).status === 404);
});
