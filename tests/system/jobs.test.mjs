// Jobs, with kubectl: done, failed, late, cleared away.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Mainstay } from './lib/mainstay.mjs';

let m;
before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.cliOk(['team', 'create', 'shop']);
});
after(() => m.down());

const job = (name, command, spec) => m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name, namespace: 'shop' },
  spec: { ...spec, template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'mainstay.dev/runner', command: ['sh', '-c', command] }] } } } }) });
const waitFor = (name, what) => m.kubectlOk(['wait', `--for=${what}`, `job/${name}`, '-n', 'shop', '--timeout=50s']);
const reason = async (name) => (await m.kubectlOk(['get', 'job', name, '-n', 'shop', '-o', 'jsonpath={.status.conditions[?(@.type=="Failed")].reason}'])).stdout;

test('a Job runs to its end, and its output is found by its name', async () => {
  await m.kubectlOk(['create', 'job', 'once', '--image=mainstay.dev/runner', '-n', 'shop', '--', 'echo', 'done']);
  await waitFor('once', 'condition=complete');
  assert.equal((await m.kubectlOk(['logs', 'job/once', '-n', 'shop'])).stdout, 'done\n');
  await m.kubectlOk(['delete', 'job', 'once', '-n', 'shop']);
  await m.kubectlOk(['wait', '--for=delete', 'pod', '-l', 'job-name=once', '-n', 'shop', '--timeout=50s']);
});

test('what fails or is late says why', async () => {
  await job('bad', 'exit 3', { backoffLimit: 0 });
  await job('late', 'sleep 60', { activeDeadlineSeconds: 1 });
  await waitFor('bad', 'condition=failed');
  assert.equal(await reason('bad'), 'BackoffLimitExceeded');
  await waitFor('late', 'condition=failed');
  assert.equal(await reason('late'), 'DeadlineExceeded');
});

test('several completions, then it is cleared away', async () => {
  await job('many', 'true', { completions: 4, parallelism: 2, ttlSecondsAfterFinished: 3 });
  await waitFor('many', 'jsonpath={.status.succeeded}=4');
  await waitFor('many', 'delete');
});
