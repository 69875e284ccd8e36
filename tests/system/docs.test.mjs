// What docs/*.md tell people to type works. Blocks marked `sh test` run in the order of docs/index.md, page by page, against
// one Mainstay; a page's blocks share a shell and a folder. Blocks marked `sh test pods` need pods: MAINSTAY_TEST_PODS=0
// leaves them out and starts Mainstay with --no-compute, which needs no root. DOCS_PAGES=log-in,score runs these pages.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { Mainstay, binary, root, join, readFileSync, writeFileSync, mkdirSync } from './lib/mainstay.mjs';

const pods = process.env.MAINSTAY_TEST_PODS !== '0';
const pageLimit = 300000;

function pages() {
  const index = readFileSync(join(root, 'docs/index.md'), 'utf8');
  const tasks = index.slice(index.indexOf('## Tasks'), index.indexOf('## Reference'));
  const all = [...tasks.matchAll(/\]\(([a-z-]+)\.md\)/g)].map((match) => match[1]);
  const wanted = process.env.DOCS_PAGES?.split(',');
  return wanted ? all.filter((page) => wanted.includes(page)) : all;
}

// The page's test blocks, each with the line it begins at.
function blocks(page) {
  const out = [];
  let open;
  readFileSync(join(root, 'docs', `${page}.md`), 'utf8').split('\n').forEach((line, index) => {
    if (!open) {
      const fence = /^(`{3,})(.*)$/.exec(line);
      if (fence) open = { fence: fence[1], info: fence[2].trim(), line: index + 2, text: '' };
    } else if (line === open.fence) {
      if (open.info === 'sh test' || (open.info === 'sh test pods' && pods)) out.push(open);
      open = undefined;
    } else {
      open.text += `${line}\n`;
    }
  });
  assert.equal(open, undefined, `docs/${page}.md: a block is not closed`);
  return out;
}

function bash(script, cwd, env) {
  return new Promise((done) => {
    // A group of its own: at the time limit nothing of it stays.
    const child = spawn('bash', ['-euo', 'pipefail', script], { cwd, env: { ...process.env, ...env }, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { output += data; });
    const timer = setTimeout(() => { output += '\n(over the time limit)'; try { process.kill(-child.pid, 'SIGKILL'); } catch { /* it has just ended */ } }, pageLimit);
    child.on('close', (code) => { clearTimeout(timer); done({ code, output }); });
  });
}

let m;
before(async () => {
  m = await Mainstay.create();
  m.bridge = 'msdocs0';
  if (!pods) Object.defineProperty(m, 'flags', { value: [...m.flags, '--no-compute'] });
  await m.start();
}, { timeout: 60000 });
after(async () => { await m?.down(); });

for (const page of pages()) {
  const all = blocks(page);
  test(`docs/${page}.md`, { skip: all.length === 0 && 'nothing to run', timeout: pageLimit + 30000 }, async () => {
    const folder = join(m.dataDir, 'docs', page);
    mkdirSync(folder, { recursive: true });
    const script = join(m.dataDir, 'docs', `${page}.sh`);
    writeFileSync(script, all.map((block) => `echo "@@ docs/${page}.md:${block.line}"\n${block.text}`).join(''));
    const { MAINSTAY_CONFIG, ...env } = m.env;
    const result = await bash(script, folder, { ...env, MAINSTAY_CONFIG: join(m.dataDir, 'docs', `${page}.kubeconfig`), MAINSTAY: binary,
      DATA_DIR: m.dataDir, LISTEN: m.listen, HTTPS: m.https, DNS: m.dns, DOMAIN: m.domain, SOURCE: root, GIT_TERMINAL_PROMPT: '0' });
    const at = result.output.lastIndexOf('@@ ');
    assert.equal(result.code, 0, `ended with ${result.code} in the block at ${result.output.slice(at + 3)}`);
  });
}

test('each page of the index is there, and each link of a page leads somewhere', () => {
  const seen = new Set(['index']), queue = ['index'];
  while (queue.length) {
    const page = queue.pop();
    const text = readFileSync(join(root, 'docs', `${page}.md`), 'utf8');
    for (const [, link] of text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)) {
      const target = join('docs', page, '..', link);
      assert.doesNotThrow(() => readFileSync(join(root, target)), `docs/${page}.md links to ${link}`);
      const next = /^docs\/(.+)\.md$/.exec(target)?.[1];
      if (next && !seen.has(next)) { seen.add(next); queue.push(next); }
    }
  }
});
