// What people do with claims besides making them: settings that are wrong, classes that come and go, credentials made anew,
// volumes that grow, quotas that are in the way. The servers and clients are the real ones.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { Mainstay, binary, run, until, join } from './lib/mainstay.mjs';

let m;
const ns = 'shop-dev';
before(async () => {
  m = await Mainstay.create();
  // At first on a machine without PostgreSQL: its folder is hidden from this process alone.
  const nothing = join(m.dataDir, 'nothing'), program = join(m.dataDir, 'without-postgres');
  mkdirSync(nothing);
  writeFileSync(program, `#!/bin/sh\nexec unshare --mount --propagation private sh -c 'mount --bind "$0" /usr/lib/postgresql && exec "$@"' ${nothing} ${binary} "$@"\n`, { mode: 0o755 });
  m.program = program;
  await m.start();
  await m.login();
  await m.cliOk(['team', 'create', 'shop', '--env', 'dev', '--env', 'prod']);
}, { timeout: 120000 });
after(async () => { await m?.down(); });

const apply = (object) => m.kubectl(['apply', '-f', '-'], { input: JSON.stringify(object) });
const claim = (name, spec) => apply({ apiVersion: 'mainstay.dev/v1', kind: 'ResourceClaim', metadata: { name, namespace: ns }, spec });
const cls = (name, spec) => apply({ apiVersion: 'mainstay.dev/v1', kind: 'ResourceClass', metadata: { name }, spec });
const get = (kind, name) => m.json(['get', kind, name, '-n', ns]);
const message = (object) => object.status?.conditions?.find((c) => c.type === 'Ready')?.message ?? '';
const reaches = (name, phase, says) => until(`${name} is ${phase}`, async () => {
  const c = await get('claim', name);
  return c.status?.observedGeneration === c.metadata.generation && c.status.phase === phase && (!says || says.test(message(c))) && c;
}, { limit: 60000 });
const secretOf = async (name) => Object.fromEntries(Object.entries((await get('secret', name)).data).map(([k, v]) => [k, Buffer.from(v, 'base64').toString()]));
const psql = (c, sql) => run('psql', ['-X', '-A', '-t', '-w', '-v', 'ON_ERROR_STOP=1', '-c', sql], { env: { PGHOST: c.host, PGPORT: c.port, PGDATABASE: c.name, PGUSER: c.username,
  PGPASSWORD: c.password, PGSSLMODE: 'verify-full', PGSSLROOTCERT: join(m.dataDir, 'ca.crt') } });
const redis = async (c, ...args) => (await run('redis-cli', ['-h', c.host, '-p', c.port, '--no-auth-warning', ...args], { env: { REDISCLI_AUTH: c.password } })).stdout.trim();

test('a server that is not installed is said, and the claim comes with it', { timeout: 120000 }, async () => {
  assert.equal((await claim('early', { type: 'postgres' })).code, 0);
  await reaches('early', 'Pending', /there is no PostgreSQL server here: apt-get install postgresql-15/);
  await m.stop();
  m.program = undefined;
  await m.start();
  await reaches('early', 'Ready');
  assert.equal((await psql(await secretOf('early'), 'SELECT 1')).stdout.trim(), '1');
});

test('settings that are wrong are refused with what is right, and mended in place', { timeout: 180000 }, async () => {
  for (const [name, type, params, says, right] of [
    ['db', 'postgres', { conections: 5 }, /params.conections is not known here; there is: connections/, { conections: null, connections: 7 }],
    ['much', 'postgres', { connections: '40' }, /params.connections must be a number from 1 to 100/, { connections: 40 }],
    ['cache', 'redis', { memoryMiB: 4 }, /params.memoryMiB must be a number from 8 to 1024/, { memoryMiB: 16 }],
    ['disk', 'volume', { size: '-1Gi' }, /params.size is not a quantity, as 5Gi/, { size: '1Gi' }],
    ['files', 's3', { quota: 5 }, /params.quota is not a quantity, as 5Gi/, { quota: '5Gi' }],
  ]) {
    assert.equal((await claim(name, { type, params })).code, 0);
    await reaches(name, 'Failed', says);
    await m.kubectlOk(['patch', 'claim', name, '-n', ns, '--type=merge', '-p', JSON.stringify({ spec: { params: right } })]);
    await reaches(name, 'Ready');
  }
  const db = await secretOf('db');
  assert.equal((await psql(db, 'SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user')).stdout.trim(), '7');
  assert.equal(await redis(await secretOf('cache'), 'info', 'memory').then((t) => /maxmemory:(\d+)/.exec(t)[1]), String(16 << 20));
  assert.equal((await get('bucket', 'files')).spec.quota, '5Gi');
  const wrong = await claim('db', { type: 'redis' });
  assert.match(wrong.all, /spec.type.*cannot be changed; make another claim/);
  assert.match((await m.cli(['resource', 'backup', 'files', '--team', 'shop', '--env', 'dev'])).all, /resources of this class have no backups/);
});

test('a restore leaves the settings as they were', { timeout: 60000 }, async () => {
  const place = ['--team', 'shop', '--env', 'dev'], db = await secretOf('db');
  const backup = (await m.cliOk(['resource', 'backup', 'db', ...place])).stdout.trim();
  await m.cliOk(['resource', 'restore', 'db', '--backup', backup, ...place]);
  assert.equal((await psql(db, 'SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user')).stdout.trim(), '7');
});

test('credentials are made anew when their Secret is deleted; the old ones are worth nothing, the data stays', { timeout: 120000 }, async () => {
  const before = { db: await secretOf('db'), cache: await secretOf('cache') };
  assert.equal((await psql(before.db, 'CREATE TABLE t AS SELECT 42 AS n')).code, 0);
  assert.equal(await redis(before.cache, 'set', 'k', 'v'), 'OK');
  const now = {};
  for (const name of ['db', 'cache']) {
    await m.kubectlOk(['delete', 'secret', name, '-n', ns]);
    now[name] = await until(`a new Secret ${name}`, async () => { const s = await secretOf(name).catch(() => null); return s && s.password !== before[name].password && s; }, { limit: 60000 });
  }
  assert.match((await psql(before.db, 'SELECT 1')).stderr, /authentication failed/);
  assert.equal((await psql(now.db, 'SELECT n FROM t')).stdout.trim(), '42');
  assert.match(await redis(before.cache, 'get', 'k'), /WRONGPASS|NOAUTH/);
  assert.equal(await until('Redis', async () => await redis(now.cache, 'get', 'k')), 'v');
});

test('a class may come later, and go: what it provided stays', { timeout: 120000 }, async () => {
  assert.equal((await claim('first', { type: 'queue' })).code, 0);
  await reaches('first', 'Failed', /no class provides type "queue" in the environment "dev" \(types there: postgres, redis, s3, volume\)/);
  assert.equal((await cls('queue-prod', { type: 'queue', driver: 'redis', environments: ['prod'] })).code, 0);
  await reaches('first', 'Failed', /no class provides type "queue"/);
  assert.equal((await cls('queue', { type: 'queue', driver: 'nothing' })).code, 0);
  await reaches('first', 'Failed', /class queue names the driver "nothing", which is not here \(there are: postgres, redis, s3, terraform, volume\)/);
  assert.equal((await cls('queue', { type: 'queue', driver: 'redis', parameters: { memoryMiB: 8 } })).code, 0);
  await reaches('first', 'Ready');
  const c = await secretOf('first');
  await m.kubectlOk(['delete', 'resourceclass', 'queue', 'queue-prod']);
  await m.kubectlOk(['annotate', 'claim', 'first', '-n', ns, 'look=again']);
  await m.kubectlOk(['delete', 'secret', 'first', '-n', ns]);
  const anew = await until('a new Secret', async () => { const s = await secretOf('first').catch(() => null); return s && s.password !== c.password && s; }, { limit: 60000 });
  assert.match(await until('Redis', () => redis(anew, 'info', 'memory')), /maxmemory:8388608\r/, 'its settings hold on');
  assert.equal((await claim('second', { type: 'queue' })).code, 0);
  await reaches('second', 'Failed', /no class provides/);
  assert.equal((await claim('named', { type: 'postgres', class: 'postgres-prod' })).code, 0);
  await reaches('named', 'Failed', /class postgres-prod is not for the environment "dev"/);
  await m.kubectlOk(['delete', 'claim', 'first', 'second', 'named', '-n', ns, '--timeout=60s'], { timeout: 70000 });
  assert.notEqual((await run('redis-cli', ['-h', c.host, '-p', c.port, 'ping'])).stdout.trim(), 'PONG');
});

test('a volume grows within its quota, and does not shrink', { timeout: 120000 }, async () => {
  const size = (value) => m.kubectlOk(['patch', 'claim', 'disk', '-n', ns, '--type=merge', '-p', JSON.stringify({ spec: { params: { size: value } } })]);
  const held = async () => (await get('pvc', 'disk')).spec.resources.requests.storage;
  await size('2Gi');
  await reaches('disk', 'Ready');
  assert.equal(await held(), '2Gi');
  await size('1Gi');
  await reaches('disk', 'Failed', /params.size: the volume has 2Gi, and a volume does not shrink/);
  await size('2Gi');
  await reaches('disk', 'Ready');
  // What its class asks for is for volumes to come.
  const roomy = { type: 'room', driver: 'volume', parameters: { size: '2Gi' } };
  assert.equal((await cls('room', roomy)).code, 0);
  assert.equal((await claim('roomy', { type: 'room' })).code, 0);
  await reaches('roomy', 'Ready');
  assert.equal((await cls('room', { ...roomy, parameters: { size: '1Gi' } })).code, 0);
  await m.kubectlOk(['annotate', 'claim', 'roomy', '-n', ns, 'look=again']);
  await until('the smaller class', async () => (await reaches('roomy', 'Ready')).status.parameters.size === '1Gi');
  assert.equal((await get('pvc', 'roomy')).spec.resources.requests.storage, '2Gi');
  await m.kubectlOk(['delete', 'claim', 'roomy', '-n', ns, '--timeout=60s'], { timeout: 70000 });
  await until('its end', async () => (await m.kubectl(['get', 'pvc', 'roomy', '-n', ns])).code !== 0);
  assert.equal((await apply({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'team', namespace: ns }, spec: { hard: { 'requests.storage': '3Gi' } } })).code, 0);
  await until('the quota', async () => (await get('resourcequota', 'team')).status?.used?.['requests.storage'] === '2Gi');
  const says = /exceeded quota: team, requested: requests.storage=\d+Gi, used: requests.storage=2Gi, limited: requests.storage=3Gi; free some, or ask the platform team for more/;
  await size('5Gi');
  await reaches('disk', 'Pending', says);
  assert.match((await m.kubectl(['patch', 'pvc', 'disk', '-n', ns, '--type=merge', '-p', '{"spec": {"resources": {"requests": {"storage": "9Gi"}}}}'])).all, says);
  assert.equal((await claim('another', { type: 'volume', params: { size: '4Gi' } })).code, 0);
  await reaches('another', 'Pending', says);
  await size('3Gi');
  await reaches('disk', 'Ready');
  assert.equal(await held(), '3Gi');
  await m.kubectlOk(['delete', 'resourcequota', 'team', '-n', ns]);
  await reaches('another', 'Ready');
  assert.equal((await apply({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'team', namespace: ns }, spec: { hard: { 'count/resourceclaims.mainstay.dev': '1' } } })).code, 0);
  const over = await until('the quota', async () => { const r = await claim('too-many', { type: 'redis' }); return r.code !== 0 && r; });
  assert.match(over.all, /exceeded quota: team, requested: count\/resourceclaims.mainstay.dev=1, used: .*; free some, or ask the platform team for more/);
});
