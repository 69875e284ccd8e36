// Delivery: a build goes from dev to prod with somebody else's approval, fails without harm, goes back; DORA's figures.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { Mainstay, run, until, join } from './lib/mainstay.mjs';

let m, work, first, second;
const people = {};
const host = (environment) => `hello.${environment}.demo.localhost`;
// A verb of the command line as somebody.
const as = (who, args) => m.cli(args, { env: { MAINSTAY_CONFIG: people[who], KUBECONFIG: '' } });
const releases = async () => (await m.json(['get', 'releases', '-n', 'demo'])).items;
const release = async (name) => m.json(['get', 'release', name, '-n', 'demo']);
const where = (object, environment) => object.status?.environments?.find((e) => e.name === environment)?.state;
const of = async (commit) => (await releases()).find((r) => r.spec.commit === commit);
const head = async () => (await work.git('rev-parse', 'HEAD')).stdout.trim();
const greeting = async (environment) => (await m.edge(host(environment))).stdout;
async function push(from, to, message) {
  work.write('app.py', work.read('app.py').replace(from, to));
  await work.commit(message);
  const pushed = await work.push();
  assert.ok(pushed.code === 0 && !/FAILED/.test(pushed.all), pushed.all);
  return of(await head());
}

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage();
  for (const user of ['ann', 'ben', 'eve', 'vic']) await m.cliOk(['user', 'create', user, '--email', `${user}@example.org`]);
  await m.cliOk(['team', 'create', 'demo', '--member', 'ann:owner', '--member', 'ben', '--member', 'vic:viewer', '--env', 'dev', '--env', 'prod']);
  await m.cliOk(['team', 'create', 'other', '--member', 'eve:owner']);
  await m.cliOk(['repo', 'create', 'hello', '--team', 'demo']);
  for (const user of ['ann', 'ben', 'eve', 'vic']) people[user] = await m.kubeconfigFor(user, await m.token(user));
  work = await m.workTree('demo', 'hello', { from: 'examples/hello', user: 'ann' });
  // Two environments and a roll-out at once are to fit a small machine.
  work.write('score.yaml', work.read('score.yaml').replaceAll(/cpu: \w+/g, 'cpu: 100m'));
}, { timeout: 300000 });
after(async () => { await m?.down(); });

test('a team has its environments in order; production asks for an approval', async () => {
  const items = await until('the environments', async () => {
    const found = (await m.json(['get', 'environments', '-n', 'demo'])).items;
    return found.length === 2 && found.every((e) => e.status?.namespace) && found;
  });
  const [dev, prod] = items.sort((a, b) => a.spec.order - b.spec.order);
  assert.deepEqual([dev.metadata.name, dev.spec.approvals, dev.status.namespace], ['dev', 0, 'demo-dev']);
  assert.deepEqual([prod.metadata.name, prod.spec.approvals, prod.status.namespace], ['prod', 1, 'demo-prod']);
  const mine = await m.kubectl(['--kubeconfig', people.ann, 'patch', 'environment', 'prod', '-n', 'demo', '--type', 'merge', '-p', '{"spec":{"approvals":0}}']);
  assert.match(mine.stderr, /forbidden/i, 'not even an owner takes the approval away');
});

test('a push makes a release, deployed in dev', { timeout: 180000 }, async () => {
  await work.commit('First');
  const pushed = await work.push();
  assert.equal(pushed.code, 0, pushed.all);
  first = await of(await head());
  assert.ok(first, pushed.all);
  assert.equal(first.spec.author, 'ann');
  assert.match(first.spec.image, /@sha256:[0-9a-f]{64}$/);
  assert.ok(first.spec.provenance && first.spec.configuration.digest && first.spec.configuration.file === 'score.yaml', JSON.stringify(first.spec));
  first = await until('dev', async () => { const r = await release(first.metadata.name); return where(r, 'dev') === 'Deployed' && r; });
  assert.match((await as('vic', ['release', 'list', '--team', 'demo'])).stdout, new RegExp(`${first.metadata.name} .*Deployed`));
});

test('production needs the approval of somebody else, whoever asks', { timeout: 120000 }, async () => {
  const asked = await as('ann', ['release', 'promote', 'hello', '--team', 'demo']);
  assert.equal(asked.code, 0, asked.all);
  assert.match(asked.stdout, /waits/);
  const own = await as('ann', ['release', 'approve', first.metadata.name, '--team', 'demo', '--env', 'prod']);
  assert.notEqual(own.code, 0, own.all);
  assert.match(own.all, /somebody else/);
  for (const who of ['vic', 'eve']) {
    const refused = await as(who, ['release', 'approve', first.metadata.name, '--team', 'demo', '--env', 'prod']);
    assert.equal(refused.code, 5, `${who}: ${refused.all}`);
  }
  assert.equal(where(await release(first.metadata.name), 'prod'), 'AwaitingApproval');
  // The ways around: a pod, a Deployment, the release's own fields.
  const image = first.spec.image;
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'demo-prod' }, spec: { containers: [{ name: 'c', image }] } };
  const labels = { app: 'x' };
  const deployment = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'x', namespace: 'demo-prod' },
    spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pod.spec } } };
  for (const object of [pod, deployment]) {
    const tried = await m.kubectl(['--kubeconfig', people.ann, 'apply', '-f', '-'], { input: JSON.stringify(object) });
    assert.notEqual(tried.code, 0, object.kind);
    assert.match(tried.stderr, /approval/, tried.all);
  }
  const forged = await m.kubectl(['--kubeconfig', people.ann, 'patch', 'release', first.metadata.name, '-n', 'demo', '--subresource', 'status', '--type', 'merge', '-p', '{"status":{"approvals":[{"environment":"prod","by":"ben"}]}}']);
  assert.match(forged.stderr, /forbidden/i);

  const approved = await as('ben', ['release', 'approve', first.metadata.name, '--team', 'demo', '--env', 'prod', '--comment', 'looks right']);
  assert.equal(approved.code, 0, approved.all);
  const done = await until('prod', async () => { const r = await release(first.metadata.name); return where(r, 'prod') === 'Deployed' && r; }, { limit: 60000 });
  assert.match(await until('an answer', async () => { const text = await greeting('prod'); return /^Hello/.test(text) && text; }), /Hello from Mainstay/);
  const images = async (ns) => (await m.json(['get', 'deployment', 'hello', '-n', ns])).spec.template.spec.containers[0].image;
  assert.equal(await images('demo-prod'), await images('demo-dev'), 'the same digest');
  // The approval is a signed statement on the image, by this platform's authority.
  const [approval] = done.status.approvals;
  assert.equal(approval.by, 'ben');
  const creds = `admin:${await m.token('admin')}`;
  const get = async (path) => (await run('curl', ['-sS', '--cacert', join(m.dataDir, 'ca.crt'), '-u', creds, '-H', 'Accept: application/vnd.oci.image.manifest.v1+json', `${m.url}/v2/demo/hello/${path}`])).stdout;
  const referrers = JSON.parse(await get(`referrers/${first.spec.digest}`)).manifests;
  assert.ok(referrers.some((d) => d.digest === approval.attestation), JSON.stringify(referrers));
  const manifest = JSON.parse(await get(`manifests/${approval.attestation}`));
  const bundle = JSON.parse(await get(`blobs/${manifest.layers[0].digest}`));
  const statement = JSON.parse(Buffer.from(bundle.dsseEnvelope.payload, 'base64'));
  assert.equal(statement.predicate.approver.user, 'ben');
  assert.equal(`sha256:${statement.subject[0].digest.sha256}`, first.spec.digest);
  const leaf = join(m.dataDir, 'approval.der');
  writeFileSync(leaf, Buffer.from(bundle.verificationMaterial.certificate.rawBytes, 'base64'));
  const text = await run('openssl', ['x509', '-inform', 'DER', '-in', leaf, '-noout', '-ext', 'subjectAltName']);
  assert.match(text.stdout, /releases\/.*approve@ben/);
});

test('a second release follows, and the first is superseded', { timeout: 240000 }, async () => {
  second = await push('Hello from Mainstay', 'Hello two', 'Second');
  const promoted = await as('ben', ['release', 'promote', second.metadata.name, '--team', 'demo']);
  assert.equal(promoted.code, 0, promoted.all);
  assert.equal((await as('ben', ['release', 'approve', second.metadata.name, '--team', 'demo'])).code, 0);
  await until('two in prod', async () => (await greeting('prod')).startsWith('Hello two'), { limit: 60000 });
  const old = await until('the first superseded', async () => { const r = await release(first.metadata.name); return where(r, 'prod') === 'Superseded' && r; });
  assert.ok(old);
});

test('kill -9 during a promotion: it goes on', { timeout: 240000 }, async () => {
  const third = await push('Hello two', 'Hello three', 'Third');
  assert.equal((await as('ben', ['release', 'approve', third.metadata.name, '--team', 'demo', '--env', 'prod'])).code, 0);
  assert.equal((await as('ann', ['release', 'promote', third.metadata.name, '--team', 'demo', '--no-wait'])).code, 0);
  await m.kill9();
  await m.start();
  await until('three in prod', async () => (await greeting('prod')).startsWith('Hello three'), { limit: 90000 });
  await until('it says so', async () => where(await release(third.metadata.name), 'prod') === 'Deployed', { limit: 60000 });
});

test('rollback goes to what ran there before, and again to the one before that', { timeout: 240000 }, async () => {
  const refused = await as('vic', ['release', 'rollback', 'hello', '--team', 'demo', '--env', 'prod']);
  assert.equal(refused.code, 5, refused.all);
  const back = await as('ann', ['release', 'rollback', 'hello', '--team', 'demo', '--env', 'prod']);
  assert.equal(back.code, 0, back.all);
  await until('two again', async () => (await greeting('prod')).startsWith('Hello two'), { limit: 60000 });
  const again = await as('ann', ['release', 'rollback', 'hello', '--team', 'demo', '--env', 'prod']);
  assert.equal(again.code, 0, again.all);
  await until('the first again', async () => (await greeting('prod')).startsWith('Hello from Mainstay'), { limit: 60000 });
  assert.match(await greeting('dev'), /Hello three/, 'dev stays where it was');
  const none = await as('ann', ['release', 'rollback', 'hello', '--team', 'demo', '--env', 'prod']);
  assert.match(none.all, /nothing to go back to/);
  const history = await as('vic', ['release', 'history', 'hello', '--team', 'demo', '--env', 'prod']);
  assert.match(history.stdout, /rollback .*Succeeded/);
});

test('a run is run again by a developer, at the same commit, as a run of the platform', { timeout: 180000 }, async () => {
  const [newest] = (await m.json(['get', 'workflowruns', '-n', 'demo'])).items.sort((a, b) => b.spec.number - a.spec.number);
  for (const who of ['vic', 'eve']) assert.equal((await as(who, ['rerun', newest.metadata.name, '--team', 'demo'])).code, 5, who);
  const again = await as('ben', ['rerun', newest.metadata.name, '--team', 'demo', '-o', 'json']);
  assert.equal(again.code, 0, again.all);
  const made = JSON.parse(again.stdout);
  assert.deepEqual([made.spec.commit, made.spec.actor, made.spec.rerunOf], [newest.spec.commit, 'ben', newest.metadata.name]);
  await until('it ends', async () => (await m.json(['get', 'workflowrun', made.metadata.name, '-n', 'demo'])).status?.phase === 'Succeeded', { limit: 120000 });
});

test('DORA: four figures of the team', async () => {
  const report = await until('the report', async () => { const r = await m.json(['get', 'deliveryreport', 'delivery', '-n', 'demo']); return r.status?.deployments >= 3 && r; });
  assert.equal(report.status.environment, 'prod');
  assert.ok(report.status.leadTimeSeconds > 0 && report.status.failures === 2 && report.status.timeToRestoreSeconds > 0, JSON.stringify(report.status));
  assert.match((await as('vic', ['dora', 'demo'])).stdout, /lead time for changes/);
  assert.equal((await as('eve', ['dora', 'demo'])).code, 5);
  const metrics = (await m.curl('/metrics', ['-H', `Authorization: Bearer ${await m.token('admin')}`])).stdout;
  assert.match(metrics, /mainstay_dora_lead_time_seconds\{team="demo"\}/);
});
