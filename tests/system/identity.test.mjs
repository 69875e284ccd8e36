// Signing in, with the clients people use: openid-client in the place of a browser's application, kubectl, the command.
import { test, before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { request as httpsRequest } from 'node:https';
import { createRequire } from 'node:module';
import { Mainstay, run, until, root, join, readFileSync, writeFileSync, existsSync } from './lib/mainstay.mjs';

const require = createRequire(join(root, 'tests/package.json'));
const { Issuer, generators, custom } = require('openid-client');

let m, ca;

// A browser without JavaScript: keeps cookies, follows redirects, fills in forms.
class Browser {
  cookies = new Map();
  send(url, { method = 'GET', form, headers = {} } = {}) {
    const body = form && new URLSearchParams(form).toString();
    return new Promise((done, fail) => {
      const request = httpsRequest(url, { method, ca, headers: {
        ...(this.cookies.size ? { Cookie: [...this.cookies].map(([k, v]) => `${k}=${v}`).join('; ') } : {}),
        ...(body ? { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(body) } : {}), ...headers } },
      (response) => {
        let text = '';
        response.on('data', (data) => { text += data; });
        response.on('end', () => {
          for (const line of response.headers['set-cookie'] ?? []) {
            const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
            if (value) this.cookies.set(name, value); else this.cookies.delete(name);
          }
          done({ status: response.statusCode, headers: response.headers, text, url });
        });
      });
      request.on('error', fail);
      request.end(body);
    });
  }
  // Until a page comes, or a redirect to somewhere else than our own endpoint.
  async follow(answer) {
    for (let i = 0; i < 10 && answer.status >= 300 && answer.status < 400; ++i) {
      const to = new URL(answer.headers.location, answer.url);
      if (to.origin !== m.url || to.pathname === '/console/callback' || to.pathname === '/console/') return { ...answer, location: to };
      answer = await this.send(to);
    }
    return answer;
  }
  async get(url) { return this.follow(await this.send(new URL(url, m.url))); }
  // Submits the page's form with its hidden fields and what a person types or presses.
  async submit(page, typed) {
    const action = /<form method="post" action="([^"]+)"/.exec(page.text)?.[1];
    assert.ok(action, `a form is on the page: ${page.status} ${page.text.slice(-600)}`);
    const form = {};
    for (const [, name, value] of page.text.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g))
      form[name] = value.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
    return this.follow(await this.send(new URL(action, m.url), { method: 'POST', form: { ...form, ...typed }, headers: { Origin: m.url } }));
  }
}

const console_ = () => ({ client_id: 'mainstay-console', token_endpoint_auth_method: 'none', id_token_signed_response_alg: 'ES256', redirect_uris: [`${m.url}/console/callback`], response_types: ['code'] });
const call = (path, token, { method = 'GET' } = {}) => new Browser().send(new URL(path, m.url), { method, headers: { Authorization: `Bearer ${token}` } });
const password = 'a long enough passphrase';

// The code flow as openid-client checks it: state, nonce, PKCE, signature, issuer. `pages` answers what the browser shows.
async function codeFlow(client, browser, { scope = 'openid profile email groups', extra = {}, pages = [] } = {}) {
  const verifier = generators.codeVerifier(), state = generators.state(), nonce = generators.nonce();
  const redirect = client.metadata.redirect_uris[0];
  let page = await browser.get(client.authorizationUrl({ scope, state, nonce, code_challenge: generators.codeChallenge(verifier), code_challenge_method: 'S256', ...extra }));
  for (const typed of pages) page = await browser.submit(page, typed);
  assert.ok(page.location, `back to the application: ${page.status} ${page.text.slice(-500)}`);
  const params = client.callbackParams(page.location.href);
  return { params, redeem: () => client.callback(redirect, params, { state, nonce, code_verifier: verifier, response_type: 'code' }), code: params.code, verifier };
}

async function setPassword(user, value = password, args = []) {
  await m.cliOk(['user', 'password', user, '--stdin', ...args], { input: `${value}\n`, env: { MAINSTAY_CONFIG: join(m.dataDir, 'admin.kubeconfig') } });
}

describe('signing in', { concurrency: false }, () => {
  let issuer, client;
  before(async () => {
    m = await Mainstay.create();
    await m.start();
    await m.login();
    ca = readFileSync(join(m.dataDir, 'ca.crt'));
    custom.setHttpOptionsDefaults({ ca, timeout: 30000 });
    for (const user of ['ann', 'ben']) await m.cliOk(['user', 'create', user, '--email', `${user}@example.com`, '--display-name', `${user} of the shop`]);
    await m.cliOk(['team', 'create', 'shop', '--member', 'ann:owner']);
    await m.cliOk(['team', 'create', 'bank', '--member', 'ben:owner']);
    await setPassword('ann');
    await setPassword('ben');
    issuer = await Issuer.discover(m.url);
    client = new issuer.Client(console_());
  });
  after(async () => { await m?.down(); });

  test('the administrator comes in by the first password, once, and must choose another', async () => {
    const file = join(m.dataDir, 'admin.password');
    const first = readFileSync(file, 'utf8').trim();
    const browser = new Browser();
    const page = await browser.get('/oauth2/authorize?' + new URL(client.authorizationUrl({ scope: 'openid', code_challenge: generators.codeChallenge(generators.codeVerifier()), code_challenge_method: 'S256' })).searchParams);
    assert.match(page.headers['content-security-policy'], /default-src 'none'/);
    assert.ok(!page.text.includes('<script'));
    const choose = await browser.submit(page, { username: 'admin', password: first });
    assert.match(choose.text, /Choose a password/);
    assert.match((await browser.submit(choose, { password: 'short', again: 'short' })).text, /at least 10/);
    const back = await browser.submit(choose, { password: 'correct horse staple', again: 'correct horse staple' });
    assert.equal(back.location.pathname, '/console/callback');
    assert.ok(!existsSync(file));
    const again = await new Browser().submit(await new Browser().get('/oauth2/device'), { username: 'admin', password: first });
    assert.notEqual(again.status, 200);
  });

  test('code and PKCE: tokens that openid-client accepts, claims, and the whole API with the user\'s rights', async () => {
    const browser = new Browser();
    const tokens = await (await codeFlow(client, browser, { pages: [{ username: 'ann', password }] })).redeem();
    const claims = tokens.claims();
    assert.equal(claims.preferred_username, 'ann');
    assert.equal(claims.email, 'ann@example.com');
    assert.deepEqual(claims.groups.sort(), ['team:shop', 'team:shop:owner']);
    assert.ok(claims.auth_time <= Date.now() / 1000 + 5);
    const info = await client.userinfo(tokens);
    assert.equal(info.preferred_username, 'ann');
    assert.equal((await call('/api/v1/namespaces/shop/configmaps', tokens.access_token)).status, 200);
    assert.equal((await call('/api/v1/namespaces/bank/configmaps', tokens.access_token)).status, 403);
    const review = await run('kubectl', ['--server', m.url, '--certificate-authority', join(m.dataDir, 'ca.crt'), '--token', tokens.access_token, 'get', 'configmaps', '-n', 'shop', '-o', 'name'], { env: { KUBECONFIG: '/dev/null' } });
    assert.equal(review.code, 0, review.all);
    // Signed in already: no page at all, also without one being allowed.
    const silent = await codeFlow(client, browser, { extra: { prompt: 'none' } });
    assert.ok((await silent.redeem()).access_token);
    // An id_token is for the application, not for the API.
    assert.equal((await call('/api/v1/namespaces/shop/configmaps', tokens.id_token)).status, 401);
  });

  test('a code counts once; a second use ends what came of the first', async () => {
    const flow = await codeFlow(client, new Browser(), { pages: [{ username: 'ann', password }] });
    const tokens = await flow.redeem();
    await assert.rejects(flow.redeem(), /invalid_grant/);
    assert.equal((await call('/api/v1/namespaces/shop/configmaps', tokens.access_token)).status, 401);
  });

  test('refused: no PKCE, plain PKCE, a wrong verifier, a foreign redirect, a form of another site', async () => {
    const browser = new Browser();
    await codeFlow(client, browser, { pages: [{ username: 'ann', password }] });
    const ask = async (more) => browser.get('/oauth2/authorize?' + new URLSearchParams({ response_type: 'code', client_id: 'mainstay-console', redirect_uri: `${m.url}/console/callback`, scope: 'openid', ...more }));
    assert.equal((await ask({})).location.searchParams.get('error'), 'invalid_request');
    assert.equal((await ask({ code_challenge: 'x'.repeat(43), code_challenge_method: 'plain' })).location.searchParams.get('error'), 'invalid_request');
    const foreign = await ask({ redirect_uri: 'https://evil.example/console/callback' });
    assert.equal(foreign.status, 400);
    assert.equal(foreign.location, undefined);
    assert.equal((await ask({ redirect_uri: `${m.url}/console/callback/../x` })).status, 400);
    const flow = await codeFlow(client, browser);
    await assert.rejects(client.grant({ grant_type: 'authorization_code', code: flow.code, redirect_uri: `${m.url}/console/callback`, code_verifier: generators.codeVerifier() }), /invalid_grant/);
    await assert.rejects(flow.redeem(), /invalid_grant/, 'a wrong verifier spends the code');
    const page = await new Browser().get('/oauth2/device');
    const stranger = new Browser();
    assert.equal((await stranger.submit(page, { username: 'ann', password })).status, 403, 'no cookie of this form');
  });

  test('refresh tokens rotate; a used one ends the family', async () => {
    const tokens = await (await codeFlow(client, new Browser(), { pages: [{ username: 'ann', password }] })).redeem();
    const second = await client.refresh(tokens.refresh_token);
    assert.notEqual(second.refresh_token, tokens.refresh_token);
    const third = await client.refresh(second.refresh_token);
    assert.equal((await call('/api/v1/namespaces/shop/configmaps', third.access_token)).status, 200);
    await assert.rejects(client.refresh(second.refresh_token), /invalid_grant/);
    await assert.rejects(client.refresh(third.refresh_token), /invalid_grant/);
    assert.equal((await call('/api/v1/namespaces/shop/configmaps', third.access_token)).status, 401);
  });

  test('signing out ends the session and its tokens', async () => {
    const browser = new Browser();
    const tokens = await (await codeFlow(client, browser, { pages: [{ username: 'ben', password }] })).redeem();
    const out = await browser.get(client.endSessionUrl({ id_token_hint: tokens.id_token, post_logout_redirect_uri: `${m.url}/console/`, state: 's1' }));
    assert.equal(out.location.pathname, '/console/');
    assert.equal((await call('/api/v1/namespaces/bank/configmaps', tokens.access_token)).status, 401);
    await assert.rejects(client.refresh(tokens.refresh_token), /invalid_grant/);
    const silent = await codeFlow(client, browser, { extra: { prompt: 'none' } });
    assert.equal(silent.params.error, 'login_required');
  });
});
