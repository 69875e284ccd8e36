// Figures in words, by the units of Grafana's panels.
type Step = readonly [size: number, name: string];
const bytes: Step[] = [
  [2 ** 40, 'TiB'],
  [2 ** 30, 'GiB'],
  [2 ** 20, 'MiB'],
  [2 ** 10, 'KiB'],
  [1, 'B'],
];
const rates = bytes.map(([size, name]): Step => [size, `${name}/s`]);
const counts: Step[] = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];
const spans: Step[] = [
  [86400 * 2, 'd'],
  [3600 * 2, 'h'],
  [60 * 2, 'min'],
];
const inSeconds: Record<string, number> = { d: 86400, h: 3600, min: 60 };

const plain = (value: number, digits = 3) => String(+value.toPrecision(digits));

// In the largest unit that leaves at least one of it; what is smaller than all, in the last.
function scaled(value: number, steps: Step[]): string {
  const [size, name] = steps.find(([s]) => Math.abs(value) >= s) ?? steps.at(-1)!;
  return `${+(value / size).toFixed(1)} ${name}`;
}
function seconds(value: number): string {
  if (value === 0) return '0 s';
  if (Math.abs(value) < 1) return `${plain(value * 1000)} ms`;
  const step = spans.find(([size]) => value >= size);
  return step ? `${Math.round(value / inSeconds[step[1]])} ${step[1]}` : `${plain(value)} s`;
}

export function format(value: number, unit = ''): string {
  if (!Number.isFinite(value)) return '–';
  switch (unit) {
    case 'bytes':
    case 'decbytes':
      return scaled(value, bytes);
    case 'Bps':
    case 'binBps':
      return scaled(value, rates);
    case 's':
      return seconds(value);
    case 'ms':
      return `${plain(value)} ms`;
    case 'percent':
      return `${plain(value)} %`;
    case 'percentunit':
      return `${plain(value * 100)} %`;
    case 'reqps':
    case 'ops':
      return `${plain(value)}/s`;
    case 'cores':
      return `${plain(value, 2)} cores`;
    case 'dateTimeAsIso':
    case 'dateTimeFromNow':
      return new Date(value > 1e11 ? value : value * 1000).toLocaleString();
    default:
      return Math.abs(value) >= 1e4 ? scaled(value, counts) : plain(value, 4);
  }
}
