// Pods as somebody asks for them who comes from another cluster, with kubectl: what is served works, what is not is said.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Mainstay, run, until, writeFileSync, readFileSync, mkdirSync, join } from './lib/mainstay.mjs';

const image = 'mainstay.dev/runner';
let m;
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.cliOk(['team', 'create', 'shop']);
});
after(() => m.down());

const apply = (object, ...more) => m.kubectl(['apply', '-f', '-', ...more], { input: JSON.stringify(object) });
async function applyOk(object) {
  const result = await apply(object);
  assert.equal(result.code, 0, result.all);
  return result;
}
const container = (command, more = {}) => ({ name: 'c', image, command: ['sh', '-c', command], ...more });
const pod = (name, spec) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', labels: { app: name } }, spec: { terminationGracePeriodSeconds: 1, ...spec } });
const shop = (...args) => m.kubectl(['-n', 'shop', ...args]);
const shopOk = (...args) => m.kubectlOk(['-n', 'shop', ...args]);
const get = (kind, name) => m.json(['get', kind, name, '-n', 'shop']);
const state = async (name, what = 'state') => (await get('pod', name)).status.containerStatuses?.[0]?.[what] ?? {};
const ready = (name) => shopOk('wait', '--for=condition=ready', `pod/${name}`, '--timeout=60s');
const remove = (...names) => shopOk('delete', 'pod', ...names, '--wait=false');

test('a field that is not served is refused by its name, or told to have no effect', async () => {
  const refused = async (spec, field) => {
    const result = await apply(pod('no', { containers: [container('true')], ...spec }));
    assert.notEqual(result.code, 0, field);
    assert.match(result.stderr, new RegExp(`${field.replaceAll(/[.[\]]/g, '\\$&')}: Forbidden: not served here: `), result.stderr);
  };
  await refused({ shareProcessNamespace: true }, 'spec.shareProcessNamespace');
  await refused({ runtimeClassName: 'gvisor' }, 'spec.runtimeClassName');
  await refused({ containers: [container('true', { readinessProbe: { grpc: { port: 80 } } })] }, 'spec.containers[0].readinessProbe.grpc');
  await refused({ volumes: [{ name: 'v', nfs: { server: 's', path: '/' } }] }, 'spec.volumes[0].nfs');
  const deployment = (spec) => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'tuned', namespace: 'shop' },
    spec: { replicas: 0, selector: { matchLabels: { app: 'tuned' } }, template: { metadata: { labels: { app: 'tuned' } }, spec: { containers: [container('true')], ...spec } } } });
  const template = await apply(deployment({ hostUsers: false }));
  assert.match(template.stderr, /spec\.template\.spec\.hostUsers: Forbidden/);
  await applyOk(pod('tuned', { priorityClassName: 'high', containers: [container('sleep 60')] }));
  await ready('tuned');
  await until('what has no effect is told', async () => /Warning.*FieldNotServed.*spec\.priorityClassName has no effect/.test((await shopOk('get', 'events', '--field-selector', 'involvedObject.name=tuned')).stdout));
  await remove('tuned');
});

test('a kind that is not served is not found', async () => {
  for (const [apiVersion, kind] of [['apps/v1', 'StatefulSet'], ['apps/v1', 'DaemonSet'], ['batch/v1', 'CronJob'], ['autoscaling/v2', 'HorizontalPodAutoscaler'], ['policy/v1', 'PodDisruptionBudget']]) {
    const result = await apply({ apiVersion, kind, metadata: { name: 'x', namespace: 'shop' } }, '--validate=false');
    assert.notEqual(result.code, 0, kind);
    assert.match(result.stderr, new RegExp(`no matches for kind "${kind}"`));
  }
});

test("a Service takes no addresses of others, and no guard that it would not keep", async () => {
  const service = (spec) => apply({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'greedy', namespace: 'shop' }, spec: { selector: { app: 'x' }, ports: [{ port: 443 }], ...spec } });
  for (const address of [m.nodeAddress, '127.0.0.1', '192.0.2.1'])
    assert.match((await service({ externalIPs: [address] })).stderr, /forbidden: spec\.externalIPs takes the traffic/, address);
  assert.match((await service({ type: 'NodePort' })).stderr, /NodePort is not supported here/);
  assert.match((await service({ type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0/8'] })).stderr, /spec\.loadBalancerSourceRanges.*mainstay\.dev\/allow-sources/);
});

test('where a pod may run, and what the node does not have', async () => {
  const affinity = (operator) => ({ nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/os', operator, values: ['linux'] }] }] } } });
  await applyOk(pod('away', { affinity: affinity('NotIn'), containers: [container('sleep 60')] }));
  await applyOk(pod('here', { affinity: affinity('In'), containers: [container('sleep 60')] }));
  await applyOk(pod('gpu', { containers: [container('sleep 60', { resources: { limits: { 'nvidia.com/gpu': '1' } } })] }));
  await ready('here');
  const why = async (name) => (await shopOk('get', 'pod', name, '-o', 'jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}')).stdout;
  await until('the refusals are told', async () => /affinity/.test(await why('away')) && /Insufficient nvidia\.com\/gpu/.test(await why('gpu')));
  await remove('away', 'here', 'gpu');
});

test('configuration, volumes, identity and init containers reach the program', { timeout: 90000 }, async () => {
  await shopOk('create', 'configmap', 'settings', '--from-literal=COLOR=blue', '--from-literal=app.conf=answer=42');
  await shopOk('create', 'secret', 'generic', 'keys', '--from-literal=TOKEN=s3cret');
  await shopOk('create', 'service', 'clusterip', 'cart', '--tcp=80:8080');
  await applyOk(pod('whole', {
    securityContext: { runAsUser: 1234, runAsGroup: 2345, fsGroup: 3456 },
    initContainers: [container('echo made > /work/first', { name: 'init', volumeMounts: [{ name: 'work', mountPath: '/work' }] }),
      container('while :; do sleep 1; done', { name: 'side', restartPolicy: 'Always' })],
    containers: [container(`id -u; id -g; id -G; echo $COLOR $TOKEN $POD $LIMIT; cat /one/app.conf /all/label /all/TOKEN /work/first; echo
      stat -f -c %T /dev/shm /fast; touch /etc/x 2>/dev/null || echo read-only; echo $CART_SERVICE_PORT; grep NoNewPrivs /proc/self/status; exec sleep 600`, {
      securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      resources: { limits: { cpu: '500m', memory: '64Mi' } },
      envFrom: [{ configMapRef: { name: 'settings' } }, { secretRef: { name: 'keys' } }],
      env: [{ name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }, { name: 'LIMIT', valueFrom: { resourceFieldRef: { resource: 'limits.memory' } } }],
      volumeMounts: [{ name: 'settings', mountPath: '/one/app.conf', subPath: 'app.conf' }, { name: 'all', mountPath: '/all' },
        { name: 'work', mountPath: '/work' }, { name: 'fast', mountPath: '/fast' }] })],
    volumes: [{ name: 'settings', configMap: { name: 'settings' } }, { name: 'work', emptyDir: {} }, { name: 'fast', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
      { name: 'all', projected: { sources: [{ secret: { name: 'keys' } }, { downwardAPI: { items: [{ path: 'label', fieldRef: { fieldPath: "metadata.labels['app']" } }] } }] } }],
  }));
  await ready('whole');
  const log = (await shopOk('logs', 'whole', '-c', 'c')).stdout.split('\n');
  assert.deepEqual(log.slice(0, 3), ['1234', '2345', '2345 3456']);
  assert.equal(log[3], 'blue s3cret whole 67108864');
  assert.equal(log[4], 'answer=42whole' + 's3cret' + 'made');
  assert.deepEqual(log.slice(6, 11), ['tmpfs', 'tmpfs', 'read-only', '80', 'NoNewPrivs:\t1']);
  await remove('whole');
});

test('exec: input, exit code, a terminal of the size of ours; cp there and back', { timeout: 90000 }, async () => {
  await applyOk(pod('shell', { containers: [container('mkdir -p /tmp; exec sleep 600')] }));
  await ready('shell');
  assert.equal((await m.kubectlOk(['exec', '-i', 'shell', '-n', 'shop', '--', 'tr', 'a-z', 'A-Z'], { input: 'hello' })).stdout, 'HELLO');
  const failed = await shop('exec', 'shell', '--', 'sh', '-c', 'exit 7');
  assert.match(failed.stderr, /exit code 7|exit status 7/);
  // script(1) gives kubectl a terminal of its own.
  const terminal = await run('script', ['-qec', 'stty cols 101 rows 37; kubectl exec -it shell -n shop -- sh -c "tty; stty size; echo \\$TERM; test -t 2 && echo all"', '/dev/null'], { env: m.env });
  assert.match(terminal.stdout, /\/dev\/pts\/\d+\s+37 101\s+xterm\s+all/, terminal.all);
  const here = join(m.dataDir, 'copied'), there = join(m.dataDir, 'back');
  writeFileSync(here, 'x'.repeat(300000));
  await m.kubectlOk(['cp', here, 'shop/shell:/tmp/copied']);
  await m.kubectlOk(['cp', 'shop/shell:/tmp/copied', there]);
  assert.equal(readFileSync(there, 'utf8').length, 300000);
  await remove('shell');
});

test('what goes wrong is told: crash, memory, image, deadline; the log before is kept', { timeout: 120000 }, async () => {
  await applyOk(pod('crash', { containers: [container('echo attempt $(date +%N); exit 3')] }));
  await applyOk(pod('greedy', { restartPolicy: 'Never', containers: [container('head -c 200m /dev/zero | tail', { resources: { limits: { memory: '32Mi' } } })] }));
  assert.match((await apply(pod('absent', { containers: [{ name: 'c', image: 'library/no-such:1' }] }))).stderr, /image "library\/no-such:1" of container "c" is not allowed here: it is not kept in this platform's registry/);
  await applyOk(pod('nosecret', { containers: [container('true', { envFrom: [{ secretRef: { name: 'nowhere' } }] })] }));
  await applyOk(pod('late', { restartPolicy: 'Never', activeDeadlineSeconds: 1, containers: [container('sleep 60')] }));
  await applyOk(pod('sick', { containers: [container('sleep 600', { livenessProbe: { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 1 } })] }));
  await until('a second attempt', async () => (await state('crash', 'restartCount')) >= 1);
  assert.equal((await state('crash', 'lastState')).terminated.exitCode, 3);
  assert.match((await shopOk('logs', 'crash', '--previous')).stdout, /^attempt \d+\n$/);
  await until('the back-off', async () => (await state('crash')).waiting?.reason === 'CrashLoopBackOff');
  await until('the memory limit', async () => (await state('greedy')).terminated?.reason === 'OOMKilled');
  await until('the secret', async () => (await state('nosecret')).waiting?.reason === 'CreateContainerConfigError');
  await until('the deadline', async () => (await get('pod', 'late')).status.reason === 'DeadlineExceeded');
  await until('the probe', async () => (await state('sick', 'restartCount')) >= 1);
  assert.match((await shopOk('get', 'events', '--field-selector', 'involvedObject.name=sick')).stdout, /Unhealthy.*Liveness probe failed/);
  await remove('crash', 'greedy', 'nosecret', 'late', 'sick');
});

test('an end has its grace, then it is made', { timeout: 60000 }, async () => {
  await applyOk(pod('polite', { terminationGracePeriodSeconds: 20, containers: [container("trap 'exit 0' TERM; while :; do sleep 0.1; done", { lifecycle: { preStop: { exec: { command: ['sleep', '1'] } } } })] }));
  await applyOk(pod('deaf', { terminationGracePeriodSeconds: 2, containers: [container("trap '' TERM; while :; do sleep 0.1; done")] }));
  await Promise.all([ready('polite'), ready('deaf')]);
  const took = async (name) => {
    const began = Date.now();
    await shopOk('delete', 'pod', name, '--timeout=40s');
    return Date.now() - began;
  };
  const [polite, deaf] = await Promise.all([took('polite'), took('deaf')]);
  assert.ok(polite >= 1000 && polite < 15000, `preStop, then TERM: ${polite} ms`);
  assert.ok(deaf >= 2000 && deaf < 15000, `killed after its grace: ${deaf} ms`);
});

test('a rollout keeps to maxSurge and maxUnavailable, stops where it does not work, and is undone', { timeout: 120000 }, async () => {
  const web = (env, command = 'sleep 600') => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace: 'shop' },
    spec: { replicas: 3, progressDeadlineSeconds: 600, strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } }, selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { terminationGracePeriodSeconds: 1, containers: [container(command, { env: [{ name: 'V', value: env }], readinessProbe: { exec: { command: ['true'] }, periodSeconds: 1 } })] } } } });
  await applyOk(web('1'));
  await shopOk('rollout', 'status', 'deployment/web', '--timeout=60s');
  let least = 3, most = 0, over = false;
  const watching = (async () => {
    while (!over) {
      const pods = (await m.json(['get', 'pods', '-n', 'shop', '-l', 'app=web'])).items.filter((one) => !one.metadata.deletionTimestamp);
      const well = pods.filter((one) => one.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'));
      least = Math.min(least, well.length);
      most = Math.max(most, pods.length);
    }
  })();
  await applyOk(web('2'));
  await shopOk('rollout', 'status', 'deployment/web', '--timeout=60s');
  over = true;
  await watching;
  assert.ok(least >= 3, `ready at least: ${least}`);
  assert.ok(most <= 4, `pods at most: ${most}`);
  await applyOk(web('3', 'exit 1'));
  await until('the new set has a pod that fails', async () => (await m.json(['get', 'pods', '-n', 'shop', '-l', 'app=web'])).items.some((one) => one.status.containerStatuses?.[0]?.lastState?.terminated));
  const now = await get('deployment', 'web');
  assert.equal(now.status.availableReplicas, 3, 'the old ones serve on');
  await shopOk('rollout', 'undo', 'deployment/web');
  await shopOk('rollout', 'status', 'deployment/web', '--timeout=60s');
  assert.equal((await get('deployment', 'web')).spec.template.spec.containers[0].env[0].value, '2');
  await shopOk('delete', 'deployment', 'web');
});

test('the token of a run is the run\'s alone', { timeout: 150000 }, async () => {
  await m.cliOk(['repo', 'create', 'slow', '--team', 'shop']);
  const work = await m.workTree('shop', 'slow');
  mkdirSync(join(work.folder, '.github/workflows'), { recursive: true });
  work.write('.github/workflows/ci.yml', 'on: push\njobs:\n  wait:\n    runs-on: ubuntu-latest\n    steps:\n      - run: sleep 45\n');
  await work.commit('Slow');
  const pushed = work.push();
  const running = await until('the job runs', async () => (await m.json(['get', 'pods', '-n', 'shop', '-l', 'mainstay.dev/job=wait'])).items.find((one) => one.status.phase === 'Running'), { limit: 60000 });
  const { name } = running.metadata;
  const refused = await m.kubectl(['create', '--raw', `/api/v1/namespaces/shop/serviceaccounts/${running.spec.serviceAccountName}/token`, '-f', '-'],
    { input: JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name } } }) });
  assert.match(refused.stderr, /its tokens are made by the platform alone/);
  await m.kubectlOk(['-n', 'shop', 'delete', 'workflowrun', '--all', '--wait=false']);
  await pushed;
});
