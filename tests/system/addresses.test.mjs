// Networks and addresses: plans without overlaps, claims that are never given twice (also over a kill), the platform's own
// ranges with their use, reservations that pods and Services honour, forecasts, and what-if.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Mainstay, until } from './lib/mainstay.mjs';

let m;
const apply = (text, options) => m.kubectl(['apply', '-f', '-'], { input: text, ...options });
const applyOk = async (text, options) => { const r = await apply(text, options); assert.equal(r.code, 0, r.all); };
const refused = async (text, why, options) => { const r = await apply(text, options); assert.notEqual(r.code, 0, text); assert.match(r.all, why); };
const network = (name, ranges, more = '') => `apiVersion: mainstay.dev/v1\nkind: Network\nmetadata: {name: ${name}}\nspec: {ranges: [${ranges.map((r) => `"${r}"`)}]${more}}`;
const subnet = (name, spec) => `apiVersion: mainstay.dev/v1\nkind: Subnet\nmetadata: {name: ${name}}\nspec: {${spec}}`;
const pool = (name, spec) => `apiVersion: mainstay.dev/v1\nkind: AddressPool\nmetadata: {name: ${name}}\nspec: {${spec}}`;
const claim = (ns, name, spec) => `apiVersion: mainstay.dev/v1\nkind: AddressClaim\nmetadata: {name: ${name}, namespace: ${ns}}\nspec: {${spec}}`;
const condition = (object, type) => object.status?.conditions?.find((c) => c.type === type);

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  for (const user of ['ann', 'mallory']) await m.cliOk(['user', 'create', user]);
  await m.cliOk(['team', 'create', 'shop', '--member', 'ann:developer']);
  await m.cliOk(['team', 'create', 'evil', '--member', 'mallory:owner']);
}, { timeout: 120000 });
after(async () => { await m?.down(); });

test('nothing overlaps: networks, external ranges, pods, Services, host routes, subnets, pools', async () => {
  await applyOk(network('corp', ['172.20.0.0/14', 'fd12:3456::/32']));
  await applyOk(network('datacentre', ['172.28.0.0/16'], ', external: true'));
  await refused(network('again', ['172.21.0.0/16']), /overlaps 172\.20\.0\.0\/14 of the Network corp/);
  await refused(network('again', ['172.28.4.0/24']), /external Network datacentre/);
  await refused(network('again', [`10.${150 + 2 * m.slot}.3.0/24`]), /Network platform/);
  await refused(network('again', [`10.${151 + 2 * m.slot}.0.0/20`]), /Network platform/);
  await refused(network('again', ['127.0.0.0/8']), /RFC 6890/);
  await refused(network('again', ['10.1.2.3/16']), /did you mean 10\.1\.0\.0\/16/);
  await refused(network('again', ['10.0.0.0/9', '10.0.0.0/16']), /overlaps/);
  await applyOk(subnet('prod', 'network: corp, cidr: 172.20.0.0/16'));
  await applyOk(subnet('prod-a', 'network: corp, parent: prod, cidr: 172.20.0.0/24'));
  await applyOk(subnet('v6', 'network: corp, cidr: "fd12:3456:1::/48"'));
  await refused(subnet('x', 'network: corp, cidr: 172.20.128.0/17'), /overlaps 172\.20\.0\.0\/16 of the Subnet prod/);
  await refused(subnet('x', 'network: corp, cidr: 172.30.0.0/24'), /does not lie within/);
  await refused(subnet('x', 'network: corp, parent: prod, cidr: 172.20.0.128/25'), /Subnet prod-a/);
  await refused(subnet('x', 'network: datacentre, cidr: 172.28.0.0/24'), /external/);
  await refused(subnet('x', 'network: platform, cidr: 10.0.0.0/24'), /platform's own/);
  await refused(subnet('prod', 'network: corp, cidr: 172.21.0.0/16'), /cannot be changed/);
  await applyOk(pool('prod-a', 'subnet: prod-a, reservations: [{range: 172.20.0.0/29, reason: routers}]'));
  await refused(pool('prod-b', 'subnet: prod-a, range: 172.20.0.128/25'), /overlaps the AddressPool prod-a/);
  await refused(pool('bad', 'subnet: v6, reservations: [{range: 172.20.0.0/29}]'), /does not lie within/);
  for (const [kind, name] of [['network', 'corp'], ['subnet', 'prod-a'], ['network', 'platform'], ['addresspool', 'pods']])
    assert.match((await m.kubectl(['delete', kind, name])).all, /in use by/, `${kind} ${name}`);
});

test('Subnets made at once get free prefixes of their own', async () => {
  const made = await Promise.all(Array.from({ length: 6 }, (_, i) => apply(subnet(`auto${i}`, 'network: corp, prefixLength: 24'))));
  assert.deepEqual(made.map((r) => r.code), Array(6).fill(0), made.map((r) => r.all).join());
  const cidrs = (await m.json(['get', 'subnets'])).items.filter((s) => /^auto/.test(s.metadata.name)).map((s) => s.spec.cidr);
  assert.deepEqual([...new Set(cidrs)].sort(), Array.from({ length: 6 }, (_, i) => `172.21.${i}.0/24`));
});

const claims = async () => (await m.json(['get', 'addressclaims', '-A'])).items;

test('claims: single addresses and blocks, none twice, over a kill; freed ones are given again', { timeout: 120000 }, async () => {
  await applyOk(pool('blocks', 'subnet: v6, largestClaim: 56'));
  await until('the pool', async () => (await m.json(['get', 'pool', 'blocks'])).status?.range);
  const wave = (from, count) => Array.from({ length: count }, (_, i) => claim('shop', `c${from + i}`, 'pool: prod-a')).join('\n---\n');
  await applyOk(wave(0, 40));
  const second = apply(wave(40, 40));
  await m.kill9();
  await second;
  await m.start();
  await applyOk(wave(40, 40));
  await applyOk([claim('shop', 'block', 'pool: blocks, prefixLength: 56'), claim('shop', 'block6', 'pool: blocks, prefixLength: 64'), claim('shop', 'wanted', 'pool: prod-a, address: 172.20.0.200')].join('\n---\n'));
  const bound = await until('all bound', async () => { const all = await claims(); return all.length === 83 && all.every((c) => c.status?.phase === 'Bound') && all; }, { limit: 60000 });
  const addresses = bound.map((c) => c.status.address);
  assert.equal(new Set(addresses).size, 83);
  assert.ok(addresses.includes('172.20.0.200') && addresses.includes('fd12:3456:1::/56') && addresses.includes('fd12:3456:1:100::/64'), addresses.join());
  assert.ok(addresses.every((a) => a.includes(':') || Number(a.split('.')[3]) > 7), 'reservations are kept');
  await applyOk(claim('shop', 'same', 'pool: prod-a, address: 172.20.0.200'));
  await until('the refusal', async () => condition((await claims()).find((c) => c.metadata.name === 'same'), 'Ready')?.reason === 'Taken');
  await m.kubectlOk(['delete', 'addressclaim', 'wanted', '-n', 'shop']);
  await until('the address to come free', async () => (await claims()).find((c) => c.metadata.name === 'same').status.phase === 'Bound');
  await refused(claim('shop', 'huge', 'pool: blocks, prefixLength: 48'), /largestClaim/);
  await refused(claim('shop', 'pod', 'pool: pods'), /gives these addresses to pods/);
  const status = (await until('the count', async () => { const p = await m.json(['get', 'pool', 'prod-a']); return p.status.used === 89 && p; })).status;
  assert.deepEqual([status.size, status.reserved], [256, 8]);
});

test('a team sees the plan, and no other team\'s claims; pools can be kept to teams', async () => {
  const ann = await m.kubeconfigFor('ann', await m.token('ann')), mallory = await m.kubeconfigFor('mallory', await m.token('mallory'));
  assert.equal((await m.kubectl(['get', 'addresspools', '--kubeconfig', mallory])).code, 0);
  assert.equal((await m.kubectl(['get', 'addressclaims', '-n', 'shop', '--kubeconfig', ann])).code, 0);
  for (const args of [['get', 'addressclaims', '-n', 'shop'], ['delete', 'addressclaim', 'c1', '-n', 'shop'], ['delete', 'pool', 'prod-a'], ['delete', 'network', 'corp']])
    assert.match((await m.kubectl([...args, '--kubeconfig', mallory])).all, /forbidden/i, args.join(' '));
  await refused(network('mine', ['172.29.0.0/16']), /forbidden/i, { env: { KUBECONFIG: mallory } });
  await applyOk(pool('only-shop', 'subnet: auto0, teams: [shop]'));
  await refused(claim('evil', 'a', 'pool: only-shop'), /not open to namespaces of team \\?"evil/, { env: { KUBECONFIG: mallory } });
  await applyOk(claim('shop', 'only', 'pool: only-shop'), { env: { KUBECONFIG: ann } });
});

test('the platform\'s own ranges count pods and Services, and keep what is reserved free', { timeout: 120000 }, async () => {
  await m.baseImage();
  const octet = 150 + 2 * m.slot;
  const before = (await until('the pool', async () => { const p = await m.json(['get', 'pool', 'services']); return p.status?.used >= 12 && p; })).status;
  await m.kubectlOk(['create', 'service', 'clusterip', 'one', '-n', 'shop', '--tcp=80:80']);
  await until('the Service to be counted', async () => (await m.json(['get', 'pool', 'services'])).status.used === before.used + 1);
  // All but the last /24 of the pods' range: a new pod's address can only be there, whatever was ready before.
  const halves = Array.from({ length: 8 }, (_, i) => `10.${octet}.${[0, 128, 192, 224, 240, 248, 252, 254][i]}.0/${17 + i}`);
  await m.kubectlOk(['patch', 'pool', 'pods', '--type=merge', '-p', JSON.stringify({ spec: { reservations: halves.map((range) => ({ range, reason: 'test' })) } })]);
  await m.kubectlOk(['patch', 'pool', 'services', '--type=merge', '-p', JSON.stringify({ spec: { reservations: [{ range: `10.${octet + 1}.7.7` }] } })]);
  await until('the reservations', async () => (await m.json(['get', 'pool', 'pods'])).status.reserved >= 65280);
  const image = `${m.listen}/library/python:3.11-slim`;
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'kept', namespace: 'shop' }, spec: { containers: [{ name: 'main', image, command: ['sleep', '600'] }] } };
  await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify(pod) });
  const ip = await until('the pod\'s address', async () => (await m.json(['get', 'pod', 'kept', '-n', 'shop'])).status.podIP, { limit: 60000 });
  assert.match(ip, new RegExp(`^10\\.${octet}\\.255\\.`));
  await refused(`apiVersion: v1\nkind: Service\nmetadata: {name: two, namespace: shop}\nspec: {clusterIP: 10.${octet + 1}.7.7, ports: [{port: 80}]}`, /reserved by the AddressPool/);
});

test('the forecast: from history and plans, with its range, condition, metrics; what-if changes nothing', async () => {
  const now = Date.now(), day = 86400e3;
  // A pool that has grown by two addresses a day, with some noise and one odd day.
  const history = Array.from({ length: 90 }, (_, i) => ({ time: new Date(now - (90 - i) * day).toISOString().replace(/\.\d+Z/, 'Z'), used: i === 40 ? 250 : i * 2 / 3 + (i % 3) }));
  await m.kubectlOk(['patch', 'pool', 'prod-a', '--subresource=status', '--type=merge', '-p', JSON.stringify({ status: { history } })]);
  await m.kubectlOk(['patch', 'pool', 'prod-a', '--type=merge', '-p', JSON.stringify({ spec: { plans: [{ team: 'shop', addresses: 20, by: '2020-01-01' }] } })]);
  const status = await until('the forecast', async () => { const s = (await m.json(['get', 'pool', 'prod-a'])).status; return s.forecast?.basis === 'history' && s; });
  const f = status.forecast;
  assert.ok(f.growthPerMonth > 18 && f.growthPerMonth < 23, JSON.stringify(f));
  assert.ok(f.earliest <= f.exhaustedAt && f.exhaustedAt <= f.latest, JSON.stringify(f));
  assert.ok(f.monthsLeft > 5 && f.monthsLeft < 11, JSON.stringify(f));
  const pool1 = await m.json(['get', 'pool', 'prod-a']);
  assert.deepEqual([condition(pool1, 'Capacity').status, condition(pool1, 'Capacity').reason], ['False', 'Warning']);
  assert.equal(condition(await m.json(['get', 'pool', 'blocks']), 'Capacity').status, 'True');
  const metrics = (await m.kubectlOk(['get', '--raw', '/metrics/objects'])).stdout;
  assert.match(metrics, /mainstay_address_pool_size\{pool="prod-a"\} 256/);
  assert.match(metrics, /mainstay_address_pool_used\{pool="prod-a"\} \d+/);
  assert.match(metrics, /mainstay_address_pool_forecast_months\{pool="prod-a"\} \d/);
  const version = pool1.metadata.resourceVersion;
  const more = JSON.parse((await m.cliOk(['ipam', 'what-if', 'prod-a', '--addresses-per-month', '100', '-o', 'json'])).stdout);
  assert.ok(more.forecast.monthsLeft < more.before.monthsLeft / 3, JSON.stringify(more));
  const planned = JSON.parse((await m.cliOk(['ipam', 'what-if', 'prod-a', '--plan', `500@${new Date(now + 40 * day).toISOString().slice(0, 10)}`, '-o', 'json'])).stdout);
  assert.ok(planned.forecast.monthsLeft < 1.5 && planned.forecast.monthsLeft > 1, JSON.stringify(planned));
  assert.match((await m.cliOk(['ipam', 'what-if', '--network', 'corp', '--prefix-length', '22'])).stdout, /172\.21\.8\.0\/22 would fit/);
  assert.match((await m.cli(['ipam', 'what-if', '--network', 'corp', '--cidr', '172.20.1.0/24'])).stdout, /overlaps .* of the Subnet prod/);
  assert.equal((await m.json(['get', 'pool', 'prod-a'])).metadata.resourceVersion, version, 'nothing was written');
  for (const [args, says] of [[['prod-a'], /give --addresses-per-month or --plan/], [[], /what if what/], [['prod-a', '--addresses-per-month', '-5'], /-5 is not a number from 0/],
    [['prod-a', '--plan', '20'], /write it as 500@2027-03-01/], [['prod-a', '--plan', '20x@2030-01-01'], /write it as/], [['prod-a', '--plan', '20@soon'], /"prod-a" is invalid: spec.plans\[0\].by: must be a date/],
    [['prod-a', '--plan', '20@2020-01-01'], /2020-01-01.* is over/], [['none', '--addresses-per-month', '5'], /not found/], [['--network', 'none', '--prefix-length', '24'], /no Network "none"/]]) {
    const wrong = await m.cli(['ipam', 'what-if', ...args]);
    assert.notEqual(wrong.code, 0, args.join(' '));
    assert.match(wrong.all, says);
  }
  assert.match((await m.cliOk(['ipam', 'what-if', '--network', 'corp', '--cidr', 'fd12:3456:77::/64'])).stdout, /would fit \(2\^64 addresses\)/);
  assert.match((await m.cliOk(['ipam', 'what-if', 'blocks', '--addresses-per-month', '1'])).stdout, /from what was asked\nRuns out: +not in 50 years\n/);
  assert.match((await m.cliOk(['ipam', 'list'])).stdout, /prod-a +172\.20\.0\.0\/24 +256/);
  assert.match((await m.cliOk(['ipam', 'show', 'prod-a'])).stdout, /Runs out: +20\d\d-/);
});
