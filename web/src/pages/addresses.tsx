import { Alert, Card, CardBody, CardTitle, DescriptionList } from '@patternfly/react-core';
import { mainstay, useWatch } from '../api/watch';
import { at, type AnyObject, type Condition } from '../api/types';
import { Command, Empty, Gate, PageFrame } from '../components/basics';
import { Chart, format, type Series } from '../components/chart';
import { Fact } from './run';

interface Forecast { exhaustedAt?: string; earliest?: string; latest?: string; monthsLeft?: number; growthPerMonth?: number; message?: string }
const month = 30.44 * 86400e3;
const day = (text?: string) => (text ? new Date(text).toLocaleDateString(undefined, { year: 'numeric', month: 'short', day: 'numeric' }) : undefined);

// History as it was, then the fitted growth until the pool is full, within the bounds of its uncertainty.
function drawing(used: number, size: number, history: { time: string; used: number }[], f: Forecast) {
  const now = Date.now();
  const past: [number, number][] = history.map((h) => [new Date(h.time).getTime(), h.used]);
  if (!past.length || past[past.length - 1][1] !== used) past.push([now, used]);
  const series: Series[] = [{ name: 'used', points: past }];
  const end = f.exhaustedAt ? new Date(f.exhaustedAt).getTime() : undefined;
  const start: [number, number] = past[past.length - 1];
  const horizon = end ? Math.min(end, now + 120 * month) : now + 12 * month;
  const growth = f.growthPerMonth ?? 0;
  const at_ = (t: number) => (end ? start[1] + ((size - start[1]) * (t - start[0])) / (end - start[0]) : start[1] + (growth * (t - start[0])) / month);
  if (end || growth) series.push({ name: 'forecast', points: [start, [horizon, Math.min(size, at_(horizon))]], dashed: true });
  const low = f.latest ? new Date(f.latest).getTime() : undefined, high = f.earliest ? new Date(f.earliest).getTime() : undefined;
  const reach = Math.min(low ?? horizon * 1, now + 120 * month);
  const band = end && high && low && low > start[0] && high > start[0]
    ? { from: [start, [high, size], [reach, size]] as [number, number][], to: [start, [reach, start[1] + ((size - start[1]) * (reach - start[0])) / (low - start[0])]] as [number, number][] }
    : undefined;
  return { series, band, marks: [...(past.length > 1 || end ? [{ time: now, name: 'today' }] : [])] };
}

function Pool({ pool }: { pool: AnyObject }) {
  const status = pool.status ?? {};
  const size = Number(status.size ?? status.capacity ?? 0), used = Number(status.used ?? 0);
  const f = (status.forecast ?? {}) as Forecast;
  const history = (status.history ?? []) as { time: string; used: number }[];
  const share = size ? (used / size) * 100 : 0;
  const soon = f.monthsLeft !== undefined && f.monthsLeft < 24;
  const ranges = at<string[]>(pool, 'spec.ranges') ?? at<string[]>(pool, 'spec.cidrs') ?? [at<string>(pool, 'spec.cidr') ?? at<string>(pool, 'spec.subnet') ?? ''];
  const warnings = (at<Condition[]>(pool, 'status.conditions') ?? []).filter((c) => c.status === 'True' && /exhaust|low|forecast|warning/i.test(`${c.type} ${c.reason ?? ''}`) && c.type !== 'Ready');
  const d = drawing(used, size, history, f);
  return (
    <Card component="article" data-pool={pool.metadata.name}>
      <CardTitle component="h2">{pool.metadata.name} <code className="muted tiny">{ranges.filter(Boolean).join(', ')}</code></CardTitle>
      <CardBody>
        {soon && <Alert isInline variant="warning" title={`Runs out in ${Math.max(0, Math.round(f.monthsLeft!))} months`} className="block">{f.message ?? `About ${day(f.exhaustedAt)}${f.earliest && f.latest ? `, between ${day(f.earliest)} and ${day(f.latest)}` : ''}.`}</Alert>}
        {warnings.map((w) => (soon ? null : <Alert key={w.type} isInline variant="warning" title={w.message ?? w.type} />))}
        <DescriptionList isCompact isHorizontal columnModifier={{ default: '1Col', md: '2Col' }}>
          <Fact term="Used">{format(used)} of {format(size)} ({share < 0.1 && used ? '<0.1' : share.toFixed(share < 10 ? 1 : 0)} %)
            <meter className="visually-hidden" min={0} max={size || 1} value={used}>{share}</meter></Fact>
          <Fact term="Growth">{f.growthPerMonth !== undefined ? `${format(f.growthPerMonth)} addresses a month` : 'not known yet'}</Fact>
          <Fact term="Runs out">{f.exhaustedAt ? day(f.exhaustedAt) : 'not in sight'}</Fact>
          {f.earliest && <Fact term="Between">{day(f.earliest)} and {day(f.latest) ?? 'later'}</Fact>}
        </DescriptionList>
        <Chart series={d.series} band={d.band} limit={size ? { value: size, name: `full: ${format(size)}` } : undefined} marks={d.marks} min={0} height={240} label={`Addresses of ${pool.metadata.name}, used and forecast`} />
      </CardBody>
    </Card>
  );
}

export default function Addresses() {
  const live = useWatch<AnyObject>(mainstay('addresspools'));
  const order = (p: AnyObject) => at<number>(p, 'status.forecast.monthsLeft') ?? Infinity;
  return (
    <PageFrame title="Address pools" description="How full each pool is, and when it will be full if it grows as it has.">
      <Gate live={live} what="address pools" empty={<Empty title="There is no address pool yet" command="kubectl get addresspools" />}>
        <div className="grid wide">{[...live.items].sort((a, b) => order(a) - order(b) || a.metadata.name.localeCompare(b.metadata.name)).map((p) => <Pool key={p.metadata.name} pool={p} />)}</div>
        <p className="muted tiny">What if a team grows? <Command>mainstay ipam what-if --help</Command></p>
      </Gate>
    </PageFrame>
  );
}
