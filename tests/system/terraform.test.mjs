// The HTTP state backend, spoken to as Terraform's own client does (curl with its methods): state, lock, history, rights.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Mainstay, run, until } from './lib/mainstay.mjs';

let m, token;
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.cliOk(['team', 'create', 'shop']);
  await m.cliOk(['user', 'create', 'ann']);
  await m.cliOk(['user', 'create', 'bea']);
  await m.kubectlOk(['patch', 'team', 'shop', '--type', 'merge', '-p', '{"spec": {"members": [{"user": "ann", "role": "developer"}, {"user": "vic", "role": "viewer"}]}}']);
  await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'mainstay.dev/v1', kind: 'Workspace', metadata: { name: 'net', namespace: 'shop' }, spec: { history: 2 } }) });
  token = async (user) => (await m.cliOk(['user', 'token', user])).stdout.trim();
  token.ann = await token('ann');
  token.bea = await token('bea');
});
after(async () => { await m?.down(); });

async function backend(method, body, { user = 'ann', query = '', name = 'net' } = {}) {
  const result = await run('curl', ['-sS', '--cacert', `${m.dataDir}/ca.crt`, '-u', `${user}:${token[user]}`, '-X', method, '-w', '\n%{http_code}',
    ...(body === undefined ? [] : ['-H', 'Content-Type: application/json', '--data-binary', '@-']), `${m.url}/terraform/state/shop/${name}${query}`],
  { input: body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body) });
  const at = result.stdout.lastIndexOf('\n');
  return { status: Number(result.stdout.slice(at + 1)), body: result.stdout.slice(0, at), all: result.all };
}
const state = (serial, lineage = 'l1') => ({ version: 4, terraform_version: '1.9.0', serial, lineage, outputs: {}, resources: [{ mode: 'managed', type: 'x', name: 'y', instances: [{ attributes: { password: 'hunter2-in-state' } }] }] });
const lock = (ID) => ({ ID, Operation: 'OperationTypeApply', Info: '', Who: `${ID}@laptop`, Version: '1.9.0', Created: '2026-01-01T00:00:00Z', Path: '' });

test('a plan and an apply: lock, read, write, unlock', async () => {
  await until('ann has her rights', async () => (await backend('GET')).status === 204);
  assert.equal((await backend('LOCK', lock('one'))).status, 200);
  const second = await backend('LOCK', lock('two'));
  assert.equal(second.status, 423);
  assert.equal(JSON.parse(second.body).Who, 'one@laptop', 'the second is told who holds it');
  assert.equal((await backend('POST', state(1), { query: '?ID=two' })).status, 423);
  assert.equal((await backend('POST', state(1), { query: '?ID=one' })).status, 200);
  assert.equal((await backend('UNLOCK', lock('two'))).status, 423);
  assert.equal((await backend('UNLOCK', lock('one'))).status, 200);
  assert.deepEqual(JSON.parse((await backend('GET')).body), state(1));
  const late = await backend('POST', state(2), { query: '?ID=one' });
  assert.equal(late.status, 409, 'a lock that was broken no longer writes');
  assert.match(late.body, /no longer held/);
});

test('of many who want the lock at once one gets it', async () => {
  const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => backend('LOCK', lock(`racer${i}`))));
  assert.equal(answers.filter((a) => a.status === 200).length, 1);
  assert.equal(answers.filter((a) => a.status === 423).length, 7);
  assert.equal((await backend('UNLOCK')).status, 200, 'force-unlock');
});

test('older and foreign states are refused, history is kept and bounded', async () => {
  for (const serial of [2, 3, 4]) assert.equal((await backend('POST', state(serial))).status, 200);
  assert.match((await backend('POST', state(3))).body, /older/);
  assert.match((await backend('POST', state(9, 'other'))).body, /lineage/);
  assert.match((await backend('POST', 'no json')).body, /not JSON/);
  const ws = await m.json(['get', 'workspace', 'net', '-n', 'shop']);
  assert.equal(ws.status.serial, 4);
  assert.deepEqual(ws.status.versions.map((v) => v.serial), [2, 3, 4]);
  assert.equal(ws.status.updatedBy, 'ann');
  assert.equal(JSON.parse((await backend('GET', undefined, { query: `?version=${ws.status.versions[0].name}` })).body).serial, 2);
  assert.equal((await m.json(['get', 'terraformstates', '-n', 'shop'])).items.length, 3);
});

test('the state is sealed at rest and survives kill -9', async () => {
  const found = await run('grep', ['-rl', 'hunter2-in-state', m.dataDir]);
  assert.equal(found.stdout, '');
  assert.equal((await backend('LOCK', lock('held'))).status, 200);
  await m.kill9();
  await m.start();
  await until('it answers', async () => (await backend('GET')).status === 200);
  assert.equal(JSON.parse((await backend('GET')).body).serial, 4);
  assert.equal((await backend('LOCK', lock('other'))).status, 423, 'the lock too');
  assert.equal((await backend('UNLOCK', lock('held'))).status, 200);
});

test('nobody else reads it', async () => {
  assert.equal((await backend('GET', undefined, { user: 'bea' })).status, 403);
  assert.equal((await backend('LOCK', lock('x'), { user: 'bea' })).status, 403);
  const asViewer = await m.kubectl(['auth', 'can-i', 'get', 'workspaces.mainstay.dev', '--subresource', 'state', '-n', 'shop', '--as', 'vic', '--as-group', 'team:shop:viewer']);
  assert.match(asViewer.stdout, /^no/);
  const raw = await m.kubectl(['get', 'terraformstates', '-n', 'shop', '--as', 'ann', '--as-group', 'team:shop:developer']);
  assert.match(raw.stderr, /forbidden/, 'versions are read through the backend');
  const missing = await backend('GET', undefined, { name: 'none' });
  assert.equal(missing.status, 404);
});

test('a deleted state leaves its versions', async () => {
  assert.equal((await backend('DELETE')).status, 200);
  assert.equal((await backend('GET')).status, 204);
  assert.equal((await backend('POST', state(1, 'fresh'))).status, 200, 'a new one may begin');
});
