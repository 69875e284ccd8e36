// A database is brought back to a moment: PostgreSQL's own base backups and its log, replayed by a server of a moment that is
// gone afterwards. Other databases of the server go on as they are. psql is the client.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { Mainstay, run, until, join, sleep } from './lib/mainstay.mjs';

let m;
const place = ['--team', 'shop', '--env', 'dev'];
const at = (...parts) => join(m.dataDir, ...parts);

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.cliOk(['team', 'create', 'shop']);
  for (const name of ['orders', 'stock']) await claim(name);
}, { timeout: 120000 });
after(async () => { await m?.down(); });

async function claim(name, type = 'postgres') {
  await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'mainstay.dev/v1', kind: 'ResourceClaim', metadata: { name, namespace: 'shop-dev' }, spec: { type } }) });
  await m.kubectlOk(['wait', '--for=condition=Ready', `resourceclaim/${name}`, '-n', 'shop-dev', '--timeout=60s'], { timeout: 70000 });
}
const secretOf = async (name) => Object.fromEntries(
  Object.entries((await m.json(['get', 'secret', name, '-n', 'shop-dev'])).data).map(([k, v]) => [k, Buffer.from(v, 'base64').toString()]));
async function psql(name, sql) {
  const c = await secretOf(name);
  const done = await run('psql', ['-X', '-A', '-t', '-q', '-w', '-v', 'ON_ERROR_STOP=1', '-c', sql], { env: { PGHOST: c.host, PGPORT: c.port, PGDATABASE: c.name,
    PGUSER: c.username, PGPASSWORD: c.password, PGSSLMODE: 'verify-full', PGSSLROOTCERT: at('ca.crt') } });
  if (done.code !== 0) throw new Error(done.all);
  return done.stdout.trim();
}
const restore = (name, moment) => m.cli(['resource', 'restore', name, '--to-time', moment, ...place], { timeout: 120000 });
// By the database's own clock, as RFC 3339 with microseconds.
const now = (name) => psql(name, `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`);
// Processes of a server of a moment, by the folder that they see as /mnt.
const recovering = () => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
  try { return readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(`${m.dataDir}/postgres-recovery`); } catch { return false; }
});
const firstBase = () => until('a base backup', () => existsSync(at('backups/postgres-base')) && readdirSync(at('backups/postgres-base')).some((n) => !n.includes('.')), { limit: 90000 });
const window = () => until('the window', async () => (await m.json(['get', 'resourceclaim', 'orders', '-n', 'shop-dev'])).status.pointInTime, { limit: 90000, every: 300 });

let before_the_mistake;
test('a mistake is undone, and the other database of the server stays as it is', { timeout: 240000 }, async () => {
  await firstBase();
  await psql('orders', `CREATE TABLE t AS SELECT n, 'order ' || n AS what FROM generate_series(1, 1000) n; CREATE INDEX ON t (n)`);
  await psql('stock', 'CREATE TABLE s AS SELECT 1 AS n');
  before_the_mistake = await now('orders');
  await psql('orders', 'DELETE FROM t WHERE n > 10');
  await psql('orders', 'DROP TABLE t');
  await psql('stock', 'INSERT INTO s VALUES (2)');
  const done = await restore('orders', before_the_mistake);
  assert.equal(done.code, 0, done.all);
  assert.ok(done.stdout.includes(before_the_mistake), done.stdout);
  assert.equal(await psql('orders', 'SELECT count(*), max(what) FROM t WHERE n > 10'), '990|order 999');
  assert.equal(await psql('orders', `SELECT count(*) FROM pg_indexes WHERE tablename = 't'`), '1');
  assert.equal(await psql('stock', 'SELECT count(*) FROM s'), '2', 'another database went back');
  await psql('orders', 'INSERT INTO t VALUES (1001)');
  assert.deepEqual(recovering(), [], 'the server of the moment still runs');
  assert.ok(!existsSync(at('postgres-recovery')) && !existsSync(at('backups/postgres', (await secretOf('orders')).name, 'moment.part')));
});

test('a moment after a restore, and one before it, can both be had', { timeout: 240000 }, async () => {
  const after_the_restore = await now('orders');
  await psql('orders', 'TRUNCATE t');
  assert.equal((await restore('orders', after_the_restore)).code, 0);
  assert.equal(await psql('orders', 'SELECT count(*) FROM t'), '1001');
  assert.equal((await restore('orders', before_the_mistake)).code, 0);
  assert.equal(await psql('orders', 'SELECT count(*) FROM t'), '1000');
  // "Now" is a moment, too: what was committed by then is there though nothing was written since.
  await psql('orders', 'DELETE FROM t WHERE n > 500');
  const written = await restore('orders', new Date().toISOString());
  assert.equal(written.code, 0, written.all);
  assert.equal(await psql('orders', 'SELECT count(*) FROM t'), '500');
});

test('what cannot be had is refused with what can', { timeout: 120000 }, async () => {
  const { earliest } = await window();
  // A whole second, so that what is shown can be asked for: the next one after the base backup.
  assert.ok(Date.parse(earliest) < Date.parse(before_the_mistake) + 1000, earliest);
  assert.match((await m.cliOk(['resource', 'describe', 'orders', ...place])).stdout, new RegExp(`Point in time:\\s+${earliest} to now`));
  for (const [moment, says] of [['2020-01-01T00:00:00Z', new RegExp(`spec.toTime: 2020-.* is out of reach; choose a moment from ${earliest} to now`)],
    ['2250-01-01T00:00:00Z', /spec.toTime: .* is in the future/], ['yesterday', /spec.toTime: "yesterday" is no time as in RFC 3339/],
    [`2026-01-01T00:00:00Z' x='`, /is no time/]]) {
    const refused = await restore('orders', moment);
    assert.notEqual(refused.code, 0, moment);
    assert.match(refused.all, says);
  }
  assert.match((await m.cli(['resource', 'restore', 'orders', ...place])).all, /--backup/);
  assert.notEqual((await m.cli(['resource', 'restore', 'orders', '--backup', 'x', '--to-time', earliest, ...place])).code, 0);
  const raw = (body) => m.kubectl(['create', '--raw', '/apis/mainstay.dev/v1/namespaces/shop-dev/resourceclaims/orders/restore', '-f', '-'], { input: body });
  for (const body of ['{}', '{"spec": {"backup": "a", "toTime": "b"}}', '[']) assert.match((await raw(body)).all, /the body is/);
  await claim('cache', 'redis');
  assert.match((await restore('cache', earliest)).all, /cannot be brought back to a moment; name a backup/);
  await claim('late');
  assert.match((await restore('late', before_the_mistake)).all, /the database was not there at that moment/);
  assert.equal(await psql('orders', 'SELECT count(*) FROM t'), '500');
});

test('two restores at once do not meet', { timeout: 120000 }, async () => {
  const moment = await now('orders');
  const all = await Promise.all([restore('orders', moment), restore('orders', moment), restore('stock', moment)]);
  assert.ok(all.some((r) => r.code === 0), all.map((r) => r.all).join());
  for (const refused of all.filter((r) => r.code !== 0)) assert.match(refused.all, /wait for its end/);
  assert.equal(await psql('orders', 'SELECT count(*) FROM t'), '500');
});

test('kill -9 in the middle leaves the old data or the new', { timeout: 400000 }, async () => {
  await psql('orders', 'TRUNCATE t; INSERT INTO t SELECT n FROM generate_series(1, 20000) n');
  const full = await now('orders');
  await psql('orders', 'DELETE FROM t WHERE n > 7');
  let halfway = 0;
  for (const pause of [0, 150, 400, 800, 1200]) {
    const going = restore('orders', full);
    await Promise.race([until('it has begun', () => existsSync(at('postgres-recovery/data')), { limit: 30000, every: 5 }), going]);
    await sleep(pause);
    if (existsSync(at('postgres-recovery'))) halfway++;
    await m.kill9();
    await going;
    await until('the server of the moment dies with Mainstay', () => recovering().length === 0, { limit: 15000 });
    await m.start();
    await until('nothing of it is left', () => !existsSync(at('postgres-recovery')), { limit: 30000 });
    const rows = Number(await until('the database answers', () => psql('orders', 'SELECT count(*) FROM t'), { limit: 30000 }));
    assert.ok(rows === 7 || rows === 20000, `${rows} rows`);
    await until('the claim is ready', async () => (await m.json(['get', 'resourceclaim', 'orders', '-n', 'shop-dev'])).status.phase === 'Ready');
    await until('the halves are gone', async () => await psql('orders', `SELECT count(*) FROM pg_database WHERE datname ~ '_(new|old)$'`) === '0', { limit: 30000 });
  }
  assert.ok(halfway >= 2, `${halfway} kills met a server of a moment`);
  assert.equal((await restore('orders', full)).code, 0);
  assert.equal(await psql('orders', 'SELECT count(*) FROM t'), '20000');
});

test('what was deleted by mistake is had again by a claim of the same name', { timeout: 120000 }, async () => {
  const moment = await now('orders');
  await m.kubectlOk(['delete', 'resourceclaim', 'orders', '-n', 'shop-dev', '--timeout=60s'], { timeout: 70000 });
  await claim('orders');
  await assert.rejects(psql('orders', 'SELECT 1 FROM t'));
  const done = await restore('orders', moment);
  assert.equal(done.code, 0, done.all);
  assert.equal(await psql('orders', 'SELECT count(*) FROM t'), '20000');
});

test('the log is root\'s and the server\'s alone, and nothing of it is in ours', async () => {
  for (const folder of ['backups/postgres-wal', 'backups/postgres-base']) assert.equal(statSync(at(folder)).mode & 0o077, 0, folder);
  const { password } = await secretOf('orders');
  assert.ok(!m.log.includes(password));
  assert.equal((await m.cli(['status'])).code, 0);
});
