// Secrets over the Vault API, with node-vault: versions, check-and-set, logins of pods, sync, audit, the master key; and
// one team refused on every path of another's.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import vault from 'node-vault';
import { Mainstay, run, until, join, readFileSync, writeFileSync, mkdirSync } from './lib/mainstay.mjs';

let m, ca;
const as = {};
// The API's error as node-vault throws it: its status, and the first of its errors.
const refused = async (promise) => {
  const error = await promise.then(() => undefined, (e) => e);
  assert.ok(error, 'it was not refused');
  return error.response?.statusCode ?? 0;
};
const client = (token, options = {}) => vault({ apiVersion: 'v1', endpoint: m.url, token, requestOptions: { ca, ...options } });
const restart = async (flags = []) => {
  await m.kill9();
  const own = Object.getPrototypeOf(m);
  Object.defineProperty(m, 'flags', { configurable: true, get() { return [...Object.getOwnPropertyDescriptor(own, 'flags').get.call(this), ...flags]; } });
  await m.start();
};

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  ca = readFileSync(join(m.dataDir, 'ca.crt'));
  for (const user of ['ann', 'vic', 'mallory']) await m.cliOk(['user', 'create', user]);
  await m.cliOk(['team', 'create', 'shop', '--member', 'ann:developer', '--member', 'vic:viewer']);
  await m.cliOk(['team', 'create', 'evil', '--member', 'mallory:owner']);
  for (const user of ['admin', 'ann', 'vic', 'mallory']) as[user] = client(await m.token(user));
}, { timeout: 120000 });
after(async () => { await m?.down(); });

test('health needs no token, and a wrong one is told', async () => {
  assert.equal((await client('').health()).sealed, false);
  assert.equal(await refused(client('mst_00_wrong').read('secret/data/shop/db')), 403);
  assert.equal(await refused(client('').read('secret/data/shop/db')), 403);
});

test('versions, check-and-set, merge', async () => {
  const first = await as.ann.write('secret/data/shop/web/db', { data: { user: 'web', password: 'hunter2-first' } });
  assert.equal(first.data.version, 1);
  const read = await as.ann.read('secret/data/shop/web/db');
  assert.deepEqual(read.data.data, { user: 'web', password: 'hunter2-first' });
  assert.equal(await refused(as.ann.write('secret/data/shop/web/db', { data: { a: '1' }, options: { cas: 0 } })), 400);
  const second = await as.ann.write('secret/data/shop/web/db', { data: { user: 'web', password: 'hunter2-second' }, options: { cas: 1 } });
  assert.equal(second.data.version, 2);
  await as.ann.update('secret/data/shop/web/db', { data: { port: 5432, user: null } });
  assert.deepEqual((await as.ann.read('secret/data/shop/web/db')).data.data, { password: 'hunter2-second', port: 5432 });
  assert.deepEqual((await as.ann.read('secret/data/shop/web/db?version=1')).data.data, { user: 'web', password: 'hunter2-first' });
  const metadata = (await as.ann.read('secret/metadata/shop/web/db')).data;
  assert.equal(metadata.current_version, 3);
  assert.equal(metadata.versions['1'].created_by, 'ann');
  // A name that ends as the logins do is a secret's like any other.
  await as.ann.write('secret/data/shop/web/login', { data: { name: 'web' } });
  assert.equal((await as.ann.read('secret/data/shop/web/login')).data.data.name, 'web');
  await as.ann.delete('secret/metadata/shop/web/login');
});

test('writes at once: each version is one writer\'s, and check-and-set lets one through', async () => {
  const many = await Promise.all(Array.from({ length: 12 }, (_, i) => as.ann.write('secret/data/shop/busy', { data: { i } })));
  assert.deepEqual(many.map((w) => w.data.version).sort((a, b) => a - b), Array.from({ length: 12 }, (_, i) => i + 1));
  const once = await Promise.allSettled(Array.from({ length: 8 }, () => as.ann.write('secret/data/shop/once', { data: {}, options: { cas: 0 } })));
  assert.equal(once.filter((r) => r.status === 'fulfilled').length, 1);
});

test('delete, undelete, destroy, metadata', async () => {
  const path = 'shop/life';
  for (const v of ['one', 'two', 'three']) await as.ann.write(`secret/data/${path}`, { data: { v } });
  await as.ann.delete(`secret/data/${path}`);
  assert.equal(await refused(as.ann.read(`secret/data/${path}`)), 404);
  assert.equal((await as.ann.read(`secret/data/${path}?version=2`)).data.data.v, 'two');
  await as.ann.write(`secret/undelete/${path}`, { versions: [3] });
  assert.equal((await as.ann.read(`secret/data/${path}`)).data.data.v, 'three');
  await as.ann.write(`secret/destroy/${path}`, { versions: [1] });
  await as.ann.write(`secret/undelete/${path}`, { versions: [1] });
  assert.equal(await refused(as.ann.read(`secret/data/${path}?version=1`)), 404);
  await as.ann.write(`secret/metadata/${path}`, { max_versions: 2, cas_required: true, custom_metadata: { owner: 'ann' } });
  assert.equal(await refused(as.ann.write(`secret/data/${path}`, { data: {} })), 400);
  const metadata = (await as.ann.read(`secret/metadata/${path}`)).data;
  assert.deepEqual(Object.keys(metadata.versions), ['2', '3']);
  assert.equal(metadata.custom_metadata.owner, 'ann');
  await as.ann.delete(`secret/metadata/${path}`);
  assert.equal(await refused(as.ann.read(`secret/metadata/${path}`)), 404);
});

test('lists names by LIST and by ?list=true; the root lists the caller\'s teams', async () => {
  assert.deepEqual((await as.ann.list('secret/metadata/shop')).data.keys, ['busy', 'once', 'web/']);
  assert.deepEqual((await as.ann.list('secret/metadata/shop/web/')).data.keys, ['db']);
  assert.deepEqual((await as.ann.read('secret/metadata/shop?list=true')).data.keys, ['busy', 'once', 'web/']);
  assert.deepEqual((await as.ann.list('secret/metadata')).data.keys, ['shop/']);
  assert.deepEqual((await as.mallory.list('secret/metadata')).data.keys, ['evil/']);
});

test('what clients ask first: mounts, and namespaces are refused clearly', async () => {
  assert.equal((await as.ann.mounts()).data['secret/'].options.version, '2');
  assert.equal((await as.ann.read('sys/internal/ui/mounts/secret/shop/web/db')).data.type, 'kv');
  const other = await m.curl('/v1/secret/data/shop/web/db', ['-H', `X-Vault-Token: ${as.ann.token}`, '-H', 'X-Vault-Namespace: other/']);
  assert.match(JSON.parse(other.stdout).errors[0], /team is the first segment/);
});

test('another team is refused on every path, a viewer sees names and no values', async () => {
  const paths = ['secret/data/shop/web/db', 'secret/metadata/shop/web/db', 'secret/data/shop/new', 'secret/data/shop/web/db?version=1'];
  for (const path of paths) {
    assert.equal(await refused(as.mallory.read(path)), 403, `read ${path}`);
    assert.equal(await refused(as.mallory.write(path, { data: { a: 1 } })), 403, `write ${path}`);
    assert.equal(await refused(as.mallory.update(path, { data: { a: 1 } })), 403, `patch ${path}`);
    assert.equal(await refused(as.mallory.delete(path)), 403, `delete ${path}`);
  }
  for (const action of ['delete', 'undelete', 'destroy'])
    assert.equal(await refused(as.mallory.write(`secret/${action}/shop/web/db`, { versions: [1] })), 403, action);
  for (const folder of ['shop', 'shop/web']) {
    assert.equal(await refused(as.mallory.list(`secret/metadata/${folder}`)), 403, `list ${folder}`);
    assert.equal(await refused(as.mallory.read(`secret/metadata/${folder}?list=true`)), 403, `list ${folder}`);
  }
  assert.equal(await refused(as.mallory.write('sys/rotate', {})), 403);
  assert.ok([400, 403].includes(await refused(as.mallory.read('secret/data/evil/../shop/web/db'))));
  assert.equal((await as.vic.list('secret/metadata/shop')).data.keys.length, 3);
  assert.equal(await refused(as.vic.read('secret/data/shop/web/db')), 403);
  assert.equal(await refused(as.vic.write('secret/data/shop/web/db', { data: {} })), 403);
  // Nor by the objects behind the API, nor by a sync from the other's namespace.
  const config = await m.kubeconfigFor('mallory', as.mallory.token);
  for (const what of ['secretentries', 'secretsyncs'])
    assert.match((await m.kubectl(['get', what, '-n', 'shop', '--kubeconfig', config])).stderr, /Forbidden|forbidden/);
  assert.match((await m.kubectl(['get', 'logintokens', '--kubeconfig', config])).stderr, /Forbidden|forbidden/);
  await m.kubectlOk(['apply', '--kubeconfig', config, '-f', '-'], { input: sync('evil', 'steal', 'shop/web/db', 'loot') });
  await until('the refusal', async () => (await m.json(['get', 'secretsync', 'steal', '-n', 'evil'])).status?.conditions?.[0]?.reason === 'Refused');
  assert.notEqual((await m.kubectl(['get', 'secret', 'loot', '-n', 'evil'])).code, 0);
});

const sync = (ns, name, path, target, keys = '') => `
apiVersion: mainstay.dev/v1
kind: SecretSync
metadata: {name: ${name}, namespace: ${ns}}
spec: {path: ${path}, target: {name: ${target}}${keys}}
`;

test('a SecretSync follows each version into a Secret, and takes nobody\'s over', async () => {
  const config = await m.kubeconfigFor('ann', as.ann.token);
  await m.kubectlOk(['apply', '--kubeconfig', config, '-f', '-'], { input: sync('shop-dev', 'db', 'shop/web/db', 'database', ', keys: [{key: password, as: PASSWORD}]') });
  const value = async () => Buffer.from((await m.json(['get', 'secret', 'database', '-n', 'shop-dev'])).data.PASSWORD, 'base64').toString();
  await until('the Secret', async () => (await value()) === 'hunter2-second');
  await as.ann.write('secret/data/shop/web/db', { data: { password: 'hunter2-third' } });
  await until('the new version', async () => (await value()) === 'hunter2-third');
  await m.kubectlOk(['create', 'secret', 'generic', 'mine', '-n', 'shop-dev', '--from-literal=a=b']);
  await m.kubectlOk(['apply', '--kubeconfig', config, '-f', '-'], { input: sync('shop-dev', 'takes', 'shop/web/db', 'mine') });
  await until('the conflict', async () => (await m.json(['get', 'secretsync', 'takes', '-n', 'shop-dev'])).status?.conditions?.[0]?.reason === 'Conflict');
  // workflow-secrets, which jobs read as secrets.*, is fed in the same way.
  await m.kubectlOk(['apply', '--kubeconfig', config, '-f', '-'], { input: sync('shop', 'workflow', 'shop/web/db', 'workflow-secrets') });
  await until('workflow-secrets', async () => (await m.json(['get', 'secret', 'workflow-secrets', '-n', 'shop'])).data.password);
});

test('a pod logs in with its ServiceAccount\'s token, reads its own team\'s secrets, and its token ends with it', { timeout: 120000 }, async () => {
  await m.baseImage();
  const image = `${m.listen}/library/python:3.11-slim`;
  // In the team's own namespace, where jobs run: environments take only images of the team's with provenance.
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'reader', namespace: 'shop' }, spec: { containers: [{ name: 'main', image, command: ['sleep', '600'] }] } };
  await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify(pod) });
  await m.kubectlOk(['wait', '--for=condition=Ready', 'pod/reader', '-n', 'shop', '--timeout=60s'], { timeout: 70000 });
  const jwt = (await m.kubectlOk(['exec', 'reader', '-n', 'shop', '--', 'cat', '/var/run/secrets/kubernetes.io/serviceaccount/token'])).stdout.trim();
  const login = await client('').kubernetesLogin({ role: 'web', jwt, mount_point: 'kubernetes' });
  assert.equal(login.auth.metadata.service_account_name, 'default');
  const inside = client(login.auth.client_token);
  assert.equal((await inside.read('secret/data/shop/web/db')).data.data.password, 'hunter2-third');
  assert.equal(await refused(inside.write('secret/data/shop/web/db', { data: {} })), 403, 'it may read only');
  assert.equal(await refused(inside.read('secret/data/evil/any')), 403);
  assert.ok((await inside.tokenLookupSelf()).data.ttl > 3000);
  assert.equal((await inside.tokenRenewSelf({ increment: '30m' })).auth.renewable, true);
  // From inside, by the address pods use.
  const code = `import json,ssl,urllib.request as u
c=ssl.create_default_context(cafile='/var/run/secrets/kubernetes.io/serviceaccount/ca.crt')
b='https://'+__import__('os').environ['KUBERNETES_SERVICE_HOST']+':'+__import__('os').environ['KUBERNETES_SERVICE_PORT']+'/v1/'
j=open('/var/run/secrets/kubernetes.io/serviceaccount/token').read()
t=json.load(u.urlopen(u.Request(b+'auth/kubernetes/login',json.dumps({'role':'web','jwt':j}).encode(),{'Content-Type':'application/json'}),context=c))['auth']['client_token']
print(json.load(u.urlopen(u.Request(b+'secret/data/shop/web/db',headers={'X-Vault-Token':t}),context=c))['data']['data']['password'])`;
  assert.equal((await m.kubectlOk(['exec', 'reader', '-n', 'shop', '--', 'python3', '-c', code])).stdout.trim(), 'hunter2-third');
  await m.kubectlOk(['delete', 'pod', 'reader', '-n', 'shop', '--now']);
  await until('the token to end', async () => (await refused(inside.read('secret/data/shop/web/db'))) === 403);
});

test('a token of a JWT login can be revoked; a personal access token needs no login', async () => {
  const jwt = (await m.kubectlOk(['create', 'token', 'default', '-n', 'shop-dev'])).stdout.trim();
  const login = await client('').write('auth/jwt/login', { role: 'any', jwt });
  const mine = client(login.auth.client_token);
  assert.equal((await mine.read('secret/data/shop/web/db')).data.data.password, 'hunter2-third');
  await mine.tokenRevokeSelf();
  assert.equal(await refused(mine.read('secret/data/shop/web/db')), 403);
  assert.equal(await refused(client('').write('auth/jwt/login', { role: 'any', jwt: as.ann.token })), 400);
  assert.equal(await refused(client('').write('auth/kubernetes/login', { role: 'any', jwt: 'a.b.c' })), 403);
});

test('a workflow has secrets.* from the sync, and neither its log nor the push shows their values', { timeout: 180000 }, async () => {
  await m.cliOk(['repo', 'create', 'masked', '--team', 'shop']);
  const work = await m.workTree('shop', 'masked');
  mkdirSync(join(work.folder, '.github/workflows'), { recursive: true });
  work.write('.github/workflows/ci.yml', ['on: push', 'jobs:', '  show:', '    runs-on: ubuntu-latest', '    steps:',
    '      - run: echo "plain ${{ secrets.password }} end"', '      - run: test "${{ secrets.password }}" = hunter2-$(echo third)',
    '      - run: echo "failing with ${{ secrets.password }}"; exit 3', ''].join('\n'));
  await work.commit('Show it');
  const pushed = await work.push();
  assert.equal(pushed.code, 0, pushed.all);
  const run = await until('the run', async () => { const r = (await m.json(['get', 'workflowruns', '-n', 'shop'])).items[0]; return r?.status?.finishedAt && r; }, { limit: 90000 });
  assert.deepEqual(run.status.jobs[0].steps.map((step) => step.phase), ['Succeeded', 'Succeeded', 'Failed'], JSON.stringify(run.status.jobs));
  const logs = await until('the log', async () => { const l = (await m.cliOk(['logs', '--team', 'shop', '--run', run.metadata.name, '--since', '10m'])).stdout; return l.includes('failing with') && l; });
  assert.match(logs, /plain \*\*\* end/);
  for (const text of [logs, pushed.all, JSON.stringify(run)]) assert.ok(!text.includes('hunter2-third'), text);
});

test('the command line: values by standard input, never in its arguments', async () => {
  const config = await m.kubeconfigFor('ann', as.ann.token);
  const env = { MAINSTAY_CONFIG: config };
  const put = await m.cliOk(['secret', 'put', 'shop/cli', '--key', 'token'], { env, input: 'value-of-cli\n' });
  assert.ok(!put.all.includes('value-of-cli'));
  await m.cliOk(['secret', 'put', 'shop/cli', '--merge'], { env, input: 'A=1\nB=x=y\n' });
  assert.equal((await m.cliOk(['secret', 'get', 'shop/cli', '--key', 'B'], { env })).stdout, 'x=y\n');
  assert.deepEqual(JSON.parse((await m.cliOk(['secret', 'get', 'shop/cli', '-o', 'json'], { env })).stdout), { token: 'value-of-cli', A: '1', B: 'x=y' });
  assert.match((await m.cliOk(['secret', 'list', 'shop'], { env })).stdout, /^cli$/m);
  assert.match((await m.cliOk(['secret', 'history', 'shop/cli'], { env })).stdout, /2\s+readable\s+ann/);
  await m.cliOk(['secret', 'delete', 'shop/cli'], { env });
  assert.equal((await m.cli(['secret', 'get', 'shop/cli'], { env })).code, 4);
  await m.cliOk(['secret', 'delete', 'shop/cli', '--undelete', '--version', '2'], { env });
  assert.equal((await m.cliOk(['secret', 'get', 'shop/cli', '--key', 'A'], { env })).stdout, '1\n');
  assert.equal((await m.cli(['secret', 'get', 'shop/cli'], { env: { MAINSTAY_CONFIG: await m.kubeconfigFor('mallory', as.mallory.token) } })).code, 5);
});

test('the audit log has each read and write with path and version, and no value; no value is on disk', async () => {
  const lines = await until('the lines', () => {
    const all = readFileSync(join(m.dataDir, 'audit/audit.log'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
    const of = all.filter((e) => e.annotations['mainstay.dev/secret-path'] === 'shop/web/db');
    return of.some((e) => e.verb === 'get' && e.user.username === 'ann' && e.annotations['mainstay.dev/secret-version'] === '1') &&
      of.some((e) => e.verb === 'post' && e.annotations['mainstay.dev/secret-version'] === '2') &&
      all.some((e) => e.user.username === 'mallory' && e.responseStatus.code === 403 && e.objectRef?.name === 'web/db') && all;
  });
  assert.ok(lines.length > 0);
  for (const value of ['hunter2-first', 'hunter2-second', 'value-of-cli'])
    assert.equal((await run('grep', ['-rlF', value, m.dataDir, '--include=*.db*', '--include=*.log'])).stdout, '', value);
});

test('a new master key, a kill in between, and a passphrase: everything stays readable', { timeout: 180000 }, async () => {
  const key = join(m.dataDir, 'keys/master.key');
  const before = readFileSync(key);
  assert.match((await m.cliOk(['secret', 'rewrap'])).stdout, /wrapped anew/);
  assert.notDeepEqual(readFileSync(key), before);
  const broken = m.cli(['secret', 'rewrap']);
  await restart();
  await broken;
  assert.equal((await as.ann.read('secret/data/shop/web/db')).data.data.password, 'hunter2-third');
  const file = join(m.dataDir, 'passphrase');
  writeFileSync(file, 'correct horse battery staple\n', { mode: 0o600 });
  await restart(['--master-passphrase-file', file]);
  assert.equal((await as.ann.read('secret/data/shop/web/db?version=1')).data.data.password, 'hunter2-first');
  await m.cliOk(['secret', 'rewrap']);
  await m.kill9();
  Object.defineProperty(m, 'flags', { configurable: true, get: Object.getOwnPropertyDescriptor(Object.getPrototypeOf(m), 'flags').get });
  await assert.rejects(m.start(), /--master-passphrase-file/);
  writeFileSync(join(m.dataDir, 'wrong'), 'another passphrase\n');
  await restart(['--master-passphrase-file', join(m.dataDir, 'wrong')]).then(() => assert.fail('it started'), (e) => assert.match(e.message, /does not open/));
  await restart(['--master-passphrase-file', file]);
  assert.equal((await as.ann.read('secret/data/shop/web/db')).data.data.password, 'hunter2-third');
});
