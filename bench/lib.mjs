// Measuring and printing; the load generator is wrk.
import { readdirSync, readFileSync } from 'node:fs';
import { ok, writeFileSync, join } from '../tests/system/lib/mainstay.mjs';

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

// Memory in MB: of the program itself (resident), and of everything that runs for this data directory: engines, the edge,
// conmon, containers. Shared pages are counted once between them (PSS).
export async function memory(m) {
  const parents = new Map(), ours = new Set();
  for (const pid of readdirSync('/proc').filter((p) => /^\d+$/.test(p)).map(Number)) {
    try {
      parents.set(pid, Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').pop().split(' ')[1]));
      if (pid !== process.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(m.dataDir)) ours.add(pid);
    } catch { /* it has ended */ }
  }
  for (let more = true; more;) {
    more = false;
    for (const [pid, parent] of parents) if (ours.has(parent) && !ours.has(pid)) { ours.add(pid); more = true; }
  }
  const value = (pid, name) => { try { return Number(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8').match(new RegExp(`^${name}:\\s+(\\d+)`, 'm'))[1]) / 1024; } catch { return 0; } };
  return { own: value(m.child.pid, 'Rss'), all: [...ours].reduce((sum, pid) => sum + value(pid, 'Pss'), 0) };
}
