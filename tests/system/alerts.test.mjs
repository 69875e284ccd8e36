// The platform's own alerts: Prometheus' promtool takes every rule and fires it, each metric that they read is really
// there, a failing workload is told of by webhook and by e-mail over TLS with a password, and no team gets another's.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { SMTPServer } from 'smtp-server';
import { run, ok, until, sleep, readFileSync, writeFileSync, join } from './lib/mainstay.mjs';
import { twoTeams, pythonPod, serveAtEdge, engineOf } from './lib/observe.mjs';
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
  // The platform's own rule, and yet an object of the team's.
  const object = await until('the Alert', async () => (await ask('ann', '/apis/mainstay.dev/v1/namespaces/shop-dev/alerts')).items.find((a) => a.spec.alert === 'HighErrorRate' && a.status.state === 'firing'));
  assert.deepEqual([object.spec.rule.namespace, object.spec.rule.name, object.spec.labels.workload, object.spec.labels.severity], ['kube-system', 'mainstay-workloads', 'web', 'critical']);
  assert.match(object.spec.annotations.summary, /shop-dev\/web fail/);
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

// Reads a watch as a user, event by event.
function watching(user, path) {
  const seen = [];
  const child = spawn('curl', ['-sN', '--cacert', join(m.dataDir, 'ca.crt'), '-H', `Authorization: Bearer ${tokens[user]}`, `${m.url}${path}?watch=true`]);
  let rest = '';
  child.stdout.on('data', (data) => {
    const lines = (rest + data).split('\n');
    rest = lines.pop();
    for (const line of lines) seen.push(JSON.parse(line));
  });
  closing.push({ close: () => child.kill() });
  return seen;
}

test('which alerts are pending or fire is told by watch, and right again after any part was killed', { timeout: 240000 }, async () => {
  const path = '/apis/mainstay.dev/v1/namespaces/shop/alerts';
  const seen = watching('ann', path);
  const rule = (fires) => ({ apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule', metadata: { name: 'told', namespace: 'shop' },
    spec: { groups: [{ name: 'g', interval: '2s', rules: [
      { alert: 'Fires', expr: fires ? 'absent(no_such_series)' : 'no_such_series', labels: { severity: 'info' }, annotations: { summary: 'nothing {{ $value }}' } },
      { alert: 'Waits', expr: 'absent(no_such_series)', for: '4s' },
      { alert: 'Holds', expr: 'absent(no_such_series)', for: '1h' }] }] } });
  const of = (name) => seen.filter((e) => e.object.spec?.alert === name).map((e) => `${e.type} ${e.object.status.state}`);
  await apply(rule(true));
  await until('it fires', () => of('Fires').includes('ADDED firing') && of('Waits').includes('MODIFIED firing') && of('Holds').length > 0, { limit: 60000 });
  assert.deepEqual([of('Fires'), of('Waits'), of('Holds')], [['ADDED firing'], ['ADDED pending', 'MODIFIED firing'], ['ADDED pending']]);
  const figures = () => m.json(['get', 'prometheusrule', 'told', '-n', 'shop']).then((r) => [r.status.firing, r.status.pending]);
  await until('its figures', async () => (await figures()).join() === '2,1', { limit: 30000 });
  const events = async (reason) => (await m.json(['get', 'events', '-n', 'shop'])).items.filter((e) => e.reason === reason && e.involvedObject.kind === 'Alert').map((e) => e.message);
  assert.deepEqual((await events('AlertFiring')).sort(), ['Fires (info), rule shop/told: nothing 1', 'Waits, rule shop/told']);
  assert.equal((await ask('bob', path)).code, 403, 'no other team reads them');
  // Nobody but the platform writes them.
  const name = seen.find((e) => e.object.spec.alert === 'Fires').object.metadata.name;
  assert.equal((await ask('ann', `${path}/${name}`, ['-X', 'DELETE'])).code, 403);
  // Of a rule that cannot be evaluated it is said.
  await apply({ apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule', metadata: { name: 'wrong', namespace: 'shop' },
    spec: { groups: [{ name: 'g', interval: '2s', rules: [{ alert: 'Odd', expr: 'label_set(vector(1), "a")' }] }] } });
  await m.kubectlOk(['wait', '--for=condition=Evaluated=False', 'prometheusrule/wrong', '-n', 'shop', '--timeout=60s']);
  const message = (await m.json(['get', 'prometheusrule', 'wrong', '-n', 'shop'])).status.conditions.find((c) => c.type === 'Evaluated').message;
  assert.match(message, /label_set/);
  assert.ok(!/http:|extra_filters/.test(message), message);

  const before = seen.length;
  const evaluated = async () => (await ask('ann', '/prometheus/api/v1/rules')).data?.groups.find((g) => g.name.endsWith('told/g'))?.rules.every((r) => !r.lastEvaluation.startsWith('0001'));
  for (const engine of ['vmalert', 'victoria-metrics']) {
    const pid = await until(`${engine} runs`, () => engineOf(m, engine));
    process.kill(pid, 'SIGKILL');
    await until(`${engine} again`, async () => engineOf(m, engine) && engineOf(m, engine) !== pid && await evaluated() && (await ask('ann', '/prometheus/api/v1/query', ['-d', 'query=vector(1)'])).status === 'success', { limit: 60000, every: 300 });
    await sleep(3000);
  }
  await m.kill9();
  await m.start();
  await until('the rules are evaluated anew', evaluated, { limit: 60000, every: 300 });
  await sleep(3000);
  const uids = (await ask('ann', path)).items.map((a) => a.metadata.uid).sort();
  const first = ['Fires', 'Waits', 'Holds'].map((n) => seen.find((e) => e.object.spec.alert === n).object);
  assert.deepEqual(uids, first.map((o) => o.metadata.uid).sort(), 'they are the same objects as before');
  assert.deepEqual((await events('AlertFiring')).length, 2, 'nothing fired twice');
  assert.equal(seen.length, before, JSON.stringify(seen.slice(before)));

  // One that ends while nobody is there to see it.
  const again = watching('ann', path);
  await until('the watch', () => again.length === 3);
  process.kill(engineOf(m, 'vmalert'), 'SIGSTOP');
  const stopped = engineOf(m, 'vmalert');
  await apply(rule(false));
  process.kill(stopped, 'SIGKILL');
  await until('it is over', () => again.some((e) => e.type === 'DELETED' && e.object.spec.alert === 'Fires'), { limit: 60000 });
  await until('its figures', async () => (await figures()).join() === '1,1', { limit: 30000 });
  assert.deepEqual(await events('AlertResolved'), ['Fires (info), rule shop/told: nothing 1']);
  await m.kubectlOk(['delete', 'prometheusrule', 'told', 'wrong', '-n', 'shop']);
  await until('none is left', async () => (await ask('ann', path)).items.length === 0, { limit: 30000 });
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
