import { Alert, Card, CardBody, CardTitle } from '@patternfly/react-core';
import { mainstay, useWatch } from '../api/watch';
import { at, type AnyObject, type Condition } from '../api/types';
import { Command, Empty, Fact, Facts, Gate, PageFrame } from '../components/basics';
import { Chart, type Series } from '../components/chart';
import { format } from '../components/format';

interface Forecast {
  exhaustedAt?: string;
  earliest?: string;
  latest?: string;
  monthsLeft?: number;
  growthPerMonth?: number;
  growthPerMonthLow?: number;
  growthPerMonthHigh?: number;
  basis?: string;
}
const month = 30.44 * 86400e3;
const day = (text?: string) =>
  text ? new Date(text).toLocaleDateString(undefined, { year: 'numeric', month: 'short', day: 'numeric' }) : undefined;

// History as it was, then the expected growth until the pool is full, within the bounds of its uncertainty. Dates that the
// forecast leaves out lie further off than is drawn.
function drawing(used: number, size: number, history: { time: string; used: number }[], f: Forecast) {
  const now = Date.now();
  const past: [number, number][] = history.map((h) => [new Date(h.time).getTime(), h.used]);
  if (!past.length || now - past[past.length - 1][0] > 60e3 || past[past.length - 1][1] !== used)
    past.push([now, used]);
  const start = past[past.length - 1];
  const time = (text?: string) => (text ? new Date(text).getTime() : undefined);
  const end = time(f.exhaustedAt);
  const horizon = end ? Math.min(end + (end - now) * 0.15, now + 120 * month) : now + 12 * month;
  // A line from today to where the pool is full, or by its slope; cut at the horizon.
  const line = (full: number | undefined, slope: number | undefined): [number, number][] => {
    const rate = full && full > start[0] ? (size - start[1]) / (full - start[0]) : (slope ?? 0) / month;
    if (rate <= 0) return [start, [horizon, Math.max(0, start[1] + rate * (horizon - start[0]))]];
    const reach = Math.min(horizon, start[0] + (size - start[1]) / rate);
    const points: [number, number][] = [start, [reach, Math.min(size, start[1] + rate * (reach - start[0]))]];
    return reach < horizon ? [...points, [horizon, size]] : points;
  };
  const series: Series[] = [{ name: 'used', points: past }];
  const known = end !== undefined || !!f.growthPerMonth;
  if (known) series.push({ name: 'forecast', points: line(end, f.growthPerMonth), dashed: true });
  const band =
    known && (f.earliest || f.growthPerMonthHigh)
      ? { from: line(time(f.earliest), f.growthPerMonthHigh), to: line(time(f.latest), f.growthPerMonthLow ?? 0) }
      : undefined;
  return {
    series,
    band,
    marks: known || past.length > 2 ? [{ time: now, name: 'today' }] : [],
    full: end !== undefined || used > size / 20,
  };
}

function Pool({ pool }: { pool: AnyObject }) {
  const status = pool.status ?? {};
  const size = Number(status.size ?? status.capacity ?? 0),
    used = Number(status.used ?? 0);
  const f = (status.forecast ?? {}) as Forecast;
  const history = (status.history ?? []) as { time: string; used: number }[];
  const share = size ? (used / size) * 100 : 0;
  const soon = f.monthsLeft !== undefined && f.monthsLeft < 24;
  const warnings = (at<Condition[]>(pool, 'status.conditions') ?? []).filter((c) => c.status === 'False');
  const purpose = at<string>(pool, 'spec.purpose') ?? 'claims';
  const d = drawing(used, size, history, f);
  return (
    <Card component="article" data-pool={pool.metadata.name}>
      <CardTitle component="h2">
        {pool.metadata.name}{' '}
        <code className="muted tiny">{at<string>(pool, 'status.range') ?? at<string>(pool, 'spec.subnet')}</code>
      </CardTitle>
      <CardBody>
        {soon && (
          <Alert
            isInline
            variant="warning"
            title={`Runs out in ${Math.max(0, Math.round(f.monthsLeft!))} months`}
            className="block"
          >{`About ${day(f.exhaustedAt)}${f.earliest && f.earliest !== f.latest ? `, between ${day(f.earliest)} and ${day(f.latest) ?? 'later'}` : ''}; by ${f.basis === 'plans' ? 'what teams plan' : 'its history and what teams plan'}.`}</Alert>
        )}
        {warnings.map((w) =>
          soon ? null : <Alert key={w.type} isInline variant="warning" title={w.message ?? w.type} />,
        )}
        <Facts width="9ch">
          <Fact term="Used">
            {used.toLocaleString()} of {size < 1e9 ? size.toLocaleString() : format(size)} (
            {share < 0.1 && used ? '<0.1' : share.toFixed(share < 10 ? 1 : 0)} %)
            <meter className="visually-hidden" min={0} max={size || 1} value={used}>
              {share}
            </meter>
          </Fact>
          <Fact term="For">{purpose === 'claims' ? 'address claims' : purpose}</Fact>
          <Fact term="Growth">
            {f.growthPerMonth !== undefined ? `${format(f.growthPerMonth)} addresses a month` : 'not known yet'}
          </Fact>
          <Fact term="Runs out">{f.exhaustedAt ? day(f.exhaustedAt) : 'not in sight'}</Fact>
          {f.earliest && f.earliest !== f.latest && (
            <Fact term="Between">
              {day(f.earliest)} and {day(f.latest) ?? 'later'}
            </Fact>
          )}
        </Facts>
        <Chart
          series={d.series}
          band={d.band}
          limit={size && d.full ? { value: size, name: `full: ${format(size)}` } : undefined}
          marks={d.marks}
          min={0}
          height={240}
          label={`Addresses of ${pool.metadata.name}, used and forecast`}
        />
      </CardBody>
    </Card>
  );
}

export default function Addresses() {
  const live = useWatch<AnyObject>(mainstay('addresspools'));
  const order = (p: AnyObject) => at<number>(p, 'status.forecast.monthsLeft') ?? Infinity;
  return (
    <PageFrame
      title="Address pools"
      description="How full each pool is, and when it will be full if it grows as it has."
    >
      <Gate
        live={live}
        what="address pools"
        empty={<Empty title="There is no address pool yet" command="kubectl get addresspools" />}
      >
        <div className="grid wide">
          {[...live.items]
            .sort((a, b) => order(a) - order(b) || a.metadata.name.localeCompare(b.metadata.name))
            .map((p) => (
              <Pool key={p.metadata.name} pool={p} />
            ))}
        </div>
        <div className="muted tiny">
          What if a team grows? <Command>mainstay ipam what-if --help</Command>
        </div>
      </Gate>
    </PageFrame>
  );
}
