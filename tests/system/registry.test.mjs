// The registry and what is attached to images, by clients that know nothing of us: skopeo, Debian's docker-registry as an
// upstream, curl through a kill -9, openssl, and Sigstore's own verifier (from npm, where that can be reached).
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { Mainstay, run, ok, until, freePort, root, join, writeFileSync, readFileSync, mkdirSync } from './lib/mainstay.mjs';

let m, token, annToken, certs, ca;
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  token = await m.token('admin');
  await m.cliOk(['user', 'create', 'ann']);
  await m.cliOk(['team', 'create', 'shop', '--member', 'ann:developer']);
  await m.cliOk(['team', 'create', 'bank']);
  await m.cliOk(['repo', 'create', 'web', '--team', 'shop']);
  annToken = await m.token('ann');
  ca = join(m.dataDir, 'ca.crt');
  certs = join(m.dataDir, 'client-certs');
  mkdirSync(certs);
  await ok('cp', [ca, join(certs, 'ca.crt')]);
}, { timeout: 120000 });
after(async () => { await m?.down(); });

const sha256 = (bytes) => 'sha256:' + createHash('sha256').update(bytes).digest('hex');
// One request to the registry; `body` goes by a file, so that it may be large.
async function ask(method, path, { user = 'admin', secret = token, body, headers = [] } = {}) {
  const args = ['-sS', '-i', '-X', method, '--cacert', ca, '-u', `${user}:${secret}`, ...headers.flatMap((h) => ['-H', h])];
  if (method === 'HEAD') args.splice(2, 2, '-I');
  if (body !== undefined) {
    const file = join(m.dataDir, `body-${randomBytes(4).toString('hex')}`);
    writeFileSync(file, body);
    args.push('--data-binary', `@${file}`, '-H', 'Content-Type: application/octet-stream', '-H', 'Expect:');
  }
  const { stdout } = await run('curl', [...args, m.url + path]);
  const [head, ...rest] = stdout.split('\r\n\r\n');
  const header = (name) => head.match(new RegExp(`^${name}: (.*)$`, 'im'))?.[1].trim();
  return { status: Number(head.match(/^HTTP\/1.1 (\d+)/)?.[1]), header, body: rest.join('\r\n\r\n') };
}
// A one-layer image as an OCI folder.
function image(folder, layer) {
  const blob = (bytes) => { writeFileSync(join(folder, 'blobs/sha256', sha256(bytes).slice(7)), bytes); return { digest: sha256(bytes), size: bytes.length }; };
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true });
  const config = blob(Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [sha256(layer)] } })));
  const type = 'application/vnd.oci.image';
  const manifest = blob(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: `${type}.manifest.v1+json`,
    config: { mediaType: `${type}.config.v1+json`, ...config }, layers: [{ mediaType: `${type}.layer.v1.tar`, ...blob(layer) }] })));
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: `${type}.manifest.v1+json`, ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'v1' } }] }));
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return manifest.digest;
}

test('an upload goes on where a killed server left it', { timeout: 60000 }, async () => {
  const content = randomBytes(24 << 20);
  const begun = await ask('POST', '/v2/shop/raw/blobs/uploads/');
  assert.equal(begun.status, 202);
  const at = begun.header('Location');
  assert.equal((await ask('PATCH', at, { body: content.subarray(0, 10 << 20) })).status, 202);
  await m.kill9();
  await m.start();
  const state = await ask('GET', at);
  assert.equal(state.header('Range'), `0-${(10 << 20) - 1}`);
  const wrong = await ask('PATCH', at, { body: 'x', headers: ['Content-Range: 0-0'] });
  assert.equal(wrong.status, 416);
  const done = await ask('PUT', `${at}?digest=${sha256(content)}`, { body: content.subarray(10 << 20) });
  assert.equal(done.status, 201, done.body);
  const back = await run('sh', ['-c', `curl -sS --cacert ${ca} -u admin:${token} ${m.url}/v2/shop/raw/blobs/${sha256(content)} | sha256sum`]);
  assert.equal('sha256:' + back.stdout.slice(0, 64), sha256(content));
});

test('a blob of another team is not reached by its digest', async () => {
  const secret = randomBytes(1000);
  assert.equal((await ask('POST', `/v2/bank/ledger/blobs/uploads/?digest=${sha256(secret)}`, { body: secret })).status, 201);
  const ann = { user: 'ann', secret: annToken };
  assert.equal((await ask('GET', `/v2/bank/ledger/blobs/${sha256(secret)}`, ann)).status, 403);
  assert.equal((await ask('GET', `/v2/shop/raw/blobs/${sha256(secret)}`, ann)).status, 404);
  assert.equal((await ask('POST', `/v2/shop/raw/blobs/uploads/?mount=${sha256(secret)}&from=bank/ledger`, ann)).status, 202);
  assert.equal((await ask('GET', `/v2/shop/raw/blobs/${sha256(secret)}`, ann)).status, 404);
  assert.equal((await ask('POST', '/v2/bank/ledger/blobs/uploads/', ann)).status, 403);
});

test('another registry is cached: what was pulled once stays when it is gone', { timeout: 60000 }, async () => {
  const port = await freePort();
  const config = join(m.dataDir, 'upstream.yml');
  writeFileSync(config, `version: 0.1\nstorage: {filesystem: {rootdirectory: ${join(m.dataDir, 'upstream')}}}\nhttp: {addr: '127.0.0.1:${port}'}\nlog: {level: error, accesslog: {disabled: true}}\n`);
  const upstream = spawn('docker-registry', ['serve', config], { stdio: 'ignore', env: { PATH: process.env.PATH } });
  try {
    const folder = join(m.dataDir, 'thing');
    image(folder, randomBytes(1 << 20));
    await until('the upstream answers', async () => (await run('curl', ['-sS', `http://127.0.0.1:${port}/v2/`])).code === 0);
    await ok('skopeo', ['copy', '-q', '--dest-tls-verify=false', `oci:${folder}:v1`, `docker://127.0.0.1:${port}/library/thing:v1`]);
    await m.kubectlOk(['create', 'configmap', 'upstreams', '-n', 'library', `--from-literal=far.test=http://127.0.0.1:${port}`]);
    const pull = (name) => run('skopeo', ['copy', '-q', '--src-cert-dir', certs, '--src-creds', `ann:${annToken}`, `docker://${m.listen}/far.test/library/${name}`, `dir:${join(m.dataDir, `pulled-${randomBytes(3).toString('hex')}`)}`]);
    const first = await until('the cache knows the upstream', async () => (await pull('thing:v1')).code === 0);
    assert.ok(first);
    upstream.kill('SIGKILL');
    assert.equal((await pull('thing:v1')).code, 0);
    const digest = (await ask('HEAD', '/v2/far.test/library/thing/manifests/v1', { user: 'ann', secret: annToken })).header('Docker-Content-Digest');
    const again = await pull(`thing@${digest}`);
    assert.equal(again.code, 0, again.all);
    const missing = await pull('other:v1');
    assert.match(missing.all, /cannot be reached from this machine/);
  } finally {
    upstream.kill('SIGKILL');
  }
});

test('a base image that is not here comes through the cache, with and without buildah', { timeout: 120000 }, async () => {
  const port = await freePort();
  const config = join(m.dataDir, 'hub.yml');
  writeFileSync(config, `version: 0.1\nstorage: {filesystem: {rootdirectory: ${join(m.dataDir, 'hub')}}}\nhttp: {addr: '127.0.0.1:${port}'}\nlog: {level: error, accesslog: {disabled: true}}\n`);
  const hub = spawn('docker-registry', ['serve', config], { stdio: 'ignore', env: { PATH: process.env.PATH } });
  try {
    const folder = join(m.dataDir, 'hub-image');
    const files = join(m.dataDir, 'hub-files');
    mkdirSync(files);
    writeFileSync(join(files, 'from-far-away'), randomBytes(1 << 16));
    await ok('tar', ['-C', files, '-cf', `${files}.tar`, '.']);
    image(folder, readFileSync(`${files}.tar`));
    await until('the upstream answers', async () => (await run('curl', ['-sS', `http://127.0.0.1:${port}/v2/`])).code === 0);
    await ok('skopeo', ['copy', '-q', '--dest-tls-verify=false', `oci:${folder}:v1`, `docker://127.0.0.1:${port}/library/faraway:v1`]);
    await m.kubectlOk(['patch', 'configmap', 'upstreams', '-n', 'library', '--type', 'merge', '-p', JSON.stringify({ data: { 'docker.io': `http://127.0.0.1:${port}` } })]);
    await m.cliOk(['repo', 'create', 'far', '--team', 'shop']);
    const work = await m.workTree('shop', 'far');
    work.write('hello.txt', 'hello');
    // Two stages take buildah; one of FROM and COPY does not.
    for (const dockerfile of ['FROM faraway:v1\nCOPY hello.txt /hello.txt\n', 'FROM faraway:v1 AS far\nFROM scratch\nCOPY --from=far / /far\nCOPY hello.txt /hello.txt\n']) {
      work.write('Dockerfile', dockerfile);
      await work.commit(dockerfile.split('\n')[0]);
      const pushed = await work.push();
      assert.match(pushed.all, /signed provenance/, pushed.all);
    }
  } finally {
    hub.kill('SIGKILL');
  }
});

// The attestations of an image that the pipeline makes of one file.
async function attested() {
  const work = await m.workTree('shop', 'web');
  work.write('Dockerfile', 'FROM scratch\nCOPY hello.txt /hello.txt\n');
  work.write('hello.txt', 'hello');
  await work.commit('An image of one file');
  const pushed = await work.push();
  assert.match(pushed.all, /signed provenance/, pushed.all);
  const built = await until('an attested image', async () =>
    (await m.json(['get', 'workflowruns', '-n', 'shop'])).items.flatMap((run) => run.status?.images ?? []).find((i) => i.repository === 'shop/web' && i.provenance && i.sbom), { limit: 60000 });
  const content = async (referrer) => {
    const manifest = JSON.parse((await ask('GET', `/v2/shop/web/manifests/${referrer}`)).body);
    assert.equal(manifest.subject.digest, built.digest);
    return JSON.parse((await ask('GET', `/v2/shop/web/blobs/${manifest.layers[0].digest}`)).body);
  };
  return { digest: built.digest, bundle: await content(built.provenance), sbom: await content(built.sbom) };
}

test('openssl and Sigstore\'s own verifier accept the provenance, and nothing forged', { timeout: 120000 }, async (t) => {
  const { digest, bundle, sbom } = await attested();
  assert.equal(sbom.spdxVersion, 'SPDX-2.3');
  assert.equal(sbom.packages[0].checksums[0].checksumValue, digest.slice(7));
  const statement = JSON.parse(Buffer.from(bundle.dsseEnvelope.payload, 'base64'));
  assert.equal(statement.subject[0].digest.sha256, digest.slice(7));
  const repository = `${m.url}/git/shop/web.git`;
  assert.equal(statement.predicate.buildDefinition.externalParameters.repository, repository);

  const file = (name, bytes) => { const path = join(m.dataDir, name); writeFileSync(path, bytes); return path; };
  const leaf = file('leaf.der', Buffer.from(bundle.verificationMaterial.certificate.rawBytes, 'base64'));
  const sig = file('sig', Buffer.from(bundle.dsseEnvelope.signatures[0].sig, 'base64'));
  const stamp = file('stamp.tsr', Buffer.from(bundle.verificationMaterial.timestampVerificationData.rfc3161Timestamps[0].signedTimestamp, 'base64'));
  const payload = Buffer.from(bundle.dsseEnvelope.payload, 'base64');
  const type = bundle.dsseEnvelope.payloadType;
  const signed = file('pae', Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]));
  await ok('openssl', ['x509', '-inform', 'der', '-in', leaf, '-out', join(m.dataDir, 'leaf.pem')]);
  await ok('openssl', ['verify', '-purpose', 'any', '-CAfile', ca, join(m.dataDir, 'leaf.pem')]);
  await ok('openssl', ['x509', '-in', join(m.dataDir, 'leaf.pem'), '-noout', '-pubkey', '-out', join(m.dataDir, 'leaf.pub')]);
  await ok('openssl', ['dgst', '-sha256', '-verify', join(m.dataDir, 'leaf.pub'), '-signature', sig, signed]);
  await ok('openssl', ['ts', '-verify', '-data', sig, '-in', stamp, '-CAfile', ca]);

  const require = createRequire(import.meta.url);
  const { bundleFromJSON } = require('@sigstore/bundle');
  const { TrustedRoot } = require('@sigstore/protobuf-specs');
  const { toTrustMaterial, toSignedEntity, Verifier } = require('@sigstore/verify');
  const trust = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse((await m.curl('/provenance/v1/trusted-root')).stdout)));
  const verifier = new Verifier(trust, { ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 1 });
  const policy = { subjectAlternativeName: `${repository}//default@refs/heads/main`, extensions: { issuer: m.url } };
  const verify = (b, p) => verifier.verify(toSignedEntity(bundleFromJSON(b)), p);
  verify(bundle, policy);
  assert.throws(() => verify(bundle, { ...policy, subjectAlternativeName: `${m.url}/git/bank/web.git//default@refs/heads/main` }));
  const forged = structuredClone(bundle);
  forged.dsseEnvelope.payload = Buffer.from(payload.toString().replace('/shop/web', '/shop/wob')).toString('base64');
  assert.throws(() => verify(forged, policy));
});
