// The golden path in the web console, as people walk it: Chromium signs in, watches a run of a push live, promotes, approves,
// rolls back, reads logs and metrics, writes a secret and sees the forecast. CONSOLE_IMAGES=1 keeps screenshots in docs/images.
import { test, before, after, afterEach } from 'node:test';
import assert from 'node:assert/strict';
import { Mainstay, until, join } from './lib/mainstay.mjs';
import { Console, launch, makeUsers, shown } from './lib/console.mjs';

const passwords = { ann: 'correct horse ann', ben: 'correct horse ben', eve: 'correct horse eve' };
let m, work, browser, ui, ann, ben;
const go = (page, path) => ui.go(page, path);
const signIn = (page, user, path) => ui.signIn(page, user, path);
const keep = (page, name) => ui.keep(page, name);
const newPage = (options) => ui.newPage(options);
const push = async (message) => { await work.commit(message); const done = await work.push(); assert.equal(done.code, 0, done.all); };

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage();
  await makeUsers(m, passwords);
  await m.cliOk(['team', 'create', 'shop', '--display-name', 'Shop', '--member', 'ann:owner', '--member', 'ben:developer', '--env', 'dev', '--env', 'prod']);
  await m.cliOk(['team', 'create', 'other', '--member', 'eve:owner']);
  await m.cliOk(['repo', 'create', 'hello', '--team', 'shop', '--description', 'Says hello']);
  work = await m.workTree('shop', 'hello', { from: 'examples/hello', user: 'ann', token: await m.token('ann') });
  // Two environments, and one more pod while the next release rolls out, must fit a small machine.
  work.write('score.yaml', work.read('score.yaml').replace(/cpu: *("?)[^\s",}]+("?)/g, 'cpu: $1100m$2'));
  browser = await launch();
  ui = new Console(m, browser, passwords);
}, { timeout: 300000 });
after(async () => { await browser?.close(); await m?.down(); });
// What each test left on the screen, for those who look why it failed.
if (process.env.CONSOLE_DEBUG) afterEach(async (t) => { await ann?.screenshot({ path: join(process.env.CONSOLE_DEBUG, `${t.name.slice(0, 30).replace(/\W+/g, '-')}.png`) }).catch(() => {}); });

test('the endpoint sends browsers to the console, and its files are hardened', async () => {
  const front = await m.curl('/', ['-H', 'Accept: text/html', '-o', '/dev/null', '-w', '%{http_code} %{redirect_url}']);
  assert.equal(front.stdout, `302 ${m.url}/console/`);
  assert.equal((await m.curl('/', ['-o', '/dev/null', '-w', '%{http_code}'])).stdout, '404');
  const page = await m.curl('/console/', ['-i']);
  assert.match(page.stdout, /content-security-policy: default-src 'none'; script-src 'self';.*frame-ancestors 'none'/i);
  assert.match(page.stdout, /x-content-type-options: nosniff/i);
  assert.match(page.stdout, /cache-control: no-cache/i);
  const script = /src="(\/console\/assets\/[^"]+\.js)"/.exec(page.stdout)?.[1];
  assert.ok(script, page.stdout);
  const head = await m.curl(script, ['-I', '-H', 'Accept-Encoding: gzip']);
  assert.match(head.stdout, /cache-control: .*immutable/i);
  assert.match(head.stdout, /content-encoding: gzip/i);
  assert.equal((await m.curl('/console/teams/shop', ['-o', '/dev/null', '-w', '%{http_code}'])).stdout, '200');
  assert.equal((await m.curl('/console/assets/none-12345678.js', ['-o', '/dev/null', '-w', '%{http_code}'])).stdout, '404');
  assert.equal((await m.curl('/console/', ['-X', 'POST', '-o', '/dev/null', '-w', '%{http_code}'])).stdout, '405');
});

test('ann signs in with her password and sees the seven capabilities; the first load is small', { timeout: 120000 }, async () => {
  ann = await newPage();
  const sizes = new Map();
  ann.on('response', (answer) => { if (answer.url().startsWith(`${m.url}/console/`)) sizes.set(new URL(answer.url()).pathname, Number(answer.headers()['content-length'] ?? 0)); });
  await go(ann, '/');
  await shown(ann.getByRole('heading', { name: 'Sign in to Mainstay' }));
  await keep(ann, 'sign-in');
  await signIn(ann, 'ann');
  await shown(ann.getByText('Signed in as ann'));
  await shown(ann.locator('[data-capability="7"]'));
  assert.equal(await ann.locator('[data-capability]').count(), 7);
  const bytes = [...sizes.values()].reduce((sum, n) => sum + n, 0);
  assert.ok(bytes > 50_000 && bytes < 500_000, `the first load has ${bytes} bytes: ${JSON.stringify([...sizes])}`);
});

test('a push shows up live, and its run can be watched to the end without asking again', { timeout: 180000 }, async () => {
  await go(ann, '/teams/shop/repositories/hello');
  await shown(ann.getByText('Nothing has been pushed yet'));
  const pushed = push('First');
  await shown(ann.getByRole('button', { name: 'app.py' }), 60000);
  await ann.getByRole('tab', { name: 'Runs' }).click();
  await ann.getByRole('link', { name: '#1' }).click();
  await shown(ann.getByRole('group', { name: /Jobs in the order/ }).getByText('deliver'));
  const asked = [];
  const note = (request) => asked.push(request.url());
  ann.on('request', note);
  await shown(ann.getByTestId('run-phase').getByText('Succeeded'), 90000);
  await shown(ann.getByRole('log').getByText(/WORKDIR/));
  ann.off('request', note);
  assert.deepEqual(asked.filter((url) => !url.includes('/console/')), [], 'all came by watch');
  await pushed;
  await shown(ann.getByRole('link', { name: /hello\.dev\.shop/ }));
  await keep(ann, 'run');
});

test('files and commits of the repository', async () => {
  await go(ann, '/teams/shop/repositories/hello');
  await ann.getByRole('button', { name: 'app.py' }).click();
  await shown(ann.getByRole('region', { name: 'app.py' }).getByText('Hello from Mainstay'));
  await go(ann, '/teams/shop/repositories/hello?tab=commits');
  await ann.getByRole('grid', { name: 'Commits' }).getByRole('link').first().click();
  await shown(ann.getByRole('heading', { name: 'First' }));
  await shown(ann.getByRole('region', { name: 'What changed' }).getByText('+++ b/app.py'));
});

const releases = (page) => page.getByRole('grid', { name: 'Releases' });
const rowOf = (page, text) => releases(page).getByRole('row').filter({ hasText: text });
async function confirm(page, name) {
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name }).click();
  return dialog;
}

test('ann promotes, may not approve her own release, and ben approves it', { timeout: 180000 }, async () => {
  await go(ann, '/teams/shop/workloads/hello');
  await rowOf(ann, 'First').getByRole('button', { name: 'Promote to prod' }).click();
  await confirm(ann, 'Promote to prod');
  await rowOf(ann, 'First').getByRole('button', { name: 'Approve for prod' }).click();
  const dialog = await confirm(ann, 'Approve for prod');
  await shown(dialog.getByRole('alert'));
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  ben = await newPage();
  await signIn(ben, 'ben', '/teams/shop/workloads/hello');
  await rowOf(ben, 'First').getByRole('button', { name: 'Approve for prod' }).click();
  await confirm(ben, 'Approve for prod');
  // Ann sees it without a touch.
  await shown(rowOf(ann, 'First').getByText('approved by ben'));
  await shown(ann.locator('[data-environment="prod"]').getByText('1 of 1 pods ready'), 90000);
  await until('prod answers', async () => (await m.edge('hello.prod.shop.localhost')).stdout.startsWith('Hello from'));
});

test('a second release goes to prod, and is rolled back', { timeout: 240000 }, async () => {
  work.write('app.py', work.read('app.py').replace('Hello from Mainstay', 'Hello again'));
  await push('Greet again');
  await rowOf(ann, 'Greet again').getByRole('button', { name: 'Promote to prod' }).click();
  await confirm(ann, 'Promote to prod');
  await rowOf(ben, 'Greet again').getByRole('button', { name: 'Approve for prod' }).click();
  await confirm(ben, 'Approve for prod');
  await until('the new greeting', async () => (await m.edge('hello.prod.shop.localhost')).stdout.startsWith('Hello again'), { limit: 90000 });
  await shown(rowOf(ann, 'Greet again').getByRole('button', { name: 'Roll back prod' }), 60000);
  await keep(ann, 'workload');
  await rowOf(ann, 'Greet again').getByRole('button', { name: 'Roll back prod' }).click();
  await confirm(ann, 'Roll back prod');
  await until('the old greeting', async () => (await m.edge('hello.prod.shop.localhost')).stdout.startsWith('Hello from'), { limit: 90000 });
  await shown(rowOf(ann, 'Greet again').getByText('Rolled back'), 60000);
});

test('logs are followed live, and metrics are drawn', { timeout: 240000 }, async () => {
  await go(ann, '/teams/shop/workloads/hello?tab=logs&env=dev');
  await shown(ann.getByRole('log').getByText(/listening/));
  await m.edge('hello.dev.shop.localhost', { path: '/live-from-the-test' });
  await shown(ann.getByRole('log').getByText(/live-from-the-test/));
  await keep(ann, 'logs');
  await go(ann, '/teams/shop/workloads/hello?tab=metrics&env=dev&minutes=15');
  // Nobody touches the page: the chart is there when there are figures, and moves on with the scrapes that come over the stream.
  const memory = ann.getByRole('img', { name: /^Memory\. Latest/ });
  await shown(memory, 90000);
  const line = () => memory.locator('path.series').first().getAttribute('d');
  const before = await line();
  await until('the chart to move on', async () => (await line()) !== before, { limit: 40000, every: 500 });
  await m.edge('hello.dev.shop.localhost');
  await shown(ann.getByRole('img', { name: /^Requests\. Latest.*200/ }), 60000);
  await keep(ann, 'metrics');
  // A page that nobody sees asks for nothing.
  await ann.evaluate(() => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => true }); document.dispatchEvent(new Event('visibilitychange')); });
  const asked = [];
  const note = (request) => asked.push(request.url());
  ann.on('request', note);
  await new Promise((done) => { setTimeout(done, 15000); });  // longer than from one scrape to the next
  assert.deepEqual(asked, []);
  await ann.evaluate(() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); });
  await until('the figures that were missed', () => asked.some((url) => url.includes('/query_range')), { limit: 5000 });
  ann.off('request', note);
});

test('a secret is written, not shown, and shown only when asked', { timeout: 90000 }, async () => {
  await go(ann, '/teams/shop/secrets');
  await ann.getByLabel('Path').fill('web/database');
  await ann.getByLabel('Key', { exact: true }).fill('password');
  await ann.getByLabel('Value', { exact: true }).fill('hunter2-of-shop');
  await ann.getByRole('button', { name: 'Write the secret' }).click();
  await shown(ann.getByText('web/database is kept as version 1'));
  const row = ann.getByRole('grid', { name: 'Secrets' }).getByRole('row').filter({ hasText: 'web/database' });
  await shown(row);
  assert.ok(!(await ann.content()).includes('hunter2-of-shop'));
  // What somebody else writes is there as well.
  await m.cliOk(['secret', 'put', 'shop/web/mail', '--key', 'password'], { input: 'of-the-administrator' });
  await shown(ann.getByRole('grid', { name: 'Secrets' }).getByText('web/mail'));
  await keep(ann, 'secrets');
  await row.getByRole('button').click();
  await ann.getByRole('dialog').getByRole('button', { name: 'Show the values' }).click();
  await shown(ann.getByRole('dialog').getByText('hunter2-of-shop'));
});

test('the forecast of an address pool is drawn', { timeout: 90000 }, async () => {
  const by = new Date(Date.now() + 300 * 86400e3).toISOString().slice(0, 10);
  const objects = [
    { apiVersion: 'mainstay.dev/v1', kind: 'Network', metadata: { name: 'sites' }, spec: { ranges: ['10.230.0.0/16'] } },
    { apiVersion: 'mainstay.dev/v1', kind: 'Subnet', metadata: { name: 'sites-a' }, spec: { network: 'sites', cidr: '10.230.4.0/24' } },
    { apiVersion: 'mainstay.dev/v1', kind: 'AddressPool', metadata: { name: 'offices' }, spec: { subnet: 'sites-a', plans: [{ team: 'shop', addresses: 400, by }] } },
  ];
  await m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }) });
  await go(ann, '/addresses');
  const pool = ann.locator('[data-pool="offices"]');
  await shown(pool.getByText(/Runs out in \d+ months/));
  await shown(pool.getByRole('img', { name: /Addresses of offices.*forecast/ }));
  await keep(ann, 'forecast');
});

test('keys alone: the palette finds a page and goes there', async () => {
  const search = ann.getByRole('combobox', { name: 'Search' });
  await go(ann, '/');
  await shown(ann.getByRole('heading', { name: 'Overview' }));
  await ann.keyboard.press('Control+k');
  await shown(search);
  await until('the focus in the search field', () => search.evaluate((e) => document.activeElement === e));
  await ann.keyboard.type('repositories of shop');
  await ann.keyboard.press('Enter');
  await shown(ann.getByRole('heading', { name: 'Repositories', level: 1 }));
  assert.equal(await ann.evaluate(() => document.activeElement?.tagName), 'H1', 'the heading has the focus');
  await ann.keyboard.press('Control+k');
  await shown(search);
  await keep(ann, 'palette');
  await ann.keyboard.press('Escape');
  await search.waitFor({ state: 'detached' });
});

test('it fits a phone, in the dark', { timeout: 120000 }, async () => {
  const phone = await newPage({ phone: true, dark: true });
  await signIn(phone, 'ann');
  for (const path of ['/', '/teams', '/teams/shop', '/teams/shop/repositories/hello', '/teams/shop/runs', '/teams/shop/workloads', '/teams/shop/workloads/hello', '/teams/shop/resources', '/teams/shop/terraform', '/teams/shop/costs', '/teams/shop/secrets', '/teams/shop/alerts', '/capacity', '/addresses', '/audit']) {
    await go(phone, path);
    await shown(phone.getByRole('heading', { level: 1 }));
    await phone.waitForLoadState('networkidle').catch(() => {});
    assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth + 1), `${path} is wider than the screen`);
    assert.ok(await phone.evaluate(() => document.documentElement.classList.contains('pf-v6-theme-dark')));
    if (path === '/' || path === '/teams/shop/workloads/hello') await keep(phone, path === '/' ? 'phone' : 'phone-workload');
  }
  assert.deepEqual(phone.faults, []);
  await phone.context().close();
});

test('another team sees none of it', { timeout: 60000 }, async () => {
  const eve = await newPage();
  await signIn(eve, 'eve', '/teams/shop/repositories');
  await shown(eve.getByText('You may not see repositories'));
  for (const [path, words] of [['/teams/shop/runs', 'You may not see runs'], ['/teams/shop/workloads', 'You may not see workloads'], ['/teams/shop/secrets', 'You may not see secrets']]) {
    await go(eve, path);
    await shown(eve.getByText(words));
  }
  const token = await m.token('eve');
  for (const tail of ['tree', 'blob?path=app.py', 'commits', `commits/${(await work.git('rev-parse', 'HEAD')).stdout.trim()}`]) {
    const answer = await m.curl(`/apis/mainstay.dev/v1/namespaces/shop/repositories/hello/git/${tail}`, ['-H', `Authorization: Bearer ${token}`, '-o', '/dev/null', '-w', '%{http_code}']);
    assert.equal(answer.stdout, '403', tail);
  }
  assert.deepEqual(eve.faults, []);
  await eve.context().close();
});

test('the stream of watches asks who it is, request by request', { timeout: 60000 }, async () => {
  // In the browser, as any page could try it.
  const talk = (messages) => ann.evaluate(([url, all]) => new Promise((done) => {
    const socket = new WebSocket(url), got = [];
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => all.forEach((text) => socket.send(text));
    socket.onmessage = (event) => { got.push(new TextDecoder().decode(event.data)); if (/ [be]\n$/.test(got.at(-1))) socket.close(); };
    socket.onclose = (event) => done({ code: event.code, got });
  }), [`${m.url.replace('https', 'wss')}/console/stream`, messages.map((x) => (typeof x === 'string' ? x : JSON.stringify(x)))]);
  const eve = await m.token('eve');
  assert.equal((await talk([{ id: 1, get: '/api/v1/namespaces' }])).code, 4401);
  assert.equal((await talk([{ token: 'mst_nobody_nothing' }])).code, 4401);
  assert.equal((await talk([{ token: eve }, 'nonsense'])).code, 4400);
  assert.match((await talk([{ token: eve }, { id: 1, get: '/api/v1/namespaces/shop/secrets?watch=true' }])).got[0], /^1 h 403/);
  assert.match((await talk([{ token: eve }, { id: 1, get: '/git/shop/hello.git/info/refs' }])).got[0], /^1 h 400/);
  assert.match((await talk([{ token: eve }, { id: 1, get: '/apis/mainstay.dev/v1/teams' }])).got[0], /^1 h 200/);
  // A right that changes may be the one by which an answer goes on: whoever listens is told to ask again.
  for (const get of ['/apis/mainstay.dev/v1/metrics/scrapes', '/loki/api/v1/tail?query=%7Bsource%3D%22events%22%7D']) {
    let over = false;
    const listening = talk([{ token: await m.token('ann') }, { id: 1, get }]).finally(() => { over = true; });
    while (!over) {
      await m.kubectlOk(['create', 'rolebinding', 'passing', '-n', 'shop', '--clusterrole=mainstay:team-viewer', '--user=nobody']);
      await m.kubectlOk(['delete', 'rolebinding', 'passing', '-n', 'shop']);
    }
    assert.match((await listening).got.at(-1), /^1 b/, get);
  }
});

test('signing out ends the session in the browser', { timeout: 60000 }, async () => {
  assert.deepEqual([...ann.faults, ...ben.faults], []);
  await ann.getByRole('button', { name: /^Sign out/ }).click();
  await shown(ann.getByRole('heading', { name: /Sign in|Signed out|signed out/ }));
  await go(ann, '/teams/shop');
  await shown(ann.getByRole('heading', { name: 'Sign in to Mainstay' }));
  assert.equal(await ann.evaluate(() => sessionStorage.getItem('mainstay.tokens')), null);
});
