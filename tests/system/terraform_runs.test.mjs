// Terraform run by the platform: plan, approval, apply, drift, destroy in pods of their own, with real terraform where this
// machine has one; as a class behind Score's resources; and the state backend under the real client.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync, readFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { Mainstay, binary, run, ok, until } from './lib/mainstay.mjs';

const program = ['terraform', 'tofu'].flatMap((name) => process.env.PATH.split(':').map((dir) => join(dir, name))).find((path) => existsSync(path));
const real = program ? {} : { skip: 'NOT PROVEN HERE: there is neither terraform nor tofu in the PATH; install one to run this' };
if (!program) console.error('terraform_runs: no terraform and no tofu in the PATH: real runs are NOT proven on this machine');

let m, dir;
const users = {};
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  for (const team of ['shop', 'toys']) await m.cliOk(['team', 'create', team]);
  for (const user of ['ann', 'bob', 'bea']) await m.cliOk(['user', 'create', user]);
  await m.kubectlOk(['patch', 'team', 'shop', '--type', 'merge', '-p', '{"spec": {"environments": [{"name": "dev"}, {"name": "prod"}], "members": [{"user": "ann", "role": "developer"}, {"user": "bob", "role": "developer"}, {"user": "vic", "role": "viewer"}]}}']);
  await m.kubectlOk(['patch', 'team', 'toys', '--type', 'merge', '-p', '{"spec": {"members": [{"user": "bea", "role": "owner"}]}}']);
  for (const user of ['ann', 'bob', 'bea']) users[user] = { token: await m.token(user) };
  for (const user of ['ann', 'bob', 'bea']) users[user].env = { KUBECONFIG: await m.kubeconfigFor(user, users[user].token), MAINSTAY_CONFIG: join(m.dataDir, `${user}.kubeconfig`) };
  await until('ann has her rights', async () => (await m.kubectl(['get', 'workspaces', '-n', 'shop-dev'], { env: users.ann.env })).code === 0);
  await until('ann has them in prod', async () => (await m.kubectl(['get', 'workspaces', '-n', 'shop-prod'], { env: users.ann.env })).code === 0);
  await until('bea has hers', async () => (await m.kubectl(['get', 'workspaces', '-n', 'toys-dev'], { env: users.bea.env })).code === 0);
});
after(async () => { await m?.down(); });

const as = (user) => ({ env: users[user].env });
const apply = (object, user = 'ann') => m.kubectl(['apply', '-f', '-'], { ...as(user), input: JSON.stringify(object) });
const applyOk = async (object, user) => { const result = await apply(object, user); assert.equal(result.code, 0, result.all); };
const workspace = (name, spec, namespace = 'shop-dev') => ({ apiVersion: 'mainstay.dev/v1', kind: 'Workspace', metadata: { name, namespace }, spec });
const get = (kind, name, ns = 'shop-dev') => m.json(['get', kind, name, '-n', ns]);
const runs = async (name, ns = 'shop-dev') => (await m.json(['get', 'tfrun', '-n', ns])).items.filter((r) => r.spec.workspace === name);
const phase = (name, wanted, ns = 'shop-dev') => until(`run ${name} is ${wanted}`, async () => {
  const found = await get('tfrun', name, ns);
  if (found.status?.phase === wanted) return found;
  if (['Failed', 'Discarded', 'Applied', 'Planned'].includes(found.status?.phase)) assert.fail(JSON.stringify(found.status, null, 1));
  return false;
}, { limit: 90000 });
const newest = (name, wanted, ns = 'shop-dev') => until(`a run of ${name} is ${wanted}`, async () => {
  const all = await runs(name, ns);
  assert.ok(!all.some((r) => r.status?.phase === 'Failed'), JSON.stringify(all.map((r) => r.status)));
  return all.find((r) => r.status?.phase === wanted);
}, { limit: 90000 });

const module = `
variable "size" { type = number }
variable "password" { type = string }
resource "terraform_data" "db" { input = { size = var.size, password = var.password } }
output "size" { value = terraform_data.db.output.size }
output "password" {
  value     = terraform_data.db.output.password
  sensitive = true
}
`;

test('without terraform the run says so, and what to do', async () => {
  await applyOk(workspace('nothing', { source: { files: { 'readme.md': 'x' } } }));
  const failed = await until('it failed', async () => (await runs('nothing')).find((r) => r.status?.phase === 'Failed'));
  assert.match(failed.status.message, program ? /no \.tf file/ : /neither terraform nor tofu.*install one of them, or set spec.image/);
  await m.kubectlOk(['delete', 'workspace', 'nothing', '-n', 'shop-dev']);
});

test('a module and its inputs: the plan is shown, approved, applied; the outputs are there', real, async () => {
  await m.kubectlOk(['create', 'secret', 'generic', 'db-password', '-n', 'shop-dev', '--from-literal=value=correct-horse-battery']);
  await applyOk(workspace('db', { source: { files: { 'main.tf': module } }, inputs: { size: 3 }, secretInputs: [{ variable: 'password', secretKeyRef: { name: 'db-password', key: 'value' } }], destroyOnDelete: true }));
  const waits = await newest('db', 'AwaitingApproval');
  assert.equal(waits.spec.requestedBy, 'ann');
  assert.equal(waits.status.summary, '1 to add, 0 to change, 0 to destroy');
  assert.match(waits.status.plan, /terraform_data\.db will be created/);
  assert.ok(!JSON.stringify(waits).includes('correct-horse'), 'secrets are masked');
  const shown = await m.cliOk(['terraform', 'show', waits.metadata.name, '-n', 'shop-dev'], as('ann'));
  assert.match(shown.stdout, /Plan: 1 to add/);
  const approved = await m.cliOk(['terraform', 'approve', waits.metadata.name, '-n', 'shop-dev', '--comment', 'fine'], as('ann'));
  assert.match(approved.stdout, /Apply complete! Resources: 1 added[\s\S]*Applied/);
  const done = await until('the outputs are shown', async () => { const ws = await get('workspace', 'db'); return ws.status.outputs?.size === 3 && ws; });
  assert.deepEqual(done.status.sensitiveOutputs, ['password']);
  assert.equal(done.status.lock, undefined);
  assert.equal(done.status.resources, 1);
  assert.ok(!JSON.stringify(done).includes('correct-horse'));
  assert.equal((await get('tfrun', waits.metadata.name)).status.approvedBy, 'ann');
  await until('it is cleared away', async () => (await m.kubectlOk(['get', 'pods,secrets,serviceaccounts', '-n', 'mainstay-terraform', '-l', 'mainstay.dev/terraform-run', '-o', 'name'])).stdout === '');
  assert.equal((await run('grep', ['-rl', 'correct-horse', join(m.dataDir, 'terraform')])).stdout, '');
});

test('drift is found, and applied away', real, async () => {
  const quiet = await m.cliOk(['terraform', 'drift', 'db', '-n', 'shop-dev'], as('ann'));
  assert.match(quiet.stdout, /no changes/);
  await until('in step', async () => (await get('workspace', 'db')).status.drift?.found === false);
  // Somebody took a resource away behind our back: the real client does so here, over the backend.
  const env = { ...users.ann.env, TF_HTTP_ADDRESS: `${m.url}/terraform/state/shop-dev/db`, TF_HTTP_LOCK_ADDRESS: `${m.url}/terraform/state/shop-dev/db`, TF_HTTP_UNLOCK_ADDRESS: `${m.url}/terraform/state/shop-dev/db`,
    TF_HTTP_USERNAME: 'ann', TF_HTTP_PASSWORD: users.ann.token, TF_HTTP_CLIENT_CA_CERTIFICATE_PEM: readFileSync(join(m.dataDir, 'ca.crt'), 'utf8') };
  dir = join(m.dataDir, 'laptop');
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'main.tf'), `terraform {\n  backend "http" {}\n}\n${module}`);
  const terraform = (args, more = {}) => run(program, args, { cwd: dir, env: { ...env, ...more, TF_CLI_CONFIG_FILE: '/dev/null', HOME: dir }, timeout: 60000 });
  const init = await terraform(['init', '-input=false', '-no-color']);
  assert.equal(init.code, 0, init.all);
  assert.match((await terraform(['state', 'list'])).stdout, /terraform_data\.db/);
  assert.equal((await terraform(['state', 'rm', 'terraform_data.db'])).code, 0);
  const found = await m.cliOk(['terraform', 'drift', 'db', '-n', 'shop-dev'], as('ann'));
  assert.match(found.stdout, /1 to add/);
  const ws = await until('drift is told', async () => { const o = await get('workspace', 'db'); return o.status.drift?.found && o; });
  assert.match(ws.status.conditions.find((c) => c.type === 'Drifted').message, /1 to add/);
  // A lock that was left behind: the run waits for it in vain, says who, and force-unlock frees it.
  const lockID = '11111111-2222-3333-4444-555555555555';
  await ok('curl', ['-sSf', '--cacert', join(m.dataDir, 'ca.crt'), '-u', `ann:${users.ann.token}`, '-X', 'LOCK', '-d', JSON.stringify({ ID: lockID, Operation: 'OperationTypeApply', Who: 'ann@laptop' }), env.TF_HTTP_ADDRESS]);
  const locked = await terraform(['plan', '-input=false', '-no-color', '-var', 'size=3', '-var', 'password=correct-horse-battery']);
  assert.match(locked.all, /Error acquiring the state lock[\s\S]*already locked:\s+ID=11111111/);
  assert.equal((await terraform(['force-unlock', '-force', lockID])).code, 0);
  const again = await m.cliOk(['terraform', 'apply', 'db', '-n', 'shop-dev'], as('ann'));
  const name = /run (\S+) of db: AwaitingApproval/.exec(again.stdout)[1];
  await m.cliOk(['terraform', 'approve', name, '-n', 'shop-dev'], as('bob'));
  await until('in step again', async () => (await get('workspace', 'db')).status.drift?.found !== true);
});

test('drift is looked for by itself, at the interval asked for', { ...real, timeout: 240000 }, async () => {
  const wrong = await apply(workspace('watched', { source: { files: { 'main.tf': '' } }, driftCheck: '10s' }));
  assert.match(wrong.all, /spec.driftCheck: .*at least 1m/);
  await applyOk(workspace('watched', { source: { files: { 'main.tf': 'resource "terraform_data" "w" { input = 1 }' } }, approval: 'auto', driftCheck: '1m' }));
  const applied = await newest('watched', 'Applied');
  const looks = async () => (await runs('watched')).filter((r) => r.spec.operation === 'drift');
  const first = await until('the first look', async () => (await looks()).find((r) => r.status?.phase === 'Planned'), { limit: 120000, every: 500 });
  assert.equal(first.status.message, 'no changes');
  assert.ok(Date.parse(first.metadata.creationTimestamp) - Date.parse(applied.status.finishedAt) >= 59000, 'not before its time');
  await until('in step', async () => (await get('workspace', 'watched')).status.drift?.found === false);
  // Its state is taken away behind its back: the next look finds what is missing, and changes nothing.
  await ok('curl', ['-sSf', '--cacert', join(m.dataDir, 'ca.crt'), '-u', `ann:${users.ann.token}`, '-X', 'DELETE', `${m.url}/terraform/state/shop-dev/watched`]);
  const drifted = await until('drift by itself', async () => { const o = await get('workspace', 'watched'); return o.status.drift?.found && o; }, { limit: 120000, every: 500 });
  assert.match(drifted.status.drift.summary, /1 to add/);
  assert.equal((await looks()).length, 2);
  assert.equal((await runs('watched')).filter((r) => r.spec.operation === 'apply').length, 1);
  await m.kubectlOk(['delete', 'workspace', 'watched', '-n', 'shop-dev', '--timeout=50s'], as('ann'));
});

test('terraform of an image; an image without it, and one that is not there', { ...real, timeout: 300000 }, async () => {
  await m.baseImage();
  const storage = ['--root', join(m.dataDir, 'buildah/root'), '--runroot', join(m.dataDir, 'buildah/run'), '--storage-driver', 'vfs'], context = join(m.dataDir, 'context'), image = `${m.listen}/library/terraform:1`;
  mkdirSync(join(m.dataDir, 'certs'), { recursive: true });
  cpSync(join(m.dataDir, 'ca.crt'), join(m.dataDir, 'certs/ca.crt'));
  mkdirSync(context, { recursive: true });
  cpSync(program, join(context, 'terraform'));
  writeFileSync(join(context, 'Dockerfile'), `FROM ${m.listen}/library/python:3.11-slim\nCOPY terraform /usr/local/bin/terraform\n`);
  const access = ['--cert-dir', join(m.dataDir, 'certs'), '--creds', `admin:${await m.token('admin')}`];
  await ok('buildah', [...storage, 'build', '--isolation', 'chroot', ...access, '-t', image, context], { timeout: 120000 });
  await ok('buildah', [...storage, 'push', ...access, image], { timeout: 120000 });
  await applyOk(workspace('by-image', { image, source: { files: { 'main.tf': 'resource "terraform_data" "i" { input = "made by an image" }\noutput "v" { value = terraform_data.i.output }' } }, approval: 'auto' }));
  const done = await newest('by-image', 'Applied');
  assert.equal((await get('workspace', 'by-image')).status.outputs?.v ?? (await until('the output', async () => (await get('workspace', 'by-image')).status.outputs?.v)), 'made by an image');
  assert.match(done.status.log, /Apply complete/);
  for (const [name, from, says] of [['bare', `${m.listen}/library/python:3.11-slim`, /neither terraform nor tofu in its PATH/], ['missing', `${m.listen}/library/nothing:1`, /cannot start: .*Image/]]) {
    await applyOk(workspace(name, { image: from, source: { files: { 'main.tf': 'resource "terraform_data" "x" {}' } }, approval: 'auto' }));
    const failed = await until(`${name} failed`, async () => (await runs(name)).find((r) => r.status?.phase === 'Failed'), { limit: 60000 });
    assert.match(`${failed.status.message}\n${failed.status.log ?? ''}`, says);
  }
});

test('a plan may be discarded; production wants somebody else', real, async () => {
  await applyOk(workspace('calm', { source: { files: { 'main.tf': 'resource "terraform_data" "x" {}' } }, approval: 'auto' }, 'shop-prod'));
  const waits = await newest('calm', 'AwaitingApproval', 'shop-prod');
  assert.equal(waits.status.approval, 'independent', 'auto is not for an environment that asks for approvals');
  const own = await m.cli(['terraform', 'approve', waits.metadata.name, '-n', 'shop-prod'], as('ann'));
  assert.equal(own.code, 5, own.all);
  assert.match(own.all, /somebody else is to approve/);
  await m.cliOk(['terraform', 'discard', waits.metadata.name, '-n', 'shop-prod'], as('ann'));
  assert.equal((await get('tfrun', waits.metadata.name, 'shop-prod')).status.discardedBy, 'ann');
  const late = await m.cli(['terraform', 'approve', waits.metadata.name, '-n', 'shop-prod'], as('bob'));
  assert.match(late.all, /it is Discarded/);
  // One that waits does not keep its workspace from being deleted.
  await applyOk(workspace('brief', { source: { files: { 'main.tf': 'resource "terraform_data" "x" {}' } } }));
  await newest('brief', 'AwaitingApproval');
  await m.kubectlOk(['delete', 'workspace', 'brief', '-n', 'shop-dev', '--timeout=50s'], as('ann'));
  const again = await m.cliOk(['terraform', 'apply', 'calm', '-n', 'shop-prod'], as('ann'));
  const name = /run (\S+) of calm: AwaitingApproval/.exec(again.stdout)[1];
  assert.match((await m.cliOk(['terraform', 'approve', name, '-n', 'shop-prod'], as('bob'))).stdout, /Applied/);
});

test('kill -9 during an apply loses nothing', real, async () => {
  const slow = 'resource "terraform_data" "slow" {\n  provisioner "local-exec" { command = "sleep 8; echo slept" }\n}\noutput "id" { value = terraform_data.slow.id }';
  await applyOk(workspace('slow', { source: { files: { 'main.tf': slow } }, approval: 'auto' }));
  await newest('slow', 'Applying');
  await until('terraform holds the lock', async () => (await get('workspace', 'slow')).status?.lock?.id, { limit: 60000 });
  await m.kill9();
  await m.start();
  await newest('slow', 'Applied');
  const ws = await until('its state is there', async () => { const o = await get('workspace', 'slow'); return o.status.resources === 1 && o.status.outputs?.id && !o.status.lock && o; });
  assert.equal(ws.status.phase, 'Applied');
});

test('a run whose pod is taken away fails, and gives the lock back', real, async () => {
  const forever = 'resource "terraform_data" "x" {\n  provisioner "local-exec" { command = "sleep 600" }\n}';
  await applyOk(workspace('stuck', { source: { files: { 'main.tf': forever } }, approval: 'auto' }));
  await newest('stuck', 'Applying');
  await until('terraform holds the lock', async () => (await get('workspace', 'stuck')).status?.lock?.id, { limit: 60000 });
  const [held] = (await runs('stuck')).filter((r) => r.status.phase === 'Applying');
  await m.kubectlOk(['delete', 'pod', held.status.pod, '-n', 'mainstay-terraform', '--grace-period=0', '--force']);
  const failed = await until('it failed', async () => (await runs('stuck')).find((r) => r.status?.phase === 'Failed'), { limit: 60000 });
  assert.match(failed.status.message, /pod|lock|apply failed/);
  await until('the lock is free', async () => !(await get('workspace', 'stuck')).status.lock);
});

test('a class: a workload asks, the module makes, the values arrive, the claim destroys', real, async () => {
  await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'mainstay.dev/v1', kind: 'ResourceClass', metadata: { name: 'queue-by-module' }, spec: { type: 'queue', driver: 'terraform',
    parameters: { source: { files: { 'main.tf': 'variable "depth" { type = number }\nvariable "label" { type = string }\nresource "terraform_data" "q" { input = "${var.label}:${var.depth}" }\noutput "url" { value = terraform_data.q.output }\noutput "token" {\n  value     = "tok-${terraform_data.q.output}"\n  sensitive = true\n}' } }, inputs: { label: '{namespace}.{name}' }, approval: { prod: 'independent' } } } }) });
  await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'mainstay.dev/v1', kind: 'ResourceClaim', metadata: { name: 'jobs', namespace: 'shop-dev' }, spec: { type: 'queue', params: { depth: 7, label: 'mine' } } }) });
  const claim = await until('the claim is ready', async () => { const c = await get('claim', 'jobs'); return c.status?.phase === 'Ready' && c; }, { limit: 120000 });
  assert.equal(claim.status.outputs.url, 'shop-dev.jobs:7');
  assert.deepEqual(claim.status.secretOutputs, ['token']);
  const secret = await get('secret', 'jobs');
  assert.equal(Buffer.from(secret.data.token, 'base64').toString(), 'tok-shop-dev.jobs:7');
  const touched = await m.kubectl(['patch', 'workspace', 'jobs', '-n', 'shop-dev', '--type', 'merge', '-p', '{"spec": {"approval": "auto", "source": {"files": {"main.tf": ""}}}}'], as('ann'));
  assert.match(touched.all, /forbidden: a ResourceClaim's class says what is in it/);
  await m.kubectlOk(['delete', 'claim', 'jobs', '-n', 'shop-dev', '--timeout=120s'], { timeout: 130000 });
  assert.equal((await m.kubectl(['get', 'workspace', 'jobs', '-n', 'shop-dev'])).code, 1);
});

test('a module from the team\'s repository; not from another\'s', real, async () => {
  await m.cliOk(['repo', 'create', 'infra', '--team', 'shop']);
  const work = await m.workTree('shop', 'infra', { user: 'ann', token: users.ann.token });
  mkdirSync(join(work.folder, 'net/sub'), { recursive: true });
  work.write('net/main.tf', 'module "s" { source = "./sub" }\noutput "v" { value = module.s.v }\nvariable "key" {\n  type = string\n  default = "none"\n}');
  work.write('net/sub/main.tf', 'resource "terraform_data" "x" { input = "one" }\noutput "v" { value = terraform_data.x.output }');
  await work.commit('a module');
  assert.equal((await work.push()).code, 0);
  await applyOk(workspace('net', { source: { repository: 'infra', path: 'net' }, approval: 'auto' }));
  await until('it is applied', async () => (await get('workspace', 'net')).status?.outputs?.v === 'one', { limit: 60000 });
  const first = (await work.git('rev-parse', 'HEAD')).stdout.trim();
  assert.equal((await get('workspace', 'net')).status.appliedRevision, first);
  work.write('net/sub/main.tf', 'resource "terraform_data" "x" { input = "two" }\noutput "v" { value = terraform_data.x.output }');
  await work.commit('another');
  assert.equal((await work.push()).code, 0);
  await until('the push is applied', async () => (await get('workspace', 'net')).status?.outputs?.v === 'two', { limit: 60000 });
  const other = await apply(workspace('theirs', { source: { repository: 'x', namespace: 'toys' } }));
  assert.match(other.all, /forbidden.*repositories of toys/);
  const secret = await apply(workspace('theirs', { source: { files: { 'main.tf': '' } }, secretInputs: [{ env: 'A', secretKeyRef: { namespace: 'toys', name: 'x', key: 'y' } }] }));
  assert.match(secret.all, /forbidden.*only Secrets of shop-dev/);
  const image = await apply(workspace('theirs', { image: `${m.listen}/toys/terraform:1`, source: { files: { 'main.tf': '' } } }));
  assert.match(image.all, /forbidden.*spec\.image: .* belongs to toys/);
});

test('another team sees none of it, viewers change none of it', async () => {
  for (const args of [['get', 'tfrun', '-n', 'shop-dev'], ['get', 'workspaces', '-n', 'shop-dev'], ['get', 'pods', '-n', 'mainstay-terraform'], ['get', 'secrets', '-n', 'mainstay-terraform'], ['delete', 'tfrun', '--all', '-n', 'shop-dev']]) {
    const result = await m.kubectl(args, as('bea'));
    assert.match(result.all, /forbidden/i, args.join(' '));
  }
  for (const verb of ['approve', 'discard']) assert.equal((await m.cli(['terraform', verb, 'db-1', '-n', 'shop-dev'], as('bea'))).code, 5, verb);
  assert.match((await m.kubectl(['get', 'pods', '-n', 'mainstay-terraform'], as('ann'))).all, /forbidden/i);
  for (const [verb, what] of [['create', 'terraformruns'], ['create', 'terraformruns/approve'], ['get', 'workspaces/state']])
    assert.match((await m.kubectl(['auth', 'can-i', verb, what.split('/')[0] + '.mainstay.dev', ...(what.includes('/') ? ['--subresource', what.split('/')[1]] : []), '-n', 'shop-dev', '--as', 'vic', '--as-group', 'team:shop:viewer'])).stdout, /^no/);
});

test('deleting a workspace destroys, once approved', real, async () => {
  await m.kubectlOk(['delete', 'workspace', 'db', '-n', 'shop-dev', '--wait=false'], as('ann'));
  const waits = await until('the destroy waits', async () => (await runs('db')).find((r) => r.spec.operation === 'destroy' && r.status?.phase === 'AwaitingApproval'), { limit: 60000 });
  assert.match(waits.status.summary, /1 to destroy/);
  await m.cli(['terraform', 'approve', waits.metadata.name, '-n', 'shop-dev', '--no-wait'], as('bob'));
  await until('it is gone', async () => (await m.kubectl(['get', 'workspace', 'db', '-n', 'shop-dev'])).code === 1, { limit: 60000 });
});

const elsewhere = program && !/^(\/usr)?\/s?bin\//.test(program);
test('the program taken out of the PATH: status and runs say so', elsewhere ? {} : { skip: 'the program cannot be hidden here' }, async () => {
  await m.stop();
  const path = process.env.PATH;
  process.env.PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
  try { await m.start(); } finally { process.env.PATH = path; }
  await applyOk(workspace('without', { source: { files: { 'main.tf': 'resource "terraform_data" "x" {}' } } }));
  const failed = await until('it failed', async () => (await runs('without')).find((r) => r.status?.phase === 'Failed'));
  assert.match(failed.status.message, /neither terraform nor tofu in the platform's PATH.*install one of them, or set spec.image/);
  await until('status says so', async () => /no terraform or tofu in the PATH/.test((await m.cli(['status'])).stdout));
});
