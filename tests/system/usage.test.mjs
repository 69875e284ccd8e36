// Capacity, quotas and costs, as kubectl and the command line show them.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Mainstay, until } from './lib/mainstay.mjs';

let m;
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.cliOk(['team', 'create', 'shop']);
  await m.cliOk(['team', 'create', 'bank']);
});
after(async () => { await m?.down(); });

const pod = (name, cpu) => JSON.stringify({
  apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop-dev', labels: { 'app.kubernetes.io/name': 'web' } },
  spec: { schedulerName: 'nobody', containers: [{ name: 'c', image: 'mainstay.dev/runner', resources: cpu ? { requests: { cpu } } : {} }] },
});
// Admission of images is not what is tested here: pods of a team's own namespace need no provenance.
const inTeam = (text) => text.replace('"shop-dev"', '"shop"');

test('what would go over a quota is refused with the figures', async () => {
  await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'team', namespace: 'shop' }, spec: { hard: { pods: '2', 'requests.cpu': '1' } } }) });
  await until('the quota is known', async () => (await m.json(['get', 'resourcequota', 'team', '-n', 'shop'])).status?.used?.pods === '0');
  await m.kubectlOk(['create', '-f', '-'], { input: inTeam(pod('a', '600m')) });
  const more = await m.kubectl(['create', '-f', '-'], { input: inTeam(pod('b', '600m')) });
  assert.notEqual(more.code, 0);
  assert.match(more.stderr, /exceeded quota: team, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1/);
  const undeclared = await m.kubectl(['create', '-f', '-'], { input: inTeam(pod('c')) });
  assert.match(undeclared.stderr, /must specify requests.cpu/);
  await m.kubectlOk(['create', '-f', '-'], { input: inTeam(pod('d', '400m')) });
  const third = await m.kubectl(['create', '-f', '-'], { input: inTeam(pod('e', '1m')) });
  assert.match(third.stderr, /pods=1, pods=|pods=1/);
  await until('it is shown', async () => {
    const { used } = (await m.json(['get', 'resourcequota', 'team', '-n', 'shop'])).status;
    return used.pods === '2' && used['requests.cpu'] === '1';
  });
  // Creations at once cannot share the last room.
  await m.kubectlOk(['delete', 'pod', 'd', '-n', 'shop', '--force', '--grace-period=0']);
  const racers = await Promise.all(Array.from({ length: 8 }, (_, i) => m.kubectl(['create', '-f', '-'], { input: inTeam(pod(`r${i}`, '100m')) })));
  assert.equal(racers.filter((r) => r.code === 0).length, 1, racers.map((r) => r.all).join(''));
});

test('a quota that cannot be counted is refused', async () => {
  const made = await m.kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'odd', namespace: 'shop' }, spec: { hard: { gpus: '2' } } }) });
  assert.notEqual(made.code, 0);
  assert.match(made.stderr, /gpus cannot be counted/);
});

test('usage is reported with its cost, prices change it, and only the team sees it', async () => {
  await until('the report adds up', async () => (await m.json(['get', 'usagereport', 'current', '-n', 'shop'])).status?.requested?.cpu === '700m');
  await m.kubectlOk(['patch', 'pricelist', 'default', '--type', 'merge', '-p', '{"spec": {"currency": "CHF", "cpuCoreMonth": 100, "memoryGiBMonth": 0, "addressMonth": 0}}']);
  await until('the new price counts', async () => (await m.cliOk(['usage', 'shop'])).stdout.includes('70.00 CHF'));
  assert.match((await m.cliOk(['usage', 'shop'])).stdout, /shop +web +700m/);
  const capacity = (await m.cliOk(['capacity'])).stdout;
  assert.match(capacity, /^cpu +\S+ +\S+ +\S+/m);
  assert.match(capacity, /^disk/m);
  await m.cliOk(['user', 'create', 'bea']);
  await m.kubectlOk(['patch', 'team', 'bank', '--type', 'merge', '-p', '{"spec": {"members": [{"user": "bea", "role": "owner"}]}}']);
  const asBea = (args) => m.kubectl(['--as', 'bea', '--as-group', 'team:bank', '--as-group', 'team:bank:owner', '--as-group', 'system:authenticated', ...args]);
  await until('bea sees her own', async () => (await asBea(['get', 'usagereports', '-n', 'bank'])).code === 0);
  assert.match((await asBea(['get', 'usagereports', '-n', 'shop'])).stderr, /forbidden/);
  assert.match((await asBea(['get', 'resourcequotas', '-n', 'shop'])).stderr, /forbidden/);
  const own = await asBea(['create', 'quota', 'mine', '--hard=pods=1000', '-n', 'bank']);
  assert.match(own.stderr, /forbidden/, 'a team does not set its own quota');
});
