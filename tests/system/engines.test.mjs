// kill -9 of Mainstay and of each engine in turn, while writes go on: all returns, and nothing acknowledged is lost.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { Mainstay, until, sleep } from './lib/mainstay.mjs';

let m;
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage();
  await m.cliOk(['team', 'create', 'demo']);
  await m.cliOk(['repo', 'create', 'hello', '--team', 'demo']);
  const work = await m.workTree('demo', 'hello', { from: 'examples/hello' });
  await work.commit('First');
  const pushed = await work.push();
  assert.equal(pushed.code, 0, pushed.all);
  // Engines start on first need: this one brings PostgreSQL, and one brings Redis.
  for (const type of ['postgres', 'redis'])
    await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'mainstay.dev/v1', kind: 'ResourceClaim', metadata: { name: `x-${type}`, namespace: 'demo-dev' }, spec: { type } }) });
  await until('the claims are ready', async () => (await m.json(['get', 'resourceclaims', '-n', 'demo-dev'])).items.every((c) => c.status?.phase === 'Ready'), { limit: 90000, every: 300 });
});
after(async () => { await m?.down(); });

// Programs that Mainstay runs, by name: children of it, and those of its data directory that outlive it. The topmost process
// of each.
function engines() {
  const known = ['haproxy', 'victoria-metrics', 'vmalert', 'prometheus-alertmanager', 'postgres', 'redis-server', 'mainstay'];
  const found = new Map(), parents = new Map();
  const pids = readdirSync('/proc').filter((p) => /^\d+$/.test(p)).map(Number).sort((a, b) => a - b);
  for (const pid of pids) {
    try { parents.set(pid, Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').pop().split(' ')[1])); } catch { /* it has ended */ }
  }
  const below = (pid) => { for (let p = pid; p > 1; p = parents.get(p)) if (p === m.child.pid) return true; return false; };
  for (const pid of pids) {
    try {
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      const name = argv[0].split('/').pop().split(/[ :]/)[0];
      if (pid === m.child.pid || pid === process.pid || !known.includes(name) || found.has(name)) continue;
      if (name === 'mainstay' && !argv.includes('mesh-proxy')) continue;
      if (below(pid) || argv.join(' ').includes(m.dataDir)) found.set(name, pid);
    } catch { /* it has ended */ }
  }
  return found;
}

async function healthy() {
  const status = await m.cli(['status']);
  if (status.code !== 0) return false;
  const served = await m.edge('hello.dev.demo.localhost');
  return served.stdout.startsWith('Hello');
}

test('each engine is killed in turn and returns', { timeout: 300000 }, async () => {
  await until('all is well at first', healthy, { limit: 60000, every: 300 });
  const names = [...engines().keys()];
  for (const expected of ['haproxy', 'postgres', 'victoria-metrics']) assert.ok(names.includes(expected), `${expected} runs: ${names}`);
  const kept = [];
  let writing = true;
  // Objects and secret values are written all the while; what was acknowledged is counted.
  const writer = (async () => {
    for (let i = 0; writing; i++) {
      const made = await m.kubectl(['create', 'configmap', `k${i}`, '-n', 'demo']);
      if (made.code === 0) kept.push(`k${i}`);
      await sleep(50);
    }
  })();
  try {
    for (const name of names) {
      const pid = engines().get(name);
      process.kill(pid, 'SIGKILL');
      await until(`${name} is there again`, () => { const now = engines().get(name); return now && now !== pid; }, { limit: 60000, every: 100 });
      await until(`all is well after the death of ${name}`, healthy, { limit: 60000, every: 300 });
    }
    // Engines that live on hold nothing of Mainstay's own output: whoever reads it, such as a CI, sees its end.
    const closed = Promise.all([m.child.stdout, m.child.stderr].map((stream) => new Promise((done) => { stream.once('close', () => done(true)); })));
    await m.kill9();
    assert.ok(await Promise.race([closed, sleep(10000)]), 'somebody holds the output of a Mainstay that has ended');
    assert.ok(engines().has('haproxy'), 'HAProxy lives on');
    await m.start();
    await until('all is well after the death of Mainstay', healthy, { limit: 60000, every: 300 });
  } finally { writing = false; await writer; }
  const there = new Set((await m.json(['get', 'configmaps', '-n', 'demo'])).items.map((c) => c.metadata.name));
  assert.ok(kept.length > 5, `${kept.length} writes`);
  for (const name of kept) assert.ok(there.has(name), `${name} was acknowledged`);
  await until('the claims are ready again', async () => {
    const claims = (await m.json(['get', 'resourceclaims', '-n', 'demo-dev'])).items;
    if (claims.every((c) => c.status.phase === 'Ready')) return true;
    throw new Error(JSON.stringify(claims.map((c) => c.status.conditions)));
  }, { limit: 60000, every: 300 });
});
