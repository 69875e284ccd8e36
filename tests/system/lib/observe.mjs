// What the tests of metrics, logs and alerts begin with: two teams with an owner each, and a small image for pods.
import { readdirSync, readFileSync } from 'node:fs';
import { Mainstay } from './mainstay.mjs';

export async function twoTeams() {
  const m = await Mainstay.create();
  const tokens = {};
  try {
    await m.start();
    await m.login();
    await m.baseImage();
    for (const [team, user] of [['shop', 'ann'], ['rival', 'bob']]) {
      await m.cliOk(['user', 'create', user]);
      await m.cliOk(['team', 'create', team, '--member', `${user}:owner`]);
      tokens[user] = await m.token(user);
    }
    tokens.admin = await m.token('admin');
  } catch (error) {
    await m.down();
    throw error;
  }
  return { m, tokens };
}

// A pod that runs a Python program.
export function pythonPod(m, namespace, name, code, { annotations = {}, restartPolicy = 'Always', resources } = {}) {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, annotations, labels: { 'app.kubernetes.io/name': name } },
    spec: { restartPolicy, terminationGracePeriodSeconds: 0,
      containers: [{ name: 'main', image: `${m.listen}/library/python:3.11-slim`, command: ['python3', '-u', '-c', code], ports: [{ containerPort: 8080 }], resources }] } };
}

// Has a pod served at the edge, as a Service of a team's environment whose endpoints are written by hand.
export async function serveAtEdge(m, pod, namespace, name) {
  const apply = (object) => m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify(object) });
  await apply({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace, annotations: { 'mainstay.dev/http': 'serve' } }, spec: { ports: [{ port: 80, targetPort: 8080 }] } });
  await apply({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: `${name}-1`, namespace, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4', ports: [{ port: 8080, protocol: 'TCP' }], endpoints: [{ addresses: [pod.status.podIP], conditions: { ready: true } }] });
}

// The process id of an engine that is this Mainstay's child; undefined while there is none.
export function engineOf(m, program) {
  for (const pid of readdirSync('/proc').filter((p) => /^\d+$/.test(p))) {
    try {
      const parent = Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').pop().split(' ')[1]);
      if (parent === m.child.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0].endsWith(`/${program}`)) return Number(pid);
    } catch { /* it has ended */ }
  }
  return undefined;
}
