// Metrics and alerts for real: pods are measured and scraped, a team sees its own namespaces and nothing else whatever it
// asks, a crash-looping pod reaches the team's webhook and nobody else's, and killed engines return.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { readFileSync, readdirSync } from 'node:fs';
import { run, until } from './lib/mainstay.mjs';
import { twoTeams, pythonPod } from './lib/observe.mjs';

let m, tokens = {}, hooks = {};

const as = (user) => ['-H', `Authorization: Bearer ${tokens[user]}`];
async function api(user, path, args = []) {
  const answer = await m.curl(path, [...as(user), ...args]);
  return JSON.parse(answer.stdout || '{}');
}
const query = (user, expr, extra = []) => api(user, '/prometheus/api/v1/query', ['--data-urlencode', `query=${expr}`, ...extra]);
const namespacesOf = (answer) => new Set((answer.data?.result ?? []).map((r) => r.metric.namespace ?? ''));

// A webhook of a team's own, on the machine's address on the pods' bridge.
function webhook() {
  return new Promise((done) => {
    const received = [];
    const server = createServer((request, response) => {
      let text = '';
      request.on('data', (data) => { text += data; });
      request.on('end', () => { received.push({ body: JSON.parse(text), authorization: request.headers.authorization }); response.end('ok'); });
    });
    server.listen(0, '0.0.0.0', () => done({ received, server, port: server.address().port, alerts: () => received.flatMap((r) => r.body.alerts) }));
  });
}

const apply = (text) => m.kubectlOk(['apply', '-f', '-'], { input: typeof text === 'string' ? text : JSON.stringify(text) });

const pod = (namespace, name, code, annotations = {}) => pythonPod(m, namespace, name, code, { annotations });
// Serves samples that claim to be another team's.
const exporter = `
import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(b'orders_total{namespace="rival",team="rival"} 42\\n')
    def log_message(self, *a): pass
http.server.HTTPServer(('', 8080), H).serve_forever()
`;

before(async () => {
  ({ m, tokens } = await twoTeams());
  for (const team of ['shop', 'rival']) hooks[team] = await webhook();
  // The images policy of environments asks for provenance: pods of this test run in the teams' own namespaces.
  await apply(pod('shop', 'exporter', exporter, { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '8080' }));
  await apply(pod('rival', 'quiet', 'import time\nwhile True: time.sleep(3600)'));
}, { timeout: 300000 });
after(async () => {
  for (const hook of Object.values(hooks)) hook.server.close();
  await m?.down();
});

test('pods are measured under the ecosystem\'s names, with namespace, team and workload', { timeout: 90000 }, async () => {
  for (const name of ['container_cpu_usage_seconds_total', 'container_memory_working_set_bytes', 'container_network_receive_bytes_total', 'kube_pod_status_phase', 'kube_pod_container_status_restarts_total']) {
    const found = await until(name, async () => {
      const answer = await query('admin', `${name}{pod="exporter"}`);
      return answer.data?.result.length > 0 && answer.data.result[0];
    }, { limit: 60000, every: 500 });
    assert.equal(found.metric.namespace, 'shop');
    assert.equal(found.metric.team, 'shop');
    assert.equal(found.metric.workload, 'exporter');
  }
  for (const name of ['apiserver_request_total', 'node_memory_MemAvailable_bytes', 'mainstay_certificate_expiry_timestamp_seconds', 'mainstay_registry_repositories', 'process_resident_memory_bytes']) {
    await until(name, async () => (await query('admin', name)).data.result.length > 0, { every: 500 });
  }
  const memory = await query('ann', 'container_memory_working_set_bytes{pod="exporter"}');
  assert.ok(Number(memory.data.result[0].value[1]) > 1e6, JSON.stringify(memory));
});

test('an annotated pod is scraped, and cannot pass for another team', { timeout: 90000 }, async () => {
  const sample = await until('the pod\'s own metric', async () => (await query('ann', 'orders_total')).data?.result[0], { limit: 60000, every: 500 });
  assert.equal(sample.metric.namespace, 'shop');
  assert.equal(sample.metric.team, 'shop');
  assert.equal(sample.metric.exported_namespace, 'rival');
  assert.deepEqual((await query('bob', 'orders_total')).data.result, []);
});

test('a team sees its own namespaces, whatever it asks', { timeout: 180000 }, async () => {
  await until('both teams\' pods in the metrics', async () => {
    const seen = namespacesOf(await query('admin', 'kube_pod_info'));
    return seen.has('shop') && seen.has('rival');
  }, { limit: 60000, every: 500 });
  const own = ['shop', 'shop-dev'];
  const confined = (answer, what) => {
    assert.equal(answer.status, 'success', `${what}: ${JSON.stringify(answer)}`);
    for (const namespace of namespacesOf(answer)) assert.ok(own.includes(namespace), `${what} shows ${namespace}`);
    // What the exporter of this test claims of itself stands under other names.
    const text = JSON.stringify(answer, (key, value) => (key.startsWith('exported_') ? undefined : value));
    assert.ok(!text.match(/"(rival|rival-dev|kube-system|quiet)"/), `${what}: ${text.slice(0, 500)}`);
  };
  const evil = '{namespace="rival"}';
  for (const expr of ['kube_pod_info', 'kube_pod_info{namespace="rival"}', '{namespace=~".*"}', 'kube_pod_info or kube_pod_info{namespace!=""}', '{__name__=~"kube_pod.*",namespace="rival"}[5m:1m]',
    'WITH (f = {namespace="rival"}) kube_pod_info{f}', 'union(kube_pod_info, kube_pod_info{namespace="rival"})', 'kube_pod_info{namespace="rival"} @ end()', 'count_values("namespace", kube_pod_info{namespace="rival"})', 'node_memory_MemAvailable_bytes', 'up']) {
    confined(await query('ann', expr), expr);
    for (const extra of ['extra_filters', 'extra_filters[]', 'extra_label', 'Extra_Filters[]', 'extra_filters%5B%5D']) {
      confined(await query('ann', expr, ['--data-urlencode', `${extra}=${extra === 'extra_label' ? 'namespace=rival' : evil}`]), `${expr} with ${extra}`);
    }
    confined(await api('ann', `/prometheus/api/v1/query?query=${encodeURIComponent(expr)}&extra_filters[]=${encodeURIComponent(evil)}`, ['-g']), `${expr} by GET`);
  }
  const range = (user, now = Math.floor(Date.now() / 1000)) => api(user, `/prometheus/api/v1/query_range?query=count(kube_pod_info)by(namespace)&start=${now - 120}&end=${now}&step=10`);
  // A range leaves out the last half minute, whose samples may not all be there. One question after the other, so that a cache
  // of results that forgot whose they are would show it.
  await until('a range over both teams', async () => namespacesOf(await range('admin')).has('rival'), { limit: 90000, every: 500 });
  const [mine, again, theirs] = [await range('ann'), await range('ann'), await range('bob')];
  confined(mine, 'query_range');
  confined(again, 'query_range again');
  assert.ok(![...namespacesOf(theirs)].some((n) => own.includes(n)), JSON.stringify([...namespacesOf(theirs)]));
  confined(await api('ann', `/prometheus/api/v1/series?match[]=${encodeURIComponent('{namespace=~".+"}')}&match[]=up&extra_filters=${encodeURIComponent(evil)}`, ['-g']), 'series');
  confined(await api('ann', '/prometheus/api/v1/labels'), 'labels');
  const values = await api('ann', '/prometheus/api/v1/label/namespace/values');
  assert.ok(values.data.length > 0 && values.data.every((v) => own.includes(v)), JSON.stringify(values));
  confined(await api('ann', '/prometheus/api/v1/label/pod/values?match[]=kube_pod_info', ['-g']), 'values of pod');
  // What an engine of another version may understand differently: an error, or the caller's own.
  for (const expr of ['{namespace="shop" or namespace="rival"}', 'kube_pod_info{namespace=~"shop|r.*"} or on() kube_pod_info{pod="quiet"}', 'max_over_time({__name__=~".+",namespace=~"r.*"}[5m:30s])', 'label_replace(kube_pod_info{namespace="rival"},"namespace","shop","","")',
    'kube_pod_info{namespace="rival"} or kube_pod_info offset 1s', '{__name__=~".+"}', '{__name__=~"kube.*",namespace!~"shop.*"}', 'group_left_attack or {team="rival"}']) {
    const answer = await query('ann', expr);
    if (answer.status !== 'error') confined(answer, expr);
    confined(await api('ann', '/prometheus/api/v1/series', ['--data-urlencode', 'match[]=up', '--data-urlencode', 'match[]={namespace="rival"}', '--data-urlencode', 'match[]={__name__=~".+"}']), 'series by POST');
  }
  for (const [path, form] of [['labels', 'match[]={namespace="rival"}'], ['label/namespace/values', 'match[]={namespace="rival"}'], ['label/pod/values', 'match[]={team="rival"}'], ['label/__name__/values', 'match[]=node_load1'], ['metadata', 'metric=up']]) {
    const answer = await api('ann', `/prometheus/api/v1/${path}`, ['--data-urlencode', form]);
    confined(answer, `${path} by POST`);
    if (path !== 'metadata') assert.deepEqual(answer.data.filter((v) => v !== '__name__'), [], `${path}: ${JSON.stringify(answer)}`);
  }
  for (const path of ['federate?match[]=up', 'api/v1/status/config', 'api/v1/status/flags', 'api/v1/status/active_queries', 'api/v1/status/top_queries', 'api/v1/targets', 'api/v1/read']) {
    const answer = await m.curl(`/prometheus/${path}`, ['-g', '-o', '/dev/null', '-w', '%{http_code}', ...as('ann')]);
    assert.match(answer.stdout, /^4/, `${path}: ${answer.stdout}`);
  }
  for (const path of ['label/..%2F..%2Fadmin/values', 'label/x%2Fvalues%3Fextra_label=namespace=rival/values', 'export?match[]=up', 'status/tsdb', 'admin/tsdb/delete_series', 'import']) {
    const answer = await m.curl(`/prometheus/api/v1/${path}`, ['-g', '-o', '/dev/null', '-w', '%{http_code}', ...as('ann')]);
    assert.match(answer.stdout, /^4/, `${path}: ${answer.stdout}`);
  }
  const anonymous = await m.curl('/prometheus/api/v1/query?query=up', ['-o', '/dev/null', '-w', '%{http_code}']);
  assert.equal(anonymous.stdout, '401');
  for (const path of ['/metrics', '/metrics/cadvisor', '/metrics/objects', '/metrics/node']) {
    assert.equal((await m.curl(path, ['-o', '/dev/null', '-w', '%{http_code}', ...as('ann')])).stdout, '403', path);
  }
});

test('what Grafana asks besides: version, metadata, exemplars, labels of a selector', async () => {
  assert.equal((await api('ann', '/prometheus/api/v1/status/buildinfo')).data.version, '2.24.0');
  for (const path of ['metadata', 'query_exemplars?query=up', 'rules', 'alerts']) assert.equal((await api('ann', `/prometheus/api/v1/${path}`)).status, 'success', path);
  assert.deepEqual((await api('bob', '/prometheus/api/v1/query_exemplars?query=up')).data, [], 'none are kept');
  const values = await api('ann', '/prometheus/api/v1/label/namespace/values', ['-G', '--data-urlencode', 'match[]=kube_pod_info']);
  assert.ok(values.data.length > 0 && values.data.every((ns) => ns.startsWith('shop')), JSON.stringify(values));
});

test('nobody on the machine gets past the platform to the engines', async () => {
  const engines = ['victoria-metrics', 'vmalert'];
  for (const name of engines) {
    const [pid] = processes(name);
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    const port = command.match(/-httpListenAddr=127\.0\.0\.1:(\d+)/)[1];
    for (const path of ['/api/v1/query?query=up', '/api/v1/import', '/metrics', '/flags', '/debug/pprof/cmdline', '/api/v1/rules']) {
      const answer = await run('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', `http://127.0.0.1:${port}${path}`]);
      assert.match(answer.stdout, /^(401|403)$/, `${name} ${path}: ${answer.stdout}`);
    }
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').find((e) => e.startsWith('MAINSTAY_httpAuth_password='));
    assert.ok(environment && !command.includes(environment.split('=')[1]), 'the password is in no argument');
  }
  // Nor to where vmalert writes.
  const [, relay] = readFileSync(`/proc/${processes('vmalert')[0]}/cmdline`, 'utf8').match(/-remoteWrite\.url=([^\0]+)/);
  for (const args of [[], ['-u', 'mainstay:guess']]) {
    const answer = await run('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', ...args, '--data-binary', 'x', `${relay}/api/v1/write`]);
    assert.equal(answer.stdout, '401');
  }
});

// Processes of this Mainstay's engines.
function processes(name) {
  return readdirSync('/proc').filter((p) => /^\d+$/.test(p)).filter((p) => {
    try {
      const command = readFileSync(`/proc/${p}/cmdline`, 'utf8');
      return command.split('\0')[0].endsWith(name) && command.includes(m.dataDir);
    } catch { return false; }
  }).map(Number);
}

test('a rule\'s mistake is told on the object, and stops nobody else\'s rules', { timeout: 60000 }, async () => {
  const rule = (name, namespace, expr, more = {}) => ({ apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule', metadata: { name, namespace },
    spec: { groups: [{ name: 'g', interval: '5s', rules: [{ alert: 'Everything', expr, annotations: { all: '{{ range query "kube_pod_info" }}{{ .Labels }}{{ end }}' }, labels: { team: 'rival', namespace: 'rival', severity: 'info' }, ...more }] }] } });
  await apply(rule('broken', 'shop', 'sum('));
  await apply(rule('thief', 'shop', 'vector(1)', { annotations: { x: '%{MAINSTAY_httpAuth_password}' } }));
  await apply(rule('nosy', 'shop', 'count by (namespace) (kube_pod_info) > 0'));
  const condition = async (name) => (await m.json(['get', 'prometheusrule', name, '-n', 'shop'])).status?.conditions?.[0];
  const broken = await until('the verdict', () => condition('broken'));
  assert.equal(broken.status, 'False');
  assert.match(broken.message, /sum\(/);
  assert.equal((await until('the verdict', () => condition('thief'))).status, 'False');
  assert.equal((await until('the verdict', () => condition('nosy'))).status, 'True');
  const alerts = await until('the good rule to fire', async () => {
    const all = (await api('ann', '/prometheus/api/v1/alerts')).data.alerts.filter((a) => a.labels.alertname === 'Everything' && a.state === 'firing');
    return all.length > 0 && all;
  }, { limit: 40000, every: 500 });
  for (const alert of alerts) {
    assert.equal(alert.labels.namespace, 'shop');
    assert.equal(alert.labels.team, 'shop');
    assert.ok(!alert.annotations.all.includes('rival'), alert.annotations.all);
  }
  assert.ok(!JSON.stringify(await api('bob', '/prometheus/api/v1/alerts')).includes('Everything'));
  assert.ok(!JSON.stringify(await api('bob', '/prometheus/api/v1/rules')).includes('nosy'));
  assert.ok(JSON.stringify(await api('ann', '/prometheus/api/v1/rules')).includes('PodCrashLooping'), 'the platform\'s own rules are there to read');
  await m.kubectlOk(['delete', 'prometheusrule', '--all', '-n', 'shop']);
});

test('a crash-looping pod reaches its team\'s webhook, and no other team\'s', { timeout: 120000 }, async () => {
  const address = `10.${150 + 2 * m.slot}.0.1`;
  await m.kubectlOk(['create', 'secret', 'generic', 'hook', '-n', 'shop', '--from-literal=token=s3cret']);
  for (const team of ['shop', 'rival']) {
    const spec = { webhook: { url: `http://${address}:${hooks[team].port}/${team}` }, groupWait: '1s' };
    if (team === 'shop') spec.webhook.tokenFrom = { name: 'hook', key: 'token' };
    await apply({ apiVersion: 'mainstay.dev/v1', kind: 'AlertReceiver', metadata: { name: 'hook', namespace: team }, spec });
  }
  await apply({ apiVersion: 'mainstay.dev/v1', kind: 'AlertReceiver', metadata: { name: 'inward', namespace: 'shop' }, spec: { webhook: { url: 'http://127.0.0.1:1/' } } });
  // A rule of the rival's own fires too: its receiver works, and gets that alone.
  await apply({ apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule', metadata: { name: 'here', namespace: 'rival' },
    spec: { groups: [{ name: 'g', interval: '5s', rules: [{ alert: 'RivalIsHere', expr: 'kube_pod_info{pod="quiet"} > 0' }] }] } });
  await apply(pod('shop', 'crashing', 'raise SystemExit(3)'));
  const alert = await until('the alert at the webhook', () => hooks.shop.alerts().find((a) => a.labels.alertname === 'PodCrashLooping'), { limit: 100000, every: 200 });
  assert.equal(alert.status, 'firing');
  assert.equal(alert.labels.pod, 'crashing');
  assert.match(alert.annotations.summary, /shop\/crashing/);
  assert.equal(hooks.shop.received[0].authorization, 'Bearer s3cret');
  await until('the rival\'s own alert', () => hooks.rival.alerts().find((a) => a.labels.alertname === 'RivalIsHere'), { limit: 40000, every: 200 });
  assert.ok(!JSON.stringify(hooks.rival.received).includes('shop'), 'nothing of shop');
  assert.ok(!JSON.stringify(hooks.shop.received).includes('rival'), 'nothing of the rival');
  const inward = (await m.json(['get', 'alertreceiver', 'inward', '-n', 'shop'])).status.conditions[0];
  assert.equal(inward.status, 'False');
  assert.match(inward.message, /127\.0\.0\.1/);
  const listed = await m.cliOk(['alerts', '--team', 'shop']);
  assert.match(listed.stdout, /PodCrashLooping +firing +critical +shop/);
});

test('killed engines return by themselves, and a killed Mainstay brings all back', { timeout: 180000 }, async () => {
  const before = await query('admin', 'count_over_time(kube_pod_info{pod="quiet"}[1h])');
  const kept = Number(before.data.result[0].value[1]);
  assert.ok(kept > 0);
  for (const name of ['victoria-metrics', 'vmalert', 'prometheus-alertmanager']) {
    const [pid] = processes(name);
    assert.ok(pid, `${name} runs`);
    process.kill(pid, 'SIGKILL');
    await until(`${name} returns`, () => { const now = processes(name); return now.length === 1 && now[0] !== pid; }, { limit: 60000 });
  }
  const again = async () => until('queries and alerts to be answered', async () => {
    const answer = await query('admin', 'count_over_time(kube_pod_info{pod="quiet"}[1h])');
    const alerts = await api('admin', '/prometheus/api/v1/alerts');
    // The engine has its last seconds in memory; what it had scraped before is there.
    return Number(answer.data?.result?.[0]?.value[1] ?? 0) >= kept - 2 && alerts.data?.alerts.length > 0;
  }, { limit: 60000, every: 500 });
  await again();
  // A sample that is fresh is only in the engine's memory, which the engine writes when Mainstay is killed.
  const sampled = async (more = []) => Number((await query('admin', 'timestamp(kube_pod_info{pod="quiet"})', more)).data?.result?.[0]?.value[1] ?? 0);
  const earlier = await sampled();
  const fresh = await until('a fresh sample', async () => { const at = await sampled(); return at > earlier && at; }, { limit: 30000, every: 200 });
  await m.kill9();
  await until('the engines to go with it', () => ['victoria-metrics', 'vmalert', 'prometheus-alertmanager'].every((name) => processes(name).length === 0), { limit: 30000 });
  await m.start();
  await again();
  assert.equal(await sampled(['-d', `time=${fresh}`]), fresh, 'the sample of the moment before the kill');
  await until('all well', async () => (await m.cli(['status'])).code === 0, { limit: 60000, every: 1000 });
});
