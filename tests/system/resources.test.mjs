// What a workload asks for in score.yaml is there: a PostgreSQL database of its own, which outlives pushes and kills, can
// be backed up and restored, and is nobody else's. The servers and clients are the real ones.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { Mainstay, run, until, join } from './lib/mainstay.mjs';

let m, work, ann, eve;
const host = 'guestbook.dev.shop.localhost', moderator = 'only-the-moderator-knows';

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage('library/python:3.11-postgres', 'python3,python3-psycopg2');
  for (const [team, user] of [['shop', 'ann'], ['bank', 'eve']]) {
    await m.cliOk(['user', 'create', user]);
    await m.cliOk(['team', 'create', team, '--member', `${user}:developer`, '--env', 'dev', '--env', 'prod']);
  }
  ann = await m.kubeconfigFor('ann', await m.token('ann'));
  eve = await m.kubeconfigFor('eve', await m.token('eve'));
  await m.cliOk(['repo', 'create', 'guestbook', '--team', 'shop']);
  await m.kubectlOk(['create', 'secret', 'generic', 'environment', '-n', 'shop-dev', `--from-literal=MODERATOR_TOKEN=${moderator}`]);
  work = await m.workTree('shop', 'guestbook', { from: 'examples/guestbook' });
}, { timeout: 300000 });
after(async () => { await m?.down(); });

const as = (kubeconfig, args, options = {}) => m.kubectl(args, { ...options, env: { KUBECONFIG: kubeconfig } });
const claimOf = async (name, ns = 'shop-dev') => m.json(['get', 'resourceclaim', name, '-n', ns]);
const secretOf = async (name, ns = 'shop-dev') => Object.fromEntries(
  Object.entries((await m.json(['get', 'secret', name, '-n', ns])).data).map(([k, v]) => [k, Buffer.from(v, 'base64').toString()]));
const entries = async () => JSON.parse((await m.edge(host)).stdout).entries;
const write = async (text) => {
  const answer = await m.edge(host, { args: ['-d', text] });
  assert.equal(JSON.parse(answer.stdout).id > 0, true, answer.all);
};
// psql as somebody who has these values: over TCP and TLS, as a pod would.
const psql = (c, sql, env = {}) => run('psql', ['-X', '-A', '-t', '-w', '-v', 'ON_ERROR_STOP=1', '-c', sql], {
  env: { PGHOST: c.host, PGPORT: c.port, PGDATABASE: c.name, PGUSER: c.username, PGPASSWORD: c.password, PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: join(m.dataDir, 'ca.crt'), ...env } });
async function claim(ns, name, spec, kubeconfig = join(m.dataDir, 'admin.kubeconfig')) {
  const made = await as(kubeconfig, ['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'mainstay.dev/v1', kind: 'ResourceClaim', metadata: { name, namespace: ns }, spec }) });
  assert.equal(made.code, 0, made.all);
  await m.kubectlOk(['wait', '--for=condition=Ready', `resourceclaim/${name}`, '-n', ns, '--timeout=60s'], { timeout: 70000 });
}

test('a push brings the workload its database', { timeout: 240000 }, async () => {
  await work.commit('First');
  const pushed = await work.push();
  assert.equal(pushed.code, 0, pushed.all);
  await until('the guest book', async () => Array.isArray(await entries()), { limit: 60000 });
  await write('first');
  assert.deepEqual(await entries(), ['first']);
  const made = await claimOf('guestbook-db');
  assert.equal(made.status.phase, 'Ready');
  assert.equal(made.status.class, 'postgres');
  assert.ok(made.status.outputs.host && made.status.outputs.port && !made.status.outputs.password, JSON.stringify(made.status));
});

test('the workload has its bucket and its secret, too', { timeout: 60000 }, async () => {
  const photo = randomBytes(300000), path = join(m.dataDir, 'photo.bin'), back = join(m.dataDir, 'photo.back');
  writeFileSync(path, photo);
  const put = await m.edge(host, { path: '/photos/cat.jpg', args: ['-T', path] });
  assert.match(put.stdout, /"photo": "cat.jpg"/, put.all);
  await m.edge(host, { path: '/photos/cat.jpg', args: ['-o', back] });
  assert.ok(readFileSync(back).equals(photo));
  assert.match((await m.edge(host, { path: '/photos/dog.jpg' })).stdout, /answered 404/);
  assert.match((await m.edge(host, { args: ['-X', 'DELETE', '-H', 'X-Moderator: guess'] })).stdout, /only the moderator/);
  assert.equal((await claimOf('guestbook-photos')).status.phase, 'Ready');
  const variables = (await m.json(['get', 'deployment', 'guestbook', '-n', 'shop-dev'])).spec.template.spec.containers[0].env;
  assert.deepEqual(variables.find((v) => v.name === 'MODERATOR_TOKEN').valueFrom, { secretKeyRef: { name: 'environment', key: 'MODERATOR_TOKEN' } });
  assert.ok(variables.find((v) => v.name === 'S3_SECRET').valueFrom.secretKeyRef && variables.find((v) => v.name === 'S3_BUCKET').value);
});

test('each claim says what it holds and costs, and where its figures are drawn', { timeout: 120000 }, async () => {
  const shown = await until('the measure', async () => { const c = await claimOf('guestbook-db'); return c.status.usage?.size && c; }, { limit: 90000 });
  assert.equal(shown.status.monthlyCost, '8.00 EUR');
  const url = new URL(shown.status.url);
  assert.equal(url.pathname, '/console/teams/shop/dashboards/kube-system/resource-postgres');
  assert.equal(url.search, '?var-namespace=shop-dev&var-claim=guestbook-db');
  const dashboard = JSON.parse((await as(ann, ['get', 'dashboard', 'resource-postgres', '-n', 'kube-system', '-o', 'json'])).stdout);
  const metrics = (await m.kubectlOk(['get', '--raw', '/metrics/objects'])).stdout;
  // Whatever the dashboard asks for is there.
  for (const panel of dashboard.spec.panels)
    for (const { expr } of panel.targets)
      assert.match(metrics, new RegExp(`^${expr.match(/mainstay_claim_\w+/)[0]}\\{namespace="shop-dev",team="shop",claim="guestbook-db",type="postgres",workload="guestbook"\\} [0-9]`, 'm'));
  assert.match((await m.cliOk(['resource', 'describe', 'guestbook-db', '--team', 'shop', '--env', 'dev'])).stdout, /Size:\s+\d+\wi[^]*Monthly cost:\s+8.00 EUR[^]*Dashboard:\s+https:/);
  await m.kubectlOk(['patch', 'pricelist', 'default', '--type', 'merge', '-p', '{"spec": {"resources": {"postgres": null}}}']);
  await until('no price', async () => (await claimOf('guestbook-db')).status.monthlyCost === 'no price');
  await m.kubectlOk(['patch', 'pricelist', 'default', '--type', 'merge', '-p', '{"spec": {"resources": {"postgres": 8}}}']);
  await until('the use of the team', async () => {
    const { used } = (await m.json(['get', 'usagereport', 'current', '-n', 'shop'])).status;
    const capacity = (await m.json(['get', 'capacityreport', 'platform'])).status;
    return /^[1-9]/.test(used.memory) && used.addresses >= 2 && /^[1-9]/.test(used.storage) && /^[1-9]/.test(used.cpu) &&
      /^[1-9]/.test(capacity.memory.used) && /^[1-9]/.test(capacity.disk.stored.postgres) && /^[1-9]/.test(capacity.disk.stored.images);
  }, { limit: 120000 });
  assert.match((await m.cliOk(['usage', 'shop'])).stdout, /shop-dev +guestbook +.*[0-9]Mi/);
});

test('the password is nowhere but in the Secret', async () => {
  const { password } = await secretOf('guestbook-db');
  const deployment = await m.json(['get', 'deployment', 'guestbook', '-n', 'shop-dev']);
  const env = deployment.spec.template.spec.containers[0].env.find((e) => e.name === 'DB_PASSWORD');
  assert.deepEqual(env.valueFrom.secretKeyRef, { name: 'guestbook-db', key: 'password' });
  assert.ok(!JSON.stringify(deployment).includes(password) && !JSON.stringify(await claimOf('guestbook-db')).includes(password));
  assert.ok(!m.log.includes(password), 'the log has the password');
  const processes = await run('ps', ['-eo', 'args']);
  assert.ok(!processes.stdout.includes(password), 'an argument list has the password');
});

test('entries outlive a second push, kill -9 of Mainstay and kill -9 of PostgreSQL', { timeout: 240000 }, async () => {
  await work.commit('Second');
  const pushed = await work.push();
  assert.equal(pushed.code, 0, pushed.all);
  await until('the second commit', async () => JSON.parse((await m.edge(host)).stdout).commit === (await work.git('rev-parse', 'HEAD')).stdout.trim(), { limit: 60000 });
  await write('second');
  const server = async () => (await run('pgrep', ['-f', 'bin/postgres -D /mnt/data'])).stdout.trim().split('\n');
  const pidFile = join(m.dataDir, 'postgres/server.pid');
  const before = (await run('cat', [pidFile])).stdout.trim();
  assert.ok((await server()).includes(before));
  await m.kill9();
  await write('while Mainstay is away');
  await m.start();
  await until('the claim', async () => (await claimOf('guestbook-db')).status.phase === 'Ready');
  assert.equal((await run('cat', [pidFile])).stdout.trim(), before, 'the server was adopted');
  process.kill(Number(before), 'SIGKILL');
  await until('a new server', async () => { const now = (await run('cat', [pidFile])).stdout.trim(); return now && now !== before; }, { limit: 60000 });
  await until('all entries', async () => (await entries()).length === 3, { limit: 60000 });
  assert.deepEqual(await entries(), ['while Mainstay is away', 'second', 'first']);
  // A pass that found the server away says so until the next.
  await until('the claim, after its server came back', async () => (await claimOf('guestbook-db')).status.phase === 'Ready', { limit: 60000 });
});

test('a backup brings back what was there', { timeout: 120000 }, async () => {
  const place = ['--team', 'shop', '--env', 'dev'];
  const name = (await m.cliOk(['resource', 'backup', 'guestbook-db', ...place])).stdout.trim();
  await write('after the backup');
  const shown = await m.cliOk(['resource', 'describe', 'guestbook-db', ...place]);
  assert.match(shown.stdout, new RegExp(`Backup:\\s+${name}`));
  await m.cliOk(['resource', 'restore', 'guestbook-db', '--backup', name, ...place], { timeout: 60000 });
  await until('what was there', async () => (await entries()).length === 3, { limit: 30000 });
  await write('after the restore');
  assert.equal((await entries())[0], 'after the restore');
  const wrong = await m.cli(['resource', 'restore', 'guestbook-db', '--backup', '20000101T000000Z', ...place]);
  assert.equal(wrong.code, 4, wrong.all);
  assert.match((await m.cliOk(['resource', 'classes'])).stdout, /postgres-prod/);
  assert.match((await m.cliOk(['resource', 'list'])).stdout, /guestbook-db\s+postgres\s+postgres\s+guestbook\s+Ready/);
});

test('a database is its team\'s alone', { timeout: 120000 }, async () => {
  await claim('bank-dev', 'ledger', { type: 'postgres' }, eve);
  const ours = await secretOf('guestbook-db'), theirs = await secretOf('ledger', 'bank-dev');
  assert.equal((await psql(theirs, 'SELECT current_user')).stdout.trim(), theirs.username);
  for (const [what, values, env] of [['their database as us', { ...ours, name: theirs.name }], ['their role with our password', { ...theirs, password: ours.password }],
    ['the superuser', { ...ours, username: 'postgres', name: 'postgres' }], ['the server\'s own database', { ...ours, name: 'postgres' }],
    ['the template', { ...ours, name: 'template1' }], ['no TLS', ours, { PGSSLMODE: 'disable' }], ['no password', { ...ours, password: '' }]]) {
    const refused = await psql(values, 'SELECT 1', env);
    assert.notEqual(refused.code, 0, `${what}: ${refused.all}`);
    assert.doesNotMatch(refused.stdout, /^1$/m, what);
  }
  for (const sql of ['CREATE ROLE x', 'CREATE DATABASE x', `COPY (SELECT 1) TO PROGRAM 'id'`, `SELECT pg_read_file('/etc/passwd')`, `ALTER ROLE ${theirs.username} PASSWORD 'x'`, 'SELECT rolpassword FROM pg_authid'])
    assert.notEqual((await psql(ours, sql)).code, 0, sql);
  for (const args of [['get', 'resourceclaims', '-n', 'shop-dev'], ['get', 'secret', 'guestbook-db', '-n', 'shop-dev'], ['delete', 'resourceclaim', 'guestbook-db', '-n', 'shop-dev'],
    ['create', '-f', '-', '-n', 'shop-dev'], ['create', '--raw', '/apis/mainstay.dev/v1/namespaces/shop-dev/resourceclaims/guestbook-db/backup', '-f', '-'],
    ['create', '--raw', '/apis/mainstay.dev/v1/namespaces/shop-dev/resourceclaims/guestbook-db/restore', '-f', '-']]) {
    const refused = await as(eve, args, { input: JSON.stringify({ apiVersion: 'mainstay.dev/v1', kind: 'ResourceClaim', metadata: { name: 'spy', namespace: 'shop-dev' }, spec: { type: 'postgres' } }) });
    assert.notEqual(refused.code, 0, `${args}: ${refused.all}`);
    assert.match(refused.all, /[Ff]orbidden/, refused.all);
  }
  const changed = await as(eve, ['patch', 'resourceclass', 'postgres', '--type=merge', '-p', '{"spec":{"reclaimPolicy":"Retain"}}']);
  assert.match(changed.all, /[Ff]orbidden/);
  const outside = await as(ann, ['create', '-f', '-'], { input: JSON.stringify({ apiVersion: 'mainstay.dev/v1', kind: 'ResourceClaim', metadata: { name: 'db', namespace: 'shop' }, spec: { type: 'postgres' } }) });
  assert.match(outside.all, /no environment of a team/);
});

test('a class that is not there is refused with what there is', async () => {
  const made = await as(ann, ['create', '-f', '-'], { input: JSON.stringify({ apiVersion: 'mainstay.dev/v1', kind: 'ResourceClaim', metadata: { name: 'odd', namespace: 'shop-dev' }, spec: { type: 'mainframe' } }) });
  assert.equal(made.code, 0, made.all);
  const failed = await until('the refusal', async () => { const c = await claimOf('odd'); return c.status?.phase === 'Failed' && c; });
  assert.match(failed.status.conditions[0].message, /no class provides type "mainframe".*postgres/);
  await m.kubectlOk(['delete', 'resourceclaim', 'odd', '-n', 'shop-dev']);
});

test('what goes is deleted in dev and kept in prod', { timeout: 120000 }, async () => {
  await claim('shop-dev', 'scratch', { type: 'postgres' }, ann);
  await claim('shop-prod', 'orders', { type: 'postgres' }, ann);
  assert.equal((await claimOf('orders', 'shop-prod')).status.reclaimPolicy, 'Retain');
  const scratch = await secretOf('scratch'), orders = await secretOf('orders', 'shop-prod');
  for (const c of [scratch, orders]) assert.equal((await psql(c, 'CREATE TABLE t AS SELECT 7 AS n')).code, 0);
  await m.kubectlOk(['delete', 'resourceclaim', 'scratch', '-n', 'shop-dev', '--timeout=60s'], { timeout: 70000 });
  await m.kubectlOk(['delete', 'resourceclaim', 'orders', '-n', 'shop-prod', '--timeout=60s'], { timeout: 70000 });
  for (const c of [scratch, orders]) assert.notEqual((await psql(c, 'SELECT 1')).code, 0, 'the role can still sign in');
  await until('its Secret to go', async () => (await m.kubectl(['get', 'secret', 'orders', '-n', 'shop-prod'])).code !== 0);
  await claim('shop-dev', 'scratch', { type: 'postgres' }, ann);
  await claim('shop-prod', 'orders', { type: 'postgres' }, ann);
  assert.notEqual((await psql(await secretOf('scratch'), 'SELECT n FROM t')).code, 0, 'deleted with the claim');
  assert.equal((await psql(await secretOf('orders', 'shop-prod'), 'SELECT n FROM t')).stdout.trim(), '7', 'found again by the same name');
});

test('a Redis of one\'s own keeps what it was told', { timeout: 120000 }, async () => {
  await claim('shop-dev', 'cache', { type: 'redis' }, ann);
  await claim('bank-dev', 'cache', { type: 'redis' }, eve);
  const c = await secretOf('cache'), other = await secretOf('cache', 'bank-dev');
  const redis = async (where, args, password = where.password) => (await run('redis-cli', ['-h', where.host, '-p', where.port, '--no-auth-warning', ...args], { env: { REDISCLI_AUTH: password } })).stdout.trim();
  assert.notEqual(c.port, other.port);
  assert.equal(await redis(c, ['set', 'k', 'v']), 'OK');
  assert.match(await redis(other, ['get', 'k'], c.password), /WRONGPASS|NOAUTH/);
  for (const args of [['config', 'get', 'dir'], ['shutdown'], ['acl', 'list'], ['replicaof', '127.0.0.1', '1'], ['module', 'list'], ['migrate', '127.0.0.1', '1', 'k', '0', '100']])
    assert.match(await redis(c, args), /NOPERM/, args.join(' '));
  const pid = async () => Number((await redis(c, ['info', 'server'])).match(/process_id:(\d+)/)?.[1]);
  const before = await pid();
  process.kill(before, 'SIGKILL');
  await until('another Redis', async () => { const now = await pid().catch(() => 0); return now && now !== before; }, { limit: 60000 });
  assert.equal(await redis(c, ['get', 'k']), 'v');
  const place = ['cache', '--team', 'shop', '--env', 'dev'];
  const saved = (await m.cliOk(['resource', 'backup', ...place])).stdout.trim();
  assert.equal(await redis(c, ['set', 'k', 'after']), 'OK');
  assert.equal(await redis(c, ['set', 'new', '1']), 'OK');
  assert.equal((await m.cli(['resource', 'restore', ...place, '--backup', '20000101T000000Z'])).code, 4);
  await m.cliOk(['resource', 'restore', ...place, '--backup', saved], { timeout: 60000 });
  assert.equal(await redis(c, ['get', 'k']), 'v');
  assert.equal(await redis(c, ['exists', 'new']), '0');
  assert.match((await m.cliOk(['resource', 'describe', ...place])).stdout, new RegExp(`Backup:\\s+${saved}`));
  assert.equal(await redis(other, ['ping']), 'PONG');
  await m.kubectlOk(['delete', 'resourceclaim', 'cache', '-n', 'shop-dev', '--timeout=60s'], { timeout: 70000 });
  assert.equal((await run('redis-cli', ['-h', c.host, '-p', c.port, 'ping'])).code, 1);
  assert.equal(await redis(other, ['ping']), 'PONG');
});

test('a volume outlives its pods, and is deleted with its claim when nothing uses it', { timeout: 120000 }, async () => {
  const pvc = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'data', namespace: 'default' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } };
  const pod = (name, script) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default' }, spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 0, volumes: [{ name: 'd', persistentVolumeClaim: { claimName: 'data' } }],
    containers: [{ name: 'c', image: `${m.listen}/library/python:3.11-postgres`, command: ['sh', '-c', script], volumeMounts: [{ name: 'd', mountPath: '/data' }] }] } });
  const apply = (object) => m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify(object) });
  const ended = (name) => until(`pod ${name}`, async () => ['Succeeded', 'Failed'].includes((await m.json(['get', 'pod', name])).status.phase), { limit: 60000 });
  await apply(pvc);
  await apply(pod('writer', 'echo kept > /data/file'));
  await ended('writer');
  await m.kubectlOk(['delete', 'pod', 'writer']);
  await apply(pod('reader', 'cat /data/file; sleep 300'));
  await until('the file', async () => (await m.kubectl(['logs', 'reader'])).stdout.includes('kept'), { limit: 60000 });
  const { uid } = (await m.json(['get', 'pvc', 'data'])).metadata;
  assert.equal((await m.json(['get', 'pvc', 'data'])).status.phase, 'Bound');
  await m.kubectlOk(['delete', 'pvc', 'data', '--wait=false']);
  assert.equal(readFileSync(join(m.dataDir, 'volumes', uid, 'file'), 'utf8'), 'kept\n', 'a pod still uses it');
  await m.kubectlOk(['delete', 'pod', 'reader', '--timeout=60s'], { timeout: 70000 });
  await until('the claim to go', async () => (await m.kubectl(['get', 'pvc', 'data'])).code !== 0);
  assert.throws(() => readFileSync(join(m.dataDir, 'volumes', uid, 'file')));
  await claim('shop-dev', 'disk', { type: 'volume', params: { size: '2Gi' } }, ann);
  assert.equal((await claimOf('disk')).status.outputs.source, 'disk');
  assert.equal((await claimOf('disk')).status.monthlyCost, '0.20 EUR');
  // What it holds is measured; more than was asked for is said, and taken back when it fits again.
  const file = join(m.dataDir, 'volumes', (await m.json(['get', 'pvc', 'disk', '-n', 'shop-dev'])).metadata.uid, 'file');
  await claim('shop-dev', 'small', { type: 'volume', params: { size: '1Mi' } }, ann);
  const small = join(m.dataDir, 'volumes', (await m.json(['get', 'pvc', 'small', '-n', 'shop-dev'])).metadata.uid, 'file');
  writeFileSync(file, randomBytes(3 << 20));
  writeFileSync(small, randomBytes(3 << 20));
  const over = (kind, name, ns = 'shop-dev') => m.json(['get', kind, name, '-n', ns]).then((o) => o.status.conditions.find((c) => c.type === 'OverCapacity')?.status);
  await until('the volume is too big', async () => await over('pvc', 'small') === 'True' && await over('resourceclaim', 'small') === 'True', { limit: 90000 });
  assert.match((await as(ann, ['get', 'events', '-n', 'shop-dev'])).stdout, /Warning +OverCapacity .*small/);
  assert.equal(await over('resourceclaim', 'disk'), undefined);
  const metrics = (await m.kubectlOk(['get', '--raw', '/metrics/objects'])).stdout;
  assert.match(metrics, /kubelet_volume_stats_used_bytes\{namespace="shop-dev",team="shop",persistentvolumeclaim="small"\} 31\d{5}/);
  assert.match(metrics, /mainstay_claim_limit_bytes\{namespace="shop-dev",team="shop",claim="small",type="volume"\} 1048576/);
  writeFileSync(small, '');
  await until('it fits', async () => await over('resourceclaim', 'small') === 'False', { limit: 90000 });
  assert.match((await as(eve, ['get', 'pvc', 'disk', '-n', 'shop-dev'])).all, /[Ff]orbidden/);
});

test('a workload that goes takes its claims along', { timeout: 120000 }, async () => {
  await m.kubectlOk(['delete', 'deployment', 'guestbook', '-n', 'shop-dev', '--timeout=60s'], { timeout: 70000 });
  await until('the claim to go', async () => (await m.kubectl(['get', 'resourceclaim', 'guestbook-db', '-n', 'shop-dev'])).code !== 0, { limit: 60000 });
});
