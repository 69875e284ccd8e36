import assert from 'node:assert/strict';
import { request as httpsRequest } from 'node:https';
import { request as httpRequest } from 'node:http';

// A browser without JavaScript: keeps cookies, follows redirects, fills in forms.
export class Browser {
  cookies = new Map();
  constructor(m, ca) { this.m = m; this.ca = ca; }
  send(url, { method = 'GET', form, headers = {} } = {}) {
    const body = form && new URLSearchParams(form).toString();
    return new Promise((done, fail) => {
      const request = (String(url).startsWith('http:') ? httpRequest : httpsRequest)(url, { method, ca: this.ca, headers: {
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
      if (to.origin !== this.m.url || to.pathname === '/console/callback' || to.pathname === '/console/') return { ...answer, location: to };
      answer = await this.send(to);
    }
    return answer;
  }
  async get(url) { return this.follow(await this.send(new URL(url, this.m.url))); }
  // Submits the page's form with its hidden fields and what a person types or presses.
  async submit(page, typed) {
    const action = /<form method="post" action="([^"]+)"/.exec(page.text)?.[1];
    assert.ok(action, `a form is on the page: ${page.status} ${page.text.slice(-600)}`);
    const form = {};
    for (const [, name, value] of page.text.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g))
      form[name] = value.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
    return this.follow(await this.send(new URL(action, this.m.url), { method: 'POST', form: { ...form, ...typed }, headers: { Origin: this.m.url } }));
  }
}
