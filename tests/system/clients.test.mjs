// The clients people already have: kubectl, skopeo, podman, buildah, git, curl.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { Mainstay, run, ok, until, join, writeFileSync, mkdirSync } from './lib/mainstay.mjs';

let m, token, certs;
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  token = await m.token('admin');
  await m.cliOk(['team', 'create', 'shop']);
  certs = join(m.dataDir, 'client-certs');
  mkdirSync(certs);
  await ok('cp', [join(m.dataDir, 'ca.crt'), join(certs, 'ca.crt')]);
  await m.baseImage();
}, { timeout: 300000 });
after(async () => { await m?.down(); });

const config = (data, name = 'settings') => JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'shop' }, data });

test('kubectl: create, get, apply, patch, label, watch-based wait, delete', async () => {
  await m.kubectlOk(['create', '-f', '-'], { input: config({ a: '1' }) });
  assert.match((await m.kubectlOk(['get', 'configmaps', '-n', 'shop'])).stdout, /NAME\s+DATA\s+AGE\n(.*\n)*settings\s+1/);
  await m.kubectlOk(['apply', '-f', '-'], { input: config({ a: '2', b: '3' }) });
  assert.equal((await m.json(['get', 'configmap', 'settings', '-n', 'shop'])).data.a, '2');
  await m.kubectlOk(['apply', '-f', '-'], { input: config({ b: '3' }) });
  assert.deepEqual((await m.json(['get', 'configmap', 'settings', '-n', 'shop'])).data, { b: '3' });
  await m.kubectlOk(['apply', '--server-side', '--field-manager=other', '--force-conflicts', '-f', '-'], { input: config({ c: '4' }) });
  assert.equal((await m.json(['get', 'configmap', 'settings', '-n', 'shop'])).data.c, '4');
  await m.kubectlOk(['label', 'configmap', 'settings', '-n', 'shop', 'tier=front']);
  assert.match((await m.kubectlOk(['get', 'cm', '-n', 'shop', '-l', 'tier=front', '-o', 'name'])).stdout, /configmap\/settings/);
  const waiting = m.kubectl(['wait', '--for=delete', 'configmap/settings', '-n', 'shop', '--timeout=20s']);
  await m.kubectlOk(['delete', 'configmap', 'settings', '-n', 'shop']);
  assert.equal((await waiting).code, 0);
  const gone = await m.kubectl(['get', 'configmap', 'settings', '-n', 'shop']);
  assert.match(gone.stderr, /configmaps "settings" not found/);
});

test('kubectl: api-resources, explain, describe, auth can-i', async () => {
  assert.match((await m.kubectlOk(['api-resources'])).stdout, /repositories\s+.*mainstay\.dev\/v1\s+true\s+Repository/);
  assert.match((await m.kubectlOk(['explain', 'deployment.spec.replicas'])).stdout, /replicas/);
  assert.match((await m.kubectlOk(['describe', 'namespace', 'shop'])).stdout, /Status:\s+Active/);
  assert.match((await m.kubectlOk(['auth', 'can-i', 'create', 'pods', '-n', 'shop'])).stdout, /yes/);
});

test('kubectl: validation names the field; strict validation refuses the unknown', async () => {
  const bad = JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x', namespace: 'shop' }, spec: { containers: [{ name: 'c' , image: 'x', nope: 1 }] } });
  const refused = await m.kubectl(['apply', '--validate=true', '-f', '-'], { input: bad });
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /nope/);
});

test('kubectl: a pod runs, its logs are read, it is described and deleted', { timeout: 60000 }, async () => {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'once', namespace: 'shop' },
    spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'mainstay.dev/runner', command: ['sh', '-c', 'echo hello from a pod; exit 3'] }] } };
  await m.kubectlOk(['create', '-f', '-'], { input: JSON.stringify(pod) });
  await until('the pod has ended', async () => (await m.json(['get', 'pod', 'once', '-n', 'shop'])).status.phase === 'Failed');
  assert.match((await m.kubectlOk(['logs', 'once', '-n', 'shop'])).stdout, /hello from a pod/);
  const described = (await m.kubectlOk(['describe', 'pod', 'once', '-n', 'shop'])).stdout;
  assert.match(described, /Exit Code:\s+3/);
  assert.match(described, /Started/);
  await m.kubectlOk(['delete', 'pod', 'once', '-n', 'shop', '--timeout=30s']);
});

test('kubectl: exec, cp, port-forward, top', { timeout: 120000 }, async () => {
  const serve = 'import http.server; http.server.HTTPServer(("127.0.0.1", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()';
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'inside', namespace: 'shop' },
    spec: { containers: [{ name: 'c', image: 'mainstay.dev/runner', workingDir: '/tmp', command: ['python3', '-c', serve] }] } };
  await m.kubectlOk(['create', '-f', '-'], { input: JSON.stringify(pod) });
  await m.kubectlOk(['wait', '--for=condition=Ready', 'pod/inside', '-n', 'shop', '--timeout=30s']);
  const failed = await m.kubectl(['exec', 'inside', '-n', 'shop', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
  assert.deepEqual([failed.code, failed.stdout], [7, 'out\n']);
  assert.match(failed.stderr, /^err$/m);
  const file = join(m.dataDir, 'page.txt');
  writeFileSync(file, 'x'.repeat(3_000_000) + 'the end');
  await m.kubectlOk(['cp', file, 'shop/inside:/tmp/page.txt']);
  await m.kubectlOk(['cp', 'shop/inside:/tmp/page.txt', `${file}.back`]);
  await ok('cmp', [file, `${file}.back`]);
  // What listens on the pod's own loopback address alone.
  const forward = spawn('kubectl', ['port-forward', 'pod/inside', '-n', 'shop', ':8080', ':9'], { env: { ...process.env, ...m.env } });
  let said = '';
  for (const out of [forward.stdout, forward.stderr]) out.on('data', (data) => { said += data; });
  const ended = new Promise((done) => forward.on('exit', done));
  try {
    const [page, closed] = await until('both ports are forwarded', () => { const all = [...said.matchAll(/127\.0\.0\.1:(\d+) -> /g)].map((one) => one[1]); return all.length === 2 && all; });
    const get = () => run('curl', ['-sS', '-m', '20', `http://127.0.0.1:${page}/page.txt`]);
    const all = await Promise.all([get(), get(), get(), get()]);
    for (const one of all) assert.ok(one.code === 0 && one.stdout.length === 3_000_007 && one.stdout.endsWith('the end'), one.stderr);
    assert.notEqual((await run('curl', ['-sS', '-m', '20', `http://127.0.0.1:${closed}/`])).code, 0);
    await until('what went wrong is told', () => /port 9 of the pod.*refused/.test(said));
  } finally { forward.kill('SIGTERM'); await ended; }
  const top = await until('what the pod uses is known', async () => { const one = await m.kubectl(['top', 'pod', 'inside', '-n', 'shop', '--containers', '--no-headers']); return /^inside\s+c\s+\d+m\s+\d+Mi/m.test(one.stdout) && one; });
  assert.equal(top.code, 0);
  assert.match((await m.kubectlOk(['top', 'pod', '-n', 'shop', '--field-selector=metadata.name=inside', '--no-headers'])).stdout, /^inside /);
  assert.doesNotMatch((await m.kubectl(['top', 'pod', '-n', 'shop', '--field-selector=metadata.name=other', '--no-headers'])).stdout, /inside/);
  assert.match((await m.kubectlOk(['top', 'node'])).stdout, /mainstay\s+\d+m\s+\d+%\s+\d+Mi\s+\d+%/);
  const nobody = { KUBECONFIG: await m.kubeconfigFor('reader', await (async () => { await m.cliOk(['user', 'create', 'reader', '--if-missing']); return m.token('reader'); })()) };
  await m.kubectlOk(['create', 'role', 'reads-all', '--verb=get,list,watch', '--resource=pods,pods/exec,pods/portforward', '-n', 'shop']);
  await m.kubectlOk(['create', 'rolebinding', 'reader', '--role=reads-all', '--user=reader', '-n', 'shop']);
  assert.match((await m.kubectl(['exec', 'inside', '-n', 'shop', '--', 'true'], { env: nobody })).all, /forbidden/i, 'who may only read runs nothing');
  assert.match((await m.kubectl(['port-forward', 'pod/inside', '-n', 'shop', ':8080'], { env: nobody, timeout: 20000 })).all, /forbidden/i);
  assert.match((await m.kubectl(['top', 'pod', '-n', 'shop'], { env: nobody })).all, /forbidden/i);
  await m.kubectlOk(['create', 'role', 'enters', '--verb=get,create', '--resource=pods,pods/exec', '-n', 'shop']);
  await m.kubectlOk(['create', 'rolebinding', 'enters', '--role=enters', '--user=reader', '-n', 'shop']);
  const command = spawn('kubectl', ['exec', '-i', 'inside', '-n', 'shop', '--', 'cat'], { env: { ...process.env, ...m.env, ...nobody } });
  let echoed = '', over = false;
  for (const out of [command.stdout, command.stderr]) out.on('data', (data) => { echoed += data; });
  const left = new Promise((done) => command.on('exit', () => { over = true; done(); }));
  command.stdin.on('error', () => {});
  try {
    command.stdin.write('still here\n');
    await until('the command answers', () => /still here/.test(echoed));
    await m.kubectlOk(['delete', 'rolebinding', 'enters', '-n', 'shop']);
    await until('it ends with the right to it', () => over, { limit: 5000 });
  } finally { command.kill('SIGKILL'); await left; }
  // Who goes away leaves nothing open, though what he began goes on without a word.
  const silent = spawn('kubectl', ['exec', 'inside', '-n', 'shop', '--', 'sleep', '86399'], { env: { ...process.env, ...m.env }, stdio: 'ignore' });
  const went = new Promise((done) => silent.on('exit', done));
  const quietly = (read) => { try { return read(); } catch { return ''; } };
  const isIt = (pid) => quietly(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) === 'sleep\0' + '86399\0';
  const held = (pipe) => readdirSync(`/proc/${m.child.pid}/fd`).some((fd) => quietly(() => readlinkSync(`/proc/${m.child.pid}/fd/${fd}`)) === pipe);
  try {
    const pid = await until('the command runs', () => readdirSync('/proc').find((one) => /^\d+$/.test(one) && isIt(one)));
    const pipe = readlinkSync(`/proc/${pid}/fd/1`);
    assert.ok(pipe.startsWith('pipe:') && held(pipe), pipe);
    silent.kill('SIGKILL');
    await until('its output is let go of', () => !held(pipe), { limit: 10000 });
  } finally { silent.kill('SIGKILL'); await went; }
  await m.kubectlOk(['delete', 'pod', 'inside', '-n', 'shop', '--now', '--timeout=30s']);
});

test('the pod of a workflow run is nobody\'s to enter or to change, the administrator\'s neither', { timeout: 60000 }, async () => {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'job', namespace: 'shop', labels: { 'mainstay.dev/workflow-run': 'run-1' } },
    spec: { containers: [{ name: 'c', image: 'mainstay.dev/runner', command: ['sleep', '1000'] }] } };
  assert.match((await m.kubectl(['create', '-f', '-'], { input: JSON.stringify(pod) })).all, /is for pods of workflow runs/);
  // As pipelines itself makes it.
  await m.kubectlOk(['create', '-f', '-', '--as=system:mainstay:pipelines', '--as-group=system:masters'], { input: JSON.stringify(pod) });
  await m.kubectlOk(['wait', '--for=condition=Ready', 'pod/job', '-n', 'shop', '--timeout=30s']);
  for (const args of [['exec', 'job', '--', 'cat', '/var/run/secrets/kubernetes.io/serviceaccount/token'], ['port-forward', 'pod/job', ':80'], ['label', 'pod', 'job', 'mainstay.dev/workflow-run-'], ['annotate', 'pod', 'job', 'a=b']]) {
    const tried = await m.kubectl([...args.slice(0, 1), '-n', 'shop', ...args.slice(1)], { timeout: 20000 });
    assert.notEqual(tried.code, 0, args.join(' '));
    assert.match(tried.all, /belongs to a workflow run/, args.join(' '));
  }
  // Nor by way of another pod of its name, while it is still ending.
  await m.kubectlOk(['delete', 'pod', 'job', '-n', 'shop', '--force', '--grace-period=0']);
  await m.kubectlOk(['run', 'job', '-n', 'shop', '--image=mainstay.dev/runner', '--command', '--', 'sleep', '1001']);
  assert.match(await until('the new one is entered', async () => { const one = await m.kubectl(['exec', 'job', '-n', 'shop', '--', 'cat', '/proc/1/cmdline']); return one.code === 0 && one.stdout; }), /1001/);
  await m.kubectlOk(['delete', 'pod', 'job', '-n', 'shop', '--now', '--timeout=30s']);
});

test('git: clone, push a tag and a branch, fetch them back', async () => {
  await m.cliOk(['repo', 'create', 'notes', '--team', 'shop']);
  const a = await m.workTree('shop', 'notes');
  a.write('README', 'x'.repeat(100000));
  await a.commit('One');
  assert.equal((await a.push()).code, 0);
  await a.git('tag', 'v1');
  const tagged = await a.git('push', 'origin', 'v1', 'HEAD:refs/heads/side');
  assert.equal(tagged.code, 0, tagged.all);
  const b = await m.workTree('shop', 'notes');
  assert.equal((await b.git('fetch', '--tags', 'origin')).code, 0);
  assert.match((await b.git('branch', '-r')).stdout, /origin\/side/);
  assert.equal((await b.git('rev-parse', 'v1')).stdout, (await a.git('rev-parse', 'HEAD')).stdout);
});

test('git-lfs is told that large files are kept elsewhere', async () => {
  const answer = await m.curl('/git/shop/notes.git/info/lfs/objects/batch', ['-u', `admin:${await m.token('admin')}`, '-w', '\n%{http_code}', '-H', 'Content-Type: application/vnd.git-lfs+json', '-d', '{"operation":"upload","objects":[]}']);
  const [body, code] = answer.stdout.split('\n');
  assert.equal(code, '501');
  assert.match(JSON.parse(body).message, /LFS is not served/);
});

test('skopeo: copies an image in and out, by tag and digest', { timeout: 120000 }, async () => {
  const creds = ['--src-cert-dir', certs, '--src-creds', `admin:${token}`];
  const out = join(m.dataDir, 'image');
  await ok('skopeo', ['copy', ...creds, `docker://${m.listen}/library/python:3.11-slim`, `dir:${out}`], { timeout: 60000 });
  await ok('skopeo', ['copy', '--dest-cert-dir', certs, '--dest-creds', `admin:${token}`, `dir:${out}`, `docker://${m.listen}/shop/copied:1`], { timeout: 60000 });
  const inspected = JSON.parse((await ok('skopeo', ['inspect', '--cert-dir', certs, '--creds', `admin:${token}`, `docker://${m.listen}/shop/copied:1`])).stdout);
  assert.match(inspected.Digest, /^sha256:/);
  await ok('skopeo', ['inspect', '--cert-dir', certs, '--creds', `admin:${token}`, `docker://${m.listen}/shop/copied@${inspected.Digest}`]);
  const wrong = await run('skopeo', ['inspect', '--cert-dir', certs, '--creds', `admin:${token}`, `docker://${m.listen}/shop/copied:none`]);
  assert.match(wrong.stderr, /manifest unknown|not found/i);
});

test('podman and buildah: pull, build and push', { timeout: 180000 }, async () => {
  const storage = ['--root', join(m.dataDir, 'ctr'), '--runroot', join(m.dataDir, 'ctr-run'), '--storage-driver', 'vfs'];
  const access = ['--cert-dir', certs, '--creds', `admin:${token}`];
  await ok('podman', [...storage, 'pull', ...access, `${m.listen}/library/python:3.11-slim`], { timeout: 120000 });
  const context = join(m.dataDir, 'context');
  mkdirSync(context);
  writeFileSync(join(context, 'Dockerfile'), `FROM ${m.listen}/library/python:3.11-slim\nCOPY Dockerfile /x\n`);
  await ok('buildah', [...storage, 'build', '--isolation', 'chroot', ...access, '-t', `${m.listen}/shop/built:1`, context], { timeout: 120000 });
  await ok('buildah', [...storage, 'push', ...access, `${m.listen}/shop/built:1`], { timeout: 120000 });
  const tags = await m.curl('/v2/shop/built/tags/list', ['-u', `admin:${token}`]);
  assert.deepEqual(JSON.parse(tags.stdout).tags, ['1']);
});

test('curl: a token in a pod reads only what its service account may', async () => {
  // What `kubectl create token` asks for; Debian 12's kubectl is too old to know that verb.
  const request = await m.curl('/api/v1/namespaces/shop/serviceaccounts/default/token', ['-X', 'POST', '-H', `Authorization: Bearer ${token}`, '-H', 'Content-Type: application/json',
    '-d', '{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":600}}']);
  const issued = JSON.parse(request.stdout).status.token;
  const review = await m.curl('/apis/authentication.k8s.io/v1/selfsubjectreviews', ['-X', 'POST', '-H', `Authorization: Bearer ${issued}`, '-H', 'Content-Type: application/json',
    '-d', '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}']);
  assert.match(review.stdout, /system:serviceaccount:shop:default/);
  assert.match((await m.curl('/api/v1/namespaces/shop/pods', ['-H', `Authorization: Bearer ${issued}`, '-o', '/dev/null', '-w', '%{http_code}'])).stdout, /403$/);
});
