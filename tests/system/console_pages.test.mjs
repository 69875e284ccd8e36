// Every page of the console, for everybody: without serious findings of axe-core in light and dark, on a desk and on a phone; by
// keyboard alone; kept up to date without a touch; and where things go wrong. Terraform's plan is approved in the browser.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { Mainstay, join, until } from './lib/mainstay.mjs';
import { Console, launch, makeUsers, shown } from './lib/console.mjs';

const passwords = { ann: 'correct horse ann', ben: 'correct horse ben', vic: 'correct horse vic' };
const program = ['terraform', 'tofu'].flatMap((name) => process.env.PATH.split(':').map((dir) => join(dir, name))).find((path) => existsSync(path));
const real = program ? {} : { skip: 'NOT PROVEN HERE: there is neither terraform nor tofu in the PATH; install one to run this' };
let m, work, browser, ui, ann, asAnn;

const apply = (...items) => m.kubectlOk(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
const mainstay = (kind, name, namespace, spec) => ({ apiVersion: 'mainstay.dev/v1', kind, metadata: { name, namespace }, spec });
const module = `
variable "depth" { type = number }
resource "terraform_data" "queue" { input = var.depth }
output "depth" { value = terraform_data.queue.output }
output "token" {
  value     = "not-for-the-screen"
  sensitive = true
}
`;

before(async () => {
  m = await Mainstay.create();
  await m.start();
  await m.login();
  await m.baseImage();
  await makeUsers(m, passwords);
  await m.cliOk(['team', 'create', 'shop', '--display-name', 'Shop', '--member', 'ann:owner', '--member', 'ben:developer', '--member', 'vic:viewer', '--env', 'dev', '--env', 'prod']);
  await m.cliOk(['repo', 'create', 'hello', '--team', 'shop', '--description', 'Says hello']);
  await m.cliOk(['repo', 'create', 'empty', '--team', 'shop']);
  const token = await m.token('ann');
  asAnn = { env: { KUBECONFIG: await m.kubeconfigFor('ann', token) } };
  work = await m.workTree('shop', 'hello', { from: 'examples/hello', user: 'ann', token });
  await work.commit('First');
  const pushed = await work.push();
  assert.equal(pushed.code, 0, pushed.all);
  await apply(
    mainstay('ResourceClaim', 'hello-files', 'shop-dev', { type: 's3', workload: 'hello' }),
    mainstay('Workspace', 'network', 'shop', { description: 'State of the network' }),
    { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'hello', namespace: 'shop-dev' }, spec: { podSelector: { matchLabels: { 'app.kubernetes.io/name': 'hello' } }, ingress: [{ ports: [{ port: 8080 }] }] } },
    { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'team', namespace: 'shop-dev' }, spec: { hard: { pods: '20' } } },
  );
  browser = await launch();
  ui = new Console(m, browser, passwords);
  ann = await ui.newPage();
  await ui.signIn(ann, 'ann');
}, { timeout: 300000 });
after(async () => { await browser?.close(); await m?.down(); });

const byName = (page, role, name) => page.getByRole(role, { name });

test('a plan of Terraform is shown, approved and discarded in the console; outputs hold no secret', { ...real, timeout: 240000 }, async () => {
  await ui.go(ann, '/teams/shop/terraform');
  await shown(byName(ann, 'link', 'network'));
  await m.kubectlOk(['apply', '-f', '-'], { ...asAnn, input: JSON.stringify(mainstay('Workspace', 'queue', 'shop-dev', { source: { files: { 'main.tf': module } }, inputs: { depth: 10 }, approval: 'manual', destroyOnDelete: true })) });
  await byName(ann, 'link', 'queue').click();  // it has appeared by itself
  const phase = ann.getByTestId('terraform-phase');
  await shown(phase.getByText('Awaiting approval'), 90000);
  await shown(ann.getByRole('region', { name: /^Plan of/ }).getByText(/terraform_data\.queue will be created/));
  await ui.keep(ann, 'terraform');
  await byName(ann, 'button', 'Approve').click();
  await ann.getByRole('dialog').getByLabel('Comment').fill('fine');
  await ann.getByRole('dialog').getByRole('button', { name: 'Approve and apply' }).click();
  await shown(phase.getByText('Applied'), 90000);
  const outputs = byName(ann, 'grid', 'Outputs');
  await shown(outputs.getByRole('row').filter({ hasText: 'depth' }).getByText('10'));
  await shown(outputs.getByRole('row').filter({ hasText: 'token' }).getByText('sensitive'));
  assert.ok(!(await ann.content()).includes('not-for-the-screen'));
  await byName(ann, 'button', 'Plan to destroy').click();
  await ann.getByRole('dialog').getByRole('button', { name: 'Plan to destroy' }).click();
  await shown(ann.getByText('0 to add, 0 to change, 1 to destroy').first(), 90000);
  await byName(ann, 'button', 'Discard').click();
  await ann.getByRole('dialog').getByRole('button', { name: 'Discard the plan' }).click();
  await shown(phase.getByText('Discarded'));
  assert.equal((await m.json(['get', 'workspace', 'queue', '-n', 'shop-dev'])).status.resources, 1, 'nothing was destroyed');
});

test('the audit log goes on by itself, with the search in force', { timeout: 90000 }, async () => {
  await ui.go(ann, '/audit?q=configmaps%20noted');
  await shown(ann.getByText('No line of the audit log fits'));
  for (const name of ['noted', 'unheard']) await m.kubectlOk(['create', 'configmap', name, '-n', 'shop-dev'], asAnn);
  const log = byName(ann, 'grid', 'Audit log');
  await shown(log.getByText(/configmaps.*/).first());
  const rows = await log.getByRole('row').allInnerTexts();
  assert.ok(rows.slice(1).every((row) => row.includes('ann')), rows.join('\n'));
  assert.ok(!rows.join('\n').includes('unheard'), 'the search holds for what comes');
  await m.kubectlOk(['delete', 'configmap', 'noted', '-n', 'shop-dev'], asAnn);
  await shown(log.getByRole('row').nth(1).getByText('delete'));
  await ui.keep(ann, 'audit');
});

test('an alert appears when it fires, and is gone when it is over', { timeout: 180000 }, async () => {
  await ui.go(ann, '/teams/shop/alerts');
  await shown(byName(ann, 'heading', 'Who is told'));
  const rule = { apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule', metadata: { name: 'noise', namespace: 'shop-dev' }, spec: { groups: [{ name: 'noise', rules: [{ alert: 'Noise', expr: 'vector(1)', labels: { severity: 'warning' }, annotations: { summary: 'It is noisy' } }] }] } };
  await m.kubectlOk(['apply', '-f', '-'], { ...asAnn, input: JSON.stringify(rule) });
  const noise = byName(ann, 'grid', 'Alerts').getByRole('row').filter({ hasText: 'It is noisy' });
  await shown(noise.getByText('firing'), 90000);
  await shown(byName(ann, 'grid', 'Rules').getByRole('row').filter({ hasText: 'Noise' }).getByText('firing'));
  await ui.keep(ann, 'alerts');
  await m.kubectlOk(['delete', 'prometheusrule', 'noise', '-n', 'shop-dev'], asAnn);
  await noise.waitFor({ state: 'detached', timeout: 90000 });
});

// Pages without and with things, and those of things that are not there.
const paths = () => [
  '/', '/teams', '/teams/shop', '/teams/shop/repositories', '/teams/shop/repositories/hello', '/teams/shop/repositories/hello?path=app.py', '/teams/shop/repositories/empty',
  '/teams/shop/repositories/hello?tab=commits', '/teams/shop/repositories/hello?tab=runs', '/teams/shop/runs', `/teams/shop/runs/${paths.run}`, `/teams/shop/repositories/hello/commits/${paths.sha}`,
  '/teams/shop/workloads', ...['releases', 'pods', 'logs', 'metrics', 'events', 'traffic', 'resources', 'provenance'].map((tab) => `/teams/shop/workloads/hello?tab=${tab}`),
  '/teams/shop/resources', '/teams/shop/terraform', '/teams/shop/terraform/shop/network', ...(program ? ['/teams/shop/terraform/shop-dev/queue'] : []), '/teams/shop/secrets',
  '/teams/shop/dashboards', '/teams/shop/dashboards/shop/team', '/teams/shop/alerts', '/teams/shop/costs', '/capacity', '/addresses', '/audit', '/nowhere', '/teams/nobody', '/teams/shop/runs/none', '/teams/shop/workloads/none',
];
// As a link would: without loading everything anew.
const visit = async (page, path) => {
  await page.evaluate((to) => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')); }, `/console${path}`);
  await ui.settled(page);
};

for (const phone of [false, true]) {
  test(`axe finds nothing serious ${phone ? 'on a phone' : 'at 1280 px'}, in light and dark`, { timeout: 400000 }, async () => {
    paths.run = (await m.json(['get', 'workflowruns', '-n', 'shop'])).items[0].metadata.name;
    paths.sha = (await work.git('rev-parse', 'HEAD')).stdout.trim();
    const page = await ui.newPage({ phone, bypassCSP: true });
    const found = [];
    const look = async (where) => {
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        for (const violation of await ui.violations(page, { colorsOnly: colorScheme === 'dark' })) found.push(`${where}, ${colorScheme}: ${violation}`);
      }
      if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth + 1)) found.push(`${where} is wider than the screen`);
    };
    await ui.go(page, '/');
    await shown(byName(page, 'button', 'Sign in'));
    await look('the sign-in page');
    await ui.signIn(page, 'ann');
    for (const path of paths()) {
      await visit(page, path);
      await look(path);
    }
    await page.keyboard.press('Control+k');
    await shown(byName(page, 'combobox', 'Search'));
    await look('the palette');
    await page.keyboard.press('Escape');
    await visit(page, '/teams/shop');
    await byName(page, 'button', 'Remove ben').click();
    await shown(page.getByRole('dialog'));
    await look('a question');
    await page.context().close();
    assert.deepEqual(found, []);
  });
}

// Whether what has the focus shows it: an outline or a shadow of its own, or of what PatternFly draws before or after it.
const focusShows = (page) => page.evaluate(() => {
  const e = document.activeElement;
  if (!e || e === document.body) return 'nothing has the focus';
  const marks = (element) => [undefined, '::before', '::after'].map((part) => { const s = getComputedStyle(element, part); return `${s.outlineStyle}/${s.outlineWidth}/${s.boxShadow}/${s.borderColor}/${s.borderWidth}/${s.backgroundColor}`; }).join();
  // The switch's and the text field's frames are their neighbours and parents.
  const all = () => [e, e.parentElement, e.nextElementSibling].filter(Boolean).map(marks).join('|');
  const focused = all();
  e.blur();
  const without = all();
  e.focus({ focusVisible: true });
  return focused !== without ? '' : `${e.tagName} "${(e.getAttribute('aria-label') ?? e.textContent ?? '').slice(0, 40)}" does not show that it has the focus`;
});

test('by keyboard alone: a way past the navigation, a focus that is seen, dialogs that keep it and give it back', { timeout: 120000 }, async () => {
  await ui.go(ann, '/teams/shop');
  await shown(byName(ann, 'grid', 'Members'));
  await ann.evaluate(() => document.activeElement?.blur());
  await ann.keyboard.press('Tab');
  assert.equal(await ann.evaluate(() => document.activeElement?.textContent), 'Skip to the content');
  await ann.keyboard.press('Enter');
  await ann.keyboard.press('Tab');
  assert.ok(await ann.evaluate(() => document.querySelector('main')?.contains(document.activeElement)), 'the focus is in the content');
  for (const path of ['/teams/shop', '/teams/shop/workloads/hello?tab=logs', '/teams/shop/secrets', '/audit']) {
    await visit(ann, path);
    const faults = new Set();
    for (let i = 0; i < 30; ++i) { await ann.keyboard.press('Tab'); const fault = await focusShows(ann); if (fault && !fault.startsWith('nothing')) faults.add(fault); }
    assert.deepEqual([...faults], [], path);
  }
  await visit(ann, '/teams/shop');
  const opener = byName(ann, 'button', 'Remove ben');
  await opener.focus();
  await ann.keyboard.press('Enter');
  const dialog = ann.getByRole('dialog');
  await shown(dialog);
  const inside = () => ann.evaluate(() => document.querySelector('[role=dialog]')?.contains(document.activeElement));
  await until('the focus in the dialog', inside);
  for (let i = 0; i < 8; ++i) { await ann.keyboard.press(i < 5 ? 'Tab' : 'Shift+Tab'); assert.ok(await inside(), 'the dialog keeps the focus'); }
  await ann.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await until('the focus back at its button', () => opener.evaluate((e) => document.activeElement === e));
});

test('a viewer sees, and is told what only others may', { timeout: 60000 }, async () => {
  const vic = await ui.newPage();
  await ui.signIn(vic, 'vic', '/teams/shop');
  await shown(byName(vic, 'grid', 'Members'));
  assert.equal(await byName(vic, 'button', /^Remove/).count(), 0);
  await m.cliOk(['secret', 'put', 'shop/web/mail', '--key', 'password'], { input: 'of-the-administrator' });
  await ui.go(vic, '/teams/shop/secrets');
  await vic.getByRole('button', { name: 'Show web/mail' }).click();
  await vic.getByRole('dialog').getByRole('button', { name: 'Show the values' }).click();
  await shown(vic.getByRole('dialog').getByText('You may not see this secret'));
  assert.ok(!(await vic.content()).includes('of-the-administrator'));
  await ui.go(vic, '/teams/shop/terraform/shop/network');
  await shown(byName(vic, 'heading', /network/));
  assert.deepEqual(vic.faults, []);
  await vic.context().close();
});

test('what is not there is said to be gone, and an address that leads nowhere leads on', { timeout: 60000 }, async () => {
  await visit(ann, '/teams/shop/runs/none');
  await shown(ann.getByText('There is no such run'));
  assert.equal(await ann.getByText('Pending').count(), 0, 'a run that does not exist is in no state');
  await visit(ann, `/teams/shop/repositories/hello/commits/${'1'.repeat(40)}`);
  await shown(ann.getByText('This commit cannot be found'));
  await visit(ann, '/teams/%zz');
  await shown(ann.getByText('There is no team %zz'));
  await ui.go(ann, '/callback');
  await shown(byName(ann, 'heading', 'Overview'));
  assert.deepEqual(ann.faults, []);
});

test('a restart of the platform is told, and live views go on after it', { timeout: 120000 }, async () => {
  await ui.go(ann, '/teams/shop/repositories');
  await shown(byName(ann, 'link', 'hello'));
  await m.kill9();
  await shown(ann.getByText('Reconnecting'));
  await m.start();
  await m.cliOk(['repo', 'create', 'afterwards', '--team', 'shop']);
  await shown(byName(ann, 'link', 'afterwards'), 30000);
  assert.equal(await ann.getByText('Reconnecting').count(), 0);
});

test('a session that was ended elsewhere ends here, and leads back after signing in', { timeout: 90000 }, async () => {
  await ui.go(ann, '/teams/shop/runs');
  await shown(byName(ann, 'grid', 'Runs'));
  await m.kubectlOk(['delete', 'oauthgrants', '--all']);
  await shown(ann.getByText('Your session has ended'), 45000);
  assert.deepEqual(ann.faults, []);
  await ann.getByRole('button', { name: 'Sign in' }).click();
  await ann.waitForURL(`${m.url}/console/teams/shop/runs`);
  await shown(byName(ann, 'grid', 'Runs'));
});
