// The figures of secrets, names, the edge, logs, metrics and the console, each beside its peer.
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { run, ok, until, freePort, root, join, writeFileSync, readFileSync, mkdirSync } from '../tests/system/lib/mainstay.mjs';
import { median, timed, report, wrk } from './lib.mjs';

// KV version 2: small values, one connection and many. There is no Vault in Debian to stand beside it.
export async function benchSecrets({ m, token, scratch }) {
  await m.cliOk(['team', 'create', 'bench', '--if-missing']);
  const head = `["X-Vault-Token"] = "${token}", ["Content-Type"] = "application/json"`;
  const write = (connections) => wrk(`${m.url}`, { connections, seconds: 3, dir: scratch, script: `local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", "/v1/secret/data/bench/key-" .. (n % 100), {${head}}, '{"data":{"password":"${'x'.repeat(32)}"}}')
end` });
  report('secret writes (KV), 64 connections', await write(64), '/s');
  const read = await wrk(`${m.url}/v1/secret/data/bench/key-1`, { connections: 64, seconds: 3, dir: scratch, script: `wrk.headers["X-Vault-Token"] = "${token}"` });
  report('secret reads (KV), 64 connections', read, '/s');
}

async function dnsRate(port, name, scratch) {
  const queries = join(scratch, `queries-${port}`);
  writeFileSync(queries, `${name} A\n`.repeat(1000));
  const { stdout } = await ok('dnsperf', ['-s', '127.0.0.1', '-p', String(port), '-d', queries, '-l', '4', '-c', '8', '-T', '1', '-Q', '1000000'], { timeout: 30000 });
  return Number(stdout.match(/Queries per second:\s+([\d.]+)/)[1]);
}

export async function benchDns({ m, scratch, peer }) {
  const port = await freePort(), dir = join(scratch, 'knot');
  mkdirSync(dir);
  writeFileSync(join(dir, 'bench.zone'), '$ORIGIN bench.test.\n$TTL 60\n@ SOA ns.bench.test. admin.bench.test. 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\nweb A 127.0.0.1\n');
  writeFileSync(join(dir, 'knot.conf'), `server:\n  rundir: ${dir}\n  listen: 127.0.0.1@${port}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: ${dir}\nzone:\n  - domain: bench.test\n    storage: ${dir}\n    file: bench.zone\n`);
  peer('knotd', ['-c', join(dir, 'knot.conf')]);
  await until('knot answers', async () => (await run('kdig', ['@127.0.0.1', '-p', String(port), 'web.bench.test', '+short'])).stdout.includes('127.0.0.1'));
  const ours = [], theirs = [];
  for (let i = 0; i < 3; i++) {
    theirs.push(await dnsRate(port, 'web.bench.test', scratch));
    ours.push(await dnsRate(m.dns.split(':')[1], `hello.dev.demo.${m.domain}`, scratch));
  }
  report('DNS queries, UDP', median(ours), '/s', 'knot', median(theirs));
}

// The platform's edge and a bare HAProxy, both with TLS, in front of the same server: an HAProxy that answers at once, so that
// the proxies are measured and not what is behind them.
export async function benchEdge({ m, scratch, peer }) {
  await m.cliOk(['team', 'create', 'bench', '--if-missing']);
  const [backend, port] = [await freePort(), await freePort()], dir = join(scratch, 'haproxy');
  mkdirSync(dir);
  await ok('sh', ['-c', `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench -keyout ${dir}/k -out ${dir}/c && cat ${dir}/c ${dir}/k > ${dir}/pem`]);
  const common = 'defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n';
  writeFileSync(join(dir, 'backend'), `${common}frontend f\n  bind 0.0.0.0:${backend}\n  http-request return status 200 content-type text/plain string "hello"\n`);
  writeFileSync(join(dir, 'cfg'), `${common}frontend f\n  bind 127.0.0.1:${port} ssl crt ${dir}/pem alpn h2,http/1.1\n  default_backend b\nbackend b\n  server s ${m.nodeAddress}:${backend}\n`);
  peer('haproxy', ['-db', '-f', join(dir, 'backend')]);
  peer('haproxy', ['-db', '-f', join(dir, 'cfg')]);
  const labels = { 'kubernetes.io/service-name': 'static', 'app.kubernetes.io/name': 'static' };
  for (const object of [
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'static', namespace: 'bench-dev' }, spec: { ports: [{ name: 'http', port: 80, targetPort: backend }] } },
    { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 'static', namespace: 'bench-dev', labels }, addressType: 'IPv4', ports: [{ name: 'http', port: backend, protocol: 'TCP' }], endpoints: [{ addresses: [m.nodeAddress], conditions: { ready: true } }] },
  ]) await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify(object) });
  await until('haproxy answers', async () => (await run('curl', ['-sfk', `https://127.0.0.1:${port}/`])).code === 0);
  await until('the edge answers', async () => (await m.edge('static.dev.bench.localhost')).stdout.startsWith('hello'));
  const script = 'wrk.headers["Host"] = "static.dev.bench.localhost"';
  const ours = [], theirs = [];
  for (let i = 0; i < 3; i++) {
    theirs.push(await wrk(`https://127.0.0.1:${port}/`, { connections: 32, seconds: 3, script, dir: scratch }));
    ours.push(await wrk(`https://${m.https}/`, { connections: 32, seconds: 3, script, dir: scratch }));
  }
  report('edge requests, TLS, 32 connections', median(ours), '/s', 'bare HAProxy', median(theirs));
}

const kLines = 300000;

export async function benchLogs({ m, scratch }) {
  await m.cliOk(['team', 'create', 'bench', '--if-missing']);
  // One line in ten thousand is looked for.
  const program = `i=0; awk 'BEGIN {srand(7); for (i = 0; i < ${kLines}; i++) printf "request %d took %d ms path=/items/%d%s\\n", i, rand() * 900, rand() * 100000, i % 10000 == 17 ? " needle" : ""}'`;
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'talker', namespace: 'bench' }, spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'mainstay.dev/runner', command: ['sh', '-c', program] }] } };
  const needles = async () => (await m.cliOk(['logs', '--team', 'bench', '--since', '1h', '--grep', 'needle'], { timeout: 60000 })).stdout.trim().split('\n').length;
  const ingest = await timed(async () => {
    await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify(pod) });
    await until('every line is kept', async () => (await needles()) >= kLines / 10000, { limit: 90000, every: 100 });
  });
  report('log ingest, printed to searchable', kLines / (ingest.ms / 1000), 'lines/s');
  const text = join(scratch, 'log');
  await ok('sh', ['-c', `${program} > ${text} && zstd -q ${text}`], { timeout: 60000 });
  const ours = [], theirs = [];
  for (let i = 0; i < 5; i++) {
    theirs.push((await timed(() => run('sh', ['-c', `zstdgrep needle ${text}.zst`]))).ms);
    ours.push((await timed(needles)).ms);
  }
  report(`log search of ${kLines} lines`, median(ours), 'ms', 'zstdgrep', median(theirs));
}

// The engine's own credentials are in its environment, which root may read.
function metricsEngine(m) {
  for (const pid of readdirSync('/proc').filter((p) => /^\d+$/.test(p))) {
    try {
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (!argv[0].endsWith('victoria-metrics') || !argv.some((a) => a.includes(m.dataDir))) continue;
      const env = Object.fromEntries(readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').map((e) => e.split(/=(.*)/s).slice(0, 2)));
      const flag = (name) => argv.find((a) => a.includes(`${name}=`))?.split('=')[1];
      const value = (suffix) => Object.entries(env).find(([key]) => key.endsWith(suffix))?.[1];
      return { address: flag('httpListenAddr'), user: value('httpAuth_username'), password: value('httpAuth_password') };
    } catch { /* it has ended */ }
  }
  return undefined;
}

export async function benchMetrics({ m, token, scratch }) {
  const engine = metricsEngine(m);
  if (!engine) { console.log('  ! no metrics engine runs: query overhead was not measured'); return; }
  const query = 'query=sum(rate(process_cpu_seconds_total[5m]))by(job)';
  const basic = Buffer.from(`${engine.user}:${engine.password}`).toString('base64');
  const ours = [], theirs = [];
  for (let i = 0; i < 3; i++) {
    theirs.push(await wrk(`http://${engine.address}/api/v1/query?${query}`, { connections: 8, seconds: 3, dir: scratch, script: `wrk.headers["Authorization"] = "Basic ${basic}"` }));
    ours.push(await wrk(`${m.url}/prometheus/api/v1/query?${query}`, { connections: 8, seconds: 3, dir: scratch, script: `wrk.headers["Authorization"] = "Bearer ${token}"` }));
  }
  report('metrics queries, 8 connections', median(ours), '/s', 'bare engine', median(theirs));
}

export async function benchConsole({ m }) {
  if (!existsSync(join(root, 'tests/node_modules/playwright-core'))) { console.log('  ! playwright-core is not installed (make test): first paint was not measured'); return; }
  const { chromium } = createRequire(join(root, 'tests/package.json'))('playwright-core');
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
  const paints = [];
  try {
    for (let i = 0; i < 5; i++) {
      const context = await browser.newContext({ ignoreHTTPSErrors: true });
      const page = await context.newPage();
      await page.goto(`${m.url}/console/`, { waitUntil: 'load' });
      paints.push(await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime).then((h) => h.jsonValue()));
      await context.close();
    }
  } finally { await browser.close(); }
  report('console, first contentful paint (cold cache)', median(paints), 'ms');
}
