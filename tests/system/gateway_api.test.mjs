// What somebody who comes from another gateway or mesh pastes in: every field is served, or refused by its name whatever the client
// asks of validation; gRPC calls, time-outs, default backends, foreign annotations, asked of servers on the node.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { connect } from 'node:tls';
import { createRequire } from 'node:module';
import { Mainstay, run, until, readFileSync, writeFileSync, join, root } from './lib/mainstay.mjs';

const grpc = createRequire(join(root, 'tests/package.json'))('@grpc/grpc-js');
let m;
const servers = {};
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.cliOk(['team', 'create', 'shop']);
  await until('the environment', async () => (await m.kubectl(['get', 'namespace', 'shop-dev'])).code === 0);
  servers.http = await httpServer();
  servers.grpc = await grpcServer();
  await apply(...backend('web', servers.http.port), ...backend('other', servers.http.port), ...backend('greeter', servers.grpc.port));
}, { timeout: 120000 });
after(async () => {
  servers.http?.server.close();
  servers.http?.server.closeAllConnections();
  servers.grpc?.server.forceShutdown();
  await m?.down();
});

// Says what it was asked; /slow takes its time, /count says how much came in, upgrades are echoed.
async function httpServer() {
  const server = createServer((req, res) => {
    let bytes = 0;
    req.on('data', (part) => { bytes += part.length; });
    req.on('end', () => setTimeout(() => res.end(JSON.stringify({ path: req.url, headers: req.headers, bytes })), req.url.startsWith('/slow') ? 4000 : 0));
  });
  server.on('upgrade', (req, socket) => {
    const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');  // RFC 6455
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.on('data', (data) => socket.write(data));
    socket.on('error', () => {});
  });
  await new Promise((done) => server.listen(0, m.nodeAddress, done));
  return { server, port: server.address().port };
}
const text = { requestSerialize: (v) => Buffer.from(v), requestDeserialize: (b) => b.toString(), responseSerialize: (v) => Buffer.from(v), responseDeserialize: (b) => b.toString() };
const greeter = {
  Hello: { path: '/test.Greeter/Hello', requestStream: false, responseStream: false, ...text },
  Chat: { path: '/test.Greeter/Chat', requestStream: true, responseStream: true, ...text },
  Fail: { path: '/test.Greeter/Fail', requestStream: false, responseStream: false, ...text },
};
async function grpcServer() {
  const server = new grpc.Server();
  server.addService(greeter, {
    Hello: (call, done) => done(null, `hello ${call.request} ${call.metadata.get('x-route')}`),
    Chat: (call) => { call.on('data', (said) => call.write(`echo ${said}`)); call.on('end', () => call.end()); },
    Fail: (call, done) => done({ code: grpc.status.FAILED_PRECONDITION, details: 'not today' }),
  });
  const port = await new Promise((done, fail) => server.bindAsync(`${m.nodeAddress}:0`, grpc.ServerCredentials.createInsecure(), (error, bound) => (error ? fail(error) : done(bound))));
  return { server, port };
}
const backend = (name, port) => [
  { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'shop-dev', annotations: { 'mainstay.dev/expose': 'false' } }, spec: { ports: [{ name: 'http', port: 80, targetPort: port }] } },
  { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace: 'shop-dev', labels: { 'kubernetes.io/service-name': name } }, addressType: 'IPv4',
    ports: [{ name: 'http', port, protocol: 'TCP' }], endpoints: [{ addresses: [m.nodeAddress], conditions: { ready: true } }] },
];
const apply = (...items) => m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
const gateway = 'gateway.networking.k8s.io/v1';
const parent = { name: 'edge', namespace: 'mainstay-edge', sectionName: 'https' };
const route = (name, spec, kind = 'HTTPRoute') => ({ apiVersion: gateway, kind, metadata: { name, namespace: 'shop-dev' }, spec: { parentRefs: [parent], hostnames: [`${name}.shop.localhost`], ...spec } });
const to = (name) => ({ name, port: 80 });
const ingress = (name, spec, annotations = {}) => ({ apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata: { name, namespace: 'shop-dev', annotations }, spec });
const service = (name) => ({ service: { name, port: { number: 80 } } });
const condition = (object, type) => (object.status?.parents?.[0]?.conditions ?? object.status?.conditions ?? []).find((c) => c.type === type);
const verdict = (kind, name) => until(`a verdict on ${name}`, async () => condition(await m.json(['get', kind, name, '-n', 'shop-dev']), 'Accepted'));
const ask = async (host, path = '/', args = []) => {
  const answer = await m.edge(host, { path, args: ['-w', '\n%{http_code} %{time_total}', ...args] });
  const lines = answer.stdout.split('\n'), [status, seconds] = lines.pop().split(' ').map(Number);
  let body; try { body = JSON.parse(lines.join('\n')); } catch { body = {}; }
  return { status, seconds, ...body };
};
const served = (host, path, wanted = 200) => until(`${host} answers ${wanted}`, async () => (await ask(host, path)).status === wanted);

// The paths of the fields below spec, as the OpenAPI document has them.
async function fields(group, kind) {
  const document = JSON.parse((await m.kubectlOk(['get', '--raw', `/openapi/v3/apis/${group}`])).stdout);
  const schemas = document.components.schemas;
  const resolved = (schema) => {
    const ref = schema.$ref ?? schema.allOf?.[0]?.$ref;
    return ref ? schemas[ref.split('/').pop()] : schema;
  };
  const out = [];
  const walk = (given, path) => {
    const schema = resolved(given);
    if (schema.type === 'array') return walk(schema.items, path);
    if (!schema.properties) return void out.push(path);
    for (const [name, member] of Object.entries(schema.properties)) walk(member, path ? `${path}.${name}` : name);
  };
  const type = Object.values(schemas).find((s) => s['x-kubernetes-group-version-kind']?.some((k) => k.kind === kind) && s.properties?.spec);
  walk(type.properties.spec, '');
  return out.sort();
}

test('every field of a route is one that a test here or in gateway.test.mjs sees served', async () => {
  const header = (at) => ['set.name', 'set.value', 'add.name', 'add.value', 'remove'].map((f) => `rules.filters.${at}.${f}`);
  const path = (at) => ['type', 'replaceFullPath', 'replacePrefixMatch'].map((f) => `rules.filters.${at}.path.${f}`);
  const parents = ['group', 'kind', 'namespace', 'name', 'sectionName', 'port'].map((f) => `parentRefs.${f}`);
  const backends = ['group', 'kind', 'namespace', 'name', 'port', 'weight'].map((f) => `rules.backendRefs.${f}`);
  const common = [...parents, 'hostnames', 'rules.name', ...backends, 'rules.filters.type', ...header('requestHeaderModifier'), ...header('responseHeaderModifier'),
    'rules.matches.headers.type', 'rules.matches.headers.name', 'rules.matches.headers.value'];
  assert.deepEqual(await fields(gateway, 'HTTPRoute'), [...common, ...path('requestRedirect'), ...path('urlRewrite'),
    'rules.matches.path.type', 'rules.matches.path.value', 'rules.matches.method', 'rules.matches.queryParams.type', 'rules.matches.queryParams.name', 'rules.matches.queryParams.value',
    'rules.filters.requestRedirect.scheme', 'rules.filters.requestRedirect.hostname', 'rules.filters.requestRedirect.port', 'rules.filters.requestRedirect.statusCode',
    'rules.filters.urlRewrite.hostname', 'rules.timeouts.request', 'rules.timeouts.backendRequest'].sort());
  assert.deepEqual(await fields(gateway, 'GRPCRoute'), [...common, 'rules.matches.method.type', 'rules.matches.method.service', 'rules.matches.method.method'].sort());
});

// Object, and the name that the refusal must say.
const rule = (more) => route('no', { rules: [{ backendRefs: [to('web')], ...more }] });
const listener = (more, spec = {}) => ({ apiVersion: gateway, kind: 'Gateway', metadata: { name: 'no', namespace: 'shop-dev' }, spec: { gatewayClassName: 'mainstay', listeners: [{ name: 'a', port: 443, protocol: 'HTTPS', ...more }], ...spec } });
const network = (spec) => ({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'no', namespace: 'shop-dev' }, spec: { podSelector: {}, ...spec } });
const from = (peer) => network({ ingress: [{ from: [peer] }] });
const ports = (port) => network({ ingress: [{ ports: [port] }] });
const authorization = (spec) => ({ apiVersion: 'mainstay.dev/v1', kind: 'AuthorizationPolicy', metadata: { name: 'no', namespace: 'shop-dev' }, spec });
const unserved = [
  [rule({ retry: { attempts: 3 } }), 'rules[0].retry'],
  [rule({ sessionPersistence: { type: 'Cookie' } }), 'rules[0].sessionPersistence'],
  [rule({ matches: [{ path: { type: 'RegularExpression', value: '/a' } }] }), 'matches[0].path.type'],
  [rule({ matches: [{ headers: [{ type: 'RegularExpression', name: 'a', value: 'b' }] }] }), 'headers[0].type'],
  [rule({ matches: [{ queryParams: [{ type: 'RegularExpression', name: 'a', value: 'b' }] }] }), 'queryParams[0].type'],
  [rule({ filters: [{ type: 'RequestMirror' }] }), 'filters[0].type'],
  [rule({ filters: [{ type: 'RequestMirror', requestMirror: { backendRef: to('web') } }] }), 'filters[0].requestMirror'],
  [rule({ filters: [{ type: 'ExtensionRef', extensionRef: { group: 'a', kind: 'b', name: 'c' } }] }), 'filters[0].extensionRef'],
  [rule({ filters: [{ type: 'CORS', cors: {} }] }), 'filters[0].cors'],
  [rule({ filters: [{ type: 'ExternalAuth', externalAuth: {} }] }), 'filters[0].externalAuth'],
  [rule({ backendRefs: [{ ...to('web'), filters: [] }] }), 'backendRefs[0].filters'],
  [rule({ timeouts: { request: 'soon' } }), 'timeouts.request'],
  [route('no', { parentRefs: [{ kind: 'Service', name: 'web', group: '' }] }), 'parentRefs[0].kind'],
  [route('no', { useDefaultGateways: 'All' }), 'spec.useDefaultGateways'],
  [route('no', { rules: [{ matches: [{ method: { type: 'RegularExpression', service: 'a' } }] }] }, 'GRPCRoute'), 'method.type'],
  [route('no', { rules: [{ sessionPersistence: {} }] }, 'GRPCRoute'), 'rules[0].sessionPersistence'],
  [route('no', { rules: [{ filters: [{ type: 'RequestMirror' }] }] }, 'GRPCRoute'), 'filters[0].type'],
  [listener({}, { addresses: [{ value: '192.0.2.1' }] }), 'spec.addresses'],
  [listener({}, { infrastructure: {} }), 'spec.infrastructure'],
  [listener({}, { backendTLS: {} }), 'spec.backendTLS'],
  [listener({}, { tls: { frontend: {} } }), 'spec.tls'],
  [listener({}, { allowedListeners: {} }), 'spec.allowedListeners'],
  [listener({ tls: { options: { a: 'b' } } }), 'tls.options'],
  [listener({ tls: { frontendValidation: {} } }), 'tls.frontendValidation'],
  [listener({ tls: { mode: 'Passthrough' } }), 'tls.mode'],
  [listener({ protocol: 'TLS' }), 'listeners[0].protocol'],
  [listener({ protocol: 'TCP' }), 'listeners[0].protocol'],
  [ingress('no', { rules: [{ http: { paths: [{ path: '/', pathType: 'Prefix', backend: service('web') }] } }] }), 'rules[0].host'],
  [ingress('no', { rules: [{ host: 'a.shop.localhost', http: { paths: [{ path: '/', pathType: 'Prefix', backend: { resource: { kind: 'Bucket', name: 'a' } } }] } }] }), 'backend.resource'],
  [ingress('no', { defaultBackend: { resource: { kind: 'Bucket', name: 'a' } } }), 'defaultBackend.resource'],
  // A restriction that fell away in silence would be a hole.
  [authorization({ rules: [{ to: [{ operation: { methods: ['GET'], paths: ['/public'] } }] }] }), 'rules[0].to'],
  [authorization({ rules: [{ from: [{ source: { principals: ['cluster.local/ns/a/sa/b'] } }] }] }), 'rules[0].from'],
  [authorization({ rules: [{ when: [{ key: 'request.headers[a]', values: ['b'] }] }] }), 'rules[0].when'],
  [authorization({ rules: [{ methods: ['GET'] }] }), 'rules[0].methods'],
  [authorization({ action: 'CUSTOM', rules: [] }), 'spec.action'],
  [authorization({ targetRefs: [], rules: [] }), 'spec.targetRefs'],
  [authorization({ action: 'DENY', rules: [{ principals: ['cluster.local/ns/a/sa/b'] }] }), 'rules[0].principals[0]'],
  [authorization({ action: 'DENY', rules: [{ principals: ['*/sa/b'] }] }), 'rules[0].principals[0]'],
  [from({ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }), 'from[0].ipBlock'],
  [from({ ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/40'] } }), 'ipBlock.except[0]'],
  [from({ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] } }), 'ipBlock.except[0]'],
  [from({ ipBlocks: [] }), 'from[0].ipBlocks'],
  [from({}), 'from[0]'],
  [from({ podSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }), 'from[0].podSelector'],
  [ports({ endPort: 90 }), 'ports[0].endPort'],
  [ports({ port: 90, endPort: 80 }), 'ports[0].endPort'],
  [ports({ port: 'web', endPort: 80 }), 'ports[0].endPort'],
  [ports({ port: '80' }), 'ports[0].port'],
  [ports({ port: 80, protocol: 'ICMP' }), 'ports[0].protocol'],
  [network({ ingres: [] }), 'spec.ingres'],
];
test('what is not served is refused by its name, though the client asks for no validation', { timeout: 300000 }, async () => {
  for (const [object, name] of unserved) {
    for (const how of [['apply', '--server-side'], ['create']]) {
      const answer = await m.kubectl([...how, '--validate=ignore', '-f', '-'], { input: JSON.stringify(object) });
      assert.notEqual(answer.code, 0, `${object.kind} with ${name} was taken`);
      assert.ok(answer.all.includes(name), `${name} is not named: ${answer.all}`);
    }
  }
});

test('the class says what it supports, and the listeners which routes they take', async () => {
  const { status } = await m.json(['get', 'gatewayclass', 'mainstay']);
  const names = status.supportedFeatures.map((f) => f.name);
  for (const name of ['Gateway', 'HTTPRoute', 'GRPCRoute', 'ReferenceGrant', 'HTTPRouteRequestTimeout']) assert.ok(names.includes(name), name);
  assert.deepEqual(names, [...names].sort());
  const edge = await m.json(['get', 'gateway', 'edge', '-n', 'mainstay-edge']);
  assert.deepEqual(edge.status.listeners[0].supportedKinds.map((k) => k.kind), ['HTTPRoute', 'GRPCRoute']);
  await apply(listener({ hostname: 'own.shop.localhost', allowedRoutes: { kinds: [{ kind: 'GRPCRoute' }], namespaces: { from: 'Selector', selector: { matchExpressions: [{ key: 'mainstay.dev/team', operator: 'In', values: ['shop'] }] } } } }));
  await apply({ ...route('own', { parentRefs: [{ name: 'no' }], rules: [{ backendRefs: [to('web')] }] }) });
  assert.equal((await verdict('httproute', 'own')).reason, 'NotAllowedByListeners');
});

test('time-outs: a pod that does not begin its answer in time is 504; none at all is possible', { timeout: 60000 }, async () => {
  await apply(
    route('hurry', { rules: [{ timeouts: { request: '10s', backendRequest: '500ms' }, backendRefs: [to('web')] }] }),
    route('patient', { rules: [{ timeouts: { request: '0s' }, backendRefs: [to('web')] }] }));
  await served('hurry.shop.localhost');
  await served('patient.shop.localhost');
  const late = await ask('hurry.shop.localhost', '/slow');
  assert.equal(late.status, 504);
  assert.ok(late.seconds < 3.5, `after ${late.seconds} s`);
  assert.equal((await ask('patient.shop.localhost', '/slow')).status, 200);
  // It is the pod's time that counts, not that of a slow upload.
  const upload = await ask('hurry.shop.localhost', '/count', ['--limit-rate', '200k', '-T', '/usr/bin/kubectl', '--max-time', '3', '-o', '/dev/null']);
  assert.ok(upload.seconds > 2.5, `cut after ${upload.seconds} s`);
  await apply(route('never', { rules: [{ timeouts: { request: '1s', backendRequest: '2s' }, backendRefs: [to('web')] }] }));
  const refused = await verdict('httproute', 'never');
  assert.equal(refused.reason, 'UnsupportedValue');
  assert.match(refused.message, /timeouts\.backendRequest/);
});

test('filters that contradict each other are said, and their rule is not served by half', { timeout: 60000 }, async () => {
  await apply(route('half', { rules: [
    { backendRefs: [to('web')] },
    { matches: [{ path: { value: '/both' } }], filters: [{ type: 'RequestRedirect', requestRedirect: { hostname: 'a.test' } }, { type: 'URLRewrite', urlRewrite: { hostname: 'b.test' } }] },
  ] }));
  await served('half.shop.localhost');
  const partly = await until('a condition', async () => condition(await m.json(['get', 'httproute', 'half', '-n', 'shop-dev']), 'PartiallyInvalid'));
  assert.equal(partly.reason, 'IncompatibleFilters');
  assert.match(partly.message, /^Dropped Rule: rules\[1\]\.filters/);
});

test('paths and parameters as people write them', { timeout: 60000 }, async () => {
  await apply(route('odd', { rules: [
    { matches: [{ path: { value: '/@scope/c++' } }], filters: [{ type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/v1:batch' } } }], backendRefs: [to('web')] },
    { matches: [{ path: { value: '/q' }, queryParams: [{ name: 'name', value: 'a b' }] }], backendRefs: [to('web')] },
  ] }));
  await until('it serves', async () => (await ask('odd.shop.localhost', '/@scope/c++/x')).path === '/v1:batch/x');
  assert.equal((await ask('odd.shop.localhost', '/@scope/ccc')).status, 404, 'a plus is no repetition');
  assert.equal((await ask('odd.shop.localhost', '/q?name=a%20b')).status, 200);
  assert.equal((await ask('odd.shop.localhost', '/q?name=a')).status, 404);
});

test('a default backend takes what no path of its Ingress does', { timeout: 60000 }, async () => {
  await apply(ingress('front', { defaultBackend: service('other'), tls: [{ hosts: ['rest.shop.localhost'] }],
    rules: [{ host: 'front.shop.localhost', http: { paths: [{ path: '/a', pathType: 'Exact', backend: service('web') }] } }] }),
  ingress('everything', { defaultBackend: service('other') }));
  for (const host of ['front.shop.localhost', 'rest.shop.localhost']) await served(host, '/anything');
  assert.equal((await ask('front.shop.localhost', '/a')).status, 200);
  assert.equal((await verdict('ingress', 'front')).status, 'True');
  const all = await verdict('ingress', 'everything');
  assert.match(all.message, /name hosts/);
});

test('an Ingress written for another controller is not served as if its restrictions were obeyed', { timeout: 60000 }, async () => {
  const spec = (host, more) => ({ ...more, rules: [{ host, http: { paths: [{ path: '/', pathType: 'Prefix', backend: service('web') }] } }] });
  await apply(
    ingress('kept-in', spec('kept-in.shop.localhost'), { 'nginx.ingress.kubernetes.io/whitelist-source-range': '192.0.2.0/24' }),
    ingress('theirs', spec('theirs.shop.localhost', { ingressClassName: 'nginx' })),
    ingress('fine', spec('fine.shop.localhost'), { 'nginx.ingress.kubernetes.io/ssl-redirect': 'true', 'nginx.ingress.kubernetes.io/proxy-body-size': '50m' }));
  await served('fine.shop.localhost');
  assert.match((await verdict('ingress', 'kept-in')).message, /whitelist-source-range .*mainstay\.dev\/allow-sources/);
  assert.match((await verdict('ingress', 'theirs')).message, /no IngressClass nginx/);
  for (const host of ['kept-in', 'theirs']) assert.equal((await ask(`${host}.shop.localhost`, '/', ['-k'])).status, 404);
  assert.match((await m.kubectlOk(['get', 'ingress', 'kept-in', '-n', 'shop-dev', '-o', 'wide'])).stdout, /whitelist-source-range/);
  // Moved to a controller that somebody runs here, an Ingress is that one's to speak of.
  await apply({ apiVersion: 'networking.k8s.io/v1', kind: 'IngressClass', metadata: { name: 'elsewhere' }, spec: { controller: 'example.org/ingress' } },
    ingress('fine', spec('fine.shop.localhost', { ingressClassName: 'elsewhere' })));
  const status = await until('our word to be gone', async () => { const s = (await m.json(['get', 'ingress', 'fine', '-n', 'shop-dev'])).status ?? {}; return !s.conditions && s; });
  assert.deepEqual(status, {});
  await until('the old rule to be gone', async () => (await ask('fine.shop.localhost', '/', ['-k'])).status === 404);
});

test('gRPC: calls, streams and errors by service and method, with a real client', { timeout: 60000 }, async () => {
  await apply(route('calls', { rules: [
    { matches: [{ method: { service: 'test.Greeter', method: 'Hello' } }], filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'x-route', value: 'hello' }] } }], backendRefs: [to('greeter')] },
    { matches: [{ method: { service: 'test.Greeter' } }], backendRefs: [to('greeter')] },
  ] }, 'GRPCRoute'));
  assert.equal((await verdict('grpcroute', 'calls')).status, 'True');
  const Client = grpc.makeGenericClientConstructor(greeter, 'Greeter');
  const client = new Client(`127.0.0.1:${m.https.split(':')[1]}`, grpc.credentials.createSsl(readFileSync(join(m.dataDir, 'ca.crt'))),
    { 'grpc.ssl_target_name_override': 'calls.shop.localhost', 'grpc.default_authority': 'calls.shop.localhost' });
  const call = (method, say) => new Promise((done) => client[method](say, (error, answer) => done(error ?? answer)));
  try {
    await until('an answer', async () => (await call('Hello', 'you')) === 'hello you hello');
    const failed = await call('Fail', 'x');
    assert.equal(failed.code, grpc.status.FAILED_PRECONDITION);
    assert.equal(failed.details, 'not today');
    const chat = client.Chat(), heard = [];
    chat.on('data', (said) => { heard.push(said); if (heard.length === 3) chat.end(); else chat.write(String(heard.length)); });
    chat.write('0');
    await new Promise((done, fail) => { chat.on('end', done); chat.on('error', fail); });
    assert.deepEqual(heard, ['echo 0', 'echo 1', 'echo 2']);
  } finally { client.close(); }
});

test('large uploads pass, and a WebSocket outlives a change of rules', { timeout: 90000 }, async () => {
  const host = 'all.shop.localhost', port = Number(m.https.split(':')[1]);
  await apply(route('all', { rules: [{ backendRefs: [to('web')] }] }));
  await served(host);
  const file = join(m.dataDir, 'big');
  writeFileSync(file, Buffer.alloc(64 << 20));
  for (const version of ['--http1.1', '--http2']) {
    const big = await m.edge(host, { path: '/count', args: [version, '-m', '60', '-X', 'POST', '-H', 'Expect:', '--data-binary', `@${file}`] });
    assert.equal(JSON.parse(big.stdout).bytes, 64 << 20, `${version}: ${big.all.slice(0, 200)}`);
  }
  const socket = connect({ host: '127.0.0.1', port, servername: host, ca: readFileSync(join(m.dataDir, 'ca.crt')), ALPNProtocols: ['http/1.1'] });
  let heard = '';
  socket.on('data', (data) => { heard += data; });
  socket.write(`GET /ws HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
  await until('the upgrade', () => heard.includes('101 Switching'));
  // Rules change, the process is another: the connection goes on.
  await apply(route('later', { rules: [{ backendRefs: [to('web')] }] }));
  await served('later.shop.localhost');
  socket.write('still here');
  await until('the echo', () => heard.endsWith('still here'));
  socket.destroy();
});

test('names below a star resolve, and no others', async () => {
  await apply(route('star', { hostnames: ['*.star.shop.localhost'], rules: [{ backendRefs: [to('web')] }] }));
  const [host, port] = m.dns.split(':');
  const dig = async (name) => (await run('kdig', [`@${host}`, '-p', port, name, 'A'])).stdout;
  await until('an address', async () => /\tA\t127\.0\.0\.1/.test(await dig('any.star.shop.localhost')));
  assert.match(await dig('any.other.shop.localhost'), /status: NXDOMAIN/);
  await served('any.star.shop.localhost');
});
