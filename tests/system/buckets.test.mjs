// The S3 API as s3cmd and rclone speak it, and by presigned URL; nothing acknowledged is lost by kill -9; one team's key
// opens one bucket.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { Mainstay, run, until, join } from './lib/mainstay.mjs';

let m, ann, eve, ours, theirs, folder;
const MB = 1 << 20;

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  for (const [team, user] of [['shop', 'ann'], ['bank', 'eve']]) {
    await m.cliOk(['user', 'create', user]);
    await m.cliOk(['team', 'create', team, '--member', `${user}:developer`, '--env', 'dev']);
  }
  ann = await m.kubeconfigFor('ann', await m.token('ann'));
  eve = await m.kubeconfigFor('eve', await m.token('eve'));
  ours = await bucket(ann, 'shop-dev', 'photos');
  theirs = await bucket(eve, 'bank-dev', 'ledger');
  folder = join(m.dataDir, 'files');
  mkdirSync(folder);
}, { timeout: 120000 });
after(async () => { await m?.down(); });

const as = (kubeconfig, args, options = {}) => m.kubectl(args, { ...options, env: { KUBECONFIG: kubeconfig } });
async function bucket(kubeconfig, ns, name, spec = {}) {
  const made = await as(kubeconfig, ['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'mainstay.dev/v1', kind: 'Bucket', metadata: { name, namespace: ns }, spec }) });
  assert.equal(made.code, 0, made.all);
  await m.kubectlOk(['wait', '--for=condition=Ready', `bucket/${name}`, '-n', ns, '--timeout=60s'], { timeout: 70000 });
  const secret = await as(kubeconfig, ['get', 'secret', `${name}-s3`, '-n', ns, '-o', 'json']);
  return Object.fromEntries(Object.entries(JSON.parse(secret.stdout).data).map(([k, v]) => [k, Buffer.from(v, 'base64').toString()]));
}
function file(name, size) {
  const path = join(folder, name), bytes = randomBytes(size);
  writeFileSync(path, bytes);
  return { path, bytes };
}
function s3cmd(keys, args) {
  const config = join(m.dataDir, `${keys.access_key_id}.s3cfg`);
  writeFileSync(config, ['[default]', `access_key = ${keys.access_key_id}`, `secret_key = ${keys.secret_key}`, `host_base = ${m.listen}/s3`, `host_bucket = ${m.listen}/s3`,
    `ca_certs_file = ${join(m.dataDir, 'ca.crt')}`, 'use_https = True', 'check_ssl_hostname = True', 'max_retries = 1', ''].join('\n'), { mode: 0o600 });
  return run('s3cmd', ['-c', config, '--no-progress', ...args], { timeout: 60000 });
}
const rclone = (keys, args) => run('rclone', ['--ca-cert', join(m.dataDir, 'ca.crt'), '--retries', '1', '--low-level-retries', '1', ...args], { timeout: 120000,
  env: { AWS_CA_BUNDLE: '', RCLONE_CONFIG: '/dev/null', RCLONE_CONFIG_S_TYPE: 's3', RCLONE_CONFIG_S_PROVIDER: 'Other', RCLONE_CONFIG_S_ACCESS_KEY_ID: keys.access_key_id, RCLONE_CONFIG_S_SECRET_ACCESS_KEY: keys.secret_key,
    RCLONE_CONFIG_S_ENDPOINT: `${m.url}/s3`, RCLONE_CONFIG_S_REGION: 'us-east-1', RCLONE_CONFIG_S_FORCE_PATH_STYLE: 'true' } });
async function good(result) { const r = await result; assert.equal(r.code, 0, r.all); return r; }

// Signature Version 4 by hand, for what the clients do not send.
const sha = (text) => createHash('sha256').update(text).digest('hex');
const hmac = (key, text) => createHmac('sha256', key).update(text).digest();
const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
function presign(keys, method, key, { expires = 300, at = new Date(), query = {} } = {}) {
  const stamp = at.toISOString().replace(/[-:]|\.\d+/g, ''), day = stamp.slice(0, 8), scope = `${day}/us-east-1/s3/aws4_request`;
  const path = `/s3/${keys.bucket}/${key.split('/').map(encode).join('/')}`;
  const all = { ...query, 'X-Amz-Algorithm': 'AWS4-HMAC-SHA256', 'X-Amz-Credential': `${keys.access_key_id}/${scope}`, 'X-Amz-Date': stamp, 'X-Amz-Expires': String(expires), 'X-Amz-SignedHeaders': 'host' };
  const canonicalQuery = Object.keys(all).sort().map((k) => `${encode(k)}=${encode(all[k])}`).join('&');
  const canonical = [method, path, canonicalQuery, `host:${m.listen}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n');
  const signing = ['us-east-1', 's3', 'aws4_request'].reduce((k, part) => hmac(k, part), hmac(`AWS4${keys.secret_key}`, day));
  return `${path}?${canonicalQuery}&X-Amz-Signature=${createHmac('sha256', signing).update(`AWS4-HMAC-SHA256\n${stamp}\n${scope}\n${sha(canonical)}`).digest('hex')}`;
}
const status = async (path, args = []) => (await m.curl(path, ['-o', '/dev/null', '-w', '%{http_code}', ...args])).stdout;

test('s3cmd puts, lists, gets, copies and deletes', { timeout: 120000 }, async () => {
  const small = file('small.bin', 1000), big = file('big.bin', 20 * MB + 17);
  const base = `s3://${ours.bucket}`;
  await good(s3cmd(ours, ['put', small.path, `${base}/a/small & odd+name.bin`]));
  await good(s3cmd(ours, ['put', '--multipart-chunk-size-mb=6', big.path, `${base}/a/big.bin`]));
  assert.match((await good(s3cmd(ours, ['ls', `${base}/`]))).stdout, /DIR .*\/a\//);
  assert.match((await good(s3cmd(ours, ['ls', `${base}/a/`]))).stdout, new RegExp(`${20 * MB + 17} .*/a/big\\.bin`));
  for (const [name, source] of [['a/small & odd+name.bin', small], ['a/big.bin', big]]) {
    const out = join(folder, 'out.bin');
    await good(s3cmd(ours, ['get', '--force', `${base}/${name}`, out]));
    assert.ok(readFileSync(out).equals(source.bytes), name);
  }
  await good(s3cmd(ours, ['cp', `${base}/a/big.bin`, `${base}/copies/big.bin`]));
  assert.match((await good(s3cmd(ours, ['info', `${base}/copies/big.bin`]))).stdout, /File size: +20971537[^]*ACL: .*FULL_CONTROL/);
  assert.match((await good(s3cmd(ours, ['info', base]))).stdout, /Payer: +BucketOwner[^]*FULL_CONTROL/);
  await good(s3cmd(ours, ['del', `${base}/a/big.bin`]));
  await good(s3cmd(ours, ['get', '--force', `${base}/copies/big.bin`, join(folder, 'out.bin')]));
  assert.ok(readFileSync(join(folder, 'out.bin')).equals(big.bytes), 'a copy does not need its source');
  await good(s3cmd(ours, ['del', '--recursive', '--force', `${base}/`]));
  assert.equal((await good(s3cmd(ours, ['ls', '--recursive', `${base}/`]))).stdout.trim(), '');
});

test('rclone syncs a folder both ways and finds nothing different', { timeout: 180000 }, async () => {
  const tree = join(folder, 'tree');
  for (const sub of ['', 'sub', 'sub/deeper', 'ünï cödé']) mkdirSync(join(tree, sub), { recursive: true });
  for (let i = 0; i < 40; i++) writeFileSync(join(tree, ['', 'sub', 'sub/deeper', 'ünï cödé'][i % 4], `file ${i}.txt`), randomBytes(i * 997));
  writeFileSync(join(tree, 'sub/large.bin'), randomBytes(12 * MB));
  const remote = `s:${ours.bucket}/tree`;
  await good(rclone(ours, ['sync', '--s3-upload-cutoff', '5M', '--s3-chunk-size', '5M', tree, remote]));
  await good(rclone(ours, ['check', '--download', tree, remote]));
  await good(rclone(ours, ['copy', remote, join(folder, 'back')]));
  await good(run('diff', ['-r', tree, join(folder, 'back')]));
  assert.equal((await good(rclone(ours, ['lsf', '-R', '--files-only', remote]))).stdout.trim().split('\n').length, 41);
  await good(rclone(ours, ['moveto', `${remote}/sub/large.bin`, `${remote}/moved.bin`]));
  await good(rclone(ours, ['purge', remote]));
  assert.match((await good(rclone(ours, ['lsd', 's:']))).stdout, new RegExp(ours.bucket));
});

test('presigned URLs give, take and expire; ranges and conditions hold', { timeout: 60000 }, async () => {
  const body = randomBytes(5000), path = join(folder, 'presigned.bin');
  writeFileSync(path, body);
  assert.equal(await status(presign(ours, 'PUT', 'p/one.bin'), ['-T', path]), '200');
  const url = presign(ours, 'GET', 'p/one.bin');
  await good(m.curl(url, ['-o', join(folder, 'got.bin')]));
  assert.ok(readFileSync(join(folder, 'got.bin')).equals(body));
  await good(m.curl(url, ['-r', '1000-1999', '-o', join(folder, 'part.bin')]));
  assert.ok(readFileSync(join(folder, 'part.bin')).equals(body.subarray(1000, 2000)));
  assert.equal(await status(url, ['-r', '9000-']), '416');
  const etag = /etag: (".*")/i.exec((await m.curl(presign(ours, 'HEAD', 'p/one.bin'), ['-I'])).stdout)[1];
  assert.equal(etag, `"${createHash('md5').update(body).digest('hex')}"`);
  assert.equal(await status(url, ['-H', `If-None-Match: ${etag}`]), '304');
  assert.equal(await status(url, ['-H', 'If-Match: "other"']), '412');
  const page = (await m.curl(presign(ours, 'GET', 'p/one.bin', { query: { 'response-content-type': 'text/html', 'response-set-cookie': 'a=b' } }), ['-D', '-', '-o', '/dev/null'])).stdout;
  assert.match(page, /content-type: text\/html/i);
  assert.match(page, /content-security-policy: sandbox/i, 'no script of a bucket runs at the console\'s origin');
  assert.doesNotMatch(page, /set-cookie/i);
  assert.equal(await status(presign(ours, 'GET', 'p/none.bin')), '404');
  assert.equal(await status(presign(ours, 'GET', 'p/one.bin', { at: new Date(Date.now() - 600000), expires: 60 })), '403', 'expired');
  assert.equal(await status(presign(ours, 'GET', 'p/one.bin', { expires: 8 * 86400 })), '403', 'over seven days');
  assert.equal(await status(url.replace('one.bin', 'two.bin')), '403', 'another key');
  assert.equal(await status(url, ['-X', 'DELETE']), '403', 'another method');
  assert.equal(await status(`/s3/${ours.bucket}/p/one.bin`), '403', 'unsigned');
  assert.match((await m.curl(`/s3/${ours.bucket}/p/one.bin`)).stdout, /<Code>AccessDenied<\/Code>/);
});

test('what is not there is said, and nothing conditional is taken for unconditional', { timeout: 60000 }, async () => {
  const says = async (method, key, query, args = []) => (await m.curl(presign(ours, method, key, { query }), ['-X', method, ...args])).stdout;
  assert.match(await says('PUT', '', { versioning: '' }, ['-d', '<VersioningConfiguration/>']), /NotImplemented.*keep no versions/);
  assert.match(await says('GET', '', { versions: '' }), /NotImplemented.*keep no versions/);
  assert.match(await says('GET', '', { versioning: '' }), /<VersioningConfiguration[^>]*><\/VersioningConfiguration>/);
  assert.match(await says('GET', 'c/one', { versionId: 'v1' }), /NotImplemented.*keep no versions/);
  assert.equal(await status(presign(ours, 'PUT', 'c/one'), ['-X', 'PUT', '-d', 'first', '-H', 'If-None-Match: *']), '200');
  assert.equal(await status(presign(ours, 'PUT', 'c/one'), ['-X', 'PUT', '-d', 'second', '-H', 'If-None-Match: *']), '412');
  assert.equal(await status(presign(ours, 'PUT', 'c/one'), ['-X', 'PUT', '-d', 'second', '-H', 'If-Match: "x"']), '501');
  assert.equal((await m.curl(presign(ours, 'GET', 'c/one'))).stdout, 'first');
});

test('uploads that were begun are listed and given up', { timeout: 60000 }, async () => {
  const begun = (await m.curl(presign(ours, 'POST', 'u/left.bin', { query: { uploads: '' } }), ['-X', 'POST'])).stdout;
  const id = /<UploadId>([^<]+)</.exec(begun)[1];
  assert.equal(await status(presign(ours, 'PUT', 'u/left.bin', { query: { partNumber: '1', uploadId: id } }), ['-X', 'PUT', '-d', 'part']), '200');
  assert.match((await good(s3cmd(ours, ['multipart', `s3://${ours.bucket}`]))).stdout, new RegExp(`u/left.bin\\s+${id}`));
  assert.match((await good(s3cmd(ours, ['listmp', `s3://${ours.bucket}/u/left.bin`, id]))).stdout, /1 +"[0-9a-f]{32}"|[0-9a-f]{32}/);
  await good(s3cmd(ours, ['abortmp', `s3://${ours.bucket}/u/left.bin`, id]));
  assert.doesNotMatch((await good(s3cmd(ours, ['multipart', `s3://${ours.bucket}`]))).stdout, /left/);
  await m.curl(presign(ours, 'POST', 'u/other.bin', { query: { uploads: '' } }), ['-X', 'POST']);
  assert.match((await good(rclone(ours, ['backend', 'list-multipart-uploads', `s:${ours.bucket}`]))).stdout, /u\/other.bin/);
  await good(rclone(ours, ['backend', 'cleanup', '-o', 'max-age=0s', `s:${ours.bucket}`]));
  assert.doesNotMatch((await good(rclone(ours, ['backend', 'list-multipart-uploads', `s:${ours.bucket}`]))).stdout, /u\/other.bin/);
});

test('a listing goes on page by page', { timeout: 60000 }, async () => {
  for (let i = 0; i < 7; i++) assert.equal(await status(presign(ours, 'PUT', `l/${i % 2 ? 'odd/' : ''}${i}`), ['-X', 'PUT', '-d', 'x']), '200');
  const seen = [];
  for (let token; ;) {
    const query = { 'list-type': '2', 'max-keys': '2', prefix: 'l/', delimiter: '/', ...(token ? { 'continuation-token': token } : {}) };
    const xml = (await m.curl(presign(ours, 'GET', '', { query }))).stdout;
    seen.push(...[...xml.matchAll(/<(?:Key|CommonPrefixes><Prefix)>([^<]*)</g)].map((x) => x[1]));
    token = /<NextContinuationToken>([^<]*)</.exec(xml)?.[1];
    if (!token) break;
  }
  assert.deepEqual(seen.sort(), ['l/0', 'l/2', 'l/4', 'l/6', 'l/odd/']);
});

test('names of every kind come back as they were', { timeout: 120000 }, async () => {
  const names = ['a b', 'a+b', 'ä/ö', '日本/語', 'per%20cent', `quote"'<&>`, 'semi;colon=?#', '~tilde', 'folder/', '😀', 'x'.repeat(900)].map((n) => `n/${n}`);
  for (const name of names) assert.equal(await status(presign(ours, 'PUT', name), ['-X', 'PUT', '--data-binary', name]), '200', name);
  for (const name of names) assert.equal((await good(m.curl(presign(ours, 'GET', name)))).stdout, name);
  const listed = (await m.curl(presign(ours, 'GET', '', { query: { 'list-type': '2', prefix: 'n/', 'encoding-type': 'url' } }))).stdout;
  assert.deepEqual([...listed.matchAll(/<Key>([^<]*)</g)].map((x) => decodeURIComponent(x[1])).sort(), [...names].sort());
  const plain = (await good(s3cmd(ours, ['ls', '--recursive', `s3://${ours.bucket}/n/`]))).stdout;
  for (const name of names) assert.ok(plain.includes(`s3://${ours.bucket}/${name}`), `${name} in ${plain}`);
  const files = (await good(rclone(ours, ['lsf', '-R', '--files-only', `s:${ours.bucket}/n`]))).stdout.trim().split('\n');
  for (const name of ['a b', 'a+b', 'ä/ö', '日本/語', 'per%20cent', '😀']) assert.ok(files.includes(name), `${name} in ${files}`);
  await good(rclone(ours, ['copy', `s:${ours.bucket}/n/ä`, join(folder, 'names')]));
  assert.equal(readFileSync(join(folder, 'names/ö'), 'utf8'), 'n/ä/ö');
  for (const wrong of ['y'.repeat(1025), 'tab\there', 'nul\0']) assert.equal(await status(presign(ours, 'PUT', wrong), ['-X', 'PUT', '-d', 'x']), '400', wrong);
  await good(s3cmd(ours, ['del', '--recursive', '--force', `s3://${ours.bucket}/n/`]));
});

test('an upload that breaks off leaves nothing; parts count against the quota', { timeout: 120000 }, async () => {
  const files = () => readdirSync(join(m.dataDir, 'buckets/uploads'), { recursive: true }).length;
  const before = files();
  const big = file('broken.bin', 8 * MB);
  const cut = m.curl(presign(ours, 'PUT', 'broken'), ['-T', big.path, '--limit-rate', '1M', '-m', '2']);
  await until('it is under way', () => files() > before);
  assert.equal((await cut).code, 28);
  await until('its bytes are gone', () => files() === before);
  assert.equal(await status(presign(ours, 'GET', 'broken')), '404');
  const tiny = await bucket(ann, 'shop-dev', 'parts', { quota: '6M' });
  const part = file('part.bin', 5 * MB);
  const begin = async (key) => /<UploadId>([^<]+)</.exec((await m.curl(presign(tiny, 'POST', key, { query: { uploads: '' } }), ['-X', 'POST'])).stdout)[1];
  const [one, two] = [await begin('one'), await begin('two')];
  const put = (key, uploadId, partNumber) => m.curl(presign(tiny, 'PUT', key, { query: { partNumber, uploadId } }), ['-T', part.path, '-w', '%{http_code}']);
  assert.equal((await put('one', one, '1')).stdout, '200');
  assert.match((await put('two', two, '1')).stdout, /QuotaExceeded.*with the parts of uploads under way.*403$/);
  assert.match((await put('one', one, '2')).stdout, /QuotaExceeded/);
  assert.equal(await status(presign(tiny, 'DELETE', 'one', { query: { uploadId: one } }), ['-X', 'DELETE']), '204');
  assert.equal((await put('two', two, '1')).stdout, '200');
});

test('what was acknowledged is there after kill -9', { timeout: 180000 }, async () => {
  const acknowledged = new Map();
  let stop = false;
  const load = async (worker) => {
    for (let i = 0; !stop; i++) {
      const key = `k/${worker}-${i}`, bytes = randomBytes(30000 + i), path = join(folder, `load-${worker}`);
      writeFileSync(path, bytes);
      if (await status(presign(ours, 'PUT', key), ['-T', path]).catch(() => '') === '200') acknowledged.set(key, sha(bytes));
    }
  };
  const loads = [load(1), load(2), load(3)];
  await until('some objects', () => acknowledged.size > 20);
  await m.kill9();
  stop = true;
  await Promise.all(loads);
  await m.start();
  for (const [key, digest] of acknowledged) {
    await good(m.curl(presign(ours, 'GET', key), ['-o', join(folder, 'after.bin')]));
    assert.equal(sha(readFileSync(join(folder, 'after.bin'))), digest, key);
  }
});

test('a key opens its own bucket and no other', { timeout: 60000 }, async () => {
  assert.equal(await status(presign(theirs, 'PUT', 'secret.txt'), ['-X', 'PUT', '-d', 'theirs']), '200');
  for (const method of ['GET', 'PUT', 'DELETE', 'HEAD']) assert.equal(await status(presign({ ...ours, bucket: theirs.bucket }, method, 'secret.txt'), method === 'HEAD' ? ['-I'] : ['-X', method]), '403', method);
  assert.equal(await status(presign({ ...ours, access_key_id: theirs.access_key_id }, 'GET', 'secret.txt')), '403', 'their name, our secret');
  assert.notEqual((await s3cmd(ours, ['ls', `s3://${theirs.bucket}/`])).code, 0);
  assert.notEqual((await rclone(ours, ['cat', `s:${theirs.bucket}/secret.txt`])).code, 0);
  assert.doesNotMatch((await good(rclone(ours, ['lsd', 's:']))).stdout, new RegExp(theirs.bucket));
  for (const args of [['get', 'bucket', 'ledger'], ['get', 'secret', 'ledger-s3'], ['delete', 'bucket', 'ledger'], ['patch', 'bucket', 'ledger', '--type=merge', '-p', '{"spec":{"quota":"1"}}']])
    assert.match((await as(ann, [...args, '-n', 'bank-dev'])).all, /[Ff]orbidden/, args.join(' '));
  // A Secret that names another's key is nobody's key.
  const forged = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'forged-s3', namespace: 'shop-dev' }, stringData: { ...theirs, secret_key: 'x'.repeat(40) } };
  assert.equal((await as(ann, ['create', '-f', '-'], { input: JSON.stringify(forged) })).code, 0);
  assert.equal(await status(presign({ ...theirs, secret_key: 'x'.repeat(40) }, 'GET', 'secret.txt')), '403');
});

test('a bucket is full at its quota, and its end is the end of its objects', { timeout: 60000 }, async () => {
  const tiny = await bucket(ann, 'shop-dev', 'tiny', { quota: '2k' });
  writeFileSync(join(folder, 'k.bin'), randomBytes(1500));
  assert.equal(await status(presign(tiny, 'PUT', 'one'), ['-T', join(folder, 'k.bin')]), '200');
  assert.equal(await status(presign(tiny, 'PUT', 'two'), ['-T', join(folder, 'k.bin')]), '403');
  assert.match((await m.curl(presign(tiny, 'PUT', 'two'), ['-T', join(folder, 'k.bin')])).stdout, /QuotaExceeded/);
  await m.kubectlOk(['delete', 'bucket', 'tiny', '-n', 'shop-dev', '--timeout=30s'], { timeout: 40000 });
  assert.equal(await status(presign(tiny, 'GET', 'one')), '403');
  const again = await bucket(ann, 'shop-dev', 'tiny');
  assert.notEqual(again.secret_key, tiny.secret_key);
  assert.equal(await status(presign(again, 'GET', 'one')), '404');
});
