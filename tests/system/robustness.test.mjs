// Crash-only: kill -9 in the midst of things, restarts, a full disk, taken ports, and nothing left behind.
import { test, after } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { Mainstay, run, until, sleep, smallDisk, binary } from './lib/mainstay.mjs';

const started = [];
async function fresh(options) {
  const m = await Mainstay.create(options);
  started.push(m);
  return m;
}
after(async () => { for (const m of started) await m.down(); });

async function withHello(m) {
  await m.start();
  await m.login();
  await m.baseImage();
  await m.cliOk(['team', 'create', 'demo']);
  await m.cliOk(['repo', 'create', 'hello', '--team', 'demo']);
  return m.workTree('demo', 'hello', { from: 'examples/hello' });
}

// After a crash everything must come to the state that the last acknowledged push asks for.
async function settles(m, work, greeting) {
  try {
    await settled(m, work, greeting);
  } catch (error) {
    // What a developer would look at first.
    const state = await m.kubectl(['get', 'pods,replicasets,deployments,workflowruns,endpointslices', '-A', '-o', 'wide']);
    const events = await m.kubectl(['get', 'events', '-A']);
    const runs = (await m.json(['get', 'workflowruns', '-n', 'demo'])).items.filter((r) => r.status?.phase === 'Failed');
    throw new Error(`${error.message}\n${JSON.stringify(runs.map((r) => r.status.jobs), null, 1)}\n${state.all}\n${events.all.split('\n').slice(-25).join('\n')}\n${m.log.slice(-3000)}`);
  }
}
async function settled(m, work, greeting) {
  const head = (await work.git('rev-parse', 'HEAD')).stdout.trim();
  await until(`${greeting} is served`, async () => (await m.edge('hello.dev.demo.localhost')).stdout.startsWith(greeting), { limit: 60000, every: 200 });
  await until('no run is stuck', async () => {
    const runs = (await m.json(['get', 'workflowruns', '-n', 'demo'])).items;
    return runs.every((r) => ['Succeeded', 'Failed', 'Cancelled'].includes(r.status?.phase)) && runs.some((r) => r.spec.commit === head && r.status.phase === 'Succeeded');
  }, { limit: 60000, every: 200 });
}

test('kill -9 at any instant of a push: nothing acknowledged is lost, nothing is stuck, containers serve on', { timeout: 420000 }, async () => {
  const m = await fresh();
  const work = await withHello(m);
  await work.commit('First');
  assert.equal((await work.push()).code, 0);
  await settles(m, work, 'Hello from Mainstay');
  for (const [round, delay] of [30, 150, 350, 600, 900].entries()) {
    const greeting = `Round ${round}`;
    work.write('app.py', work.read('app.py').replace(/^GREETING = .*$/m, `GREETING = "${greeting}"`));
    await work.commit(greeting);
    const pushing = work.push();
    await sleep(delay);
    await m.kill9();
    const serving = await m.edge('hello.dev.demo.localhost');
    assert.match(serving.stdout, /^(Hello|Round)/, `the workload serves while Mainstay is dead: ${serving.all}`);
    const pushed = await pushing;
    await m.start();
    // A push that was cut off before its ref moved was never acknowledged: the user pushes again.
    if (pushed.code !== 0) await until('the push goes through', async () => (await work.push()).code === 0, { limit: 60000 });
    await settles(m, work, greeting);
  }
});

test('containers survive a restart and are adopted', { timeout: 60000 }, async () => {
  const m = started[0];
  const before = (await m.json(['get', 'pods', '-n', 'demo-dev', '-l', 'app.kubernetes.io/name=hello'])).items.filter((p) => !p.metadata.deletionTimestamp);
  await m.stop();
  assert.match((await m.edge('hello.dev.demo.localhost')).stdout, /^Round/, 'the edge serves while Mainstay is stopped');
  await m.start();
  const later = (await m.json(['get', 'pods', '-n', 'demo-dev', '-l', 'app.kubernetes.io/name=hello'])).items;
  const same = later.find((p) => p.metadata.uid === before[0].metadata.uid);
  assert.ok(same, 'the pod is still there');
  assert.equal(same.status.containerStatuses[0].restartCount, 0);
  assert.equal(same.status.containerStatuses[0].containerID, before[0].status.containerStatuses[0].containerID);
});

test('down leaves no process, mount, link, namespace or rule', { timeout: 60000 }, async () => {
  const m = started[0];
  const down = await run(binary, ['down', '--data-dir', m.dataDir]);
  assert.equal(down.code, 0, down.all);
  assert.equal((await m.exited).code, 0, 'the program itself is ended, and by no signal that it does not take');
  assert.ok(!(await run('cat', ['/proc/self/mounts'])).stdout.includes(m.dataDir), 'mounts');
  assert.ok(!(await run('ip', ['link'])).stdout.includes(m.bridge), 'links');
  assert.ok(!(await run('nft', ['list', 'tables'])).stdout.includes('mainstay'), 'firewall rules');
  const processes = (await run('sh', ['-c', `grep -l -a -- '${m.dataDir}' /proc/[0-9]*/cmdline 2>/dev/null || true`])).stdout.trim().split('\n').filter((p) => p && !p.includes(`/${process.pid}/`));
  const alive = [];
  for (const p of processes) { const c = (await run('sh', ['-c', `tr '\\0' ' ' < ${p}`])).stdout; if (c && !c.startsWith('sh -c')) alive.push(c); }
  assert.deepEqual(alive, []);
});

test('a taken port is named, with its holder and the mend', { timeout: 30000 }, async () => {
  const m = await fresh();
  const holder = createServer();
  await new Promise((done) => holder.listen(Number(m.https.split(':')[1]), '127.0.0.1', done));
  try {
    const up = await run(binary, ['up', ...m.flags], { timeout: 20000 });
    assert.equal(up.code, 3, up.all);
    assert.match(up.stderr, new RegExp(`port ${m.https} \\(--https\\) is taken by .*pid ${process.pid}`));
    assert.match(up.stderr, /mend: /);
  } finally { holder.close(); }
});

test('a full disk: writes are refused with the reason, nothing acknowledged is lost, and it goes on when there is room', { timeout: 120000 }, async () => {
  const disk = await smallDisk(256);
  try {
    const m = await fresh({ dataDir: disk.folder });
    await m.start();
    await m.login();
    await m.cliOk(['team', 'create', 'shop']);
    await run('sh', ['-c', `head -c 400M /dev/zero > ${disk.folder}/filler`]);
    const kept = [];
    let refused;
    for (let i = 0; i < 400 && !refused; i++) {
      const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `fill-${i}`, namespace: 'shop' }, data: { x: 'y'.repeat(200000) } };
      const made = await m.kubectl(['create', '-f', '-'], { input: JSON.stringify(object) });
      if (made.code === 0) kept.push(`fill-${i}`); else refused = made;
    }
    assert.ok(refused, 'a full disk refuses writes');
    assert.match(refused.stderr, /disk|space|full/i);
    assert.equal((await m.curl('/healthz')).code, 0, 'it still answers');
    await run('rm', [`${disk.folder}/filler`]);
    await m.kubectlOk(['create', 'configmap', 'after', '-n', 'shop']);
    await m.kill9();
    await m.start();
    const names = (await m.json(['get', 'configmaps', '-n', 'shop'])).items.map((c) => c.metadata.name);
    for (const name of [...kept, 'after']) assert.ok(names.includes(name), `${name} was acknowledged`);
    await m.down();
  } finally { await disk.release(); }
});

test('two programs on one data directory: the second says so', { timeout: 60000 }, async () => {
  const m = await fresh();
  await m.start();
  const twin = await Mainstay.create({ dataDir: m.dataDir });
  const up = await run(binary, ['up', ...twin.flags], { timeout: 20000 });
  assert.notEqual(up.code, 0);
  assert.match(up.stderr, /another mainstay already serves/);
});
