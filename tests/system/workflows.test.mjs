// Workflows as people bring them from GitHub: what is served does what it does there, what is not is refused at the
// push, by file and line, with what to do instead.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { Mainstay, until, join } from './lib/mainstay.mjs';

let m, work, annConfig;
const kcli = (args, options) => m.kubectl(['--kubeconfig', annConfig, ...args], options);
// The repository's workflows are these and no others; gives the push's output and the runs it made.
async function push(files, { wait = true } = {}) {
  const folder = join(work.folder, '.github/workflows');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  await work.commit('Workflows');
  const commit = (await work.git('rev-parse', 'HEAD')).stdout.trim();
  const pushing = work.push();
  if (!wait) return { pushing, commit };
  const pushed = await pushing;
  assert.equal(pushed.code, 0, pushed.all);
  return { out: pushed.stderr.replaceAll(/^remote: ?/gm, '').replaceAll(/ +$/gm, ''), runs: await runsOf(commit), commit };
}
const runsOf = async (commit) => (await m.json(['get', 'workflowruns', '-n', 'shop'])).items.filter((r) => r.spec.commit === commit);
const job = (run, name) => run.status.jobs.find((j) => j.name === name);
const logs = async (run) => (await m.cliOk(['logs', '--team', 'shop', '--run', run.metadata.name])).stdout;

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage();
  await m.cliOk(['user', 'create', 'ann']);
  await m.cliOk(['team', 'create', 'shop', '--member', 'ann:owner']);
  await m.cliOk(['repo', 'create', 'web', '--team', 'shop']);
  annConfig = await m.kubeconfigFor('ann', await m.token('ann'));
  work = await m.workTree('shop', 'web', { user: 'ann' });
  work.write('lock.txt', 'one\n');
  await m.kubectlOk(['create', 'secret', 'generic', 'workflow-secrets', '-n', 'shop', '--from-literal=DEPLOY_KEY=hunter2-hunter2']);
}, { timeout: 300000 });
after(async () => { await m?.down(); });

test('matrix, needs, outputs, conditions, environments and secrets do what they do on GitHub', { timeout: 180000 }, async () => {
  const { out, runs: [run] } = await push({ 'ci.yml': `name: CI
on:
  push: {branches: [main]}
  pull_request:
env: {LEVEL: workflow, KEEP: kept}
permissions: {contents: read}
concurrency: {group: ci, cancel-in-progress: true}
defaults:
  run: {shell: bash}
jobs:
  test:
    name: Test on \${{ matrix.os }} with \${{ matrix.node }}
    runs-on: \${{ matrix.os }}
    strategy:
      fail-fast: false
      matrix:
        os: [ubuntu-latest]
        node: [18, 20]
        include: [{os: ubuntu-latest, node: 20, next: true}]
    env: {LEVEL: job}
    continue-on-error: \${{ matrix.next == true }}
    timeout-minutes: \${{ matrix.node }}
    steps:
      - uses: actions/checkout@v4
        with: {persist-credentials: false}
      - run: |
          echo "node=\${{ matrix.node }} level=$LEVEL keep=$KEEP step=$STEP ci=$CI sha=$GITHUB_SHA"
          echo "COLOUR=green" >> "$GITHUB_ENV"
          mkdir -p bin && printf '#!/bin/sh\\necho from-the-path\\n' > bin/tool && chmod +x bin/tool
          echo "$PWD/bin" >> "$GITHUB_PATH"
        env: {STEP: step}
      - run: tool; echo "colour=$COLOUR hash=\${{ hashFiles('lock.txt') }}"
      - {name: experimental, if: matrix.next, run: exit 3}
  build:
    needs: test
    outputs: {version: '\${{ steps.version.outputs.version }}', key: '\${{ steps.version.outputs.key }}'}
    steps:
      - id: version
        run: |
          echo "version=1.2.3" >> "$GITHUB_OUTPUT"
          echo "key=\${{ secrets.DEPLOY_KEY }}" >> "$GITHUB_OUTPUT"
          echo "the key is \${{ secrets.DEPLOY_KEY }}"
      - {run: exit 4, continue-on-error: true, id: shaky}
      - run: echo "shaky=\${{ steps.shaky.outcome }}/\${{ steps.shaky.conclusion }}"
  release:
    needs: [test, build]
    if: github.ref == 'refs/heads/main' && needs.build.outputs.version != ''
    steps:
      - run: echo "version=\${{ needs.build.outputs.version }} key=[\${{ needs.build.outputs.key }}] test=\${{ needs.test.result }} by=\${{ github.actor }}"
      - {if: failure(), run: echo never}
      - {if: "always() && contains(github.repository, 'shop')", run: echo always}
  never:
    if: startsWith(github.ref, 'refs/tags/')
    steps: [{run: exit 1}]
` });
  assert.equal(run.status.phase, 'Succeeded', out);
  assert.match(out, /ci\.yml:4: `on: pull_request` never happens here/);
  assert.match(out, /ci\.yml:6: `permissions` has no effect here/);
  assert.match(out, /ci\.yml:7: `concurrency` has no effect here/);
  assert.deepEqual(run.status.jobs.map((j) => [j.id, j.phase]).toSorted(), [['build', 'Succeeded'], ['never', 'Skipped'], ['release', 'Succeeded'], ['test', 'Failed'], ['test', 'Succeeded']]);
  const text = await until('the output', async () => { const t = await logs(run); return /^.*always$/m.test(t) && t; });
  const head = (await work.git('rev-parse', 'HEAD')).stdout.trim();
  for (const wanted of [`node=18 level=job keep=kept step=step ci=true sha=${head}`, 'node=20 level=job', 'from-the-path', 'colour=green hash=', 'shaky=failure/success', 'the key is ***', 'version=1.2.3 key=[] test=success by=ann'])
    assert.ok(text.includes(wanted), `${wanted} is not in\n${text}`);
  assert.match(text, /hash=[0-9a-f]{64}/);
  assert.ok(!text.includes('hunter2'), 'a secret in the output');
  assert.ok(!/^.*never$/m.test(text));
  assert.ok(!JSON.stringify(run).includes('hunter2'), 'a secret in the run');
});

test('what is not served is refused at the push: file, line, and what to do', { timeout: 120000 }, async () => {
  const { out, runs } = await push({
    'node.yml': `name: Node
on: [push]
jobs:
  test:
    runs-on: \${{ matrix.os }}
    container: node:20
    services:
      db: {image: postgres:16}
    strategy:
      matrix: {os: [ubuntu-latest, windows-latest]}
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-node@v4
        with: {node-version: 20, cache: npm}
      - uses: actions/cache@v4
        with: {path: ~/.npm, key: x}
      - run: npm ci
      - uses: actions/upload-artifact@v4
        with: {name: dist, path: dist}
      - {run: Get-ChildItem, shell: pwsh}
`,
    'reuse.yml': 'on: push\njobs:\n  call:\n    uses: acme/flows/.github/workflows/ci.yml@main\n    secrets: inherit\n',
    'docker.yml': 'on: push\njobs:\n  image:\n    steps:\n      - uses: docker/build-push-action@v6\n        with: {push: true}\n',
    'fine.yml': 'on: push\njobs: {fine: {steps: [{run: echo all is well}]}}\n',
  });
  const phases = Object.fromEntries(runs.map((r) => [r.spec.workflow, r.status.phase]));
  assert.deepEqual(phases, { '.github/workflows/node.yml': 'Failed', '.github/workflows/reuse.yml': 'Failed', '.github/workflows/docker.yml': 'Failed', '.github/workflows/fine.yml': 'Succeeded' }, 'one is not held up by another');
  for (const wanted of [/node\.yml:6:\d+: `container` is not in this version: .*installs in a `run` step/, /node\.yml:7:\d+: service containers are not in this version/, /node\.yml:10:\d+: there are no windows-latest machines: take it out of the matrix/,
    /node\.yml:13:\d+: the action "actions\/setup-node@v4" is not in this version: .*leave the step out/, /node\.yml:15:\d+: the action "actions\/cache@v4"/, /node\.yml:18:\d+: the action "actions\/upload-artifact@v4" .*outputs/, /node\.yml:20:\d+: the shell "pwsh" is not in this version: there are bash/,
    /reuse\.yml:4:\d+: reusable workflows are not in this version: write the steps here/, /docker\.yml:5:\d+: the action "docker\/build-push-action@v6" .*use mainstay\/build-image/])
    assert.match(out, wanted);
});

test('time limits, cancelling, and a platform that is killed meanwhile: no run is left running', { timeout: 240000 }, async () => {
  const slow = await push({ 'slow.yml': 'on: push\njobs:\n  slow:\n    steps:\n      - {run: sleep 60, timeout-minutes: 0.02}\n      - {if: always(), run: echo cleaned up}\n' });
  assert.equal(slow.runs[0].status.phase, 'Failed');
  assert.match(slow.out, /ran longer than/);
  assert.equal(slow.runs[0].status.jobs[0].steps[1].phase, 'Succeeded', 'always() runs');

  const { pushing, commit } = await push({ 'long.yml': 'on: push\njobs:\n  long:\n    steps:\n      - run: echo begun; sleep 15; echo ended\n  after:\n    needs: long\n    steps: [{run: echo after}]\n' }, { wait: false });
  const [run] = await until('the job', async () => { const found = await runsOf(commit); return found[0]?.status?.jobs?.[0]?.phase === 'Running' && found; }, { limit: 60000 });
  await m.kill9();
  await m.start();
  await pushing;
  const done = await until('its end', async () => { const r = (await runsOf(commit))[0]; return ['Succeeded', 'Failed'].includes(r.status.phase) && r; }, { limit: 90000 });
  assert.equal(done.status.phase, 'Succeeded', JSON.stringify(done.status));
  assert.equal((await runsOf(commit)).length, 1, 'one push is one run');
  assert.ok(run);

  const endless = await push({ 'endless.yml': 'on: push\njobs:\n  endless:\n    steps:\n      - run: sleep 300\n      - {if: cancelled(), run: echo stopped}\n' }, { wait: false });
  const [victim] = await until('the job', async () => { const found = await runsOf(endless.commit); return found[0]?.status?.jobs?.[0]?.phase === 'Running' && found; }, { limit: 60000 });
  // Nobody of the team gets into a job, changes what it is, or takes its token: it speaks for the run.
  const pod = victim.status.jobs[0].pod;
  assert.match((await kcli(['exec', '-n', 'shop', pod, '--', 'id'])).stderr, /belongs to a workflow run/);
  assert.match((await kcli(['patch', 'pod', pod, '-n', 'shop', '--type', 'json', '-p', '[{"op":"replace","path":"/spec/containers/0/image","value":"IMAGE"}]'.replace('IMAGE', `${m.listen}/library/python:3.11-slim`)])).stderr, /belongs to a workflow run/);
  assert.match((await kcli(['create', 'token', 'pipeline', '-n', 'shop', '--bound-object-kind', 'Pod', '--bound-object-name', pod])).stderr, /made by the platform alone/);
  await m.kubectlOk(['patch', 'workflowrun', victim.metadata.name, '-n', 'shop', '--type=merge', '-p', '{"spec":{"cancel":true}}']);
  assert.match((await endless.pushing).all, /CANCELLED/);
  await until('it is cancelled', async () => (await runsOf(endless.commit))[0].status.phase === 'Cancelled');
  await until('its pod is gone', async () => (await m.kubectl(['get', 'pod', pod, '-n', 'shop'])).code !== 0, { limit: 60000 });
});
