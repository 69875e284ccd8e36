// Signing in, with the clients people use: openid-client in the place of a browser's application, kubectl, the command.
import { test, before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { request as httpsRequest } from 'node:https';
import { createServer } from 'node:http';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { Mainstay, run, ok, until, sleep, root, binary, freePort, join, readFileSync, writeFileSync, existsSync, mkdirSync } from './lib/mainstay.mjs';
import { Browser as PlainBrowser } from './lib/browser.mjs';

const require = createRequire(join(root, 'tests/package.json'));
const { Issuer, generators, custom } = require('openid-client');

let m, ca;

class Browser extends PlainBrowser {
  constructor() { super(m, ca); }
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

  test('device flow: the person sees the code, allows it, and the device gets its tokens', async () => {
    const device = new issuer.Client({ ...console_(), client_id: 'mainstay-cli', redirect_uris: [] });
    const handle = await device.deviceAuthorization({ scope: 'openid groups offline_access' });
    assert.match(handle.user_code, /^[B-Z]{4}-[B-Z]{4}$/);
    await assert.rejects(device.grant({ grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code: handle.device_code }), /authorization_pending/);
    const browser = new Browser();
    const wrong = await browser.submit(await browser.get('/oauth2/device?user_code=BBBB-BBBB'), { username: 'ann', password });
    assert.match(wrong.text, /wrong or has expired/);
    const ask = await browser.get(handle.verification_uri_complete);
    assert.match(ask.text, new RegExp(handle.user_code));
    assert.match((await browser.submit(ask, { answer: 'allow' })).text, /Device connected/);
    const tokens = await handle.poll();
    assert.equal(tokens.claims().preferred_username, 'ann');
    assert.ok((await device.refresh(tokens.refresh_token)).access_token);
    await device.revoke(tokens.refresh_token);
    await assert.rejects(device.refresh(tokens.refresh_token), /invalid_grant/);
  });

  test('mainstay login in a browser and on a device; kubectl renews by the command; logout ends it', async () => {
    for (const args of [['--no-browser'], ['--device']]) {
      const env = { ...process.env, ...m.env, DISPLAY: '', MAINSTAY_CONFIG: join(m.dataDir, `login${args[0]}.kubeconfig`) };
      const child = spawn(binary, ['login', m.url, '--ca-file', join(m.dataDir, 'ca.crt'), ...args], { env });
      let text = '';
      child.stdout.on('data', (d) => { text += d; });
      child.stderr.on('data', (d) => { text += d; });
      const ended = new Promise((done) => child.on('exit', done));
      const url = await until('the address is printed', () => /https:\S+/.exec(text)?.[0]);
      const browser = new Browser();
      let page = await browser.submit(await browser.get(url), { username: 'ann', password });
      page = await browser.submit(page, { answer: 'allow' });
      if (page.location) assert.equal((await fetch(page.location)).status, 200);
      assert.equal(await ended, 0, text);
      assert.match(text, /logged in to .* as ann/);
      assert.equal((await m.cliOk(['whoami'], { env })).stdout.trim(), 'ann');
      const kubectl = await m.kubectl(['--kubeconfig', env.MAINSTAY_CONFIG, 'get', 'configmaps', '-n', 'shop', '-o', 'name'], { env: { KUBECONFIG: env.MAINSTAY_CONFIG } });
      assert.equal(kubectl.code, 0, kubectl.all);
      // The access token's time is over: two commands at once renew it, once.
      const session = `${env.MAINSTAY_CONFIG}.session`;
      const kept = JSON.parse(readFileSync(session, 'utf8'));
      writeFileSync(session, JSON.stringify({ ...kept, accessToken: 'gone', expiresAt: '2020-01-01T00:00:00Z' }), { mode: 0o600 });
      const both = await Promise.all([m.cli(['whoami'], { env }), m.kubectl(['get', 'configmaps', '-n', 'shop', '-o', 'name'], { env: { KUBECONFIG: env.MAINSTAY_CONFIG } }), m.cli(['token', 'list'], { env })]);
      for (const one of both) assert.equal(one.code, 0, one.all);
      assert.match(both[2].stdout, /sign-in\s+mainstay-cli/);
      const renewed = JSON.parse(readFileSync(session, 'utf8'));
      assert.notEqual(renewed.refreshToken, kept.refreshToken);
      await m.cliOk(['logout'], { env });
      assert.equal((await call('/api/v1/namespaces/shop/configmaps', renewed.accessToken)).status, 401);
      assert.ok(!existsSync(session));
    }
  });

  test('users list and revoke their own tokens, and nobody else\'s', async () => {
    const token = await m.token('ann');
    const bens = await m.token('ben');
    const config = await m.kubeconfigFor('ann', token);
    const env = { MAINSTAY_CONFIG: config };
    const second = (await m.cliOk(['user', 'token', 'ann', '--description', 'laptop'], { env })).stdout.trim();
    assert.match((await m.cliOk(['token', 'list'], { env })).stdout, /laptop/);
    assert.equal((await m.cli(['token', 'list', '--user', 'ben'], { env })).code, 5);
    assert.equal((await m.cli(['token', 'revoke', bens], { env })).code, 4, 'as good as none');
    await m.cliOk(['token', 'revoke', second], { env });
    assert.equal((await call('/api/v1/namespaces/shop/configmaps', second)).status, 401);
    assert.equal((await call('/api/v1/namespaces/bank/configmaps', bens)).status, 200);
    // The kept git token of one sign-in is not another's.
    await m.cliOk(['git-credential', 'get'], { env: { MAINSTAY_CONFIG: join(m.dataDir, 'cli.kubeconfig') }, input: `protocol=https\nhost=${m.listen}\n\n` });
    const kept = join(m.dataDir, 'cli.kubeconfig.token');
    assert.ok(existsSync(kept));
    writeFileSync(kept, JSON.stringify({ ...JSON.parse(readFileSync(kept, 'utf8')), of: 'another', token: 'stale' }));
    const again = await m.cliOk(['git-credential', 'get'], { input: `protocol=https\nhost=${m.listen}\n\n` });
    assert.ok(!again.stdout.includes('stale'));
    await m.login();
    assert.ok(!existsSync(kept), 'a new login forgets it');
  });

  test('a team\'s own application: secret made, consent asked, its team\'s groups alone, never the API as the user', async () => {
    const apply = (object, env = {}) => m.kubectl(['apply', '-f', '-'], { input: JSON.stringify(object), env });
    const ann = { KUBECONFIG: await m.kubeconfigFor('ann', await m.token('ann')) };
    const object = { apiVersion: 'mainstay.dev/v1', kind: 'OAuthClient', metadata: { name: 'web', namespace: 'shop' },
      spec: { displayName: 'Web shop', redirectURIs: ['https://shop.example/cb'], postLogoutRedirectURIs: ['https://shop.example/'], serviceAccountName: 'default',
        grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'] } };
    const bad = await apply({ ...object, spec: { redirectURIs: ['http://shop.example/cb'] } }, ann);
    assert.match(bad.all, /spec.redirectURIs\[0\].*https/s);
    assert.match((await apply({ ...object, metadata: { name: 'web', namespace: 'bank' } }, ann)).all, /forbidden/i);
    const made = await apply(object, ann);
    assert.equal(made.code, 0, made.all);
    await m.kubectlOk(['wait', '--for=condition=Ready', 'oauthclient/web', '-n', 'shop', '--timeout=30s']);
    const secret = (await m.json(['get', 'secret', 'web-oauth', '-n', 'shop'])).data;
    const app = new issuer.Client({ client_id: 'shop.web', client_secret: Buffer.from(secret['client-secret'], 'base64').toString(), redirect_uris: ['https://shop.example/cb'], response_types: ['code'], id_token_signed_response_alg: 'ES256' });
    await m.kubectlOk(['patch', 'team', 'bank', '--type=json', '-p', '[{"op":"add","path":"/spec/members/-","value":{"user":"ann","role":"viewer"}}]']);
    const browser = new Browser();
    const flow = await codeFlow(app, browser, { pages: [{ username: 'ann', password }, { answer: 'allow' }] });
    const tokens = await flow.redeem();
    assert.deepEqual(tokens.claims().groups.sort(), ['team:shop', 'team:shop:owner'], 'nothing of the bank');
    assert.equal((await app.userinfo(tokens)).preferred_username, 'ann');
    assert.equal((await call('/api/v1/namespaces/shop/configmaps', tokens.access_token)).status, 401, 'not a token for the API');
    assert.ok((await (await codeFlow(app, browser)).redeem()).id_token, 'asked once');
    const denied = await codeFlow(app, browser, { extra: { prompt: 'consent' }, pages: [{ answer: 'deny' }] });
    assert.equal(denied.params.error, 'access_denied');
    // A code of one application is nothing to another, nor without its secret.
    const other = await codeFlow(app, browser);
    await assert.rejects(client.grant({ grant_type: 'authorization_code', code: other.code, redirect_uri: 'https://shop.example/cb', code_verifier: other.verifier }), /invalid_grant/);
    const liar = new issuer.Client({ client_id: 'shop.web', client_secret: 'x'.repeat(32), redirect_uris: ['https://shop.example/cb'] });
    await assert.rejects(liar.grant({ grant_type: 'client_credentials' }), /invalid_client/);
    // For itself it is the service account that its object names, in its namespace alone.
    const own = await app.grant({ grant_type: 'client_credentials' });
    const who = JSON.parse((await new Browser().send(new URL('/apis/authentication.k8s.io/v1/selfsubjectreviews', m.url), { method: 'POST', headers: { Authorization: `Bearer ${own.access_token}`, 'Content-Type': 'application/json' } })).text || '{}');
    if (who.status?.userInfo) assert.equal(who.status.userInfo.username, 'system:serviceaccount:shop:default');
    assert.equal((await call('/api/v1/namespaces/bank/configmaps', own.access_token)).status, 403);
    const out = await browser.get(app.endSessionUrl({ id_token_hint: tokens.id_token, post_logout_redirect_uri: 'https://shop.example/' }));
    assert.equal(out.location.href, 'https://shop.example/');
    const still = await (await codeFlow(app, new Browser(), { pages: [{ username: 'ann', password }, { answer: 'allow' }] })).redeem();
    await m.kubectlOk(['delete', 'oauthclient', 'web', '-n', 'shop']);
    await until('what users gave it ends', async () => (await call('/oauth2/userinfo', still.access_token)).status === 401);
    await until('its tokens end', async () => (await call('/api/v1/namespaces/bank/configmaps', own.access_token)).status === 401);
    await assert.rejects(app.refresh(tokens.refresh_token), /invalid_client/);
    // Another application of that name is a stranger: it is asked for again.
    assert.equal((await apply(object, ann)).code, 0);
    await m.kubectlOk(['wait', '--for=condition=Ready', 'oauthclient/web', '-n', 'shop', '--timeout=30s']);
    const fresh = new Browser();
    const asked = await fresh.submit(await fresh.get(app.authorizationUrl({ scope: 'openid', code_challenge: generators.codeChallenge(generators.codeVerifier()), code_challenge_method: 'S256' })), { username: 'ann', password });
    assert.match(asked.text, /Allow access/);
    await m.kubectlOk(['delete', 'oauthclient', 'web', '-n', 'shop']);
  });

  test('a second factor: enrolled on the account page, asked for, each code once, recovery codes once', async () => {
    const code = (key, step = Math.floor(Date.now() / 30000)) => {
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
      const bits = [...key].map((c) => alphabet.indexOf(c).toString(2).padStart(5, '0')).join('');
      const secret = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
      const counter = Buffer.alloc(8);
      counter.writeBigUInt64BE(BigInt(step));
      const mac = createHmac('sha1', secret).update(counter).digest();
      return ((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1000000).toString().padStart(6, '0');
    };
    await m.cliOk(['user', 'create', 'cleo', '--if-missing']);
    await setPassword('cleo');
    const browser = new Browser();
    const page = await browser.submit(await browser.get('/oauth2/account'), { username: 'cleo', password });
    const post = async (fields) => browser.follow(await browser.send(new URL('/oauth2/account', m.url), { method: 'POST', form: { form_token: /name="form_token" value="([0-9a-f]+)"/.exec(page.text)[1], ...fields } }));
    assert.equal((await post({ action: 'totp_begin', current: 'wrong' })).status, 403);
    const enrol = await post({ action: 'totp_begin', current: password });
    const key = /<code id="key">([A-Z2-7]+)</.exec(enrol.text)[1];
    const used = code(key);
    const shown = await browser.submit(enrol, { code: used });
    const recovery = [...shown.text.matchAll(/<li><code>([^<]+)</g)].map((one) => one[1]);
    assert.equal(recovery.length, 10, shown.text);
    const tryIn = async (typed) => {
      const other = new Browser();
      const second = await other.submit(await other.get('/oauth2/account'), { username: 'cleo', password });
      assert.match(second.text, /Enter your code/);
      return other.submit(second, { code: typed });
    };
    assert.match((await tryIn(used)).text, /wrong or was used/, 'a code counts once');
    assert.match((await tryIn(recovery[0])).text, /Your sign-in/);
    assert.match((await tryIn(recovery[0])).text, /wrong or was used/);
    assert.match((await tryIn(code(key, Math.floor(Date.now() / 30000) + 1))).text, /Your sign-in/, 'the next code');
    // Codes sent all at once: no more of them are looked at than one after the other.
    const guesser = new Browser();
    const second = await guesser.submit(await guesser.get('/oauth2/account'), { username: 'cleo', password });
    const guesses = await Promise.all([...Array(60).keys()].map((i) => guesser.submit(second, { code: String(100000 + i) })));
    const looked = guesses.filter((one) => /wrong or was used/.test(one.text)).length;
    assert.ok(looked > 0 && looked <= 6, `${looked} of 60 were looked at`);
    await m.cliOk(['user', 'reset-totp', 'cleo']);
    const plain = new Browser();
    await until('the password is enough again', async () => /Your sign-in/.test((await plain.submit(await plain.get('/oauth2/account'), { username: 'cleo', password })).text), { every: 500 });
  });

  test('failed attempts slow down; a new password signs out everywhere', async () => {
    const tokens = await (await codeFlow(client, new Browser(), { pages: [{ username: 'cleo', password }] })).redeem();
    const vault = JSON.parse((await m.curl('/v1/auth/jwt/login', ['-d', JSON.stringify({ role: 'any', jwt: tokens.access_token })])).stdout).auth.client_token;
    const looked_up = async () => (await m.curl('/v1/auth/token/lookup-self', ['-o', '/dev/null', '-w', '%{http_code}', '-H', `X-Vault-Token: ${vault}`])).stdout;
    assert.equal(await looked_up(), '200');
    await setPassword('cleo', 'quite another passphrase');
    await assert.rejects(client.refresh(tokens.refresh_token), /invalid_grant/);
    await until('a login to secrets to have ended, too', async () => (await looked_up()) === '403');
    const browser = new Browser();
    const page = await browser.get('/oauth2/account');
    let last;
    for (let i = 0; i < 8; ++i) last = await browser.submit(page, { username: 'cleo', password: `wrong ${i} password` });
    assert.equal(last.status, 429);
    assert.ok(Number(last.headers['retry-after']) > 0);
    assert.equal((await browser.submit(page, { username: 'ann', password })).status, 200, 'others are not held up');
    // A hundred at once are as many tries as a hundred in a row: the wait is counted before the password is looked at.
    await m.cliOk(['user', 'create', 'dan', '--if-missing']);
    await setPassword('dan', password);
    const signedOut = async (username) => {
      const known = new Browser();
      assert.match((await known.submit(await known.get('/oauth2/account'), { username, password })).text, /Your sign-in/);
      for (const name of [...known.cookies.keys()]) if (!/-(known|form)$/.test(name)) known.cookies.delete(name);
      return known;
    };
    const usual = await signedOut('dan'), other = await signedOut('ann');
    const burst = new Browser(), form = await burst.get('/oauth2/account');
    const answers = await Promise.all([...Array(40).keys()].map((i) => burst.submit(form, { username: 'dan', password: `wrong ${i} password` })));
    const looked = answers.filter((one) => one.status === 401).length;
    assert.ok(looked <= 6, `${looked} of 40 were looked at`);
    // Where dan has signed in before he still can, and nobody else by that: strangers' guesses lock nobody out.
    for (let wait = 0; wait < 16; ) {
      await sleep(wait * 1000);
      wait = Number((await burst.submit(form, { username: 'dan', password: 'a wrong password' })).headers['retry-after'] ?? 0);
    }
    assert.equal((await burst.submit(form, { username: 'dan', password })).status, 429);
    assert.equal((await other.submit(await other.get('/oauth2/account'), { username: 'dan', password })).status, 429);
    const again = await usual.get('/oauth2/account');
    assert.match((await usual.submit(again, { username: 'dan', password })).text, /Your sign-in/);
    usual.cookies.delete('__Host-mainstay-session');
    for (let i = 0; i < 8; ++i) last = await usual.submit(again, { username: 'dan', password: `wrong ${i} password` });
    assert.equal(last.status, 429, 'a known browser has a limit, too');
    // Nor can user codes of devices be guessed at the page that takes the answer.
    const ann = new Browser();
    let device = await ann.submit(await ann.get('/oauth2/device'), { username: 'ann', password });
    const form_token = /name="form_token" value="([0-9a-f]+)"/.exec((await ann.get('/oauth2/account')).text)[1];
    for (let i = 0; i < 8; ++i) device = await ann.send(new URL('/oauth2/device', m.url), { method: 'POST', form: { form_token, user_code: 'BBBB-BBB' + 'CDFGHJKL'[i], answer: 'deny' } });
    assert.match(device.text, /Too many wrong codes/);
  });

  test('a new password on one\'s own page ends all else: other browsers, devices that stay, and the cookie there was', async () => {
    const mine = new Browser(), stolen = new Browser();
    await mine.submit(await mine.get('/oauth2/account'), { username: 'ann', password });
    stolen.cookies = new Map(mine.cookies);
    const offline = await (await codeFlow(client, new Browser(), { scope: 'openid offline_access', pages: [{ username: 'ann', password }] })).redeem();
    const form_token = /name="form_token" value="([0-9a-f]+)"/.exec((await mine.get('/oauth2/account')).text)[1];
    const post = (fields) => mine.send(new URL('/oauth2/account', m.url), { method: 'POST', form: { form_token, action: 'password', ...fields } });
    const changed = await post({ current: password, password: 'a new and long one', again: 'a new and long one' });
    assert.match(changed.text, /The password is changed/);
    assert.match((await mine.get('/oauth2/account')).text, /signed in as <strong>ann/, 'this browser goes on');
    assert.match((await stolen.get('/oauth2/account')).text, /name="password"/, 'the cookie it had does not');
    assert.equal((await call('/api/v1/namespaces/shop/configmaps', offline.access_token)).status, 401);
    await assert.rejects(client.refresh(offline.refresh_token), /invalid_grant/);
    await setPassword('ann');
  });

  test('keys rotate; what the old one signed stays valid; kill -9 loses no sign-in', async () => {
    const browser = new Browser();
    const tokens = await (await codeFlow(client, browser, { pages: [{ username: 'ann', password }] })).redeem();
    await m.kubectlOk(['create', '--raw', '/oauth2/keys', '-f', '/dev/null']);
    const keys = JSON.parse((await new Browser().get('/oauth2/jwks')).text).keys;
    assert.equal(keys.length, 3, 'one to come, one that signs, one that did');
    const after = await client.refresh(tokens.refresh_token);
    const kid = (token) => JSON.parse(Buffer.from(token.split('.')[0], 'base64url')).kid;
    assert.notEqual(kid(after.access_token), kid(tokens.access_token));
    assert.equal(after.claims().preferred_username, 'ann', 'openid-client fetched the new key');
    await m.kill9();
    await m.start();
    assert.equal((await call('/api/v1/namespaces/shop/configmaps', tokens.access_token)).status, 200);
    assert.ok((await client.refresh(after.refresh_token)).access_token);
    assert.ok((await (await codeFlow(client, browser, { extra: { prompt: 'none' } })).redeem()).access_token, 'the browser is still signed in');
  });

  test('what goes on ends with the right to it: a watch with the team, the user and the session', async () => {
    const watch = (token, namespace = 'bank') => new Promise((done, fail) => {
      const request = httpsRequest(new URL(`/api/v1/namespaces/${namespace}/configmaps?watch=true`, m.url), { ca, headers: { Authorization: `Bearer ${token}` } }, (response) => {
        const stream = { text: '', ended: false, status: response.statusCode };
        response.on('data', (data) => { stream.text += data; if (stream.text.includes('ADDED')) done(stream); });
        for (const end of ['end', 'close', 'error']) response.on(end, () => { stream.ended = true; done(stream); });
      });
      request.on('error', fail);
      request.end();
    });
    const member = (op) => m.kubectlOk(['patch', 'team', 'bank', '--type=json', '-p', JSON.stringify([op])]);
    await m.cliOk(['user', 'create', 'eve', '--if-missing']);
    await setPassword('eve');
    const at = async () => (await m.json(['get', 'team', 'bank'])).spec.members.findIndex((one) => one.user === 'eve');
    const join_ = () => member({ op: 'add', path: '/spec/members/-', value: { user: 'eve', role: 'viewer' } });
    await join_();
    const token = await m.token('eve'), other = await m.token('ben');
    const [eves, bens] = [await watch(token), await watch(other)];
    assert.equal(eves.status, 200);
    await member({ op: 'remove', path: `/spec/members/${await at()}` });
    await until('who left the team sees no more of it', () => eves.ended, { limit: 5000 });
    await m.kubectlOk(['create', 'configmap', 'after', '-n', 'bank']);
    await until('the others do', () => bens.text.includes('"after"'), { limit: 5000 });
    assert.ok(!eves.text.includes('"after"') && !bens.ended);
    await join_();
    const signedIn = await (await codeFlow(client, new Browser(), { pages: [{ username: 'eve', password }] })).redeem();
    const [byToken, bySession] = [await watch(token), await watch(signedIn.access_token)];
    // A session deleted as an object takes its tokens along.
    await m.kubectlOk(['delete', 'loginsessions', '--field-selector', 'spec.user=eve']);
    await until('what came of the session ends', () => bySession.ended, { limit: 5000 });
    assert.equal((await call('/api/v1/namespaces/bank/configmaps', signedIn.access_token)).status, 401);
    assert.ok(!byToken.ended);
    const browser = new Browser();
    await browser.submit(await browser.get('/oauth2/account'), { username: 'eve', password });
    await m.kubectlOk(['patch', 'user', 'eve', '--type=merge', '-p', '{"spec":{"disabled":true}}']);
    await until('a disabled user sees no more', () => byToken.ended, { limit: 5000 });
    await until('nor stays signed in', async () => (await m.json(['get', 'loginsessions'])).items.every((one) => one.spec.user !== 'eve'), { limit: 5000 });
    await m.kubectlOk(['patch', 'user', 'eve', '--type=merge', '-p', '{"spec":{"disabled":false}}']);
    assert.match((await browser.get('/oauth2/account')).text, /name="password"/, 'who is let in again signs in again');
    assert.ok(!bens.ended);
  });

  test('a watch goes on over a restart: nothing in between is missed, and nothing is listed again', async () => {
    const before = (await m.json(['get', 'configmaps', '-n', 'bank'])).metadata.resourceVersion;
    const list = async () => Number(JSON.parse((await m.kubectlOk(['get', '--raw', '/api/v1/namespaces/bank/configmaps'])).stdout).metadata.resourceVersion);
    const from = await list();
    assert.ok(from > 0, before);
    await m.kubectlOk(['create', 'configmap', 'made', '-n', 'bank']);
    await m.kubectlOk(['create', 'configmap', 'passing', '-n', 'bank', '--from-literal=last=words']);
    await m.kubectlOk(['delete', 'configmap', 'passing', '-n', 'bank']);
    await m.kill9();
    await m.start();
    const events = (await m.kubectlOk(['get', '--raw', `/api/v1/namespaces/bank/configmaps?watch=true&timeoutSeconds=1&resourceVersion=${from}`])).stdout.trim().split('\n').map((line) => JSON.parse(line));
    assert.deepEqual(events.map((one) => `${one.type} ${one.object.metadata?.name}`), ['MODIFIED made', 'DELETED passing']);
    assert.deepEqual(events[1].object.data, { last: 'words' });
  });

  test('a deleted user leaves the teams, and every token ends', async () => {
    const token = await m.token('ben');
    const tokens = await (await codeFlow(client, new Browser(), { pages: [{ username: 'ben', password }] })).redeem();
    await m.kubectlOk(['delete', 'user', 'ben', '--timeout=30s']);
    for (const one of [token, tokens.access_token]) await until('the token ends', async () => (await call('/api/v1/namespaces/bank/configmaps', one)).status === 401);
    const team = await m.json(['get', 'team', 'bank']);
    assert.ok(!team.spec.members.some((member) => member.user === 'ben'));
    assert.ok(!(await m.json(['get', 'accesstokens'])).items.some((one) => one.spec.user === 'ben'));
    // A new user of that name is somebody else.
    await m.cliOk(['user', 'create', 'ben']);
    await assert.rejects(client.refresh(tokens.refresh_token), /invalid_grant/);
  });

  const applied = async (object) => {
    const done = await m.kubectl(['apply', '-f', '-'], { input: JSON.stringify(object) });
    assert.equal(done.code, 0, done.all);
  };
  const secret = (name, key, value) => applied({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'kube-system' }, stringData: { [key]: value } });
  const provider = async (name, spec) => {
    await applied({ apiVersion: 'mainstay.dev/v1', kind: 'IdentityProvider', metadata: { name }, spec });
    const done = await m.kubectl(['wait', '--for=condition=Ready', `identityprovider/${name}`, '--timeout=30s']);
    if (done.code !== 0) assert.fail(JSON.stringify((await m.json(['get', 'identityprovider', name])).status));
  };

  test('another OpenID provider: its people come in, its groups are roles, and nobody takes a name that is there', async () => {
    const { default: Provider } = await import(join(root, 'tests/node_modules/oidc-provider/lib/index.js'));
    const port = await freePort();
    const keyOf = (kid, type, options) => ({ ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), kid, use: 'sig' });
    const made = (keys, alg) => new Provider(`http://127.0.0.1:${port}`, {
      jwks: { keys },
      clients: [{ client_id: 'mainstay', client_secret: 'upstream-secret-of-thirty-two-bytes', redirect_uris: [`${m.url}/oauth2/upstream/corp/callback`], id_token_signed_response_alg: alg }],
      enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA', 'HS256'] },
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id === 'd1' ? 'Dora.Example@corp' : id, name: 'Dora', email: 'dora@corp.example', groups: ['developers', 'team:bank:owner', 'mainstay:admins'] }) }),
      claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups'], email: ['email'] },
      features: { devInteractions: { enabled: true } },
    }).callback();
    const rsa = keyOf('one', 'rsa', { modulusLength: 2048 });
    let handler = made([rsa], 'RS256'), forge, keysAsked = 0;
    const server = createServer((request, response) => {
      if (request.url === '/jwks') ++keysAsked;
      if (request.url === '/token' && forge) {
        const end = response.end.bind(response);
        response.end = (body) => {
          const answer = JSON.parse(body);
          const text = JSON.stringify({ ...answer, id_token: forge(answer.id_token) });
          response.setHeader('Content-Length', Buffer.byteLength(text));
          return end(text);
        };
      }
      handler(request, response);
    });
    await new Promise((done) => server.listen(port, '127.0.0.1', done));
    try {
      await secret('corp', 'client-secret', 'upstream-secret-of-thirty-two-bytes');
      await provider('corp', { type: 'oidc', displayName: 'Example Corp', oidc: { issuer: `http://127.0.0.1:${port}`, clientID: 'mainstay', clientSecretRef: { namespace: 'kube-system', name: 'corp' } }, groupMappings: [{ group: 'developers', team: 'shop', role: 'viewer' }] });
      const walk = async (browser, url) => {
        let answer = await browser.send(url);
        for (let i = 0; i < 15 && answer.status >= 300 && answer.status < 400; ++i) answer = await browser.send(new URL(answer.headers.location, answer.url));
        return answer;
      };
      const comeIn = async (login) => {
        const browser = new Browser();
        const page = await browser.get('/oauth2/account');
        const link = /href="(\/oauth2\/upstream\/corp[^"]*)">Sign in with Example Corp/.exec(page.text)[1];
        let shown = await walk(browser, new URL(link.replaceAll('&amp;', '&'), m.url));
        for (const fields of [{ prompt: 'login', login, password: 'x' }, { prompt: 'consent' }]) {
          const action = /action="([^"]+)"/.exec(shown.text)[1];
          const answer = await browser.send(new URL(action, shown.url), { method: 'POST', form: fields });
          shown = await walk(browser, new URL(answer.headers.location, answer.url));
        }
        return { browser, shown };
      };
      const { browser, shown } = await comeIn('d1');
      assert.match(shown.text, /signed in as <strong>dora-example</, shown.text);
      const tokens = await (await codeFlow(client, browser)).redeem();
      assert.deepEqual(tokens.claims().groups.sort(), ['team:shop', 'team:shop:viewer'], 'what is mapped, and nothing of what it claims');
      assert.equal((await call('/api/v1/namespaces/shop/configmaps', tokens.access_token)).status, 200);
      assert.equal((await call('/api/v1/namespaces/bank/configmaps', tokens.access_token)).status, 403);
      const taken = await comeIn('admin');
      assert.equal(taken.shown.status, 403);
      assert.match(taken.shown.text, /there is a user admin here already/);
      // An answer that this browser did not ask for.
      const forged = await new Browser().send(new URL('/oauth2/upstream/corp/callback?code=x&state=y', m.url));
      assert.equal(forged.status, 403);
      // Keys are kept between sign-ins; one that is new is fetched. Every algorithm that counts.
      assert.equal((await comeIn('d1')).shown.status, 200);
      assert.equal(keysAsked, 1);
      for (const [key, alg] of [[keyOf('two', 'rsa', { modulusLength: 3072 }), 'PS256'], [keyOf('three', 'ec', { namedCurve: 'P-256' }), 'ES256'], [keyOf('four', 'ed25519'), 'EdDSA']]) {
        handler = made([key], alg);
        assert.match((await comeIn('d1')).shown.text, /signed in as <strong>dora-example</, alg);
      }
      assert.equal(keysAsked, 4);
      // What its keys did not sign is nobody's, though it came from there.
      handler = made([rsa], 'RS256');
      const b64 = (value) => Buffer.from(value).toString('base64url');
      const resigned = (header, signer) => (token) => { const text = `${b64(JSON.stringify(header))}.${token.split('.')[1]}`; return `${text}.${signer(text)}`; };
      const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
      for (const [what, how] of [
        ['a key of somebody else', resigned({ alg: 'RS256', kid: 'one' }, (text) => sign('sha256', Buffer.from(text), stranger).toString('base64url'))],
        ['no signature', resigned({ alg: 'none' }, () => '')],
        ['the client secret', resigned({ alg: 'HS256' }, (text) => createHmac('sha256', 'upstream-secret-of-thirty-two-bytes').update(text).digest('base64url'))],
        ['other claims', (token) => { const [head, claims, signature] = token.split('.'); return [head, b64(JSON.stringify({ ...JSON.parse(Buffer.from(claims, 'base64url')), sub: 'd2' })), signature].join('.'); }],
      ]) {
        forge = how;
        const { browser: nobody, shown } = await comeIn('d1');
        assert.equal(shown.status, 403, what);
        assert.match((await nobody.get('/oauth2/account')).text, /name="password"/, `${what}: not signed in`);
      }
      forge = undefined;
      assert.ok(keysAsked <= 6, 'fetches are bounded');
      assert.equal((await comeIn('d1')).shown.status, 200);
    } finally { server.close(); server.closeAllConnections(); }
  });

  test('an LDAP directory (slapd): StartTLS and ldaps, bind as the user, groups are roles', async () => {
    const dir = join(m.dataDir, 'slapd');
    mkdirSync(join(dir, 'db'), { recursive: true });
    const [plain, tls] = [await freePort(), await freePort()];
    await ok('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', join(dir, 'key.pem'), '-out', join(dir, 'cert.pem'), '-days', '2', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']);
    writeFileSync(join(dir, 'slapd.conf'), `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile ${dir}/slapd.pid
TLSCertificateFile ${dir}/cert.pem
TLSCertificateKeyFile ${dir}/key.pem
security simple_bind=128
database mdb
suffix dc=example
directory ${dir}/db
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
`);
    const person = (uid, more = '') => `dn: uid=${uid},ou=people,dc=example\nobjectClass: inetOrgPerson\nuid: ${uid}\ncn: ${uid} example\nsn: example\nmail: ${uid}@example.com\nuserPassword: ${uid} in the directory\n${more}\n`;
    writeFileSync(join(dir, 'data.ldif'), `dn: dc=example\nobjectClass: domain\ndc: example\n\ndn: ou=people,dc=example\nobjectClass: organizationalUnit\nou: people\n\n${person('erin')}${person('frank')}${person('reader')}dn: cn=devs,dc=example\nobjectClass: groupOfNames\ncn: devs\nmember: uid=erin,ou=people,dc=example\n\n`);
    await ok('slapadd', ['-f', join(dir, 'slapd.conf'), '-l', join(dir, 'data.ldif')]);
    const slapd = spawn('slapd', ['-f', join(dir, 'slapd.conf'), '-h', `ldap://127.0.0.1:${plain} ldaps://127.0.0.1:${tls}`, '-d', '0'], { stdio: 'ignore' });
    try {
      await until('slapd answers', async () => (await run('ldapsearch', ['-x', '-H', `ldaps://127.0.0.1:${tls}`, '-b', '', '-s', 'base'], { env: { LDAPTLS_CACERT: join(dir, 'cert.pem') } })).code === 0);
      await secret('directory', 'password', 'reader in the directory');
      await applied({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'directory-ca', namespace: 'kube-system' }, data: { 'ca.crt': readFileSync(join(dir, 'cert.pem'), 'utf8') } });
      const spec = (url, more) => ({ type: 'ldap', ldap: { url, caRef: { namespace: 'kube-system', name: 'directory-ca' }, bindDN: 'uid=reader,ou=people,dc=example', bindPasswordRef: { namespace: 'kube-system', name: 'directory' }, userBaseDN: 'ou=people,dc=example', groupBaseDN: 'dc=example', ...more }, groupMappings: [{ group: 'devs', team: 'shop' }] });
      await provider('directory', spec(`ldap://127.0.0.1:${plain}`, { startTLS: true }));
      const attempt = async (username, typed) => {
        const browser = new Browser();
        return { browser, page: await browser.submit(await browser.get('/oauth2/account'), { username, password: typed }) };
      };
      const { browser, page } = await attempt('erin', 'erin in the directory');
      assert.match(page.text, /signed in as <strong>erin</, page.text);
      const tokens = await (await codeFlow(client, browser)).redeem();
      assert.deepEqual(tokens.claims().groups.sort(), ['team:shop', 'team:shop:developer']);
      assert.equal(tokens.claims().email, 'erin@example.com');
      assert.equal((await call('/api/v1/namespaces/shop/configmaps', tokens.access_token)).status, 200);
      assert.equal((await call('/api/v1/namespaces/bank/configmaps', tokens.access_token)).status, 403);
      for (const [name, typed] of [['erin', 'wrong'], ['frank', 'erin in the directory'], ['*', 'erin in the directory'], ['erin)(uid=*', 'x'], ['nobody', 'x']])
        assert.equal((await attempt(name, typed)).page.status, 401, `${name} stays out`);
      await provider('directory', spec(`ldaps://127.0.0.1:${tls}`));
      assert.match((await attempt('frank', 'frank in the directory')).page.text, /signed in as <strong>frank</);
      // Whom the platform has a password of is not asked for there.
      assert.match((await attempt('ann', password)).page.text, /signed in as <strong>ann</);
      // A password of their own here would outlive the account there.
      const erins = { MAINSTAY_CONFIG: await m.kubeconfigFor('erin', await m.token('erin')) };
      const own = await m.cli(['user', 'password', 'erin', '--stdin'], { input: `${password}\n`, env: erins });
      assert.equal(own.code, 5, own.all);
      assert.match(own.all, /signs in by directory/);
      // A Vault client's token has the roles that the directory gives, like any other.
      const vault = (path, options = {}) => new Browser().send(new URL(path, m.url), options);
      const login = await new Promise((done, fail) => {
        const request = httpsRequest(new URL('/v1/auth/jwt/login', m.url), { method: 'POST', ca }, (response) => { let text = ''; response.on('data', (d) => { text += d; }); response.on('end', () => done(JSON.parse(text))); });
        request.on('error', fail);
        request.end(JSON.stringify({ jwt: tokens.access_token, role: 'x' }));
      });
      assert.equal((await vault('/v1/secret/metadata/shop?list=true', { headers: { 'X-Vault-Token': login.auth.client_token } })).status, 404, 'an empty list, and not 403');
    } finally {
      slapd.kill('SIGTERM');
      await new Promise((done) => slapd.on('exit', done));
    }
    const browser = new Browser();
    const away = await browser.submit(await browser.get('/oauth2/account'), { username: 'erin', password: 'erin in the directory' });
    assert.equal(away.status, 503);
    assert.match(away.text, /directory does not answer/);
  });
});
