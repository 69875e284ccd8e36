import { defineConfig } from 'vite';

// `npm run dev` serves the sources and passes the rest on to a Mainstay: MAINSTAY_URL, by default the one of `make up`.
const target = process.env.MAINSTAY_URL ?? 'https://127.0.0.1:6443';
const proxy = { target, secure: false, changeOrigin: true };

export default defineConfig({
  base: '/console/',
  // The content security policy allows no data: addresses, and no inline script.
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: false, chunkSizeWarningLimit: 900 },
  esbuild: { jsx: 'automatic', legalComments: 'none' },
  server: {
    proxy: {
      '/api': proxy, '/apis': proxy, '/oauth2': proxy, '/.well-known': proxy, '/v1': proxy, '/loki': proxy, '/prometheus': proxy,
      '/console/stream': { ...proxy, ws: true },
    },
  },
});
