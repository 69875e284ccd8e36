// What docs/*.md show beside the blocks that docs.test.mjs runs: each indented command and each `sh` block without `test` is run
// for real in a world of the names the pages use (team shop, workload web, people ann and ben), and each YAML block that is an
// object is accepted by the API. What cannot be run here is in `elsewhere`, with the reason; anything new is run by default.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync, symlinkSync } from 'node:fs';
import { Mainstay, binary, root, run, until, join, readFileSync, writeFileSync, mkdirSync } from './lib/mainstay.mjs';

// [what the command matches, why it is not run here]
const elsewhere = [
  [/^(git clone|make up|export MAINSTAY|export LISTEN|export KUBECONFIG)/, 'the two commands of the README and what every shell is set up with'],
  [/^sudo /, 'changes the machine itself'],
  [/^podman |^curl -X DELETE .*<digest>/, 'registry.test.mjs, with podman'],
  [/^mainstay login https:\/\/HOST:PORT/, 'identity.test.mjs, with a browser'],
  [/^git config /, 'needs a work tree of the reader; repositories-and-push.md has the same in a block that runs'],
  [/^curl .*https:\/\/(osv-vulnerabilities|security-tracker)/, 'not of this machine; the import after it gets files of the same shape'],
  [/^mainstay up /, 'every test starts it'],
  [/terraform init|^mainstay terraform /, 'terraform_runs.test.mjs, with the real program'],
];
// They take away what other commands speak of, so they come last.
const last = [/^kubectl delete accesstoken/, /"disabled":true/, /^kubectl delete usercredential/, /^kubectl delete team/];

function commandsOf(page) {
  const found = [], objects = [];
  let open;
  readFileSync(join(root, 'docs', `${page}.md`), 'utf8').split('\n').forEach((line, index) => {
    const fence = /^(`{3,})(.*)$/.exec(line);
    if (!open && fence) open = { info: fence[2].trim(), line: index + 2, text: '' };
    else if (open && fence && fence[2] === '') {
      if (open.info === 'sh') found.push({ page, line: open.line, text: open.text });
      if (open.info === 'yaml' && /^apiVersion: (?!score)/.test(open.text)) objects.push({ page, line: open.line, text: open.text });
      open = undefined;
    } else if (open) open.text += `${line}\n`;
    else if (/^ {4}(mainstay|kubectl|curl|git|make|sudo|podman|export) /.test(line)) found.push({ page, line: index + 1, text: line.trim() });
  });
  return { found, objects };
}

const pages = ['', 'api'].flatMap((folder) => readdirSync(join(root, 'docs', folder)).filter((f) => f.endsWith('.md')).map((f) => join(folder, f.slice(0, -3))));
const all = pages.map(commandsOf);
// What a reader would wait for before the next command.
const waits = [[/^mainstay release rollback/, () => until('the second in prod', async () => (await m.json(['get', 'releases', '-n', 'shop'])).items.some((r) => r.metadata.name === names.second && r.status?.environments?.some((e) => e.name === 'prod' && e.state === 'Deployed')), { limit: 60000 })]];
const rank = (command) => last.findIndex((pattern) => pattern.test(command.text));
const commands = all.flatMap((page) => page.found).sort((a, b) => rank(a) - rank(b));

let m, folder, names;
const one = async (kind, ns, ...more) => (await m.json(['get', kind, '-n', ns, ...more])).items[0]?.metadata.name;
// The names that the pages give for example, as they are here; pods are others after each promotion.
const named = async (text) => text
  .replaceAll(/web-[0-9a-f]{7}-[a-z0-9]{5}/g, names.run)
  .replaceAll('shop-prod/web-7d9f-abcde', `shop-prod/${await one('pods', 'shop-prod')}`)
  .replaceAll('web-7d9f-abcde', await one('pods', 'shop-dev'))
  .replaceAll('web-0123456789ab', names.report)
  .replaceAll('3f0c9a1be2d47788', names.token)
  .replaceAll('pod NAME', `pod ${await one('pods', 'shop-dev')}`)
  .replaceAll('environment staging', 'environment prod')
  .replaceAll('secret orders ', 'secret web-db ')
  .replaceAll('workflowrun NAME', `workflowrun ${names.run}`)
  .replaceAll('hello.dev.demo.', 'web.dev.shop.')
  .replaceAll('8443', m.https.split(':')[1])
  .replaceAll('10.244.', m.nodeAddress.replace(/0\.1$/, ''));

function zip(name, entries) {
  const write = 'import sys,json,zipfile\nwith zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as z:\n for n, t in json.load(sys.stdin).items(): z.writestr(n, t)';
  return run('python3', ['-c', write, join(folder, name)], { input: JSON.stringify(entries) });
}

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage();
  for (const user of ['ann', 'ben']) await m.cliOk(['user', 'create', user]);
  await m.cliOk(['user', 'password', 'ann', '--stdin'], { input: 'correct horse ann\n' });
  await m.cliOk(['team', 'create', 'shop', '--member', 'ann:owner', '--member', 'ben', '--env', 'dev', '--env', 'prod']);
  await m.cliOk(['repo', 'create', 'web', '--team', 'shop']);
  const work = await m.workTree('shop', 'web', { from: 'examples/hello', user: 'ann' });
  work.write('score.yaml', work.read('score.yaml').replace('name: hello', 'name: web').replaceAll(/cpu: \w+/g, 'cpu: 100m') + 'resources:\n  db: {type: postgres}\n');
  const push = async (message) => { await work.commit(message); const pushed = await work.push(); assert.ok(pushed.code === 0 && !/FAILED/.test(pushed.all), pushed.all); };
  // One release in prod, so that there is one to go back to; the pages promote the next.
  await push('First');
  await m.cliOk(['release', 'promote', 'web', '--team', 'shop', '--no-wait']);
  await m.cliOk(['release', 'approve', 'web', '--team', 'shop', '--env', 'prod']);
  await until('the first in prod', async () => (await m.edge(m.host('web', 'prod', 'shop'))).stdout.startsWith('Hello'), { limit: 60000 });
  await push('Second');
  const head = (await work.git('rev-parse', 'HEAD')).stdout.trim();
  names = { run: await one('workflowruns', 'shop'), token: await one('accesstokens', 'shop', '--field-selector', 'spec.user=ann'),
    second: (await m.json(['get', 'releases', '-n', 'shop'])).items.find((r) => r.spec.commit === head).metadata.name };
  names.report = await until('an image report', () => one('imagereports', 'shop'));
  folder = join(m.dataDir, 'docs');
  mkdirSync(join(folder, 'bin'), { recursive: true });
  symlinkSync(binary, join(folder, 'bin/mainstay'));
  writeFileSync(join(folder, 'orders.json'), JSON.stringify({ title: 'Orders', panels: [] }));
  await zip('all.zip', { 'GHSA-0001.json': JSON.stringify({ id: 'GHSA-0001', modified: '2024-01-01T00:00:00Z', affected: [{ package: { ecosystem: 'npm', name: 'left-pad' }, versions: ['1.3.0'] }] }) });
  writeFileSync(join(folder, 'tracker.json'), JSON.stringify({ glibc: { 'CVE-2024-0002': { releases: { bookworm: { status: 'open', urgency: 'low' } } } } }));
}, { timeout: 300000 });
after(async () => { await m?.down(); });

test('the objects that the pages show are accepted', { timeout: 300000 }, async () => {
  const objects = all.flatMap((page) => page.objects);
  assert.ok(objects.length > 15, `${objects.length} objects`);
  for (const { page, line, text } of objects) {
    const namespaced = /namespace:/.test(text) ? [] : ['-n', 'shop-dev'];
    const verb = /generateName:/.test(text) ? 'create' : 'apply';
    const tried = await m.kubectl([verb, '--dry-run=server', ...namespaced, '-f', '-'], { input: await named(text) });
    assert.equal(tried.code, 0, `docs/${page}.md:${line}: ${tried.all}`);
  }
});

test('each exception is one', () => {
  for (const [pattern, why] of elsewhere) assert.ok(commands.some((c) => pattern.test(c.text)), `no command of the pages matches ${pattern} (${why})`);
});

for (const { page, line, text } of commands) {
  const exception = elsewhere.find(([pattern]) => pattern.test(text));
  test(`docs/${page}.md:${line}: ${text.split('\n')[0].slice(0, 100)}`, { skip: exception?.[1] ?? false, timeout: 90000 }, async () => {
    await waits.find(([pattern]) => pattern.test(text))?.[1]();
    // What follows goes on until it is told to stop.
    const follows = /^mainstay logs .* -f( |$)|^kubectl .*(-w|--watch)( |$)/.test(text);
    const script = `${follows ? 'timeout -s INT 3 ' : ''}${await named(text)}`;
    const env = { ...m.env, PATH: `${join(folder, 'bin')}:${process.env.PATH}`, DATA_DIR: m.dataDir, LISTEN: m.listen, HTTPS: m.https, DNS: m.dns, DOMAIN: m.domain, MAINSTAY: binary, SOURCE: root };
    const done = await run('bash', ['-euo', 'pipefail', '-c', script], { cwd: folder, env, timeout: 80000 });
    assert.ok(done.code === 0 || (follows && done.code === 124), `ended with ${done.code}:\n${script}\n${done.all}`);
  });
}
