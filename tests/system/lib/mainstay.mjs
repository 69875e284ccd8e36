// A Mainstay of the test's own: its data directory, its ports, its bridge. Started, killed and taken down for real.
import { spawn, execFile } from 'node:child_process';
import { mkdtempSync, rmSync, existsSync, readFileSync, mkdirSync, writeFileSync, cpSync, openSync, closeSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../../..');
export const binary = process.env.MAINSTAY_BINARY ?? join(root, 'build/mainstay');

// Runs a command to its end; never throws. A missing answer within `timeout` ms kills it and counts as code 124.
export function run(command, args, { env = {}, cwd, input, timeout = 60000 } = {}) {
  return new Promise((done) => {
    const child = execFile(command, args, { env: { ...process.env, ...env }, cwd, timeout, maxBuffer: 64 << 20, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => done({ code: error ? (error.killed ? 124 : (error.code ?? 1)) : 0, stdout, stderr, all: stdout + stderr }));
    // A command that ends before it has read all of it says why itself.
    child.stdin.on('error', () => {});
    if (input !== undefined) child.stdin.end(input); else child.stdin.end();
  });
}

export async function ok(command, args, options) {
  const result = await run(command, args, options);
  if (result.code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${result.code}:\n${result.all}`);
  return result;
}

export function freePort() {
  return new Promise((done, fail) => {
    const server = createServer();
    server.on('error', fail);
    server.listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => done(port)); });
  });
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// Asks again until the answer is true or the time is over: for what has no event to wait for from outside.
export async function until(what, ask, { limit = 30000, every = 50 } = {}) {
  const end = Date.now() + limit;
  let last;
  while (Date.now() < end) {
    try { last = await ask(); if (last) return last; } catch (error) { last = error; }
    await sleep(every);
  }
  throw new Error(`not within ${limit} ms: ${what}; last: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
}

export class Mainstay {
  static async create({ dataDir, domain = 'localhost' } = {}) {
    const m = new Mainstay();
    m.own = !dataDir;
    m.dataDir = dataDir ?? mkdtempSync(join(tmpdir(), 'mainstay-system-'));
    m.domain = domain;
    const [api, http, https, dns] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
    m.listen = `127.0.0.1:${api}`;
    m.http = `127.0.0.1:${http}`;
    m.https = `127.0.0.1:${https}`;
    m.dns = `127.0.0.1:${dns}`;
    m.url = `https://${m.listen}`;
    // Several test files may run at once where each has a slot of its own: its bridge and its addresses.
    m.slot = Number(process.env.MAINSTAY_TEST_SLOT ?? 0);
    m.bridge = `mstest${m.slot}`;
    m.log = '';
    m.env = { GIT_SSL_CAINFO: join(m.dataDir, 'ca.crt'), MAINSTAY_CONFIG: join(m.dataDir, 'cli.kubeconfig'), HOME: join(m.dataDir, 'home'), KUBECONFIG: join(m.dataDir, 'admin.kubeconfig') };
    mkdirSync(m.env.HOME, { recursive: true });
    return m;
  }

  // The node's address on the bridge, where pods find it.
  get nodeAddress() { return `10.${150 + 2 * this.slot}.0.1`; }

  get flags() {
    return ['--data-dir', this.dataDir, '--listen', this.listen, '--http', this.http, '--https', this.https, '--dns', this.dns, '--domain', this.domain,
      '--bridge', this.bridge, '--pod-cidr', `10.${150 + 2 * this.slot}.0.0/16`, '--service-cidr', `10.${151 + 2 * this.slot}.0.0/16`, ...(this.moreFlags ?? [])];
  }

  // Resolves with the milliseconds until the `ready` line; rejects with the output where it ends before.
  start({ limit = 60000 } = {}) {
    const began = performance.now();
    this.child = spawn(this.program ?? binary, ['up', ...this.flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.exited = new Promise((done) => this.child.on('exit', (code, signal) => done({ code, signal })));
    return new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`not ready within ${limit} ms:\n${this.log}`)), limit);
      const take = (data) => {
        this.log += data;
        if (/^ready /m.test(this.log.slice(this.mark ?? 0))) { clearTimeout(timer); done(performance.now() - began); }
      };
      this.mark = this.log.length;
      this.child.stdout.on('data', take);
      this.child.stderr.on('data', take);
      this.exited.then(({ code, signal }) => { clearTimeout(timer); fail(new Error(`ended with ${code ?? signal}:\n${this.log.slice(this.mark)}`)); });
    });
  }

  async stop() {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGTERM');
    const ended = await Promise.race([this.exited, new Promise((done) => { setTimeout(done, 20000).unref(); })]);
    if (!ended) { this.child.kill('SIGKILL'); throw new Error('did not stop within 20 s of SIGTERM'); }
    return ended;
  }

  async kill9() {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  // Stops it and takes away all that outlives it.
  async down() {
    await this.stop().catch(() => {});
    await run(binary, ['down', '--data-dir', this.dataDir]);
    if (this.own) rmSync(this.dataDir, { recursive: true, force: true });
  }

  cli(args, options = {}) { return run(binary, args, { ...options, env: { ...this.env, ...options.env } }); }
  async cliOk(args, options) {
    const result = await this.cli(args, options);
    if (result.code !== 0) throw new Error(`mainstay ${args.join(' ')} ended with ${result.code}:\n${result.all}`);
    return result;
  }
  kubectl(args, options = {}) { return run('kubectl', args, { ...options, env: { ...this.env, ...options.env } }); }
  async kubectlOk(args, options) {
    const result = await this.kubectl(args, options);
    if (result.code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${result.code}:\n${result.all}`);
    return result;
  }
  async json(args) { return JSON.parse((await this.kubectlOk([...args, '-o', 'json'])).stdout); }

  async login() { await this.cliOk(['login', '--kubeconfig', join(this.dataDir, 'admin.kubeconfig'), '--quiet']); }

  // A personal access token of a user, made by the administrator.
  async token(user) { return (await this.cliOk(['user', 'token', user, '--hours', '1'])).stdout.trim(); }

  // A kubeconfig for a token, as `mainstay login` writes it.
  async kubeconfigFor(user, token) {
    const path = join(this.dataDir, `${user}.kubeconfig`);
    const file = join(this.dataDir, `${user}.token`);
    writeFileSync(file, token, { mode: 0o600 });
    await ok(binary, ['login', this.url, '--token-file', file, '--ca-file', join(this.dataDir, 'ca.crt'), '--quiet'], { env: { MAINSTAY_CONFIG: path } });
    return path;
  }

  curl(path, args = []) { return run('curl', ['-sS', '--cacert', join(this.dataDir, 'ca.crt'), ...args, `${this.url}${path}`]); }

  host(workload, environment, team) { return `${workload}.${environment}.${team}.${this.domain}`; }
  // A request at the edge, by the name users type.
  edge(host, { path = '/', args = [] } = {}) {
    const port = this.https.split(':')[1];
    return run('curl', ['-sS', '-m', '10', '--cacert', join(this.dataDir, 'ca.crt'), '--resolve', `${host}:${port}:127.0.0.1`, ...args, `https://${host}:${port}${path}`]);
  }

  // A work tree whose remote is the repository, with credentials that git takes from the token.
  async workTree(team, repo, { from, token, user = 'admin' } = {}) {
    const folder = mkdtempSync(join(this.dataDir, 'work-'));
    if (from) cpSync(join(root, from), folder, { recursive: true });
    const secret = token ?? await this.token(user);
    const helper = join(folder, '.git-credentials-helper');
    const git = (...args) => run('git', args, { cwd: folder, timeout: 180000, env: { ...this.env, GIT_TERMINAL_PROMPT: '0' } });
    await git('init', '-q', '-b', 'main');
    writeFileSync(helper, `#!/bin/sh\nprintf 'username=%s\\npassword=%s\\n' '${user}' '${secret}'\n`, { mode: 0o700 });
    writeFileSync(join(folder, '.git/info/exclude'), '.git-credentials-helper\n');
    for (const [key, value] of [['user.name', 'System Test'], ['user.email', 'system-test@mainstay.dev'], ['http.sslCAInfo', join(this.dataDir, 'ca.crt')], ['credential.helper', `!${helper}`]])
      await git('config', key, value);
    await git('remote', 'add', 'origin', `${this.url}/git/${team}/${repo}.git`);
    return {
      folder, git,
      write: (name, text) => writeFileSync(join(folder, name), text),
      read: (name) => readFileSync(join(folder, name), 'utf8'),
      commit: async (message) => { await git('add', '-A'); return git('commit', '-q', '--allow-empty', '-m', message); },
      push: (...args) => git('push', ...args, 'origin', 'main'),
    };
  }

  // The base image of the examples, from a copy kept between test files: making it takes seconds.
  async baseImage(name = 'library/python:3.11-slim', packages = 'python3') {
    if ((await this.cli(['image', 'exists', name])).code === 0) return;
    const kept = join(root, 'build/system-images', name.replaceAll(/[/:]/g, '_'));
    const certs = join(this.dataDir, 'skopeo-certs');
    mkdirSync(certs, { recursive: true });
    cpSync(join(this.dataDir, 'ca.crt'), join(certs, 'ca.crt'));
    const creds = `admin:${await this.token('admin')}`;
    if (existsSync(join(kept, 'manifest.json'))) {
      await ok('skopeo', ['copy', '-q', '--dest-cert-dir', certs, '--dest-creds', creds, `dir:${kept}`, `docker://${this.listen}/${name}`], { timeout: 120000 });
      return;
    }
    await this.cliOk(['image', 'create', name, '--packages', packages], { timeout: 300000 });
    mkdirSync(kept, { recursive: true });
    await ok('skopeo', ['copy', '-q', '--src-cert-dir', certs, '--src-creds', creds, `docker://${this.listen}/${name}`, `dir:${kept}`], { timeout: 120000 });
  }
}

// A file system of its own for a data directory, small enough to be filled.
export async function smallDisk(megabytes) {
  const folder = mkdtempSync(join(tmpdir(), 'mainstay-disk-'));
  await ok('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder]);
  return { folder, release: async () => { await run('umount', ['-l', folder]); rmSync(folder, { recursive: true, force: true }); } };
}

export { existsSync, readFileSync, writeFileSync, mkdirSync, join, openSync, closeSync };
