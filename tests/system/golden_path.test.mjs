// The main job: a push serves traffic; a second push under constant load loses no request; what was built is proven.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Mainstay, run, until, sleep, join } from './lib/mainstay.mjs';

let m, work;
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage();
  await m.cliOk(['team', 'create', 'demo']);
  await m.cliOk(['repo', 'create', 'hello', '--team', 'demo']);
  work = await m.workTree('demo', 'hello', { from: 'examples/hello' });
}, { timeout: 300000 });
after(async () => { await m?.down(); });

test('a pushed commit serves traffic over TLS', { timeout: 180000 }, async () => {
  await work.commit('First');
  const pushed = await work.push();
  assert.equal(pushed.code, 0, pushed.all);
  for (const phase of ['build', 'scan', 'attest', 'deploy']) assert.match(pushed.stderr, new RegExp(`remote:.*${phase}`), pushed.stderr);
  assert.match(pushed.stderr, /https:\/\/hello\.dev\.demo\.localhost:\d+/);
  const answer = await m.edge('hello.dev.demo.localhost');
  assert.equal(answer.code, 0, answer.all);
  assert.match(answer.stdout, /Hello from Mainstay/);
  const head = (await work.git('rev-parse', 'HEAD')).stdout.trim();
  assert.ok(answer.stdout.includes(head.slice(0, 12)), `the answer names its commit: ${answer.stdout}`);
});

test('the run says what happened, phase by phase', async () => {
  const runs = (await m.json(['get', 'workflowruns', '-n', 'demo'])).items;
  assert.equal(runs.length, 1);
  assert.equal(runs[0].status.phase, 'Succeeded');
  assert.match(runs[0].status.images[0].digest, /^sha256:/);
  assert.ok(runs[0].status.images[0].sbom && runs[0].status.images[0].provenance);
  assert.ok(runs[0].status.jobs[0].steps.every((s) => s.phase === 'Succeeded'), JSON.stringify(runs[0].status.jobs));
});

test('the push is recorded in the Repository', async () => {
  const repository = await m.json(['get', 'repository', 'hello', '-n', 'demo']);
  const head = (await work.git('rev-parse', 'HEAD')).stdout.trim();
  assert.equal(repository.status.refs['refs/heads/main'].sha, head);
  assert.equal(repository.status.refs['refs/heads/main'].pushedBy, 'admin');
});

test('a second push is live, and not one request fails while it rolls out', { timeout: 180000 }, async () => {
  const host = 'hello.dev.demo.localhost';
  let stop = false, good = 0;
  const bad = [], seen = new Set();
  const load = async () => {
    while (!stop) {
      const answer = await m.edge(host);
      if (answer.code === 0 && /^Hello/.test(answer.stdout)) { good++; seen.add(answer.stdout.split(' (')[0]); } else bad.push(answer.all);
    }
  };
  const loads = [load(), load(), load()];
  try {
    work.write('app.py', work.read('app.py').replace('Hello from Mainstay', 'Hello again'));
    await work.commit('Greet again');
    const pushed = await work.push();
    assert.equal(pushed.code, 0, pushed.all);
    await until('the new greeting', async () => (await m.edge(host)).stdout.startsWith('Hello again'));
    await sleep(1500);
  } finally {
    stop = true;
    await Promise.all(loads);
  }
  assert.deepEqual(bad, [], `${bad.length} of ${good + bad.length} requests failed`);
  assert.ok(good > 20, `only ${good} requests were made`);
  assert.ok(seen.has('Hello again'));
});

test('the output is kept and found by workload, time and word', async () => {
  const found = await until('the request in the logs', async () => {
    const logs = await m.cliOk(['logs', 'hello', '--team', 'demo', '--env', 'dev', '--since', '10m', '--grep', 'GET /']);
    return logs.stdout.includes('GET /') && logs.stdout;
  });
  assert.ok(!found.includes('listening on'), 'grep leaves other lines out');
});

test('the log of a pod that is gone is still there', async () => {
  const pods = (await m.json(['get', 'pods', '-n', 'demo-dev', '-l', 'app.kubernetes.io/name=hello'])).items.map((p) => p.metadata.name);
  const logs = await m.cliOk(['logs', 'hello', '--team', 'demo', '--env', 'dev', '--since', '10m', '--grep', 'listening', '-o', 'json']);
  const names = new Set(logs.stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line).pod));
  assert.ok([...names].some((name) => !pods.includes(name)), `logs of ${[...names]}, pods now ${pods}`);
});

test('the image carries an SBOM and provenance as referrers', async () => {
  const [image] = (await m.json(['get', 'workflowruns', '-n', 'demo'])).items[0].status.images;
  const token = await m.token('admin');
  const answer = await run('curl', ['-sS', '--cacert', join(m.dataDir, 'ca.crt'), '-u', `admin:${token}`, `${m.url}/v2/demo/hello/referrers/${image.digest}`]);
  const types = JSON.parse(answer.stdout).manifests.map((d) => d.artifactType);
  assert.ok(types.includes('application/spdx+json'), answer.stdout);
  assert.ok(types.some((t) => t.startsWith('application/vnd.dev.sigstore.bundle')), answer.stdout);
});

test('status lists the seven capabilities, and what is lost without the absent ones', async () => {
  const status = await m.cli(['status']);
  for (const title of ['Identity', 'General developer tools', 'Cloud', 'Dynamic compute', 'Ingress', 'Observability', 'provenance'])
    assert.match(status.stdout, new RegExp(title), status.all);
  assert.equal(status.code, 0, status.all);
});
