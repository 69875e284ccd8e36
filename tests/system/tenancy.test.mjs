// Two teams: every kind of object and every path of every capability is tried by one team against the other's things, and
// refused. The list of kinds comes from discovery, so that a new kind is tried without being named here.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { Mainstay, run, until, root, join, readFileSync, writeFileSync } from './lib/mainstay.mjs';

const { WebSocket } = createRequire(join(root, 'tests/package.json'))('ws');

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
  await seed();
  await until('rights are in place', async () => (await as('ann', 'GET', '/api/v1/namespaces/bank/secrets/pin')).status === 200 && (await as('eve', 'GET', '/api/v1/namespaces/shop/pods')).status === 200);
});
after(async () => { await m?.down(); });

async function as(user, method, path, body, headers = []) {
  const args = ['-sS', '--path-as-is', '--cacert', `${m.dataDir}/ca.crt`, '-X', method, '-H', `Authorization: Bearer ${users[user]}`, '-w', '\n%{http_code}', '--max-time', '20', ...headers.flatMap((h) => ['-H', h])];
  if (body !== undefined) args.push('-H', 'Content-Type: application/json', '--data-binary', '@-');
  const result = await run('curl', [...args, `${m.url}${path}`], { input: body === undefined ? '' : JSON.stringify(body) });
  const at = result.stdout.lastIndexOf('\n');
  return { status: Number(result.stdout.slice(at + 1)), body: result.stdout.slice(0, at) };
}

// Things of the bank's that are really there, with words in them that nobody else may ever read. Made as administrator
// where the owner would do, so that rights need not have settled.
const hidden = 'hunter2-of-the-bank';
async function seed() {
  const manifests = [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'plan', namespace: 'bank' }, data: { plan: hidden } },
    { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'teller', namespace: 'bank' }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image: 'mainstay.dev/runner', command: ['sh', '-c', `echo ${hidden}; sleep 100000`] }] } },
    { apiVersion: 'mainstay.dev/v1', kind: 'OAuthClient', metadata: { name: 'app', namespace: 'bank' }, spec: { redirectURIs: ['https://bank.example/cb'], grantTypes: ['authorization_code', 'client_credentials'], serviceAccountName: 'default' } },
    { apiVersion: 'mainstay.dev/v1', kind: 'Dashboard', metadata: { name: 'board', namespace: 'bank' }, spec: { title: hidden, panels: [] } },
    { apiVersion: 'mainstay.dev/v1', kind: 'AlertReceiver', metadata: { name: 'pager', namespace: 'bank' }, spec: { webhook: { url: `https://bank.example/${hidden}` } } },
    { apiVersion: 'mainstay.dev/v1', kind: 'Bucket', metadata: { name: 'files', namespace: 'bank-dev' }, spec: {} },
    { apiVersion: 'mainstay.dev/v1', kind: 'Workspace', metadata: { name: 'net', namespace: 'bank' }, spec: { description: hidden } },
    { apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule', metadata: { name: 'rules', namespace: 'bank-dev' }, spec: { groups: [{ name: 'bank', rules: [{ alert: 'Always', expr: 'vector(1)', annotations: { summary: hidden } }] }] } },
  ];
  for (const one of manifests) await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify(one) });
  const value = await until('the bank writes a secret', async () => { const a = await as('ann', 'POST', '/v1/secret/data/bank/db', { data: { password: hidden } }, [`X-Vault-Token: ${users.ann}`]); return a.status === 200 || Promise.reject(new Error(a.body)); });
  assert.ok(value);
  const state = await as('ann', 'POST', '/terraform/state/bank/net', { version: 4, terraform_version: '1.9.0', serial: 1, lineage: 'bank', outputs: { pin: { value: hidden, type: 'string' } }, resources: [] });
  assert.equal(state.status, 200, state.body);
  await until('the teller runs', async () => (await m.json(['get', 'pod', 'teller', '-n', 'bank'])).status.phase === 'Running', { limit: 60000 });
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

test('no verb of an object of the other team\'s is used: logs, exec, promotion, approval, backup, state of a controller', { timeout: 240000 }, async () => {
  const all = (await kinds()).filter((k) => k.namespaced && k.name.includes('/'));
  for (const one of ['pods/log', 'pods/exec', 'pods/portforward', 'releases/promote', 'releases/approve', 'releases/rollback', 'resourceclaims/backup', 'resourceclaims/restore', 'workflowruns/rerun', 'serviceaccounts/token'])
    assert.ok(all.some((k) => k.name === one), `${one} is in discovery`);
  const real = { pods: 'teller', serviceaccounts: 'default', workspaces: 'net', oauthclients: 'app', buckets: 'files', alertreceivers: 'pager' };
  const methods = { get: 'GET', create: 'POST', update: 'PUT', patch: 'PATCH', delete: 'DELETE' };
  const wrong = [];
  for (const kind of all) {
    const [plural, sub] = kind.name.split('/');
    for (const ns of namespaces) for (const verb of kind.verbs) {
      const where = `${kind.base}/namespaces/${ns}/${plural}/${real[plural] ?? 'anything'}/${sub}${sub === 'exec' ? '?command=id&stdout=true' : ''}`;
      const answer = await as('eve', methods[verb], where, verb === 'get' || verb === 'delete' ? undefined : {});
      if (answer.status !== 403) wrong.push(`${methods[verb]} ${where}: ${answer.status}`);
      if (answer.body.includes(hidden)) wrong.push(`${where} tells`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('no verb of another user or of the platform is used: their tokens, passwords, second factors, keys, pools', { timeout: 120000 }, async () => {
  const tries = [
    ['POST', '/apis/mainstay.dev/v1/users/ann/token', { spec: {} }], ['POST', '/apis/mainstay.dev/v1/users/admin/token', { spec: {} }],
    ['POST', '/apis/mainstay.dev/v1/users/ann/password', { spec: { password: 'taken over by eve 1' } }], ['DELETE', '/apis/mainstay.dev/v1/users/ann/totp'],
    ['GET', '/apis/mainstay.dev/v1/users/ann/tokens'], ['DELETE', '/apis/mainstay.dev/v1/users/ann/tokens/x'],
    ['POST', '/oauth2/keys'], ['PUT', '/v1/sys/rotate'], ['GET', '/metrics'],
    ['POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token: users.ann } }],
    ['POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', { spec: { user: 'ann', resourceAttributes: { namespace: 'bank', verb: 'get', resource: 'secrets' } } }],
  ];
  for (const kind of (await kinds()).filter((k) => !k.namespaced && k.name.includes('/')))
    for (const [verb, method] of [['create', 'POST'], ['update', 'PUT'], ['patch', 'PATCH'], ['delete', 'DELETE']])
      if (kind.verbs.includes(verb)) tries.push([method, `${kind.base}/${kind.name.replace('/', '/bank/')}`, {}]);
  for (const [method, path, body] of tries) {
    const answer = await as('eve', method, path, body);
    assert.equal(answer.status, 403, `${method} ${path}: ${answer.status} ${answer.body.slice(0, 200)}`);
  }
  // Being somebody else by header is a right, too.
  for (const header of ['Impersonate-User: ann', 'Impersonate-Group: mainstay:admins', 'Impersonate-User: system:mainstay:identity'])
    assert.equal((await as('eve', 'GET', '/api/v1/namespaces/bank/secrets/pin', undefined, [header, ...(header.includes('Group') ? ['Impersonate-User: eve'] : [])])).status, 403, header);
});

test('nobody binds more than they have, in their own namespace either', { timeout: 60000 }, async () => {
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  for (const [where, object] of [
    [`${rbac}/namespaces/shop/rolebindings`, { kind: 'RoleBinding', metadata: { name: 'more' }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' }, subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'eve' }] }],
    [`${rbac}/clusterrolebindings`, { kind: 'ClusterRoleBinding', metadata: { name: 'more' }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'mainstay:team-owner' }, subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'eve' }] }],
    [`${rbac}/namespaces/shop/roles`, { kind: 'Role', metadata: { name: 'more' }, rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }] }],
  ]) {
    const answer = await as('eve', 'POST', where, { apiVersion: 'rbac.authorization.k8s.io/v1', ...object });
    assert.equal(answer.status, 403, `${where}: ${answer.status} ${answer.body.slice(0, 200)}`);
  }
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
  const vault = ['X-Vault-Token: ' + users.eve];
  const paths = [
    ['GET', '/git/bank/vault.git/info/refs?service=git-upload-pack'],
    ['GET', '/git/bank/vault.git/info/refs?service=git-receive-pack'],
    ['POST', '/git/bank/vault.git/git-upload-pack'],
    ['POST', '/git/bank/vault.git/git-receive-pack'],
    ...[['GET', 'tags/list'], ['POST', 'blobs/uploads/'], ['GET', 'manifests/latest'], ['PUT', 'manifests/latest'], ['DELETE', 'manifests/latest'], ['GET', `blobs/sha256:${'0'.repeat(64)}`], ['GET', `referrers/sha256:${'0'.repeat(64)}`],
      ['POST', `blobs/uploads/?mount=sha256:${'0'.repeat(64)}&from=bank/vault`]].map(([method, rest]) => [method, `/v2/bank/vault/${rest}`, [basic('eve')]]),
    ...[['GET', 'data/bank/db'], ['GET', 'data/bank/db?version=1'], ['POST', 'data/bank/db'], ['PUT', 'data/bank/db'], ['PATCH', 'data/bank/db'], ['DELETE', 'data/bank/db'], ['POST', 'delete/bank/db'], ['POST', 'undelete/bank/db'], ['PUT', 'destroy/bank/db'],
      ['GET', 'metadata/bank?list=true'], ['LIST', 'metadata/bank'], ['LIST', 'metadata/bank/'], ['GET', 'metadata/bank/db'], ['DELETE', 'metadata/bank/db'], ['GET', 'data/shop/../bank/db'], ['GET', 'data/shop/%2e%2e/bank/db'], ['GET', 'subkeys/bank/db']].map(([method, rest]) => [method, `/v1/secret/${rest}`, vault]),
    ...['GET', 'POST', 'DELETE', 'LOCK', 'UNLOCK'].flatMap((method) => [[method, '/terraform/state/bank/net'], [method, '/terraform/state/bank/net?version=1']]),
    ['GET', '/api/v1/namespaces/bank/pods/teller/log'],
    ['GET', '/apis/mainstay.dev/v1/namespaces/bank/logs'],
    ['GET', '/s3/'], ['GET', '/s3/bank-dev-files'], ['PUT', '/s3/bank-dev-files/x'],
    ['POST', '/provenance/v1/vulnerabilities'],
  ];
  for (const [method, path, headers] of paths) {
    const answer = await as('eve', method, path, undefined, headers);
    assert.ok([...(path.startsWith('/s3/') || /\.\.|%2e/.test(path) ? [400] : []), 401, 403, 404, 405].includes(answer.status), `${method} ${path}: ${answer.status} ${answer.body.slice(0, 200)}`);
    assert.ok(!answer.body.includes('hunter2'), path);
  }
  // All of it is still there for its owner.
  assert.ok((await as('ann', 'GET', '/v1/secret/data/bank/db', undefined, [`X-Vault-Token: ${users.ann}`])).body.includes(hidden));
  assert.ok((await as('ann', 'GET', '/terraform/state/bank/net')).body.includes(hidden));
});

test('S3 keys of one team open no bucket of the other', { timeout: 120000 }, async () => {
  await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'mainstay.dev/v1', kind: 'Bucket', metadata: { name: 'own', namespace: 'shop-dev' }, spec: {} }) });
  const keys = {}, bucket = {};
  for (const [user, name, ns] of [['ann', 'files', 'bank-dev'], ['eve', 'own', 'shop-dev']]) {
    const secret = await until('the key', async () => (await m.json(['get', 'secret', `${name}-s3`, '-n', ns])).data);
    keys[user] = Object.fromEntries(Object.entries(secret).map(([k, v]) => [k, Buffer.from(v, 'base64').toString()]));
    bucket[user] = keys[user].bucket;
  }
  const s3cmd = (user, args) => {
    const config = `${m.dataDir}/${user}.s3cfg`;
    writeFileSync(config, ['[default]', `access_key = ${keys[user].access_key_id}`, `secret_key = ${keys[user].secret_key}`, `host_base = ${m.listen}/s3`, `host_bucket = ${m.listen}/s3`, 'use_https = True', `ca_certs_file = ${m.dataDir}/ca.crt`, 'signature_v2 = False', 'bucket_location = us-east-1', ''].join('\n'), { mode: 0o600 });
    return run('s3cmd', ['-c', config, '--no-progress', ...args], { timeout: 60000 });
  };
  const file = `${m.dataDir}/object`;
  writeFileSync(file, hidden);
  const put = await s3cmd('ann', ['put', file, `s3://${bucket.ann}/pin`]);
  assert.equal(put.code, 0, put.all);
  for (const args of [['get', '--force', `s3://${bucket.ann}/pin`, `${file}.stolen`], ['put', file, `s3://${bucket.ann}/mine`], ['ls', `s3://${bucket.ann}/`], ['del', `s3://${bucket.ann}/pin`], ['cp', `s3://${bucket.ann}/pin`, `s3://${bucket.eve}/pin`], ['rb', `s3://${bucket.ann}`]]) {
    const answer = await s3cmd('eve', args);
    assert.notEqual(answer.code, 0, `${args.join(' ')}: ${answer.all}`);
    assert.ok(!answer.all.includes(hidden));
  }
  assert.ok(!(await s3cmd('eve', ['ls'])).all.includes(bucket.ann));
  assert.equal((await s3cmd('ann', ['info', `s3://${bucket.ann}/pin`])).code, 0, 'it is still there');
});

test('with kubectl and the command line: exec, logs, port and files of a pod, releases, traces', { timeout: 120000 }, async () => {
  const config = await m.kubeconfigFor('eve', users.eve);
  const env = { KUBECONFIG: config, MAINSTAY_CONFIG: config };
  for (const args of [['exec', 'teller', '-n', 'bank', '--', 'id'], ['attach', 'teller', '-n', 'bank'], ['logs', 'teller', '-n', 'bank'], ['port-forward', 'pod/teller', '0:80', '-n', 'bank'], ['debug', 'teller', '-n', 'bank', '--image=mainstay.dev/runner'], ['delete', 'pod', 'teller', '-n', 'bank'],
    ['create', 'token', 'default', '-n', 'bank'], ['get', 'all', '-A'], ['scale', 'deployment', 'x', '--replicas=0', '-n', 'bank-dev'], ['get', 'secret', 'app', '-n', 'bank']]) {
    const answer = await m.kubectl(args, { env, timeout: 30000 });
    assert.notEqual(answer.code, 0, args.join(' '));
    assert.ok(!answer.all.includes(hidden), args.join(' '));
  }
  const teller = await m.json(['get', 'pod', 'teller', '-n', 'bank']);
  const digest = /sha256:[0-9a-f]{64}/.exec(JSON.stringify(teller.status))?.[0];
  for (const args of [['logs', 'teller', '-n', 'bank'], ['trace', 'bank/teller'], ['trace', 'pod/teller', '-n', 'bank'], ...(digest ? [['trace', digest]] : [])]) {
    const answer = await m.cli(args, { env, timeout: 30000 });
    assert.ok(answer.code !== 0 || !/bank|teller/.test(answer.stdout), `${args.join(' ')}: ${answer.all}`);
    assert.ok(!answer.all.includes(hidden), args.join(' '));
  }
});

test('the console\'s stream gives each request the rights of its token', { timeout: 60000 }, async () => {
  const ask = (user, paths) => new Promise((done, fail) => {
    const socket = new WebSocket(`${m.url.replace('https', 'wss')}/console/stream`, { ca: readFileSync(`${m.dataDir}/ca.crt`) });
    const status = {};
    let bodies = '';
    socket.on('error', fail);
    socket.on('open', () => {
      socket.send(JSON.stringify({ token: users[user] }));
      paths.forEach((get, id) => socket.send(JSON.stringify({ id: id + 1, get })));
    });
    socket.on('message', (data) => {
      const text = String(data), [, id, kind, code] = /^(\d+) (\w)(?: (\d+))?/.exec(text);
      if (kind === 'h') status[id] = Number(code);
      if (kind === 'd') bodies += text;
      if (kind === 'e' && Object.keys(status).length === paths.length) { socket.close(); done({ status: Object.values(status), bodies }); }
    });
    socket.on('close', (code) => fail(new Error(`closed with ${code}`)));
  });
  const paths = ['/api/v1/namespaces/bank/secrets', '/api/v1/namespaces/bank/configmaps/plan', '/api/v1/namespaces/bank/pods/teller/log', '/apis/mainstay.dev/v1/namespaces/bank/dashboards', '/apis/mainstay.dev/v1/namespaces/bank/releases?watch=true', '/api/v1/secrets'];
  const refused = await ask('eve', paths);
  assert.deepEqual(refused.status, paths.map(() => 403));
  assert.ok(!refused.bodies.includes(hidden));
  assert.ok((await ask('ann', ['/api/v1/namespaces/bank/configmaps/plan'])).bodies.includes(hidden));
});

test('what an application or a device of one team may do ends at its team', { timeout: 60000 }, async () => {
  // The bank's client secret is the bank's to read; without it nothing is issued, and guesses are counted.
  const token = (fields) => run('curl', ['-sS', '--cacert', `${m.dataDir}/ca.crt`, ...Object.entries(fields).flatMap(([k, v]) => ['--data-urlencode', `${k}=${v}`]), '-w', '\n%{http_code}', `${m.url}/oauth2/token`]);
  for (const fields of [
    { grant_type: 'client_credentials', client_id: 'bank.app' },
    { grant_type: 'client_credentials', client_id: 'bank.app', client_secret: users.eve },
    { grant_type: 'authorization_code', client_id: 'bank.app', code: 'x', redirect_uri: 'https://bank.example/cb', code_verifier: 'x'.repeat(43) },
    { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', client_id: 'mainstay-cli', device_code: 'x'.repeat(43) },
    { grant_type: 'refresh_token', client_id: 'mainstay-console', refresh_token: users.ann },
  ]) {
    const answer = await token(fields);
    assert.match(answer.stdout, /\n(400|401|429)$/, `${JSON.stringify(Object.keys(fields))}: ${answer.stdout}`);
    assert.ok(!answer.stdout.includes('access_token'));
  }
  // An application of the shop's acts as a ServiceAccount of the shop's, whatever it names.
  const made = await as('eve', 'POST', '/apis/mainstay.dev/v1/namespaces/shop/oauthclients', { apiVersion: 'mainstay.dev/v1', kind: 'OAuthClient', metadata: { name: 'mine' }, spec: { redirectURIs: ['https://shop.example/cb'], grantTypes: ['client_credentials'], serviceAccountName: 'default' } });
  assert.equal(made.status, 201, made.body);
  const { client_secret: base64 } = await until('its secret', async () => { const a = await as('eve', 'GET', '/apis/mainstay.dev/v1/namespaces/shop/oauthclients/mine'); const name = JSON.parse(a.body).status?.secretName; return name && JSON.parse((await as('eve', 'GET', `/api/v1/namespaces/shop/secrets/${name}`)).body).data && { client_secret: Object.entries(JSON.parse((await as('eve', 'GET', `/api/v1/namespaces/shop/secrets/${name}`)).body).data).find(([k]) => /secret/.test(k))[1] }; });
  const issued = await token({ grant_type: 'client_credentials', client_id: 'shop.mine', client_secret: Buffer.from(base64, 'base64').toString() });
  assert.match(issued.stdout, /\n200$/, issued.stdout);
  users.app = JSON.parse(issued.stdout.slice(0, issued.stdout.lastIndexOf('\n'))).access_token;
  for (const path of ['/api/v1/namespaces/bank/secrets', '/api/v1/namespaces/bank-dev/pods', '/api/v1/secrets', '/terraform/state/bank/net', '/git/bank/vault.git/info/refs?service=git-upload-pack'])
    assert.ok([401, 403, 404].includes((await as('app', 'GET', path)).status), path);
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
  for (const path of ['rules', 'alerts', 'series?match%5B%5D=%7Bnamespace%3D%22bank%22%7D', 'labels?match%5B%5D=%7Bnamespace%3D%22bank%22%7D', 'label/namespace/values', `query_range?query=kube_pod_info&start=0&end=${Math.floor(Date.now() / 1000)}&step=3600`]) {
    const answer = await as('eve', 'GET', `/prometheus/api/v1/${path}`);
    assert.ok(!/"bank(-dev)?"/.test(answer.body) && !answer.body.includes(hidden), `${path}: ${answer.body.slice(0, 300)}`);
  }
  for (const path of ['labels', 'label/namespace/values', 'series?match%5B%5D=%7Bnamespace%3D%22bank%22%7D']) {
    const answer = await as('eve', 'GET', `/loki/api/v1/${path}`);
    assert.ok(!/"bank(-dev)?"/.test(answer.body) && !answer.body.includes(hidden), `loki ${path}: ${answer.body.slice(0, 300)}`);
  }
  for (const selector of ['{namespace="bank"}', '{namespace=~".+"}', '{source="audit"}', '{team="bank"}']) {
    const answer = await as('eve', 'GET', `/loki/api/v1/query_range?query=${encodeURIComponent(selector)}`);
    assert.ok(!/"bank(-dev)?"/.test(answer.body), `${selector}: ${answer.body.slice(0, 300)}`);
  }
});
