// Score's types that need no engine: what `${resources.x.y}` says is what the running container reads, and what a route
// asks for is served.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { Mainstay, until, join } from './lib/mainstay.mjs';

let m;

const server = `import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.endswith('/write'):
            open('/data/kept', 'a').write('x')
        body = dict(os.environ, ME=os.environ.get('ME', ''), KEPT=open('/data/kept').read() if os.path.exists('/data/kept') else '')
        data = json.dumps(body).encode()
        self.send_response(200); self.send_header('Content-Length', str(len(data))); self.end_headers(); self.wfile.write(data)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(('', 8080), Handler).serve_forever()
`;
const dockerfile = 'FROM python:3.11-slim\nWORKDIR /app\nCOPY app.py .\nEXPOSE 8080\nCMD ["python3", "app.py"]\n';
const score = (name, variables, resources, more = {}) => JSON.stringify({
  apiVersion: 'score.dev/v1b1', metadata: { name },
  containers: { main: { image: '.', variables: { ME: name, ...variables }, readinessProbe: { httpGet: { path: '/', port: 8080 } }, ...more } },
  service: { ports: { http: { port: 80, targetPort: 8080 } } }, resources,
});

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage();
  await m.cliOk(['team', 'create', 'shop', '--env', 'dev']);
  for (const repo of ['api', 'web']) await m.cliOk(['repo', 'create', repo, '--team', 'shop']);
  await m.kubectlOk(['create', 'configmap', 'environment', '-n', 'shop-dev', '--from-literal=REGION=north']);
  await m.kubectlOk(['create', 'secret', 'generic', 'environment', '-n', 'shop-dev', '--from-literal=TOKEN=only-in-the-pod']);
}, { timeout: 300000 });
after(async () => { await m?.down(); });

async function push(repo, text) {
  const work = push[repo] ??= await m.workTree('shop', repo);
  mkdirSync(work.folder, { recursive: true });
  work.write('app.py', server);
  work.write('Dockerfile', dockerfile);
  work.write('score.yaml', text);
  await work.commit('Change');
  const pushed = await work.push();
  return { all: pushed.all, ok: pushed.code === 0 && !/FAILED/.test(pushed.all) };
}
const seen = async (host, path = '/') => JSON.parse((await m.edge(host, { path })).stdout);

test('the values of dns, service-port, environment and volume are in the running container', { timeout: 240000 }, async () => {
  const early = await push('web', score('web', { PEER: '${resources.peer.hostname}' }, { peer: { type: 'service-port', params: { workload: 'api' } } }));
  assert.ok(!early.ok, early.all);
  assert.match(early.all, /resource peer \(service-port\): there is no workload api/);
  const api = await push('api', score('api', {}, {}));
  assert.ok(api.ok, api.all);
  const web = await push('web', score('web', {
    PEER: '${resources.peer.hostname}:${resources.peer.port}', OWN: '${resources.name.host}', REGION: '${resources.env.REGION}', TOKEN: '${resources.env.TOKEN}',
  }, {
    peer: { type: 'service-port', params: { workload: 'api', port: 'http' } }, name: { type: 'dns' }, env: { type: 'environment' }, disk: { type: 'volume', params: { size: '16Mi' } },
    public: { type: 'route', params: { host: 'www.shop.localhost', path: '/' } },
  }, { volumes: { '/data': { source: '${resources.disk}' } } }));
  assert.ok(web.ok, web.all);
  const env = await until('the workload', async () => { const e = await seen('web.dev.shop.localhost').catch(() => ({})); return e.OWN && e; }, { limit: 60000 });
  assert.equal(env.OWN, 'web.dev.shop.localhost');
  assert.equal(env.REGION, 'north');
  assert.equal(env.TOKEN, 'only-in-the-pod');
  const service = await m.json(['get', 'service', 'api', '-n', 'shop-dev']);
  assert.match(env.PEER, /^[^:]+:80$/);
  // From within: the peer answers under what the variable says.
  const pod = (await m.json(['get', 'pods', '-n', 'shop-dev', '-l', 'app.kubernetes.io/name=web'])).items[0].metadata.name;
  const asked = await m.kubectl(['exec', pod, '-n', 'shop-dev', '--', 'python3', '-c', 'import os,urllib.request as u; print(u.urlopen("http://"+os.environ["PEER"]+"/").read().decode())']);
  assert.equal(JSON.parse(asked.stdout).ME, 'api', `${asked.all} ${service.spec.clusterIP}`);
  const deployment = JSON.stringify(await m.json(['get', 'deployment', 'web', '-n', 'shop-dev']));
  assert.ok(!deployment.includes('only-in-the-pod'), 'the secret stays a reference');
});

test('a route is served at its host, and goes to this workload alone', { timeout: 60000 }, async () => {
  const env = await until('the route', async () => { const e = await seen('www.shop.localhost').catch(() => ({})); return e.ME && e; }, { limit: 30000 });
  assert.equal(env.ME, 'web');
});

test('a volume keeps its files over a push', { timeout: 180000 }, async () => {
  assert.equal((await seen('web.dev.shop.localhost', '/write')).KEPT, 'x');
  const again = await push('web', score('web', { SECOND: 'yes' }, { disk: { type: 'volume', params: { size: '16Mi' } } }, { volumes: { '/data': { source: '${resources.disk}' } } }));
  assert.ok(again.ok, again.all);
  const env = await until('the second', async () => { const e = await seen('web.dev.shop.localhost').catch(() => ({})); return e.SECOND && e; }, { limit: 60000 });
  assert.equal(env.KEPT, 'x');
  // The route left score.yaml, and went.
  await until('the route to go', async () => (await m.kubectl(['get', 'httproute', 'web-public', '-n', 'shop-dev'])).code !== 0, { limit: 30000 });
  assert.equal((await m.json(['get', 'resourceclaim', 'web-disk', '-n', 'shop-dev'])).status.phase, 'Ready');
});

test('what is not there is said where it is asked', { timeout: 120000 }, async () => {
  const wrong = await push('web', score('web', { X: '${resources.env.NOPE}' }, { env: { type: 'environment' } }));
  assert.ok(!wrong.ok, wrong.all);
  assert.match(wrong.all, /\$\{resources\.env\.NOPE\} \(of env there are: REGION, TOKEN\)/);
  const host = await push('web', score('web', {}, { peer: { type: 'service-port', params: { workload: 'api', port: 'admin' } } }));
  assert.match(host.all, /workload api has no port "admin"/);
  const number = await push('web', score('web', {}, { peer: { type: 'service-port', params: { workload: 'api', port: 9999 } } }));
  assert.match(number.all, /workload api has no port "9999"/, 'a number is not taken for the first port');
  const route = await push('web', score('web', {}, { other: { type: 'route', params: { host: 'other.shop.localhost', path: '/', port: 9999 } } }));
  assert.match(route.all, /resource other \(route\): params.port: service.ports has no 9999 \(there is: 80\)/);
});
