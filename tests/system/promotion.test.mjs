// The way through three environments when it is not smooth: promotions that fail, environments that follow by
// themselves, and approvals that do not count.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { Mainstay, run, until, sleep, join } from './lib/mainstay.mjs';

const require = createRequire(import.meta.url);
const { bundleFromJSON } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { toTrustMaterial, toSignedEntity, Verifier } = require('@sigstore/verify');

let m, work;
const people = {};
const as = (who, args) => m.cli(args, { env: { MAINSTAY_CONFIG: people[who], KUBECONFIG: '' }, timeout: 150000 });
const ok = async (who, ...args) => { const r = await as(who, args); assert.equal(r.code, 0, r.all); return r; };
const releases = async () => (await m.json(['get', 'releases', '-n', 'demo'])).items;
const release = async (name) => m.json(['get', 'release', name, '-n', 'demo']);
const entry = (object, environment) => object.status?.environments?.find((e) => e.name === environment);
const state = async (name, environment) => entry(await release(name), environment)?.state;
const reaches = (name, environment, wanted, limit = 60000) =>
  until(`${environment}: ${wanted}`, async () => { const r = await release(name); return entry(r, environment)?.state === wanted && r; }, { limit });
const greeting = async (environment) => (await m.edge(`hello.${environment}.demo.localhost`)).stdout;
const mode = (environment, value) => m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'environment', namespace: `demo-${environment}` }, data: { MODE: value } }) });
const setEnvironment = (name, spec) => m.kubectlOk(['patch', 'environment', name, '-n', 'demo', '--type', 'merge', '-p', JSON.stringify({ spec })]);
const members = (list) => m.kubectlOk(['patch', 'team', 'demo', '--type', 'merge', '-p', JSON.stringify({ spec: { members: list } })]);
const everybody = [{ user: 'ann', role: 'owner' }, { user: 'ben' }, { user: 'cat' }, { user: 'dan' }];

let greetings = 0;
async function push({ author, message = 'Change', also } = {}) {
  greetings += 1;
  work.write('app.py', work.read('app.py').replace(/GREETING = .*/, `GREETING = "Hello ${greetings}"`));
  await work.git('add', '-A');
  await work.git('commit', '-q', '-m', message, ...(author ? ['--author', author] : []));
  if (also) await also();
  const pushed = await work.push();
  assert.ok(pushed.code === 0 && !/FAILED/.test(pushed.all), pushed.all);
  const commit = (await work.git('rev-parse', 'HEAD')).stdout.trim();
  return (await releases()).find((r) => r.spec.commit === commit);
}

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage();
  for (const { user } of everybody) await m.cliOk(['user', 'create', user, '--email', `${user}@example.org`]);
  await m.cliOk(['team', 'create', 'demo', '--member', 'ann:owner', '--member', 'ben', '--member', 'cat', '--member', 'dan', '--env', 'dev', '--env', 'staging', '--env', 'prod']);
  await m.cliOk(['repo', 'create', 'hello', '--team', 'demo']);
  for (const { user } of everybody) people[user] = await m.kubeconfigFor(user, await m.token(user));
  work = await m.workTree('demo', 'hello', { from: 'examples/hello', user: 'ann' });
  // What an environment brings decides how the program fares there.
  work.write('score.yaml', `${work.read('score.yaml').replaceAll(/cpu: \w+/g, 'cpu: 50m').replace('      PORT:', '      MODE: ${resources.env.MODE}\n      PORT:')}resources:\n  env: {type: environment}\n`);
  work.write('app.py', work.read('app.py')
    .replace('def main():', 'def main():\n    if os.environ["MODE"] == "crash":\n        sys.exit("the ledger at ledger.example:5432 refuses the password")')
    .replace('        self.send_response(200)', '        self.send_response(503 if os.environ["MODE"] == "slow" else 200)'));
  await until('the namespaces', async () => (await m.kubectl(['get', 'ns', 'demo-dev', 'demo-staging', 'demo-prod'])).code === 0);
  for (const environment of ['dev', 'staging', 'prod']) await mode(environment, 'good');
}, { timeout: 300000 });
after(async () => { await m?.down(); });

let first, second;
test('environments that follow take a release by themselves, as far as nobody has to approve', { timeout: 240000 }, async () => {
  await setEnvironment('staging', { autoPromote: true });
  await setEnvironment('prod', { autoPromote: true });
  first = await push();
  const name = first.metadata.name;
  await reaches(name, 'staging', 'Deployed');
  const waits = await reaches(name, 'prod', 'AwaitingApproval');
  assert.match(entry(waits, 'prod').message, /needs 1 of 1 approvals/);
  assert.equal(entry(waits, 'staging').requestedBy, 'system:mainstay:pipelines');
  await ok('ben', 'release', 'approve', name, '--team', 'demo', '--comment', 'seen in staging');
  await reaches(name, 'prod', 'Deployed');
  for (const environment of ['dev', 'staging', 'prod']) assert.match(await until('an answer', () => greeting(environment)), /^Hello 1/, environment);
  // Without approvals nobody lifts a hand.
  await setEnvironment('prod', { approvals: 0 });
  second = await push();
  await reaches(second.metadata.name, 'prod', 'Deployed');
  await until('two in prod', async () => (await greeting('prod')).startsWith('Hello 2'));
  await reaches(first.metadata.name, 'prod', 'Superseded');
  await setEnvironment('prod', { approvals: 1, autoPromote: false });
});

test('an approval is a statement that Sigstore\'s own verifier accepts, of that release and no other', { timeout: 120000 }, async () => {
  const { status, spec } = await release(first.metadata.name);
  const creds = `admin:${await m.token('admin')}`;
  const get = async (path) => JSON.parse((await run('curl', ['-sS', '--cacert', join(m.dataDir, 'ca.crt'), '-u', creds, '-H', 'Accept: application/vnd.oci.image.manifest.v1+json', `${m.url}/v2/demo/hello/${path}`])).stdout);
  const manifest = await get(`manifests/${status.approvals[0].attestation}`);
  assert.equal(manifest.subject.digest, spec.digest);
  const bundle = await get(`blobs/${manifest.layers[0].digest}`);
  const trust = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse((await m.curl('/provenance/v1/trusted-root')).stdout)));
  const verifier = new Verifier(trust, { ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 1 });
  // What a gate of the reader's own would ask: signed, of this identity, about this image and this configuration.
  const accept = (b, { who = 'ben', name = first.metadata.name, digest = spec.digest } = {}) => {
    verifier.verify(toSignedEntity(bundleFromJSON(b)), { subjectAlternativeName: `${m.url}/apis/mainstay.dev/v1/namespaces/demo/releases/${name}//approve@${who}`, extensions: { issuer: m.url } });
    const statement = JSON.parse(Buffer.from(b.dsseEnvelope.payload, 'base64'));
    assert.equal(statement.predicateType, 'https://mainstay.dev/attestations/approval/v1');
    assert.equal(`sha256:${statement.subject[0].digest.sha256}`, digest);
    return statement.predicate;
  };
  const predicate = accept(bundle);
  assert.equal(predicate.approver.user, 'ben');
  assert.ok(JSON.stringify(predicate).includes(spec.configuration.digest.slice(7)), JSON.stringify(predicate));
  assert.throws(() => accept(bundle, { who: 'ann' }), /identity|subject/i);
  assert.throws(() => accept(bundle, { name: second.metadata.name }), /identity|subject/i);
  assert.throws(() => accept(bundle, { digest: second.spec.digest }));
  const edited = (change) => {
    const forged = structuredClone(bundle);
    forged.dsseEnvelope.payload = Buffer.from(change(Buffer.from(forged.dsseEnvelope.payload, 'base64').toString())).toString('base64');
    return forged;
  };
  assert.throws(() => accept(edited((text) => text.replace('"ben"', '"dan"'))), /signature/i);
  assert.throws(() => accept(edited((text) => text.replace(spec.digest.slice(7), second.spec.digest.slice(7))), { digest: second.spec.digest }), /signature/i);
  // Nor is it the provenance's signature under another payload.
  const provenance = await get(`manifests/${spec.provenance}`);
  const mixed = structuredClone(await get(`blobs/${provenance.layers[0].digest}`));
  mixed.dsseEnvelope.payload = bundle.dsseEnvelope.payload;
  assert.throws(() => accept(mixed));
});

let third;
test('a promotion that crashes: what ran before serves every request, and the state says why', { timeout: 300000 }, async () => {
  third = await push();
  const name = third.metadata.name;
  await reaches(name, 'staging', 'Deployed');
  await ok('ben', 'release', 'approve', name, '--team', 'demo', '--env', 'prod');
  await mode('prod', 'crash');
  const before = (await m.json(['get', 'deliveryreport', 'delivery', '-n', 'demo'])).status;
  let stop = false, good = 0;
  const bad = [];
  const load = async () => {
    while (!stop) {
      const answer = await m.edge('hello.prod.demo.localhost');
      if (answer.code === 0 && answer.stdout.startsWith('Hello 2')) good++; else bad.push(answer.all);
    }
  };
  const loads = [load(), load()];
  let told;
  try {
    told = await as('ann', ['release', 'promote', name, '--team', 'demo', '--env', 'prod']);
    await sleep(1500);
  } finally { stop = true; await Promise.all(loads); }
  assert.equal(told.code, 1, told.all);
  assert.match(told.stderr, /Failed/);
  assert.match(told.stderr, /exit code 1/);
  assert.match(told.stderr, /the ledger at ledger\.example:5432 refuses the password/, 'the last words of the program');
  assert.match(told.stderr, /what was deployed before goes on serving/);
  assert.deepEqual(bad, [], `${bad.length} of ${good + bad.length} requests failed`);
  assert.ok(good > 10, `only ${good} requests`);
  const failed = await release(name);
  assert.equal(entry(failed, 'prod').state, 'Failed');
  const ready = failed.status.conditions.find((c) => c.type === 'Ready');
  assert.deepEqual([ready.status, ready.reason], ['False', 'DeploymentFailed']);
  assert.equal(failed.status.history.at(-1).result, 'Failed');
  // The Deployment says what it runs: the release before.
  const deployment = await m.json(['get', 'deployment', 'hello', '-n', 'demo-prod']);
  assert.equal(deployment.spec.template.metadata.annotations['mainstay.dev/workflow-run'], second.spec.run);
  await until('the broken pods are gone', async () => (await m.json(['get', 'pods', '-n', 'demo-prod'])).items.every((p) => p.metadata.annotations['mainstay.dev/workflow-run'] === second.spec.run));
  const report = await until('DORA counts it', async () => { const r = (await m.json(['get', 'deliveryreport', 'delivery', '-n', 'demo'])).status; return r.failures === before.failures + 1 && r; });
  assert.equal(report.deployments, before.deployments);
  const events = (await m.json(['get', 'events', '-n', 'demo'])).items;
  assert.ok(events.some((e) => e.reason === 'DeploymentFailed' && e.involvedObject.name === name), 'an Event tells of it');
  // As it stands the next try fails as well, and says so again; with the cause corrected it goes through.
  assert.equal((await as('ann', ['release', 'promote', name, '--team', 'demo', '--env', 'prod'])).code, 1);
  assert.match((await ok('ann', 'release', 'history', 'hello', '--team', 'demo', '--env', 'prod')).stdout, /Failed .*exit code 1/);
  await mode('prod', 'good');
  await ok('ann', 'release', 'promote', name, '--team', 'demo', '--env', 'prod');
  await until('three in prod', async () => (await greeting('prod')).startsWith('Hello 3'));
  await until('time to restore', async () => (await m.json(['get', 'deliveryreport', 'delivery', '-n', 'demo'])).status.timeToRestoreSeconds > 0);
});

test('a promotion that never gets ready fails within its minute; a kill in the middle changes nothing of that', { timeout: 300000 }, async () => {
  const fourth = await push();
  const name = fourth.metadata.name;
  await reaches(name, 'staging', 'Deployed');
  await ok('ben', 'release', 'approve', name, '--team', 'demo', '--env', 'prod');
  await mode('prod', 'slow');
  await ok('ann', 'release', 'promote', name, '--team', 'demo', '--env', 'prod', '--no-wait');
  await reaches(name, 'prod', 'Deploying');
  await m.kill9();
  await m.start();
  const failed = await reaches(name, 'prod', 'Failed', 150000);
  assert.match(entry(failed, 'prod').message, /0 of 1 new pods are ready within 60 s/);
  assert.match(entry(failed, 'prod').message, /Readiness probe failed: HTTP probe failed with statuscode: 503/);
  assert.equal(failed.status.history.filter((h) => h.environment === 'prod').length, 1, 'one attempt is one entry');
  assert.match(await greeting('prod'), /^Hello 3/);
  await mode('prod', 'good');
  await ok('ann', 'release', 'promote', name, '--team', 'demo', '--env', 'prod');
  await until('four in prod', async () => (await greeting('prod')).startsWith('Hello 4'));
});

test('a first deployment that fails can be tried again: there is nothing to go back to', { timeout: 240000 }, async () => {
  await m.cliOk(['team', 'create', 'solo', '--member', 'ann:owner', '--env', 'dev', '--env', 'qa']);
  await m.cliOk(['repo', 'create', 'hello', '--team', 'solo']);
  const other = await m.workTree('solo', 'hello', { user: 'ann' });
  for (const file of ['app.py', 'score.yaml', 'Dockerfile']) other.write(file, work.read(file));
  const set = (environment, value) => m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'environment', namespace: `solo-${environment}` }, data: { MODE: value } }) });
  await until('the namespaces', async () => (await m.kubectl(['get', 'ns', 'solo-dev', 'solo-qa'])).code === 0);
  await set('dev', 'good');
  await set('qa', 'crash');
  await other.commit('One');
  assert.ok(!/FAILED/.test((await other.push()).all));
  const failed = await as('ann', ['release', 'promote', 'hello', '--team', 'solo']);
  assert.equal(failed.code, 1, failed.all);
  assert.match(failed.stderr, /refuses the password/);
  assert.ok(!/goes on serving/.test(failed.stderr), failed.stderr);
  await set('qa', 'good');
  await ok('ann', 'release', 'promote', 'hello', '--team', 'solo');
  assert.match((await until('an answer', async () => { const a = await m.edge('hello.qa.solo.localhost'); return a.code === 0 && a; })).stdout, /^Hello/);
});

test('who wrote a commit of the push does not approve it, as author or as co-author', { timeout: 240000 }, async () => {
  // ben's commit below ann's, and cat's name in the message of ann's.
  const made = await push({ author: 'Ben <BEN@example.org>', message: 'By ben', also: () => work.git('commit', '-q', '--allow-empty', '-m', 'By ann and cat', '-m', 'Co-authored-by: Cat <cat@example.org>') });
  assert.deepEqual(made.spec.authors.toSorted(), ['ann', 'ben', 'cat']);
  for (const who of ['ann', 'ben', 'cat']) {
    const refused = await as(who, ['release', 'approve', made.metadata.name, '--team', 'demo', '--env', 'prod']);
    assert.equal(refused.code, 5, `${who}: ${refused.all}`);
    assert.match(refused.all, /somebody else has to approve it/);
  }
  await ok('dan', 'release', 'approve', made.metadata.name, '--team', 'demo', '--env', 'prod');
});

test('a run made again keeps everybody behind it, even where the first run is deleted', { timeout: 240000 }, async () => {
  const made = await push();
  const again = JSON.parse((await ok('ben', 'rerun', made.spec.run, '--team', 'demo', '-o', 'json')).stdout);
  await m.kubectlOk(['--kubeconfig', people.ann, 'delete', 'workflowrun', made.spec.run, '-n', 'demo']);
  const remade = await until('its release', async () => (await releases()).find((r) => r.spec.run === again.metadata.name), { limit: 120000 });
  assert.deepEqual(remade.spec.authors, ['ann', 'ben']);
  assert.equal(remade.spec.author, 'ann');
  for (const who of ['ann', 'ben']) assert.equal((await as(who, ['release', 'approve', remade.metadata.name, '--team', 'demo', '--env', 'prod'])).code, 5, who);
  await reaches(remade.metadata.name, 'dev', 'Deployed', 120000);
});

test('approvals count as things stand when it is deployed', { timeout: 300000 }, async () => {
  const made = await push();
  const name = made.metadata.name;
  await reaches(name, 'staging', 'Deployed');
  await ok('cat', 'release', 'approve', name, '--team', 'demo', '--env', 'prod');
  const promote = async () => (await ok('ann', 'release', 'promote', name, '--team', 'demo', '--env', 'prod')).stdout;
  // Who has left the team, or may only look on now, approves nothing any more.
  for (const list of [everybody.filter((p) => p.user !== 'cat'), everybody.map((p) => (p.user === 'cat' ? { user: 'cat', role: 'viewer' } : p))]) {
    await members(list);
    await until('the team', async () => (await as('cat', ['release', 'approve', name, '--team', 'demo', '--env', 'prod'])).code === 5);
    assert.match(await promote(), /waits: needs 1 of 1/);
  }
  await members(everybody);
  await m.kubectlOk(['patch', 'user', 'cat', '--type', 'merge', '-p', '{"spec":{"disabled":true}}']);
  assert.match(await promote(), /waits: needs 1 of 1/, 'nor who is disabled');
  await m.kubectlOk(['patch', 'user', 'cat', '--type', 'merge', '-p', '{"spec":{"disabled":false}}']);
  // An environment that asks for more while it waits gets more.
  await setEnvironment('prod', { approvals: 2 });
  assert.match(await promote(), /waits: needs 1 of 2/);
  await ok('dan', 'release', 'approve', name, '--team', 'demo', '--env', 'prod');
  await reaches(name, 'prod', 'Deployed');
  await setEnvironment('prod', { approvals: 1 });
  // A pod keeps the image it was let in with.
  const fresh = await push();
  const [pod] = (await m.json(['get', 'pods', '-n', 'demo-prod', '-l', 'app.kubernetes.io/name=hello'])).items;
  const swap = (image) => m.kubectl(['--kubeconfig', people.ann, 'patch', 'pod', pod.metadata.name, '-n', 'demo-prod', '--type', 'strategic', '--dry-run=server', '-p', JSON.stringify({ spec: { containers: [{ name: 'hello', image }] } })]);
  assert.match((await swap(fresh.spec.image)).stderr, /no approved release/);
  assert.equal((await swap(pod.spec.containers[0].image)).code, 0);
});

test('a newer release takes over from one that is still coming up, and is not put back by it', { timeout: 300000 }, async () => {
  await setEnvironment('staging', { autoPromote: false });
  const older = await push(), newer = await push();
  await mode('staging', 'slow');
  await ok('ann', 'release', 'promote', older.metadata.name, '--team', 'demo', '--env', 'staging', '--no-wait');
  await reaches(older.metadata.name, 'staging', 'Deploying');
  await until('its pods', async () => (await m.json(['get', 'deployment', 'hello', '-n', 'demo-staging'])).spec.template.metadata.annotations['mainstay.dev/workflow-run'] === older.spec.run);
  await mode('staging', 'good');
  await ok('ann', 'release', 'promote', newer.metadata.name, '--team', 'demo', '--env', 'staging');
  await reaches(older.metadata.name, 'staging', 'Superseded');
  await sleep(1000);
  assert.equal(await state(newer.metadata.name, 'staging'), 'Deployed');
  assert.ok((await greeting('staging')).startsWith(`Hello ${greetings}`));
  const refused = await as('ann', ['release', 'promote', older.metadata.name, '--team', 'demo', '--env', 'prod']);
  assert.match(refused.all, /has not been deployed in staging/, 'what was overtaken there was never there');
});

test('a run that is cancelled while it deploys: its release tells what became of it', { timeout: 240000 }, async () => {
  const before = (await releases()).find((r) => entry(r, 'dev')?.state === 'Deployed');
  await mode('dev', 'slow');
  greetings += 1;
  work.write('app.py', work.read('app.py').replace(/GREETING = .*/, `GREETING = "Hello ${greetings}"`));
  await work.commit('Slow');
  const commit = (await work.git('rev-parse', 'HEAD')).stdout.trim();
  const pushing = work.push();
  const made = await until('it deploys', async () => (await releases()).find((r) => r.spec.commit === commit && entry(r, 'dev')?.state === 'Deploying'), { limit: 60000 });
  await m.kubectlOk(['patch', 'workflowrun', made.spec.run, '-n', 'demo', '--type', 'merge', '-p', '{"spec":{"cancel":true}}']);
  assert.match((await pushing).all, /CANCELLED/);
  const failed = await reaches(made.metadata.name, 'dev', 'Failed', 120000);
  assert.match(entry(failed, 'dev').message, /0 of 1 new pods are ready within 60 s/);
  assert.equal(failed.status.history.length, 1);
  await until('what ran before is back', async () => (await m.json(['get', 'deployment', 'hello', '-n', 'demo-dev'])).spec.template.metadata.annotations['mainstay.dev/workflow-run'] === before.spec.run);
  await mode('dev', 'good');
});
