// The platform's own alerts: Prometheus' promtool takes every rule and fires it, each metric that they read is really
// there, a failing workload is told of by webhook and by e-mail over TLS with a password, and no team gets another's.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { SMTPServer } from 'smtp-server';
import { run, ok, until, readFileSync, writeFileSync, join } from './lib/mainstay.mjs';
import { twoTeams, pythonPod, serveAtEdge } from './lib/observe.mjs';
import { cases, promtoolTests } from './lib/rules.mjs';

let m, tokens;
const closing = [];
const apply = (object) => m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify(object) });
const ask = async (user, path, args = []) => JSON.parse((await m.curl(path, ['-H', `Authorization: Bearer ${tokens[user]}`, ...args])).stdout);
const query = async (user, expr) => {
  const answer = await ask(user, '/prometheus/api/v1/query', ['--data-urlencode', `query=${expr}`]);
  assert.equal(answer.status, 'success', `${expr}: ${JSON.stringify(answer)}`);
  return answer.data.result;
};
// Every second request fails.
const failing = `
import http.server
class H(http.server.BaseHTTPRequestHandler):
    n = 0
    def do_GET(self):
        H.n += 1
        self.send_response(500 if H.n % 2 else 200); self.end_headers(); self.wfile.write(b'x')
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(('', 8080), H).serve_forever()
`;

before(async () => {
  ({ m, tokens } = await twoTeams());
  await apply(pythonPod(m, 'shop', 'web', failing, { resources: { limits: { memory: '128Mi' } } }));
}, { timeout: 300000 });
after(async () => {
  for (const server of closing) server.close();
  await m?.down();
});

const ownRules = async () => (await m.json(['get', 'prometheusrules', '-n', 'kube-system'])).items;

test('promtool takes each rule, fires it on what it is for, and on nothing else', { timeout: 60000 }, async () => {
  const groups = (await ownRules()).flatMap((r) => r.spec.groups);
  const file = join(m.dataDir, 'rules.json');
  writeFileSync(file, JSON.stringify({ groups }));
  writeFileSync(join(m.dataDir, 'rules-tests.json'), JSON.stringify(promtoolTests(file)));
  await ok('promtool', ['check', 'rules', file]);
  await ok('promtool', ['test', 'rules', join(m.dataDir, 'rules-tests.json')]);
  const alerts = groups.flatMap((g) => g.rules).map((r) => r.alert).sort();
  for (const fires of [true, false]) assert.deepEqual([...new Set(cases.filter((c) => c[3] === fires).map((c) => c[0]))].sort(), alerts, 'every rule has its cases');
});

test('each metric that a rule reads is one the platform exports', { timeout: 120000 }, async () => {
  const pod = await until('the pod\'s address', async () => { const p = await m.json(['get', 'pod', 'web', '-n', 'shop']); return p.status.podIP && p; });
  await serveAtEdge(m, pod, 'shop-dev', 'web');
  await until('the edge', async () => (await m.edge(m.host('web', 'dev', 'shop'))).stdout === 'x');
  await apply({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'none', namespace: 'shop' },
    spec: { replicas: 0, selector: { matchLabels: { app: 'none' } }, template: { metadata: { labels: { app: 'none' } }, spec: { containers: [{ name: 'main', image: `${m.listen}/library/python:3.11-slim` }] } } } });
  await apply({ apiVersion: 'mainstay.dev/v1', kind: 'ResourceClaim', metadata: { name: 'photos', namespace: 'shop-dev' }, spec: { type: 's3' } });
  const read = new Set((await ownRules()).flatMap((r) => r.spec.groups).flatMap((g) => g.rules).flatMap((r) => [...r.expr.matchAll(/([a-z_]+)\{job/g)].map((found) => found[1])));
  assert.ok(read.size > 15, [...read].join());
  // Of pools and runs there are none here: what is exported of them is named where their values will be.
  const without = ['mainstay_address_pool_used', 'mainstay_address_pool_size', 'mainstay_address_pool_forecast_months', 'mainstay_workflowrun_last_succeeded'];
  const objects = (await m.curl('/metrics/objects', ['-H', `Authorization: Bearer ${tokens.admin}`])).stdout;
  for (const name of read) {
    if (without.includes(name)) assert.match(objects, new RegExp(`^# TYPE ${name} gauge$`, 'm'));
    else await until(name, async () => (await query('admin', name)).length > 0, { limit: 60000, every: 300 });
  }
});

test('objects\' state is exported under the usual names, each team its own', { timeout: 90000 }, async () => {
  await apply({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'disk', namespace: 'shop' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } });
  await apply({ apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { name: 'api', namespace: 'shop-dev' },
    spec: { parentRefs: [{ name: 'edge', namespace: 'mainstay-edge' }], hostnames: ['api.shop.localhost'], rules: [{ backendRefs: [{ name: 'web', port: 80 }] }] } });
  const wanted = { kube_persistentvolumeclaim_info: 1, 'kube_persistentvolumeclaim_resource_requests_storage_bytes{persistentvolumeclaim="disk"}': 2 ** 30,
    'kube_service_spec_type{service="web",type="ClusterIP"}': 1, 'gatewayapi_httproute_hostname_info{name="api",hostname="api.shop.localhost"}': 1,
    'gatewayapi_httproute_parent_info{name="api"}': 1, 'mainstay_environment_info{environment="dev",target_namespace="shop-dev"}': 1, 'mainstay_claim_info{claim="photos",type="s3"}': 1 };
  for (const [expr, value] of Object.entries(wanted)) {
    const [found] = await until(expr, async () => { const all = await query('ann', expr); return all.length > 0 && all; }, { limit: 60000, every: 300 });
    assert.equal(Number(found.value[1]), value, expr);
    assert.equal(found.metric.team, 'shop', expr);
  }
  for (const series of await query('bob', '{__name__=~"kube_persistentvolumeclaim_.*|gatewayapi_.*|mainstay_(environment|claim|release)_.*"}')) assert.equal(series.metric.team, 'rival');
});

// A mail server that takes nothing but STARTTLS and a password; its certificate is its own authority.
async function mailServer(user, password) {
  const [key, certificate] = ['mail.key', 'mail.crt'].map((name) => join(m.dataDir, name));
  await ok('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=mail', '-addext', `subjectAltName=IP:${m.nodeAddress}`, '-keyout', key, '-out', certificate]);
  const mails = [];
  const server = new SMTPServer({ key: readFileSync(key), cert: readFileSync(certificate), authMethods: ['PLAIN', 'LOGIN'],
    onAuth: (auth, session, done) => (auth.username === user && auth.password === password ? done(null, { user }) : done(new Error('wrong password'))),
    onData: (stream, session, done) => {
      let text = '';
      stream.on('data', (data) => { text += data; });
      stream.on('end', () => { mails.push({ text, secure: session.secure, user: session.user, to: session.envelope.rcptTo.map((r) => r.address) }); done(); });
    } });
  server.on('error', () => {});
  await new Promise((done) => { server.listen(0, '0.0.0.0', done); });
  closing.push(server);
  return { mails, port: server.server.address().port, ca: readFileSync(certificate, 'utf8') };
}

test('a failing workload is told of by webhook and by e-mail, to its team alone', { timeout: 180000 }, async () => {
  const received = [];
  const hook = createServer((request, response) => {
    let text = '';
    request.on('data', (data) => { text += data; });
    request.on('end', () => { received.push({ path: request.url, body: JSON.parse(text) }); response.end(); });
  });
  await new Promise((done) => { hook.listen(0, '0.0.0.0', done); });
  closing.push(hook);
  const mail = await mailServer('alerts', 'hunter2');
  for (const team of ['shop', 'rival']) {
    await m.kubectlOk(['create', 'secret', 'generic', 'smtp', '-n', team, '--from-literal=password=hunter2']);
    await apply({ apiVersion: 'mainstay.dev/v1', kind: 'AlertReceiver', metadata: { name: 'both', namespace: team },
      spec: { groupWait: '1s', webhook: { url: `http://${m.nodeAddress}:${hook.address().port}/${team}` },
        email: { to: [`${team}@example.org`], from: 'alerts@example.org', smarthost: `${m.nodeAddress}:${mail.port}`, username: 'alerts', passwordFrom: { name: 'smtp', key: 'password' }, ca: mail.ca } } });
  }
  // Refused, where the Secret is not there and where the authority is none.
  await apply({ apiVersion: 'mainstay.dev/v1', kind: 'AlertReceiver', metadata: { name: 'wrong', namespace: 'shop' },
    spec: { email: { to: ['a@example.org'], from: 'b@example.org', smarthost: 'mail.example.org:587', username: 'x', passwordFrom: { name: 'nosuch', key: 'password' } } } });
  const refused = await until('the refusal', async () => (await m.json(['get', 'alertreceiver', 'wrong', '-n', 'shop'])).status?.conditions?.[0]);
  assert.equal(refused.status, 'False');
  assert.match(refused.message, /nosuch/);
  await apply({ apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule', metadata: { name: 'here', namespace: 'rival' },
    spec: { groups: [{ name: 'g', interval: '5s', rules: [{ alert: 'RivalIsHere', expr: 'sum(kube_namespace_labels) > 0' }] }] } });
  // The platform's own rule, but for its two minutes of waiting.
  const rule = (await ownRules()).find((r) => r.metadata.name === 'mainstay-workloads');
  for (const r of rule.spec.groups[0].rules) if (r.alert === 'HighErrorRate') r.for = '0s';
  await m.kubectlOk(['annotate', 'prometheusrule', 'mainstay-workloads', '-n', 'kube-system', 'mainstay.dev/managed=false']);
  await m.kubectlOk(['patch', 'prometheusrule', 'mainstay-workloads', '-n', 'kube-system', '--type=merge', '-p', JSON.stringify({ spec: rule.spec })]);
  const host = m.host('web', 'dev', 'shop');
  const alert = await until('the alert at the webhook', async () => {
    for (let i = 0; i < 4; i++) await m.edge(host);
    return received.filter((r) => r.path === '/shop').flatMap((r) => r.body.alerts).find((a) => a.labels.alertname === 'HighErrorRate');
  }, { limit: 120000, every: 200 });
  assert.equal(alert.status, 'firing');
  assert.deepEqual([alert.labels.namespace, alert.labels.team, alert.labels.workload], ['shop-dev', 'shop', 'web']);
  const letter = await until('the letter', () => mail.mails.find((l) => l.to[0] === 'shop@example.org' && l.text.includes('HighErrorRate')), { limit: 60000 });
  assert.equal(letter.secure, true);
  assert.equal(letter.user, 'alerts');
  await until('the rival\'s letter', () => mail.mails.find((l) => l.to[0] === 'rival@example.org' && l.text.includes('RivalIsHere')), { limit: 60000 });
  await until('the rival\'s webhook', () => received.some((r) => r.path === '/rival'), { limit: 60000 });
  for (const l of mail.mails.filter((one) => one.to[0] === 'rival@example.org')) assert.ok(!/shop-dev|HighErrorRate/.test(l.text), l.text.slice(0, 500));
  assert.ok(!/shop/.test(JSON.stringify(received.filter((r) => r.path === '/rival').map((r) => r.body.alerts))));
  assert.ok(!/RivalIsHere/.test(JSON.stringify(received.filter((r) => r.path === '/shop'))));
  assert.ok(!m.log.includes('hunter2'), 'the password is in no log');
});

const variables = { team: 'shop', namespace: 'shop-dev', workload: 'web' };
// Asks whatever a dashboard asks, as ann: its own constants come first.
async function everyQuery(board) {
  const known = { ...variables, ...Object.fromEntries(board.spec.templating.list.filter((v) => v.type === 'constant').map((v) => [v.name, v.query])) };
  const filled = (text) => text.replace(/\$([a-z_]+)/g, (whole, name) => known[name] ?? 'photos');
  // What Grafana's import needs: a version of the model, and data sources that are chosen there.
  assert.equal(board.spec.schemaVersion, 39);
  for (const panel of board.spec.panels) {
    const source = board.spec.templating.list.find((v) => panel.datasource.uid === `\${${v.name}}`);
    assert.deepEqual([source?.type, source?.query], ['datasource', panel.datasource.type], `${board.metadata.name}, ${panel.title}`);
    for (const target of panel.targets ?? []) {
      const [now, expr] = [Date.now() / 1000, filled(target.expr)];
      const path = panel.type === 'logs' ? '/loki/api/v1/query_range' : '/prometheus/api/v1/query_range';
      const answer = await ask('ann', path, ['-G', '--data-urlencode', `query=${expr}`, '-d', `start=${now - 300}`, '-d', `end=${now}`, '-d', 'step=15']);
      assert.equal(answer.status, 'success', `${board.metadata.name}, ${panel.title}: ${expr}: ${JSON.stringify(answer)}`);
    }
  }
}

test('every query of every dashboard is answered', { timeout: 60000 }, async () => {
  const boards = (await m.json(['get', 'dashboards', '-n', 'kube-system'])).items;
  const names = boards.map((b) => b.metadata.name);
  for (const name of ['platform', 'team', 'workload']) assert.ok(names.includes(name), names.join());
  for (const board of boards) await everyQuery(board);
});

test('each team and each workload has a dashboard of its own, for its members, and edits of it are kept', { timeout: 90000 }, async () => {
  const path = (namespace, name) => `/apis/mainstay.dev/v1/namespaces/${namespace}/dashboards/${name}`;
  const found = (namespace, name) => until(`${namespace}/${name}`, async () => { const board = await ask('ann', path(namespace, name)); return board.kind === 'Dashboard' && board; }, { limit: 60000, every: 200 });
  await apply({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace: 'shop-dev' },
    spec: { replicas: 0, selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web', 'app.kubernetes.io/name': 'shopweb' } }, spec: { containers: [{ name: 'main', image: `${m.listen}/library/python:3.11-slim` }] } } } });
  const [team, workload] = [await found('shop', 'team'), await found('shop-dev', 'workload-web')];
  assert.deepEqual([team.spec.title, workload.spec.title], ['Team shop', 'Workload shop-dev/web']);
  const constants = (board) => Object.fromEntries(board.spec.templating.list.filter((v) => v.type === 'constant').map((v) => [v.name, v.current.value]));
  assert.deepEqual([constants(team), constants(workload)], [{ team: 'shop' }, { namespace: 'shop-dev', workload: 'shopweb' }]);
  for (const board of [team, workload]) {
    assert.equal(board.metadata.labels['app.kubernetes.io/managed-by'], 'mainstay');
    await everyQuery(board);
    assert.equal((await ask('bob', path(board.metadata.namespace, board.metadata.name))).code, 403, 'no other team reads it');
  }
  // Of the environments only the workloads': there is one of the team.
  assert.equal((await ask('ann', path('shop-dev', 'team'))).code, 404);
  const edit = async (title) => { const edited = await ask('ann', path('shop-dev', 'workload-web'), ['-X', 'PATCH', '-H', 'Content-Type: application/merge-patch+json', '-d', JSON.stringify({ spec: { title } })]); assert.equal(edited.spec?.title, title, JSON.stringify(edited)); };
  await edit('Ours');
  // A user's own of that name, made before its workload, stays as it is; both are looked at by the same worker, in order.
  await apply({ apiVersion: 'mainstay.dev/v1', kind: 'Dashboard', metadata: { name: 'workload-own', namespace: 'shop-dev' }, spec: { title: 'Own', panels: [] } });
  const before = await found('shop-dev', 'workload-own');
  for (const name of ['own', 'last']) {
    await apply({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace: 'shop-dev' },
      spec: { replicas: 0, selector: { matchLabels: { app: name } }, template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'main', image: `${m.listen}/library/python:3.11-slim` }] } } } });
  }
  await m.kubectlOk(['annotate', 'deployment', 'web', '-n', 'shop-dev', 'touched=yes']);
  await found('shop-dev', 'workload-last');
  assert.deepEqual(await ask('ann', path('shop-dev', 'workload-own')), before);
  assert.equal((await ask('ann', path('shop-dev', 'workload-web'))).spec.title, 'Ours');
  // Gone with its workload; another's stays.
  await m.kubectlOk(['delete', 'deployment', 'web', 'own', '-n', 'shop-dev']);
  await until('its dashboard gone', async () => (await ask('ann', path('shop-dev', 'workload-web'))).code === 404, { limit: 60000, every: 200 });
  assert.equal((await ask('ann', path('shop-dev', 'workload-own'))).spec.title, 'Own');
  // Removed while its workload is there, it is made anew.
  await m.kubectlOk(['delete', 'dashboard', 'workload-last', '-n', 'shop-dev']);
  await found('shop-dev', 'workload-last');
});

test('rates go on over a restart of the platform, whose counters begin again', { timeout: 120000 }, async () => {
  const host = m.host('web', 'dev', 'shop');
  await m.stop();
  await m.start();
  for (let i = 0; i < 3; i++) await m.edge(host);
  await until('the counters\' new beginning in the metrics', async () => {
    const [began] = await query('ann', 'sum(resets(mainstay_edge_requests_total{workload="web"}[10m]))');
    const [slow] = await query('ann', 'count(rate(mainstay_edge_request_duration_seconds_bucket{workload="web"}[5m]))');
    return began && Number(began.value[1]) > 0 && slow && Number(slow.value[1]) > 1;
  }, { limit: 90000, every: 300 });
  for (const r of await query('ann', 'increase(mainstay_edge_requests_total{workload="web"}[5m])')) assert.ok(Number(r.value[1]) >= 0 && Number(r.value[1]) < 1e5, JSON.stringify(r));
});
