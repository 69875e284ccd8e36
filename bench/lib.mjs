// Measuring and printing; the load generator is wrk.
import { run, ok, writeFileSync, join } from '../tests/system/lib/mainstay.mjs';

export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

export async function timed(action) {
  const began = performance.now();
  const result = await action();
  return { ms: performance.now() - began, result };
}

export function report(what, ours, unit, peerName, peer, { aim } = {}) {
  const show = (v) => (v >= 100 ? v.toFixed(0) : v.toFixed(1));
  let line = `${what.padEnd(44)} ${show(ours).padStart(9)} ${unit}`;
  if (peer !== undefined) {
    const ratio = ours / peer;
    line += `   ${peerName} ${show(peer)} ${unit}   ratio ${ratio.toFixed(2)}`;
  }
  if (aim !== undefined) line += `   (aim ${aim})`;
  console.log(line);
}

// Requests a second that wrk got answered with a status below 400; failures are said.
export async function wrk(url, { connections, seconds = 5, script, dir }) {
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`];
  if (script) {
    const file = join(dir, `wrk-${Math.random().toString(36).slice(2)}.lua`);
    writeFileSync(file, script, { mode: 0o600 });
    args.push('-s', file);
  }
  const { stdout } = await ok('wrk', [...args, url], { timeout: (seconds + 30) * 1000 });
  const failed = stdout.match(/Non-2xx or 3xx responses: (\d+)/);
  if (failed) console.log(`  ! ${failed[1]} requests failed: ${url}`);
  return Number(stdout.match(/Requests\/sec:\s+([\d.]+)/)[1]);
}

// Resident memory of a process and all below it, in MB; shared pages are counted once where the kernel tells (PSS).
export async function memory(pid) {
  const { stdout } = await run('sh', ['-c', `for p in ${pid} $(pgrep -P ${pid}); do awk '/^Rss:/ {r = $2} /^Pss:/ {p = $2} END {print r, p}' /proc/$p/smaps_rollup 2>/dev/null; done`]);
  const rows = stdout.trim().split('\n').map((l) => l.split(' ').map(Number));
  return { own: rows[0][0] / 1024, all: rows.reduce((sum, r) => sum + r[1], 0) / 1024 };
}
