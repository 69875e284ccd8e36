// What a workload asks for in score.yaml is there: a PostgreSQL database of its own, which outlives pushes and kills, can
// be backed up and restored, and is nobody else's. The servers and clients are the real ones.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Mainstay, run, until, join } from './lib/mainstay.mjs';

let m, work, ann, eve;
const host = 'guestbook.dev.shop.localhost';

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

test('a workload that goes takes its claims along', { timeout: 120000 }, async () => {
  await m.kubectlOk(['delete', 'deployment', 'guestbook', '-n', 'shop-dev', '--timeout=60s'], { timeout: 70000 });
  await until('the claim to go', async () => (await m.kubectl(['get', 'resourceclaim', 'guestbook-db', '-n', 'shop-dev'])).code !== 0, { limit: 60000 });
});
