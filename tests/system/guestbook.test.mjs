// The second example, whole: a service with a database, a bucket, a secret, a route, an alert and a dashboard, in dev and in prod,
// by the commands of its README and by the people who would type them.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Mainstay, until, join, root } from './lib/mainstay.mjs';

let m, work, release;
const people = {}, environments = ['dev', 'prod'];
const routed = { dev: 'guestbook-dev.shop.localhost', prod: 'guestbook.shop.localhost' };
const moderator = { dev: 'moderates-dev-alone', prod: 'moderates-prod-alone' };

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage('library/python:3.11-postgres', 'python3,python3-psycopg2');
  for (const user of ['ann', 'ben']) await m.cliOk(['user', 'create', user]);
  await m.cliOk(['team', 'create', 'shop', '--member', 'ann:developer', '--member', 'ben:developer', '--env', 'dev', '--env', 'prod']);
  await m.cliOk(['repo', 'create', 'guestbook', '--team', 'shop']);
  for (const user of ['ann', 'ben']) people[user] = await m.kubeconfigFor(user, await m.token(user));
  work = await m.workTree('shop', 'guestbook', { from: 'examples/guestbook', user: 'ann' });
}, { timeout: 300000 });
after(async () => { await m?.down(); });

const kubectl = (who, args) => m.kubectlOk(args, { env: { KUBECONFIG: people[who] } });
const cli = (who, args, options) => m.cliOk(args, { ...options, env: { MAINSTAY_CONFIG: people[who], KUBECONFIG: '' } });
const ask = async (host, options) => JSON.parse((await m.edge(host, options)).stdout);
const entries = async (host) => (await ask(host)).entries;
const secretOf = async (name, ns) => Object.fromEntries(
  Object.entries((await m.json(['get', 'secret', name, '-n', ns])).data).map(([k, v]) => [k, Buffer.from(v, 'base64').toString()]));
const writeObject = (object) => { const file = join(m.dataDir, `${object.kind}.json`); writeFileSync(file, JSON.stringify(object)); return file; };
const stateIn = (object, environment) => object.status?.environments?.find((e) => e.name === environment)?.state;
const prometheus = async (path, args = []) =>
  JSON.parse((await m.curl(`/prometheus/api/v1/${path}`, ['-H', `Authorization: Bearer ${people.token}`, ...args])).stdout).data;

test('a developer writes the secrets, and puts routes, alerts and dashboards around the service', { timeout: 90000 }, async () => {
  for (const e of environments) await cli('ann', ['secret', 'put', `shop/guestbook-${e}`, '--key', 'MODERATOR_TOKEN'], { input: moderator[e] });
  await kubectl('ann', ['apply', '-f', join(root, 'examples/guestbook/platform')]);
  for (const e of environments) {
    const ns = `shop-${e}`;
    await until(`the secret of ${e}`, async () => (await m.kubectl(['get', 'secret', 'environment', '-n', ns])).code === 0 && (await secretOf('environment', ns)).MODERATOR_TOKEN === moderator[e]);
    const conditions = await until(`the route of ${e}`, async () => (await m.json(['get', 'httproute', 'guestbook', '-n', ns])).status?.parents?.[0]?.conditions);
    assert.equal(conditions.find((c) => c.type === 'Accepted').status, 'True', JSON.stringify(conditions));
    const verdict = await until(`the alert of ${e}`, async () => (await m.json(['get', 'prometheusrule', 'guestbook', '-n', ns])).status?.conditions?.[0]);
    assert.equal(verdict.status, 'True', verdict.message);
    assert.equal((await m.json(['get', 'dashboard', 'guestbook', '-n', ns])).spec.panels.length, 3);
  }
});

test('a push brings the service to dev', { timeout: 240000 }, async () => {
  await work.commit('A guest book');
  const pushed = await work.push();
  assert.equal(pushed.code, 0, pushed.all);
  await until('the guest book in dev', async () => Array.isArray(await entries('guestbook.dev.shop.localhost')), { limit: 90000 });
});

test('dev answers at its own host, and keeps an entry and a photo', { timeout: 90000 }, async () => {
  await until('the route to serve', async () => Array.isArray(await entries(routed.dev)), { limit: 60000 });
  assert.ok((await ask(routed.dev, { args: ['-d', 'written in dev'] })).id > 0);
  assert.deepEqual(await entries(routed.dev), ['written in dev']);
  const photo = join(m.dataDir, 'photo.bin');
  writeFileSync(photo, 'a cat of dev');
  assert.deepEqual(await ask(routed.dev, { path: '/photos/cat.jpg', args: ['-T', photo] }), { photo: 'cat.jpg' });
  assert.equal((await m.edge(routed.dev, { path: '/photos/cat.jpg' })).stdout, 'a cat of dev');
  assert.equal((await m.edge(routed.prod, { args: ['-o', '/dev/null', '-w', '%{http_code}'] })).stdout, '500', 'no Service is there in prod yet');
});

test('with somebody else\'s approval it goes to prod, and answers there', { timeout: 180000 }, async () => {
  [release] = (await m.json(['get', 'releases', '-n', 'shop'])).items;
  assert.equal(release.spec.author, 'ann');
  assert.match((await cli('ann', ['release', 'promote', 'guestbook', '--team', 'shop'], { timeout: 120000 })).stdout, /waits/);
  const own = await m.cli(['release', 'approve', 'guestbook', '--team', 'shop', '--env', 'prod'], { env: { MAINSTAY_CONFIG: people.ann, KUBECONFIG: '' } });
  assert.match(own.all, /somebody else/);
  await cli('ben', ['release', 'approve', 'guestbook', '--team', 'shop', '--env', 'prod'], { timeout: 120000 });
  await until('the release in prod', async () => stateIn(await m.json(['get', 'release', release.metadata.name, '-n', 'shop']), 'prod') === 'Deployed', { limit: 120000, every: 200 });
  await until('the route of prod to serve', async () => Array.isArray(await entries(routed.prod)), { limit: 60000 });
  const images = [];
  for (const e of environments) images.push((await m.json(['get', 'deployment', 'guestbook', '-n', `shop-${e}`])).spec.template.spec.containers[0].image);
  assert.equal(images[0], images[1], 'the same digest in both');
});

test('prod has a database, a bucket and a secret of its own', { timeout: 90000 }, async () => {
  assert.deepEqual(await entries(routed.prod), [], 'no entry of dev');
  assert.match((await m.edge(routed.prod, { path: '/photos/cat.jpg' })).stdout, /answered 404/, 'no photo of dev');
  assert.ok((await ask(routed.prod, { args: ['-d', 'written in prod'] })).id > 0);
  assert.deepEqual(await entries(routed.prod), ['written in prod']);
  assert.deepEqual(await entries(routed.dev), ['written in dev']);
  for (const claim of ['guestbook-db', 'guestbook-photos']) {
    const [dev, prod] = [await secretOf(claim, 'shop-dev'), await secretOf(claim, 'shop-prod')];
    for (const key of claim === 'guestbook-db' ? ['name', 'username', 'password'] : ['bucket', 'access_key_id', 'secret_key'])
      assert.ok(dev[key] && prod[key] && dev[key] !== prod[key], `${claim}: ${key}`);
  }
  assert.equal((await m.json(['get', 'resourceclaim', 'guestbook-db', '-n', 'shop-prod'])).status.reclaimPolicy, 'Retain');
  const empty = (token) => ask(routed.prod, { args: ['-X', 'DELETE', '-H', `X-Moderator: ${token}`] });
  assert.match((await empty(moderator.dev)).error, /only the moderator/);
  assert.deepEqual(await empty(moderator.prod), { removed: 1 });
  assert.deepEqual(await entries(routed.dev), ['written in dev']);
});

test('the team sees its alerts among the rules, and its requests in the metrics', { timeout: 120000 }, async () => {
  people.token = await m.token('ann');
  const rules = await until('both rules', async () => {
    const found = (await prometheus('rules')).groups.flatMap((g) => g.rules).filter((r) => r.name === 'GuestbookDown');
    // Pods that came up a moment ago were not there in the sample before.
    return found.length === 2 && found.every((r) => r.health === 'ok' && r.state === 'inactive') && found;
  }, { limit: 60000, every: 500 });
  assert.deepEqual(rules.map((r) => r.labels.namespace).sort(), ['shop-dev', 'shop-prod']);
  assert.ok(rules.every((r) => r.labels.team === 'shop'), JSON.stringify(rules));
  for (const e of environments) {
    const query = (text) => prometheus('query', ['--data-urlencode', `query=${text}`]);
    await until(`what the alert of ${e} watches`, async () =>
      (await query(`kube_deployment_status_replicas_available{job="kube-state-metrics",deployment="guestbook",namespace="shop-${e}"}`)).result[0]?.value[1] === '1', { limit: 60000, every: 500 });
    const board = await m.json(['get', 'dashboard', 'guestbook', '-n', `shop-${e}`]);
    await until(`the first panel of ${e}`, async () => (await query(board.spec.panels[0].targets[0].expr)).result.some((r) => r.metric.code === '200'), { limit: 60000, every: 500 });
  }
});

test('without a pod in dev its alert reaches the team\'s webhook, and is over when the pod is back', { timeout: 240000 }, async () => {
  const received = [];
  const hook = createServer((request, response) => {
    let text = '';
    request.on('data', (data) => { text += data; });
    request.on('end', () => { received.push(...JSON.parse(text).alerts); response.end(); });
  });
  await new Promise((done) => { hook.listen(0, '0.0.0.0', done); });
  try {
    const receiver = { apiVersion: 'mainstay.dev/v1', kind: 'AlertReceiver', metadata: { name: 'chat', namespace: 'shop' },
      spec: { groupWait: '1s', groupInterval: '2s', webhook: { url: `http://${m.nodeAddress}:${hook.address().port}/` } } };
    await kubectl('ann', ['apply', '-f', writeObject(receiver)]);
    await kubectl('ann', ['scale', 'deployment', 'guestbook', '-n', 'shop-dev', '--replicas=0']);
    const told = (status) => received.find((a) => a.labels.alertname === 'GuestbookDown' && a.status === status);
    await until('the alert', () => told('firing'), { limit: 150000, every: 200 });
    assert.deepEqual([told('firing').labels.namespace, told('firing').labels.severity], ['shop-dev', 'warning']);
    assert.match((await cli('ann', ['alerts', '--team', 'shop'])).stdout, /GuestbookDown/);
    await kubectl('ann', ['scale', 'deployment', 'guestbook', '-n', 'shop-dev', '--replicas=1']);
    await until('its end', () => told('resolved'), { limit: 90000, every: 200 });
    assert.deepEqual(await entries(routed.dev), ['written in dev'], 'nothing was lost');
    assert.ok(!received.some((a) => a.labels.namespace === 'shop-prod'), 'prod went on');
  } finally {
    hook.close();
  }
});
