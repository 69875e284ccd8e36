import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { Mainstay, run, ok, until, sleep, freePort, join, writeFileSync, readFileSync, mkdirSync } from '../tests/system/lib/mainstay.mjs';
import { benchConsole, benchDns, benchEdge, benchLogs, benchMetrics, benchSecrets } from './capabilities.mjs';
import { median, timed, report, wrk, memory } from './lib.mjs';

const wanted = new Set(process.argv.slice(2));
const want = (name) => wanted.size === 0 || wanted.has(name);
const peers = [];
const scratch = mkdtempSync(join(tmpdir(), 'mainstay-bench-'));
const m = await Mainstay.create();

function peer(command, args, env = {}) {
  const child = spawn(command, args, { stdio: 'ignore', env: { PATH: process.env.PATH, HOME: scratch, ...env } });
  peers.push(child);
  return child;
}

async function benchStart() {
  const first = await m.start();
  report('first start to the first request served', first, 'ms', '', undefined, { aim: '2000 ms' });
  const warm = [];
  for (let i = 0; i < 3; i++) {
    await m.stop();
    warm.push(await m.start());
  }
  report('warm start to the first request served', median(warm), 'ms', '', undefined, { aim: '500 ms' });
}

async function benchApi(token) {
  const etcd = `http://127.0.0.1:${await freePort()}`;
  const peerUrl = `http://127.0.0.1:${await freePort()}`;
  peer('etcd', ['--data-dir', join(scratch, 'etcd'), '--listen-client-urls', etcd, '--advertise-client-urls', etcd, '--listen-peer-urls', peerUrl,
    '--initial-advertise-peer-urls', peerUrl, '--initial-cluster', `default=${peerUrl}`, '--log-level', 'error']);
  await until('etcd answers', async () => (await run('curl', ['-sf', `${etcd}/health`])).code === 0);
  const value = 'x'.repeat(200);
  const putScript = `local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", "/v3/kv/put", {["Content-Type"] = "application/json"}, '{"key":"' .. ENCODE("key-" .. n) .. '","value":"${Buffer.from(value).toString('base64')}"}')
end
local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
function ENCODE(data)
  local out = {}
  for i = 1, #data, 3 do
    local a, b, c = data:byte(i, i + 2)
    local v = a * 65536 + (b or 0) * 256 + (c or 0)
    local chars = {math.floor(v / 262144) % 64, math.floor(v / 4096) % 64, math.floor(v / 64) % 64, v % 64}
    for j = 1, 4 do out[#out + 1] = (j == 3 and not b or j == 4 and not c) and "=" or alphabet:sub(chars[j] + 1, chars[j] + 1) end
  end
  return table.concat(out)
end`;
  const createScript = (tag) => `local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", "/api/v1/namespaces/bench/configmaps", {["Content-Type"] = "application/json", ["Authorization"] = "Bearer ${token}"},
    '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${tag}-' .. n .. '"},"data":{"v":"${value}"}}')
end`;
  await m.cliOk(['team', 'create', 'bench', '--if-missing']);
  for (const connections of [1, 64]) {
    const ours = [], theirs = [];
    for (let i = 0; i < 3; i++) {
      theirs.push(await wrk(etcd, { connections, seconds: 3, script: putScript, dir: scratch }));
      ours.push(await wrk(m.url, { connections, seconds: 3, script: createScript(`c${connections}-${i}`), dir: scratch }));
    }
    report(`API creates, ${connections} connection(s)`, median(ours), '/s', 'etcd', median(theirs), { aim: '1.0' });
  }
  const get = `wrk.headers["Authorization"] = "Bearer ${token}"`;
  report('API get, 64 connections', await wrk(`${m.url}/api/v1/namespaces/bench/configmaps/c1-0-100`, { connections: 64, seconds: 3, script: get, dir: scratch }), '/s');
}

// An image of 200 MB in four layers that do not compress, as skopeo's `dir:`.
async function makeImage(image) {
  mkdirSync(image);
  const { stdout } = await ok('sh', ['-c', `cd ${image} && for i in 1 2 3 4; do head -c 50M /dev/urandom > l; d=$(sha256sum l | cut -d' ' -f1); mv l $d; echo $d; done`], { timeout: 120000 });
  const layers = stdout.trim().split('\n');
  const config = JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: layers.map((l) => `sha256:${l}`) } });
  const digest = createHash('sha256').update(config).digest('hex');
  writeFileSync(join(image, digest), config);
  writeFileSync(join(image, 'manifest.json'), JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: `sha256:${digest}`, size: config.length },
    layers: layers.map((l) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: `sha256:${l}`, size: 50 << 20 })) }));
  writeFileSync(join(image, 'version'), 'Directory Transport Version: 1.1\n');
  return image;
}

async function benchRegistry(token) {
  const port = await freePort();
  const config = join(scratch, 'registry.yml');
  writeFileSync(config, `version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: ${join(scratch, 'registry')}\nhttp:\n  addr: 127.0.0.1:${port}\n  tls:\n    certificate: ${join(scratch, 'tls.crt')}\n    key: ${join(scratch, 'tls.key')}\n`);
  await ok('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1',
    '-keyout', join(scratch, 'tls.key'), '-out', join(scratch, 'tls.crt')]);
  const certs = { ours: join(scratch, 'ours'), theirs: join(scratch, 'theirs') };
  for (const dir of Object.values(certs)) mkdirSync(dir);
  await ok('cp', [join(m.dataDir, 'ca.crt'), join(certs.ours, 'ca.crt')]);
  await ok('cp', [join(scratch, 'tls.crt'), join(certs.theirs, 'ca.crt')]);
  peer('docker-registry', ['serve', config], { OTEL_TRACES_EXPORTER: 'none' });
  await until('docker-registry answers', async () => (await run('curl', ['-sfk', `https://127.0.0.1:${port}/v2/`])).code === 0);
  await m.cliOk(['team', 'create', 'bench', '--if-missing']);
  const target = { ours: m.listen, theirs: `127.0.0.1:${port}` };
  const creds = { ours: ['admin', token], theirs: ['x', 'y'] };
  const copy = (from, to) => timed(() => ok('skopeo', ['copy', '-q', ...from, ...to], { timeout: 120000 }));
  const rates = { ours: { push: [], pull: [] }, theirs: { push: [], pull: [] } };
  for (let i = 0; i < 3; i++) {
    // New bytes each round: a registry need not be sent what it has.
    const image = await makeImage(join(scratch, 'image'));
    for (const who of ['theirs', 'ours']) {
      const there = `docker://${target[who]}/bench/image${i}:1`, pulled = join(scratch, `pulled-${who}`);
      const rate = (took) => 200 / (took.ms / 1000);
      rates[who].push.push(rate(await copy([`dir:${image}`], ['--dest-cert-dir', certs[who], '--dest-creds', creds[who].join(':'), there])));
      rates[who].pull.push(rate(await copy(['--src-cert-dir', certs[who], '--src-creds', creds[who].join(':'), there], [`dir:${pulled}`])));
      rmSync(pulled, { recursive: true });
    }
    rmSync(image, { recursive: true });
  }
  report('registry push of 200 MB (skopeo)', median(rates.ours.push), 'MB/s', 'docker-registry', median(rates.theirs.push), { aim: '1.5' });
  report('registry pull of 200 MB (skopeo)', median(rates.ours.pull), 'MB/s', 'docker-registry', median(rates.theirs.pull), { aim: '1.5' });
  const manifest = (who) => wrk(`https://${target[who]}/v2/bench/image0/manifests/1`, { connections: 32, seconds: 3, dir: scratch,
    script: `wrk.headers["Authorization"] = "Basic ${Buffer.from(creds[who].join(':')).toString('base64')}"\nwrk.headers["Accept"] = "application/vnd.oci.image.manifest.v1+json"` });
  report('manifest GET by tag, 32 connections', await manifest('ours'), '/s', 'docker-registry', await manifest('theirs'), { aim: '10' });
}

// One connection that posts a pod and one that watches it, so that nothing but the platform's own time is counted.
async function podToRunning(token, name) {
  const options = { host: '127.0.0.1', port: Number(m.listen.split(':')[1]), ca: readFileSync(join(m.dataDir, 'ca.crt')), headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' } };
  const list = '/api/v1/namespaces/bench/pods';
  const watching = await new Promise((done, fail) => https.get({ ...options, path: `${list}?watch=true&fieldSelector=metadata.name%3D${name}` }, done).on('error', fail));
  const pod = JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image: 'mainstay.dev/runner', command: ['sleep', '60'] }] } });
  const began = performance.now();
  const request = https.request({ ...options, method: 'POST', path: list }, (answer) => answer.resume());
  request.end(pod);
  const took = await new Promise((done, fail) => {
    let text = '';
    watching.on('data', (data) => { text += data; if (/"phase":"Running"/.test(text)) done(performance.now() - began); });
    setTimeout(() => fail(new Error(`pod ${name} is not running after 20 s: ${text.slice(-500)}`)), 20000).unref();
  });
  watching.destroy();
  return took;
}

async function benchPods(token) {
  await m.cliOk(['team', 'create', 'bench', '--if-missing']);
  const rootfs = join(scratch, 'rootfs');
  mkdirSync(join(rootfs, 'bin'), { recursive: true });
  const ours = [], theirs = [];
  const storage = ['--root', join(scratch, 'podman'), '--runroot', join(scratch, 'podman-run'), '--cgroup-manager', 'cgroupfs'];
  await ok('sh', ['-c', `cd ${rootfs} && mkdir -p lib64 lib/x86_64-linux-gnu && cp /usr/bin/true bin/ && cp -L /lib64/ld-linux-x86-64.so.2 lib64/ && cp -L /lib/x86_64-linux-gnu/libc.so.6 lib/x86_64-linux-gnu/ && tar -c . | podman ${storage.join(' ')} import -q - bench:1`]);
  for (let i = 0; i < 11; i++) {
    ours.push(await podToRunning(token, `p${i}`));
    const started = await timed(() => run('podman', [...storage, 'run', '--rm', '--runtime', '/usr/bin/runc', '--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024', 'bench:1', '/bin/true']));
    if (started.result.code !== 0) { console.log(`  ! podman run: ${started.result.stderr.trim().split('\n').pop()}`); break; }
    theirs.push(started.ms);
  }
  report('pod create to running (median of 11)', median(ours), 'ms', 'podman run to exit', theirs.length ? median(theirs) : undefined, { aim: '40 ms, 0.33' });
  await m.kubectlOk(['delete', 'pods', '--all', '-n', 'bench', '--wait=true', '--timeout=60s'], { timeout: 90000 });
}

async function benchPush() {
  await m.baseImage();
  await m.cliOk(['team', 'create', 'demo', '--if-missing']);
  await m.cliOk(['repo', 'create', 'hello', '--team', 'demo', '--if-missing']);
  const work = await m.workTree('demo', 'hello', { from: 'examples/hello' });
  await work.commit('First');
  await work.push();
  const all = [];
  let phases = '';
  for (let i = 0; i < 5; i++) {
    const greeting = `Bench ${i}`;
    work.write('app.py', work.read('app.py').replace(/^GREETING = .*$/m, `GREETING = "${greeting}"`));
    await work.commit(greeting);
    const began = performance.now();
    const pushing = work.push();
    await until(greeting, async () => (await m.edge('hello.dev.demo.localhost')).stdout.startsWith(greeting), { every: 10, limit: 60000 });
    all.push(performance.now() - began);
    phases = (await pushing).stderr;
  }
  report('push to serving, one-line change (median of 5)', median(all), 'ms', '', undefined, { aim: '1500 ms' });
  console.log(phases.split('\n').filter((l) => l.startsWith('remote:')).map((l) => `    ${l.slice(8)}`).join('\n'));
}

try {
  if (want('start')) await benchStart(); else await m.start();
  await m.login();
  const token = await m.token('admin');
  if (want('push')) await benchPush();
  const world = { m, token, scratch, peer };
  if (want('memory')) {
    await sleep(3000);
    const { own, all } = await memory(m);
    report('resident memory at rest, Mainstay', own, 'MB', '', undefined, { aim: '64 MB' });
    report('memory at rest, with all it runs', all, 'MB', '', undefined, { aim: '200 MB' });
  }
  if (want('pods')) await benchPods(token);
  if (want('secrets')) await benchSecrets(world);
  if (want('dns')) await benchDns(world);
  if (want('edge')) await benchEdge(world);
  if (want('logs')) await benchLogs(world);
  if (want('metrics')) await benchMetrics(world);
  if (want('console')) await benchConsole(world);
  if (want('registry')) await benchRegistry(token);
  if (want('api')) await benchApi(token);
} finally {
  for (const child of peers) child.kill('SIGKILL');
  await m.down();
  // podman keeps its storage mounted.
  await run('umount', ['-l', join(scratch, 'podman/overlay')]);
  rmSync(scratch, { recursive: true, force: true });
}
