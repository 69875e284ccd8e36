// Two teams: every kind of object and every path of every capability is tried by one team against the other's things, and
// refused. The list of kinds comes from discovery, so that a new kind is tried without being named here.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Mainstay, run, until } from './lib/mainstay.mjs';

let m;
const users = {};
const namespaces = ['bank', 'bank-dev'];
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  for (const [team, user] of [['shop', 'eve'], ['bank', 'ann']]) {
    await m.cliOk(['team', 'create', team]);
    await m.cliOk(['user', 'create', user]);
    await m.kubectlOk(['patch', 'team', team, '--type', 'merge', '-p', JSON.stringify({ spec: { members: [{ user, role: 'owner' }] } })]);
    users[user] = (await m.cliOk(['user', 'token', user])).stdout.trim();
  }
  await m.cliOk(['repo', 'create', 'vault', '--team', 'bank']);
  await m.kubectlOk(['create', 'secret', 'generic', 'pin', '--from-literal=pin=hunter2-of-the-bank', '-n', 'bank']);
  await until('rights are in place', async () => (await as('ann', 'GET', '/api/v1/namespaces/bank/secrets/pin')).status === 200 && (await as('eve', 'GET', '/api/v1/namespaces/shop/pods')).status === 200);
});
after(async () => { await m?.down(); });

async function as(user, method, path, body, headers = []) {
  const args = ['-sS', '--cacert', `${m.dataDir}/ca.crt`, '-X', method, '-H', `Authorization: Bearer ${users[user]}`, '-w', '\n%{http_code}', '--max-time', '20', ...headers.flatMap((h) => ['-H', h])];
  if (body !== undefined) args.push('-H', 'Content-Type: application/json', '--data-binary', '@-');
  const result = await run('curl', [...args, `${m.url}${path}`], { input: body === undefined ? '' : JSON.stringify(body) });
  const at = result.stdout.lastIndexOf('\n');
  return { status: Number(result.stdout.slice(at + 1)), body: result.stdout.slice(0, at) };
}

async function kinds() {
  const out = [];
  const groups = ['/api/v1', ...JSON.parse((await as('ann', 'GET', '/apis')).body).groups.flatMap((g) => g.versions.map((v) => `/apis/${v.groupVersion}`))];
  for (const base of groups) {
    const list = JSON.parse((await as('ann', 'GET', base)).body);
    for (const r of list.resources) out.push({ ...r, base, groupVersion: list.groupVersion });
  }
  return out;
}

test('no kind of object in the other team\'s namespaces is read, written or watched', { timeout: 240000 }, async () => {
  const all = (await kinds()).filter((k) => k.namespaced && !k.name.includes('/'));
  assert.ok(all.length > 20, `${all.length} kinds`);
  const wrong = [];
  for (const kind of all) {
    for (const ns of namespaces) {
      const path = `${kind.base}/namespaces/${ns}/${kind.name}`;
      const object = { apiVersion: kind.groupVersion, kind: kind.kind, metadata: { name: 'intruder', namespace: ns } };
      const tries = [];
      if (kind.verbs.includes('list')) tries.push(['GET', path], ['GET', `${path}?watch=true&timeoutSeconds=1`]);
      if (kind.verbs.includes('get')) tries.push(['GET', `${path}/anything`]);
      if (kind.verbs.includes('create')) tries.push(['POST', path, object]);
      if (kind.verbs.includes('update')) tries.push(['PUT', `${path}/anything`, object]);
      if (kind.verbs.includes('patch')) tries.push(['PATCH', `${path}/anything`, object]);
      if (kind.verbs.includes('delete')) tries.push(['DELETE', `${path}/anything`]);
      for (const [method, where, body] of tries) {
        const answer = await as('eve', method, where, body);
        // Reviews of one's own rights are made in any namespace, and say no.
        if (kind.name === 'localsubjectaccessreviews' || answer.status === 403) continue;
        wrong.push(`${method} ${where}: ${answer.status}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test('no cluster-scoped object is changed by a team, and lists across namespaces are refused', { timeout: 120000 }, async () => {
  const wrong = [];
  for (const kind of await kinds()) {
    if (kind.name.includes('/')) continue;
    const path = `${kind.base}/${kind.name}`;
    if (kind.namespaced) {
      if (kind.verbs.includes('list')) { const a = await as('eve', 'GET', path); if (a.status !== 403) wrong.push(`GET ${path}: ${a.status}`); }
      continue;
    }
    if (/review/.test(kind.name)) continue;  // asking about oneself is for everybody
    const object = { apiVersion: kind.groupVersion, kind: kind.kind, metadata: { name: 'intruder' } };
    if (kind.verbs.includes('create')) { const a = await as('eve', 'POST', path, object); if (a.status !== 403) wrong.push(`POST ${path}: ${a.status}`); }
    if (kind.verbs.includes('delete')) { const a = await as('eve', 'DELETE', `${path}/bank`); if (a.status !== 403) wrong.push(`DELETE ${path}/bank: ${a.status}`); }
    if (kind.verbs.includes('patch')) { const a = await as('eve', 'PATCH', `${path}/bank`, object); if (a.status !== 403) wrong.push(`PATCH ${path}/bank: ${a.status}`); }
  }
  assert.deepEqual(wrong, []);
});

test('no protocol of a capability lets one team at the other\'s things', { timeout: 120000 }, async () => {
  const basic = (user) => `Authorization: Basic ${Buffer.from(`${user}:${users[user]}`).toString('base64')}`;
  const refused = [
    ['git fetch', await run('git', ['ls-remote', `${m.url.replace('https://', `https://eve:${users.eve}@`)}/git/bank/vault.git`], { env: m.env })],
  ];
  for (const [what, result] of refused) assert.notEqual(result.code, 0, what);
  const paths = [
    ['GET', '/git/bank/vault.git/info/refs?service=git-upload-pack'],
    ['GET', '/git/bank/vault.git/info/refs?service=git-receive-pack'],
    ['GET', '/v2/bank/vault/tags/list', [basic('eve')]],
    ['POST', '/v2/bank/vault/blobs/uploads/', [basic('eve')]],
    ['GET', '/v1/secret/data/bank/db', ['X-Vault-Token: ' + users.eve]],
    ['POST', '/v1/secret/data/bank/db', ['X-Vault-Token: ' + users.eve]],
    ['GET', '/v1/secret/metadata/bank?list=true', ['X-Vault-Token: ' + users.eve]],
    ['DELETE', '/v1/secret/metadata/bank/db', ['X-Vault-Token: ' + users.eve]],
    ['GET', '/terraform/state/bank/net'],
    ['LOCK', '/terraform/state/bank/net'],
    ['GET', '/apis/mainstay.dev/v1/namespaces/bank/workflowruns/x/rerun'],
    ['GET', '/api/v1/namespaces/bank-dev/pods/web/log'],
    ['GET', '/s3/'],
  ];
  for (const [method, path, headers] of paths) {
    const answer = await as('eve', method, path, undefined, headers);
    assert.ok([...(path === '/s3/' ? [400] : []), 401, 403, 404, 405].includes(answer.status), `${method} ${path}: ${answer.status} ${answer.body.slice(0, 200)}`);
    assert.ok(!answer.body.includes('hunter2'), path);
  }
});

test('metrics and logs show a team its own namespaces alone', { timeout: 120000 }, async () => {
  const query = async (user, expression) => as(user, 'GET', `/prometheus/api/v1/query?query=${encodeURIComponent(expression)}`);
  // Escapes: by label, by regular expression, by parameters that the engine would understand.
  for (const expression of ['kube_namespace_status_phase{namespace=~"bank.*"}', 'kube_secret_info{namespace="bank"}', '{namespace=~".+"}', 'count by (namespace) ({__name__=~".+"})']) {
    const answer = await query('eve', expression);
    assert.ok(!/"bank(-dev)?"/.test(answer.body), `${expression}: ${answer.body.slice(0, 300)}`);
    const forced = await as('eve', 'GET', `/prometheus/api/v1/query?query=${encodeURIComponent(expression)}&extra_filters%5B%5D=%7Bnamespace%3D%22bank%22%7D&extra_label=namespace%3Dbank`);
    assert.ok(!/"bank(-dev)?"/.test(forced.body), `${expression} with forced filters: ${forced.body.slice(0, 300)}`);
  }
  for (const selector of ['{namespace="bank"}', '{namespace=~".+"}', '{source="audit"}', '{team="bank"}']) {
    const answer = await as('eve', 'GET', `/loki/api/v1/query_range?query=${encodeURIComponent(selector)}`);
    assert.ok(!/"bank(-dev)?"/.test(answer.body), `${selector}: ${answer.body.slice(0, 300)}`);
  }
});
