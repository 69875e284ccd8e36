// What is in an image, what is known against it, what the rules make of it, and the chain from commit to pod.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Mainstay, until, run, join, writeFileSync } from './lib/mainstay.mjs';

let m, work, image;
const people = {};
const as = (who, args) => m.cli(args, { env: { MAINSTAY_CONFIG: people[who], KUBECONFIG: '' } });
const file = (name, value) => { const path = join(m.dataDir, name); writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value)); return path; };
const report = async () => (await m.json(['get', 'imagereports', '-n', 'demo'])).items.find((r) => r.spec.digest === image.digest);
const apply = (object) => m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify(object) });
const policy = (name, spec) => ({ apiVersion: 'mainstay.dev/v1', kind: 'VerificationPolicy', metadata: { name }, spec });
const pod = (name, ref) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'demo-dev' }, spec: { containers: [{ name: 'c', image: ref ?? `${m.listen}/demo/hello@${image.digest}` }] } });
const create = (object) => m.kubectl(['create', '--dry-run=server', '-f', '-'], { input: JSON.stringify(object) });
const osv = (fixed) => ({ id: 'GHSA-test', aliases: ['CVE-2024-0001'], summary: 'left-pad pads wrongly', database_specific: { severity: 'CRITICAL' },
  affected: [{ package: { ecosystem: 'npm', name: 'left-pad' }, ranges: [{ type: 'SEMVER', events: [{ introduced: '0' }, { fixed }] }] }] });

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage();
  for (const user of ['ann', 'eve']) await m.cliOk(['user', 'create', user]);
  await m.cliOk(['team', 'create', 'demo', '--member', 'ann:owner']);
  await m.cliOk(['team', 'create', 'other', '--member', 'eve:owner']);
  await m.cliOk(['repo', 'create', 'hello', '--team', 'demo']);
  for (const user of ['ann', 'eve']) people[user] = await m.kubeconfigFor(user, await m.token(user));
  work = await m.workTree('demo', 'hello', { from: 'examples/hello', user: 'ann' });
  work.write('package-lock.json', JSON.stringify({ lockfileVersion: 3, packages: { '': { name: 'app' }, 'node_modules/left-pad': { version: '1.3.0' }, 'node_modules/jest': { version: '29.0.0', dev: true } } }));
  work.write('Cargo.lock', 'version = 3\n\n[[package]]\nname = "serde"\nversion = "1.0.200"\nsource = "registry+https://github.com/rust-lang/crates.io-index"\n');
  work.write('Dockerfile', `${work.read('Dockerfile')}\nCOPY package-lock.json Cargo.lock /srv/\n`);
  await work.commit('First');
  const pushed = await work.push();
  assert.ok(pushed.code === 0 && !/FAILED/.test(pushed.all), pushed.all);
  [image] = (await m.json(['get', 'workflowruns', '-n', 'demo'])).items[0].status.images;
}, { timeout: 300000 });
after(async () => { await m?.down(); });

test('the SBOM lists packages of the system, of npm and of cargo, and the provenance names the SBOM', async () => {
  const creds = `admin:${await m.token('admin')}`;
  const get = async (path) => (await run('curl', ['-sS', '--cacert', join(m.dataDir, 'ca.crt'), '-u', creds, '-H', 'Accept: application/vnd.oci.image.manifest.v1+json', `${m.url}/v2/demo/hello/${path}`])).stdout;
  const content = async (referrer) => { const { layers } = JSON.parse(await get(`manifests/${referrer}`)); return [layers[0].digest, await get(`blobs/${layers[0].digest}`)]; };
  const [digest, sbom] = await content(image.sbom);
  const urls = JSON.parse(sbom).packages.flatMap((p) => p.externalRefs ?? []).map((r) => r.referenceLocator);
  for (const wanted of ['pkg:npm/left-pad@1.3.0', 'pkg:cargo/serde@1.0.200']) assert.ok(urls.includes(wanted), wanted);
  assert.ok(urls.some((u) => u.startsWith('pkg:deb/debian/libc6@')));
  assert.ok(!urls.some((u) => u.includes('jest')), 'what is for development alone is left out');
  const [, bundle] = await content(image.provenance);
  const statement = JSON.parse(Buffer.from(JSON.parse(bundle).dsseEnvelope.payload, 'base64'));
  assert.equal(`sha256:${statement.predicate.runDetails.byproducts[0].digest.sha256}`, digest);
});

test('imported data is matched at once; newer data changes the report', { timeout: 120000 }, async () => {
  await until('a report without data', async () => (await report())?.status?.dataRevision === 0);
  const denied = await as('ann', ['vuln', 'import', file('osv.json', [osv('1.3.1')])]);
  assert.equal(denied.code, 5, denied.all);
  assert.match((await m.cliOk(['vuln', 'import', file('osv.json', [osv('1.3.1')])])).stdout, /1 advisories \(osv\)/);
  const found = await until('the finding', async () => { const r = await report(); return r?.status?.findings?.length === 1 && r; });
  assert.deepEqual([found.status.findings[0].id, found.status.findings[0].severity, found.status.findings[0].fixedVersion], ['CVE-2024-0001', 'critical', '1.3.1']);
  const tracker = { glibc: { 'CVE-2024-0002': { description: 'x', releases: { bookworm: { status: 'open', urgency: 'low' } } } } };
  assert.match((await m.cliOk(['vuln', 'import', file('debian.json', tracker)])).stdout, /debian/);
  await until('a finding in libc6', async () => (await report()).status.findings.some((f) => f.id === 'CVE-2024-0002' && f.package === 'libc6'));
  const shown = await as('ann', ['vuln', 'show', found.metadata.name, '--team', 'demo']);
  assert.match(shown.stdout, /CVE-2024-0001 +critical +left-pad +1\.3\.0 +1\.3\.1/);
  assert.equal((await as('eve', ['vuln', 'list', '--team', 'demo'])).code, 5, 'not another team\'s');
  const garbage = await m.cli(['vuln', 'import', file('garbage.json', 'nothing of the kind')]);
  assert.notEqual(garbage.code, 0);
  // The data survives a kill.
  await m.kill9();
  await m.start();
  assert.equal((await report()).status.summary.critical, 1);
});

test('a policy refuses by severity; audit only tells; a dated exception lets in', { timeout: 120000 }, async () => {
  await apply(policy('no-criticals', { mode: 'audit', vulnerabilities: { block: 'critical' } }));
  assert.equal((await create(pod('audit'))).code, 0);
  await apply(policy('no-criticals', { mode: 'enforce', vulnerabilities: { block: 'critical' } }));
  const refused = await until('a refusal', async () => { const r = await create(pod('enforce')); return r.code !== 0 && r; });
  assert.match(refused.stderr, /VerificationPolicy no-criticals: CVE-2024-0001 \(critical\) in left-pad 1\.3\.0, fixed in 1\.3\.1/);
  assert.match(refused.stderr, /spec\.exceptions of VerificationPolicy no-criticals/);
  const except = (until_) => apply(policy('no-criticals', { mode: 'enforce', vulnerabilities: { block: 'critical' }, exceptions: [{ images: ['demo/hello'], vulnerabilities: ['CVE-2024-0001'], until: until_, reason: 'not reachable' }] }));
  await except('2999-12-31');
  await until('the exception', async () => (await create(pod('excepted'))).code === 0);
  await except('2020-01-01');
  await until('its end', async () => (await create(pod('expired'))).code !== 0);
  const mine = await m.kubectl(['--kubeconfig', people.ann, 'patch', 'verificationpolicy', 'no-criticals', '--type', 'merge', '-p', '{"spec":{"mode":"audit"}}']);
  assert.match(mine.stderr, /forbidden/i, 'a team does not lift it');
  await m.kubectlOk(['delete', 'verificationpolicy', 'no-criticals']);
});

test('a policy refuses by where an image comes from', { timeout: 60000 }, async () => {
  await apply(policy('from-release', { mode: 'enforce', environments: ['dev'], provenance: { refs: ['refs/heads/release-*'] } }));
  const refused = await until('a refusal', async () => { const r = await create(pod('identity')); return r.code !== 0 && r; });
  assert.match(refused.stderr, /ref refs\/heads\/main/);
  await apply(policy('from-release', { mode: 'enforce', provenance: { repositories: ['demo/*'], refs: ['refs/heads/main'] } }));
  await until('it passes', async () => (await create(pod('passes'))).code === 0);
  await m.kubectlOk(['delete', 'verificationpolicy', 'from-release']);
});

test('trace prints every link, from any of them', { timeout: 60000 }, async () => {
  const [first] = (await m.json(['get', 'pods', '-n', 'demo-dev', '-l', 'app.kubernetes.io/name=hello'])).items;
  const commit = (await work.git('rev-parse', 'HEAD')).stdout.trim();
  const port = m.https.split(':')[1];
  const from = [commit, commit.slice(0, 9), commit.toUpperCase(), image.digest, image.digest.slice(0, 19), `${m.listen}/demo/hello@${image.digest}`, `demo-dev/${first.metadata.name}`, `https://hello.dev.demo.localhost:${port}/`];
  for (const what of from) {
    const traced = await as('ann', ['trace', what]);
    assert.equal(traced.code, 0, `${what}: ${traced.all}`);
    for (const link of [commit, image.digest, image.sbom, image.provenance, 'environment    dev  Deployed', `demo-dev/${first.metadata.name}`, 'https://hello.dev.demo.localhost'])
      assert.ok(traced.stdout.includes(link), `${what}: ${link} is not in\n${traced.stdout}`);
  }
  assert.equal((await as('ann', ['trace', first.metadata.name, '--team', 'demo', '--env', 'dev'])).code, 0);
  for (const what of from) assert.notEqual((await as('eve', ['trace', what])).code, 0, 'another team sees nothing');
});

test('trace says what it takes, and what is not there', { timeout: 60000 }, async () => {
  const host = 'dev.demo.localhost';
  for (const [what, code, message] of [
    ['nonsense', 2, /nonsense is not a URL, an image's digest .*, a commit .* or a pod/],
    ['abc12', 2, /not a URL/], ['', 2, /./], ['sha256:xyz', 2, /is not a digest: sha256: and 64/], ['sha256:abc', 2, /of which 12 are enough/], [`sha256:${'a'.repeat(65)}`, 2, /is not a digest/],
    ['demo/hello:latest', 2, /neither a pod .* nor an image by digest/], ['/', 2, /neither a pod/], ['a/b/c', 2, /neither a pod/], ['https://', 2, /is not an address of a workload/], ['http://localhost/', 2, /<workload>\.<environment>\.<team>/],
    [`https://nothing.${host}/`, 4, /not found/], ['demo-dev/nothing', 4, /not found/], ['deadbeef', 4, /neither a workflow run nor a release that you may see is behind deadbeef/], [`sha256:${'0'.repeat(64)}`, 4, /neither a workflow run nor a release/], ['--team', 2, /./],
  ]) {
    const traced = await as('ann', ['trace', what]);
    assert.equal(traced.code, code, `${what}: ${traced.all}`);
    assert.match(traced.all, message, what);
  }
  // A run that is not kept any more: its release still knows.
  const commit = (await work.git('rev-parse', 'HEAD')).stdout.trim();
  const [run] = (await m.json(['get', 'workflowruns', '-n', 'demo'])).items.filter((r) => r.spec.commit === commit);
  await m.kubectlOk(['delete', 'workflowrun', run.metadata.name, '-n', 'demo']);
  const traced = await until('without the run', async () => { const t = await as('ann', ['trace', commit]); return t.stdout.includes('not kept any more') && t.stdout; });
  for (const link of [commit, image.digest, image.provenance, 'environment    dev  Deployed']) assert.ok(traced.includes(link), `${link} is not in\n${traced}`);
});
