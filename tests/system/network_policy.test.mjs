// Teams are kept apart in the network out of the box, and NetworkPolicies do what they say, between real pods.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Mainstay, run, until } from './lib/mainstay.mjs';

const serve = `
import socket, threading, sys
def server(port):
    s = socket.create_server(('0.0.0.0', port), backlog=64)
    while True:
        c, a = s.accept()
        c.sendall(('hello from %d to %s' % (port, a[0])).encode()); c.close()
for p in (8080, 9090): threading.Thread(target=server, args=(p,)).start()
`;
const connect = `
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
print(s.recv(100).decode())
`;
const pod = (namespace, name) => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels: { app: name } },
  spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image: 'mainstay.dev/runner', command: ['python3', '-uc', serve],
    ports: [{ name: 'web', containerPort: 8080 }, { name: 'admin', containerPort: 9090 }] }] },
});
const policy = (namespace, name, spec) => ({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name, namespace }, spec });

let m, ann;
const ip = {};
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.cliOk(['user', 'create', 'ann']);
  await m.cliOk(['team', 'create', 'shop', '--member', 'ann:developer']);
  await m.cliOk(['team', 'create', 'bank']);
  ann = { KUBECONFIG: await m.kubeconfigFor('ann', await m.token('ann')) };
  const all = [['shop', 'web'], ['shop', 'db'], ['shop', 'other'], ['bank', 'thief'], ['default', 'tool']];
  await apply(...all.map(([namespace, name]) => pod(namespace, name)));
  for (const [namespace, name] of all) {
    ip[name] = await until(`pod ${name} runs`, async () => {
      const { status } = await m.json(['get', 'pod', name, '-n', namespace]);
      return status.phase === 'Running' && status.podIP;
    });
  }
}, { timeout: 120000 });
after(async () => { await m?.down(); });

async function apply(...objects) {
  await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }) });
}
async function reach(namespace, from, address, port) {
  return m.kubectl(['exec', '-n', namespace, from, '--', 'python3', '-c', connect, address, String(port)], { timeout: 20000 });
}
const reaches = (...args) => until(`${args} is let through`, async () => (await reach(...args)).code === 0);
const refused = (...args) => until(`${args} is refused`, async () => {
  const answer = await reach(...args);
  return answer.code !== 0 && /No route to host|refused|prohibited|timed out|unreachable/i.test(answer.all) && answer;
});

test('pods of one team reach each other, those of another team and of none do not reach them', async () => {
  await reaches('shop', 'web', ip.db, 8080);
  await refused('bank', 'thief', ip.db, 8080);
  await refused('default', 'tool', ip.db, 8080);
  await reaches('bank', 'thief', ip.tool, 8080);
});

test('what belongs to the platform still answers: the API for pods, and pods for the node', async () => {
  const api = await m.kubectl(['exec', '-n', 'bank', 'thief', '--', 'curl', '-sk', '-m', '5', '-o', '/dev/null', '-w', '%{http_code}',
    `https://10.${150 + 2 * m.slot}.0.1:${m.listen.split(':')[1]}/healthz`]);
  assert.match(api.stdout, /200/, api.all);
  const node = await run('python3', ['-c', connect, ip.db, '8080']);
  assert.equal(node.code, 0, node.all);
});

test('a service of another team leads nowhere either', async () => {
  await apply({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'db', namespace: 'shop' },
    spec: { selector: { app: 'db' }, ports: [{ port: 80, targetPort: 'web' }] } });
  const address = (await m.json(['get', 'service', 'db', '-n', 'shop'])).spec.clusterIP;
  await reaches('shop', 'web', address, 80);
  await refused('bank', 'thief', address, 80);
});

test('a policy narrows within the team, by label and named port', async () => {
  const made = await m.kubectl(['apply', '-f', '-'], { env: ann, input: JSON.stringify(policy('shop', 'db', { podSelector: { matchLabels: { app: 'db' } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: 'web' } } }], ports: [{ port: 'web' }] }] })) });
  assert.equal(made.code, 0, made.all);
  await refused('shop', 'other', ip.db, 8080);
  await reaches('shop', 'web', ip.db, 8080);
  await refused('shop', 'web', ip.db, 9090);
  // A label is enough to be let in, and to be shut out again.
  await m.kubectlOk(['label', 'pod', 'other', '-n', 'shop', 'app=web', '--overwrite']);
  await reaches('shop', 'other', ip.db, 8080);
  await m.kubectlOk(['label', 'pod', 'other', '-n', 'shop', 'app=other', '--overwrite']);
  await refused('shop', 'other', ip.db, 8080);
});

test('nobody writes policies for another team', async () => {
  const made = await m.kubectl(['apply', '-f', '-'], { env: ann, input: JSON.stringify(policy('bank', 'open', { podSelector: {}, ingress: [{}] })) });
  assert.notEqual(made.code, 0);
  assert.match(made.all, /[Ff]orbidden/);
});

test('a policy opens a port to another team by its namespace', async () => {
  await apply(policy('shop', 'for-bank', { podSelector: { matchLabels: { app: 'db' } },
    ingress: [{ from: [{ namespaceSelector: { matchLabels: { 'mainstay.dev/team': 'bank' } } }], ports: [{ port: 9000, endPort: 9100 }] }] }));
  await reaches('bank', 'thief', ip.db, 9090);
  await refused('bank', 'thief', ip.db, 8080);
});

test('egress by block, with an exception', async () => {
  await apply(policy('bank', 'out', { podSelector: {}, policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr: `${ip.db}/32` } }] }] }));
  await refused('bank', 'thief', ip.tool, 8080);
  await reaches('bank', 'thief', ip.db, 9090);
  await apply(policy('bank', 'out', { podSelector: {}, policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr: '0.0.0.0/0', except: [`${ip.db}/32`] } }] }] }));
  await reaches('bank', 'thief', ip.tool, 8080);
  await refused('bank', 'thief', ip.db, 9090);
  await m.kubectlOk(['delete', 'networkpolicy', 'out', '-n', 'bank']);
  await reaches('bank', 'thief', ip.db, 9090);
});

test('policies hold while Mainstay is killed, and what changed is made good at the next start', async () => {
  await m.kill9();
  const direct = async (container, address, port) => run('nsenter', [`--net=${container}`, 'python3', '-c', connect, address, String(port)]);
  const spaces = (await run('sh', ['-c', 'ls /run/netns'])).stdout.split('\n').filter(Boolean);
  const of = {};
  for (const space of spaces) {
    const shown = (await run('nsenter', [`--net=/run/netns/${space}`, 'ip', '-o', '-4', 'address', 'show', 'eth0'])).stdout;
    for (const [name, address] of Object.entries(ip)) if (shown.includes(` ${address}/`)) of[name] = `/run/netns/${space}`;
  }
  assert.notEqual((await direct(of.thief, ip.db, 8080)).code, 0);
  assert.equal((await direct(of.web, ip.db, 8080)).code, 0);
  await run('nft', ['flush', 'table', 'ip', `${m.bridge}-policy`]);
  await m.start();
  await refused('bank', 'thief', ip.db, 8080);
  await reaches('shop', 'web', ip.db, 8080);
});
