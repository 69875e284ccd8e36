// Logs by Loki's API and by `mainstay logs`: output, Events, the edge's access log and the audit log, found by label, word
// and time, followed live, kept once across a kill -9, and never shown to another team.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { run, until, readFileSync, join } from './lib/mainstay.mjs';
import { twoTeams, pythonPod, serveAtEdge } from './lib/observe.mjs';

let m;
let tokens;
const apply = (object) => m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify(object) });
async function loki(user, path, parameters = {}, { status } = {}) {
  const query = Object.entries(parameters).flatMap(([k, v]) => [v].flat().map((one) => `${encodeURIComponent(k)}=${encodeURIComponent(one)}`)).join('&');
  const answer = await m.curl(`/loki/api/v1/${path}?${query}`, ['-g', '-w', '\n%{http_code}', '-H', `Authorization: Bearer ${tokens[user]}`]);
  const at = answer.stdout.lastIndexOf('\n');
  if (status) { assert.equal(answer.stdout.slice(at + 1), String(status), answer.stdout); return answer.stdout; }
  assert.equal(answer.stdout.slice(at + 1), '200', answer.stdout);
  return JSON.parse(answer.stdout.slice(0, at));
}
const streams = async (user, query, more = {}) => (await loki(user, 'query_range', { query, limit: 1000, direction: 'forward', ...more })).data.result;
const lines = async (user, query, more) => (await streams(user, query, more)).flatMap((s) => s.values).sort((a, b) => (BigInt(a[0]) < BigInt(b[0]) ? -1 : 1)).map((v) => v[1]);

const server = (word) => `
import http.server, sys, time
print('${word} listening', flush=True)
for i in range(20): print('${word} line', i, flush=True)
print('${word} to stderr', file=sys.stderr, flush=True)
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if self.path.startswith('/fail') else 200); self.end_headers(); self.wfile.write(b'ok')
    def log_message(self, form, *a): print('${word}', self.command, self.path, flush=True)
http.server.ThreadingHTTPServer(('', 8080), H).serve_forever()
`;

before(async () => {
  ({ m, tokens } = await twoTeams());
  for (const team of ['shop', 'rival']) await apply(pythonPod(m, team, 'web', server(team)));
}, { timeout: 300000 });
after(async () => { await m?.down(); });

test('output is found by label, word and time, with the labels a log panel shows', { timeout: 60000 }, async () => {
  const found = await until('the lines', async () => {
    const all = await streams('ann', '{namespace="shop", workload="web"} |= "line"', { direction: 'backward' });
    return all.length > 0 && all[0].values.length === 20 && all;
  });
  assert.deepEqual(found[0].stream, { container: 'main', namespace: 'shop', pod: 'web', source: 'container', stream: 'stdout', team: 'shop', workload: 'web' });
  assert.match(found[0].values[0][0], /^\d{19}$/);
  assert.equal(found[0].values[0][1], 'shop line 19', 'newest first, unless asked otherwise');
  assert.equal((await streams('ann', '{pod="web"} |= "line"', { direction: 'forward', limit: 1 }))[0].values[0][1], 'shop line 0');
  assert.deepEqual(await lines('ann', '{pod=~"w.b"} |~ "line 1[0-2]" != "11"'), ['shop line 10', 'shop line 12']);
  assert.deepEqual(await lines('ann', '{stream="stderr"}'), ['shop to stderr']);
  const [at] = (await streams('ann', '{pod="web"} |= "line 7"'))[0].values[0];
  const span = { start: (BigInt(at) - 1000n).toString(), end: (BigInt(at) + 1000n).toString() };
  assert.ok((await lines('ann', '{pod="web"}', span)).includes('shop line 7'));
  assert.deepEqual(await lines('ann', '{pod="web"}', { start: '1000000000', end: '1000000100' }), []);
  assert.deepEqual((await loki('ann', 'label/pod/values')).data, ['web']);
  assert.ok((await loki('ann', 'labels')).data.includes('workload'));
  assert.ok((await loki('ann', 'series', { 'match[]': '{stream="stderr"}' })).data.every((s) => s.stream === 'stderr'));
  await loki('ann', 'query_range', { query: '{pod="web"} | pattern "x"' }, { status: 400 });
  await loki('ann', 'query_range', { query: '{pod="web"}', direction: 'up' }, { status: 400 });
  await loki('ann', 'query_range', { query: '{pod=~"("}' }, { status: 400 });
});

test('lines are counted as a graph asks', async () => {
  const now = Date.now() / 1000;
  const matrix = (await loki('ann', 'query_range', { query: 'sum by (pod) (count_over_time({namespace="shop", source="container"} |= "line" [1h]))', start: now - 60, end: now + 60, step: '15s' })).data;
  assert.equal(matrix.resultType, 'matrix');
  assert.deepEqual(matrix.result[0].metric, { pod: 'web' });
  assert.equal(matrix.result[0].values.at(-1)[1], '20');
  const vector = (await loki('ann', 'query', { query: 'sum(rate({namespace="shop", source="container"} |= "line" [1h]))' })).data;
  assert.equal(vector.resultType, 'vector');
  assert.ok(Math.abs(Number(vector.result[0].value[1]) - 20 / 3600) < 1e-9, JSON.stringify(vector));
});

test('what Grafana asks before and while it explores', { timeout: 60000 }, async () => {
  const health = (await loki('ann', 'query', { query: 'vector(1)+vector(1)' })).data;
  assert.equal(health.resultType, 'vector');
  assert.equal(health.result[0].value[1], '2');
  const constant = (await loki('ann', 'query_range', { query: 'vector(1)', start: '1000', end: '1060', step: '30' })).data;
  assert.deepEqual(constant.result[0].values.map((v) => v[1]), ['1', '1', '1']);
  const stats = await loki('ann', 'index/stats', { query: '{namespace="shop", stream="stderr"}' });
  assert.deepEqual([stats.streams, stats.entries, stats.bytes], [1, 1, 'shop to stderr'.length]);
  const created = await until('the audit log, parsed', async () => {
    const found = await streams('ann', '{source="audit", namespace="shop"} | json | verb = "create" and responseStatus_code < 300 | objectRef_resource = "pods"');
    return found.length > 0 && found;
  });
  assert.equal(created[0].stream.objectRef_name, 'web');
  assert.equal(created[0].stream.namespace, 'shop');
  const counted = (await loki('ann', 'query', { query: 'sum by (verb) (count_over_time({source="audit", namespace="shop"} | json | __error__ = "" [1h]))' })).data.result;
  assert.ok(Number(counted.find((r) => r.metric.verb === 'create').value[1]) > 0, JSON.stringify(counted));
  const started = await until('Events, parsed', async () => {
    const found = await streams('ann', '{source="events", pod="web"} | logfmt | reason = "Started"');
    return found.length > 0 && found;
  });
  assert.equal(started[0].stream.kind, 'Pod');
  for (const query of ['{namespace="rival"} | json', '{source="audit"} | json | objectRef_namespace = "rival"']) assert.deepEqual(await streams('ann', query), [], query);
  assert.match(await loki('ann', 'query_range', { query: '{pod="web"} | unpack' }, { status: 400 }), /unpack/);
  assert.match(await loki('ann', 'query', { query: 'absent_over_time({pod="web"}[1m])' }, { status: 400 }), /absent_over_time/);
  // The histogram above the lines, and how much each workload writes.
  const [volume] = (await loki('ann', 'query_range', { query: 'sum by (level, detected_level) (count_over_time({namespace="shop", stream="stdout"} |= `line` | drop __error__ [1m]))', step: '60s' })).data.result;
  assert.ok(Number(volume.values.at(-1)[1]) >= 0);
  const bytes = (await loki('ann', 'index/volume', { query: '{namespace=~".+", stream="stderr"}', targetLabels: 'workload' })).data;
  assert.deepEqual(bytes.result.map((r) => [r.metric, r.value[1]]), [[{ workload: 'web' }, String('shop to stderr'.length)]]);
  assert.equal((await loki('ann', 'index/volume_range', { query: '{namespace="shop", stream="stderr"}', step: '60' })).data.resultType, 'matrix');
  for (const path of ['detected_fields', 'detected_labels', 'patterns']) assert.match(await loki('ann', path, { query: '{pod="web"}' }, { status: 404 }), /is not served/);
  // A long query is sent as a form; logcli writes the direction in capitals.
  const form = JSON.parse((await m.curl('/loki/api/v1/query_range', ['-H', `Authorization: Bearer ${tokens.ann}`, '--data-urlencode', 'query={pod="web"} |= "line"', '-d', 'direction=FORWARD', '-d', 'limit=1'])).stdout);
  assert.equal(form.data.result[0].values[0][1], 'shop line 0');
});

test('lines are parsed, formatted and reckoned with as in a dashboard', { timeout: 60000 }, async () => {
  const [formatted] = await streams('ann', '{namespace="shop"} | pattern `<who> line <n>` | n = 7 | label_format team2=who | line_format `{{.team2 | upper}}/{{.n}}` | keep n');
  assert.deepEqual([formatted.values[0][1], formatted.stream], ['SHOP/7', { n: '7' }]);
  const value = async (query) => (await loki('ann', 'query', { query })).data.result.map((r) => r.value[1]);
  const numbers = '{namespace="shop", stream="stdout"} |= "line" | regexp `line (?P<n>\\d+)` | unwrap n [1h]';
  assert.deepEqual(await value(`quantile_over_time(0.5, ${numbers}) by (pod)`), ['9.5']);
  assert.deepEqual(await value(`sum(sum_over_time(${numbers}))`), ['190']);
  assert.deepEqual(await value(`topk(1, max_over_time(${numbers}) by (pod)) > 5`), ['19']);
  const share = await value('100 * sum(count_over_time({pod="web", stream="stderr"}[1h])) / sum(count_over_time({pod="web", stream=~"stderr|stdout"} != "GET" [1h]))');
  assert.ok(Math.abs(Number(share[0]) - 100 / 22) < 1e-9, share.join());
  // Whatever is reckoned with, it is the caller's own.
  assert.deepEqual(await value('sum(count_over_time({namespace="rival"}[1h])) or sum(count_over_time({namespace="shop", stream="stderr"}[1h]))'), ['1']);
});

test('Events and the audit log are searched beside', { timeout: 60000 }, async () => {
  await until('an Event', async () => (await lines('ann', '{source="events", pod="web"} |= "reason=Started"')).length > 0);
  const audited = await until('the audit line', async () => {
    const all = await lines('ann', '{source="audit", namespace="shop"} |= "pods" |= "create"');
    return all.length > 0 && all;
  });
  const entry = JSON.parse(audited[0]);
  assert.equal(entry.objectRef.namespace, 'shop');
  const cli = await m.cliOk(['logs', '--team', 'shop', '--source', 'audit', '--grep', 'pods']);
  assert.match(cli.stdout, /"verb":"create"/);
  assert.match((await m.cliOk(['logs', '--team', 'shop', '--source', 'events'])).stdout, /kind=Pod name=web/);
  assert.ok(!(await m.cliOk(['logs', '--team', 'shop'])).stdout.includes('auditID'), 'output alone, where no source is named');
});

test('a team sees its own, whatever it asks', { timeout: 60000 }, async () => {
  await until('the rival\'s lines', async () => (await lines('bob', '{pod="web"} |= "rival"')).length > 20);
  // A refused attempt is for the audit log of the namespace it was aimed at.
  await m.curl('/api/v1/namespaces/rival/secrets', ['-H', `Authorization: Bearer ${tokens.ann}`]);
  for (const query of ['{namespace=~".*"}', '{namespace="rival"}', '{team="rival"}', '{namespace!="shop"}', '{source="audit", namespace="rival"}', '{pod="web"} |= "rival line"', '{namespace="_platform"}', '{namespace="../rival"}']) {
    for (const stream of await streams('ann', query)) assert.equal(stream.stream.team, 'shop', `${query}: ${JSON.stringify(stream).slice(0, 300)}`);
    const counted = (await loki('ann', 'query', { query: `sum by (namespace) (count_over_time(${query}[1h]))` })).data.result;
    for (const series of counted) assert.match(series.metric.namespace, /^shop/);
  }
  assert.deepEqual((await loki('ann', 'label/team/values')).data, ['shop']);
  assert.ok((await loki('ann', 'series')).data.every((s) => s.team === 'shop'));
  await until('the refusal in the rival\'s audit log', async () => (await lines('bob', '{source="audit", namespace="rival"} |= "secrets" |= "403"')).length > 0);
  const anonymous = await m.curl('/loki/api/v1/labels', ['-o', '/dev/null', '-w', '%{http_code}']);
  assert.equal(anonymous.stdout, '401');
  const denied = await m.curl('/apis/mainstay.dev/v1/namespaces/rival/logs?source=audit', ['-o', '/dev/null', '-w', '%{http_code}', '-H', `Authorization: Bearer ${tokens.ann}`]);
  assert.equal(denied.stdout, '403');
  const admin = (await loki('admin', 'label/team/values')).data;
  assert.ok(admin.includes('shop') && admin.includes('rival'));
});

// A tail over a WebSocket, spoken by hand: Node 18 brings no client.
function tail(user, query, more = '') {
  return new Promise((done, fail) => {
    const [host, port] = m.listen.split(':');
    const asked = request({ host, port, ca: readFileSync(join(m.dataDir, 'ca.crt')), path: `/loki/api/v1/tail?query=${encodeURIComponent(query)}${more}`,
      headers: { Authorization: `Bearer ${tokens[user]}`, Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': Buffer.from('0123456789abcdef').toString('base64') } });
    asked.on('response', (r) => fail(new Error(`answered ${r.statusCode}`)));
    asked.on('error', fail);
    asked.on('upgrade', (response, socket, head) => {
      const got = { text: head.toString('latin1'), close: () => socket.destroy() };
      socket.on('data', (data) => { got.text += data.toString('latin1'); });
      socket.on('error', () => {});
      done(got);
    });
    asked.end();
  });
}

test('lines are followed as they come, those of the caller\'s team alone', { timeout: 60000 }, async () => {
  const following = await tail('ann', '{source="container"} |= "GET"');
  const ip = async (namespace) => (await m.json(['get', 'pod', 'web', '-n', namespace])).status.podIP;
  for (const namespace of ['rival', 'shop']) {
    const address = await until('an address', () => ip(namespace));
    await until('an answer', async () => (await run('curl', ['-sS', '-m', '5', `http://${address}:8080/followed`])).stdout === 'ok');
  }
  await until('the line', () => following.text.includes('shop GET /followed'));
  assert.ok(!following.text.includes('rival'));
  assert.match(following.text, /"values":\[\["\d{19}","/, 'pairs of a time in nanoseconds and a line, as Loki has them');
  following.close();
  // With a start, what was kept since then comes first: the newest of it, and nothing twice.
  const caughtUp = await tail('ann', '{source="container"} |= "GET /followed"', `&start=${Date.now() - 3600e3}000000&limit=1`);
  await until('the line that was kept', () => caughtUp.text.includes('shop GET /followed'));
  const address = await ip('shop');
  assert.equal((await run('curl', ['-sS', '-m', '5', `http://${address}:8080/followed?again`])).stdout, 'ok');
  await until('the line after it', () => caughtUp.text.includes('/followed?again'));
  assert.equal(caughtUp.text.split('"streams"').length - 1, 2, caughtUp.text);
  assert.ok(!caughtUp.text.includes('rival'));
  caughtUp.close();
  await assert.rejects(tail('ann', 'count_over_time({a="b"}[1m])'), /400/);
});

test('the edge\'s access log is found by workload, and counted in metrics', { timeout: 90000 }, async () => {
  // A Service of a team's environment is at the edge; its endpoints may be written by hand, as for any Service without a
  // selector.
  await serveAtEdge(m, await m.json(['get', 'pod', 'web', '-n', 'shop']), 'shop-dev', 'web');
  const host = m.host('web', 'dev', 'shop');
  await until('the edge to serve it', async () => (await m.edge(host)).stdout === 'ok');
  for (let i = 0; i < 5; i++) await m.edge(host, { path: '/fail?secret=1' });
  const found = await until('the access log', async () => {
    const all = await lines('ann', '{source="edge", workload="web"} |= "/fail"');
    return all.length === 5 && all;
  });
  assert.equal(JSON.parse(found[0]).status, 500);
  assert.ok(!found[0].includes('secret'));
  assert.match((await m.cliOk(['logs', 'web', '--team', 'shop', '--env', 'dev', '--source', 'edge'])).stdout, /"path":"\/fail"/);
  assert.deepEqual(await lines('bob', '{source="edge"}'), []);
  await until('the requests in the metrics', async () => {
    const answer = await m.curl('/prometheus/api/v1/query', ['-H', `Authorization: Bearer ${tokens.ann}`, '--data-urlencode', 'query=mainstay_edge_requests_total{workload="web",code="500"}']);
    const [series] = JSON.parse(answer.stdout).data.result;
    return series && series.value[1] === '5' && series.metric.namespace === 'shop-dev';
  }, { limit: 60000, every: 500 });
});

test('kill -9 loses no line and doubles none', { timeout: 120000 }, async () => {
  const host = m.host('web', 'dev', 'shop');
  const numbered = async (from, to) => {
    for (let i = from; i < to; i++) await m.edge(host, { path: `/numbered/${i}` });
  };
  await numbered(0, 10);
  await m.kill9();
  await numbered(10, 20);
  await m.start();
  await numbered(20, 25);
  const expected = Array.from({ length: 25 }, (_, i) => `/numbered/${i}`);
  const paths = async (query, pick) => (await lines('ann', query)).map(pick).sort((a, b) => Number(a.split('/')[2]) - Number(b.split('/')[2]));
  await until('every request in the access log', async () => (await lines('ann', '{source="edge"} |= "/numbered/24"')).length > 0);
  assert.deepEqual(await paths('{source="edge"} |= "/numbered/"', (line) => JSON.parse(line).path), expected);
  await until('every request in the output', async () => (await lines('ann', '{source="container", namespace="shop"} |= "/numbered/24"')).length > 0);
  assert.deepEqual(await paths('{source="container"} |= "/numbered/"', (line) => line.split(' ').at(-1)), expected);
  const events = await lines('ann', '{source="events", pod="web"} |= "reason=Started"');
  assert.equal(events.length, 1, events.join('\n'));
});

test('who gets the name of a team that is gone does not get its logs', { timeout: 120000 }, async () => {
  const query = '{namespace="rival"} |= "rival line"';
  assert.equal((await lines('bob', query)).length, 20);
  await m.kubectlOk(['delete', 'team', 'rival', '--timeout=60s'], { timeout: 70000 });
  await until('its namespace to be gone', async () => (await m.kubectl(['get', 'ns', 'rival'])).code !== 0, { limit: 60000 });
  await m.cliOk(['team', 'create', 'rival', '--member', 'ann:owner']);
  await apply(pythonPod(m, 'rival', 'web', server('later')));
  await until('the new team\'s own lines', async () => (await lines('ann', '{namespace="rival"} |= "later line 19"')).length === 1, { limit: 60000 });
  assert.deepEqual(await lines('ann', query), []);
  const own = await m.cliOk(['logs', 'web', '--team', 'rival', '--since', '1h'], { env: { MAINSTAY_CONFIG: await m.kubeconfigFor('ann', tokens.ann), KUBECONFIG: '' } });
  assert.ok(/later line/.test(own.stdout) && !/rival line/.test(own.stdout), own.stdout);
  assert.equal((await lines('admin', query)).length, 20, 'who may see everything still does');
});
