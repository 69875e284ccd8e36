// What must not work, and what the user is told: wrong token, forbidden team, unsigned image, broken YAML, broken builds.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Mainstay, run, until, binary, join, readFileSync, writeFileSync } from './lib/mainstay.mjs';

let m, annToken, annConfig;
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage();
  for (const user of ['ann', 'ben']) await m.cliOk(['user', 'create', user]);
  await m.cliOk(['team', 'create', 'shop', '--member', 'ann:owner']);
  await m.cliOk(['team', 'create', 'bank', '--member', 'ben:owner']);
  await m.cliOk(['repo', 'create', 'web', '--team', 'shop']);
  await m.cliOk(['repo', 'create', 'ledger', '--team', 'bank']);
  annToken = await m.token('ann');
  annConfig = await m.kubeconfigFor('ann', annToken);
}, { timeout: 300000 });
after(async () => { await m?.down(); });

test('a wrong token is refused by the API, git and the registry, and not repeated', async () => {
  const api = await m.curl('/api/v1/namespaces', ['-H', 'Authorization: Bearer mst_0000_wrong', '-w', '%{http_code}']);
  assert.match(api.stdout, /401$/);
  assert.ok(!api.stdout.includes('mst_0000_wrong'));
  const work = await m.workTree('shop', 'web', { token: 'mst_0000_wrong', user: 'ann' });
  const pushed = await (await work.commit('x'), work.push());
  assert.notEqual(pushed.code, 0);
  assert.match(pushed.all, /Authentication failed|401/);
  const registry = await m.curl('/v2/', ['-u', 'ann:mst_0000_wrong', '-w', '%{http_code}']);
  assert.match(registry.stdout, /401$/);
  assert.ok(!m.log.includes('mst_0000_wrong'), 'the token is not in the log');
});

test('without a token nothing but health and discovery of the issuer answers', async () => {
  for (const path of ['/healthz', '/.well-known/openid-configuration', '/oauth2/jwks']) assert.match((await m.curl(path, ['-w', '%{http_code}'])).stdout, /200$/, path);
  for (const path of ['/api/v1/pods', '/apis/mainstay.dev/v1/teams', '/metrics', '/git/shop/web.git/info/refs?service=git-upload-pack', '/v2/'])
    assert.match((await m.curl(path, ['-w', '%{http_code}', '-o', '/dev/null'])).stdout, /40[13]$/, path);
});

test('a member of one team reaches nothing of another: API, git, registry, logs', async () => {
  const env = { KUBECONFIG: annConfig, MAINSTAY_CONFIG: annConfig };
  const own = await m.kubectl(['get', 'repositories', '-n', 'shop'], { env });
  assert.equal(own.code, 0, own.all);
  for (const args of [['get', 'pods', '-n', 'bank-dev'], ['get', 'secrets', '-n', 'bank'], ['get', 'repositories', '-n', 'bank'], ['get', 'pods', '-A'], ['delete', 'team', 'bank']]) {
    const other = await m.kubectl(args, { env });
    assert.notEqual(other.code, 0, args.join(' '));
    assert.match(other.stderr, /[Ff]orbidden/, args.join(' '));
  }
  const clone = await m.workTree('bank', 'ledger', { token: annToken, user: 'ann' });
  const fetched = await clone.git('fetch', 'origin');
  assert.notEqual(fetched.code, 0);
  assert.match(fetched.all, /403|forbidden/i);
  const pull = await run('curl', ['-sS', '--cacert', join(m.dataDir, 'ca.crt'), '-u', `ann:${annToken}`, '-w', '%{http_code}', `${m.url}/v2/bank/ledger/tags/list`]);
  assert.match(pull.stdout, /40[34]$/);
  const logs = await m.cli(['logs', '--team', 'bank', '--env', 'dev'], { env });
  assert.equal(logs.code, 5, logs.all);
});

test('a member cannot give themselves more than they have', async () => {
  const env = { KUBECONFIG: annConfig };
  const binding = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: { name: 'more', namespace: 'shop' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' }, subjects: [{ kind: 'User', name: 'ann', apiGroup: 'rbac.authorization.k8s.io' }] };
  const made = await m.kubectl(['create', '-f', '-'], { env, input: JSON.stringify(binding) });
  assert.notEqual(made.code, 0, made.all);
  assert.match(made.stderr, /[Ff]orbidden/);
});

test('disabling a user ends their tokens at once', async () => {
  const token = await m.token('ben');
  const ask = () => m.curl('/apis/mainstay.dev/v1/namespaces/bank/repositories', ['-H', `Authorization: Bearer ${token}`, '-w', '%{http_code}', '-o', '/dev/null']);
  assert.match((await ask()).stdout, /200$/);
  await m.kubectlOk(['patch', 'user', 'ben', '--type=merge', '-p', '{"spec":{"disabled":true}}']);
  await until('ben is refused', async () => /401$/.test((await ask()).stdout), { limit: 2000 });
});

test('an image without provenance is refused in an environment, with the reason', async () => {
  const token = await m.token('admin');
  const source = `docker://${m.listen}/library/python:3.11-slim`;
  const copied = await run('skopeo', ['copy', '--src-cert-dir', await certDir(), '--dest-cert-dir', await certDir(), '--src-creds', `admin:${token}`, '--dest-creds', `admin:${token}`,
    source, `docker://${m.listen}/shop/smuggled:1`], { timeout: 120000 });
  assert.equal(copied.code, 0, copied.all);
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'smuggled', namespace: 'shop-dev' }, spec: { containers: [{ name: 'c', image: `${m.listen}/shop/smuggled:1` }] } };
  const made = await m.kubectl(['create', '-f', '-'], { input: JSON.stringify(pod) });
  assert.notEqual(made.code, 0, made.all);
  assert.match(made.stderr, /provenance/);
  pod.spec.containers[0].image = 'docker.io/library/nginx:latest';
  const foreign = await m.kubectl(['create', '-f', '-'], { input: JSON.stringify(pod) });
  assert.notEqual(foreign.code, 0);
  assert.match(foreign.stderr, /registry|provenance/);
});

async function certDir() {
  const dir = join(m.dataDir, 'client-certs');
  await run('mkdir', ['-p', dir]);
  await run('cp', [join(m.dataDir, 'ca.crt'), join(dir, 'ca.crt')]);
  return dir;
}

test('malformed YAML and wrong fields are named', async () => {
  const broken = await m.cli(['apply', '-f', '-'], { input: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n' });
  assert.equal(broken.code, 2, broken.all);
  assert.match(broken.stderr, /line \d+/);
  const wrong = await m.cli(['apply', '-f', '-'], { input: 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, namespace: shop-dev}\nspec: {replicas: many}\n' });
  assert.equal(wrong.code, 1, wrong.all);
  assert.match(wrong.stderr, /spec\.replicas/);
  const unknown = await m.cli(['apply', '-f', '-'], { input: 'apiVersion: v1\nkind: Podd\nmetadata: {name: x}\n' });
  assert.equal(unknown.code, 2, unknown.all);
  const curl = await m.curl('/api/v1/namespaces/shop-dev/configmaps', ['--cert-type', 'PEM', '-X', 'POST', '-H', `Authorization: Bearer ${await m.token('admin')}`, '-H', 'Content-Type: application/yaml', '--data-binary', 'a: [1', '-w', '%{http_code}']);
  assert.match(curl.stdout, /400$/);
});

test('a Dockerfile that fails to build: the push shows the line', { timeout: 180000 }, async () => {
  const work = await m.workTree('shop', 'web', { from: 'examples/hello', user: 'admin' });
  work.write('Dockerfile', 'FROM python:3.11-slim\nCOPY app.py /app.py\nRUN echo before && exit 7\n');
  await work.commit('Broken build');
  const pushed = await work.push();
  assert.equal(pushed.code, 0, 'the refs moved, so the push itself succeeded');
  assert.match(pushed.stderr, /Dockerfile:3/, pushed.stderr);
  assert.match(pushed.stderr, /exit 7/, pushed.stderr);
  assert.match(pushed.stderr, /[Ff]ail/, pushed.stderr);
  const runs = (await m.json(['get', 'workflowruns', '-n', 'shop'])).items;
  assert.equal(runs[0].status.phase, 'Failed');
});

test('a workflow that cannot be read is a failed run that says where', { timeout: 120000 }, async () => {
  const work = await m.workTree('shop', 'web', { user: 'admin' });
  await work.git('fetch', 'origin', 'main');
  await work.git('reset', '--hard', 'origin/main');
  await run('mkdir', ['-p', join(work.folder, '.github/workflows')]);
  writeFileSync(join(work.folder, '.github/workflows/ci.yml'), 'on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: echo ${{ github.nothing( }}\n');
  await work.commit('Broken workflow');
  const pushed = await work.push();
  assert.match(pushed.stderr, /ci\.yml:\d+/, pushed.stderr);
});

test('all addresses are listened on only under a name that others can use', { timeout: 60000 }, async () => {
  const other = await Mainstay.create();
  try {
    const port = other.listen.split(':')[1];
    other.listen = `0.0.0.0:${port}`;
    other.bridge = `msnone${m.slot}`;
    const nameless = await run(binary, ['up', ...other.flags, '--no-compute'], { timeout: 20000 });
    assert.notEqual(nameless.code, 0);
    assert.match(nameless.all, /add --url https:/);
    assert.match((await run(binary, ['up', ...other.flags, '--no-compute', '--url', 'http://x/y'], { timeout: 20000 })).all, /must begin with https/);
    other.moreFlags = ['--no-compute', '--url', `https://Mainstay.test:${port}/`];
    await other.start();
    const ask = (path) => run('curl', ['-sS', '--cacert', join(other.dataDir, 'ca.crt'), '--resolve', `mainstay.test:${port}:127.0.0.1`, `https://mainstay.test:${port}${path}`]);
    const discovery = JSON.parse((await ask('/.well-known/openid-configuration')).stdout);
    assert.equal(discovery.issuer, `https://mainstay.test:${port}`);
    assert.ok(discovery.token_endpoint.startsWith(discovery.issuer));
    assert.match(readFileSync(join(other.dataDir, 'admin.kubeconfig'), 'utf8'), new RegExp(`server: "?https://mainstay.test:${port}"?`));
  } finally { await other.down(); }
});
