// Chromium at the console, as people use it.
import { createRequire } from 'node:module';
import { mkdirSync } from 'node:fs';
import { join, root } from './mainstay.mjs';

const require = createRequire(join(root, 'tests/package.json'));
const { chromium } = require('playwright-core');
// Where screenshots are kept, if they are.
const images = process.env.CONSOLE_IMAGES ? join(root, 'docs/images') : undefined;

export const launch = () => chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

export const shown = (locator, limit = 30000) => locator.first().waitFor({ state: 'visible', timeout: limit });

export class Console {
  constructor(m, browser, passwords) { Object.assign(this, { m, browser, passwords }); }

  // What went wrong within the page is in page.faults.
  async newPage({ dark = false, phone = false, bypassCSP = false } = {}) {
    const context = await this.browser.newContext({
      ignoreHTTPSErrors: true, bypassCSP, colorScheme: dark ? 'dark' : 'light', viewport: phone ? { width: 375, height: 812 } : { width: 1280, height: 860 },
    });
    const page = await context.newPage();
    page.setDefaultTimeout(30000);
    page.faults = [];
    page.on('pageerror', (error) => page.faults.push(error.message));
    page.on('console', (message) => { if (/Content Security Policy|Refused to/.test(message.text())) page.faults.push(message.text()); });
    return page;
  }
  go(page, path) { return page.goto(`${this.m.url}/console${path}`); }
  async signIn(page, user, path = '/') {
    await this.go(page, path);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.fill('#username', user);
    await page.fill('#password', this.passwords[user]);
    await page.press('#password', 'Enter');
    await page.waitForURL(`${this.m.url}/console${path}**`);
    await page.getByRole('button', { name: /^Sign out/ }).waitFor();
  }
  // The page as it is once nothing is being loaded any more.
  async settled(page) {
    await shown(page.getByRole('heading', { level: 1 }));
    await page.waitForFunction(() => !document.querySelector('.loading'), undefined, { timeout: 20000 });
  }
  async keep(page, name) {
    if (!images) return;
    mkdirSync(images, { recursive: true });
    await page.evaluate(() => document.fonts.ready);
    await page.screenshot({ path: join(images, `console-${name}.png`), animations: 'disabled' });
  }

  // What axe-core finds serious or critical by WCAG 2 A and AA and its own good practices; `colorsOnly` where the rest has been
  // looked at. The page is one of newPage({ bypassCSP: true }).
  async violations(page, { colorsOnly = false } = {}) {
    if (!(await page.evaluate(() => 'axe' in globalThis))) {
      await page.addScriptTag({ path: require.resolve('axe-core/axe.min.js') });
      await page.addStyleTag({ content: '*, ::before, ::after { transition: none !important }' });  // no colour on its way to another
    }
    const options = { resultTypes: ['violations'], ...(colorsOnly ? { runOnly: ['color-contrast'] } : {}) };
    const { violations } = await page.evaluate((o) => globalThis.axe.run(document, o), options);
    const told = (node) => `${node.target.join(' ')} [${node.failureSummary.split('\n')[1]?.trim()}]`;
    return violations.filter((v) => v.impact === 'serious' || v.impact === 'critical').map((v) => `${v.id}: ${v.nodes.slice(0, 4).map(told).join('; ')}`);
  }
}

export async function makeUsers(m, passwords) {
  for (const [user, password] of Object.entries(passwords)) {
    await m.cliOk(['user', 'create', user]);
    await m.cliOk(['user', 'password', user, '--stdin'], { input: `${password}\n` });
  }
}
