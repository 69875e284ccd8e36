// A small line chart in SVG: time along the bottom, several series, an optional band of uncertainty and a limit. Mouse, touch
// and arrow keys move a cursor; the same figures are there as text for screen readers.
import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent } from 'react';
import { format } from './format';

export interface Series {
  name: string;
  points: [number, number][];
  dashed?: boolean;
}
export interface Band {
  from: [number, number][];
  to: [number, number][];
}
const colour = (i: number) => `var(--chart-${(i % 8) + 1})`;

// Round levels; of bytes, those that are round in powers of two.
function ticks(low: number, high: number, count: number, binary: boolean): number[] {
  const raw = (high - low) / count || 1;
  const base = binary ? 1024 ** Math.max(0, Math.floor(Math.log2(raw) / 10)) : 1;
  const power = 10 ** Math.floor(Math.log10(raw / base)) * base;
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? raw;
  const out: number[] = [];
  // Counted: of very large values a step is too small to change them.
  for (let i = 0; i <= 2 * count; i++) {
    const v = (Math.ceil(low / step) + i) * step;
    if (v > high + step * 1e-6) break;
    out.push(+v.toPrecision(12));
  }
  return out;
}

function timeText(ms: number, range: number) {
  const d = new Date(ms);
  if (range > 86400e3 * 300) return d.toLocaleDateString(undefined, { month: 'short', year: 'numeric' });
  if (range > 86400e3 * 2) return d.toLocaleDateString(undefined, { month: 'short', day: 'numeric' });
  const seconds = range < 600e3 ? ({ second: '2-digit' } as const) : {};
  return d.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', ...seconds });
}

interface Drawing {
  series: Series[];
  band?: Band;
  limit?: { value: number; name: string };
  min?: number;
  marks?: Mark[];
}
interface Mark {
  time: number;
  name: string;
}
const noMarks: Mark[] = [];

// The times and values that all of it fits in; undefined where there is nothing to draw.
function frameOf({ series, band, limit, min, marks = noMarks }: Drawing) {
  const points = [...series.flatMap((s) => s.points), ...(band?.from ?? []), ...(band?.to ?? [])];
  const drawn = points.filter(([, value]) => Number.isFinite(value));
  if (!drawn.length) return undefined;
  const within = (values: number[]) =>
    values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
  const [t0, last] = within([...drawn.map(([time]) => time), ...marks.map((m) => m.time)]);
  const values = drawn.map(([, value]) => value);
  let [low, high] = within([...values, ...(limit ? [limit.value] : []), ...(min === undefined ? [] : [min])]);
  // From zero, unless that would make a flat line at the top of what are small differences.
  if (low > 0 && low < high * 0.6) low = 0;
  if (high === low) {
    high += Math.abs(high) * 0.1 || 1;
    if (low > 0) low = 0;
  }
  return { t0, t1: last === t0 ? t0 + 60e3 : last, low, high: high + (high - low) * 0.05 };
}

export function Chart({
  series,
  label,
  unit,
  height = 200,
  band,
  limit,
  min,
  marks = noMarks,
  legend = true,
}: Drawing & { label: string; unit?: string; height?: number; legend?: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(600);
  const [cursor, setCursor] = useState<number>();
  const id = useId();
  useEffect(() => {
    const watch = new ResizeObserver(([e]) => setWidth(Math.max(200, e.contentRect.width)));
    if (box.current) watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  const frame = useMemo(() => frameOf({ series, band, limit, min, marks }), [series, band, limit, min, marks]);
  if (!frame)
    return (
      <div ref={box} className="muted chart" role="img" aria-label={`${label}: no figures yet`}>
        No figures yet.
      </div>
    );
  const { t0, t1, low, high } = frame;
  const levels = ticks(low, high, 4, /bytes|Bps/i.test(unit ?? ''));
  const left = Math.min(96, Math.max(...levels.map((v) => format(v, unit).length), 2) * 6.6 + 10),
    right = 10,
    top = 8,
    bottom = 22;
  const x = (t: number) => left + ((t - t0) / (t1 - t0)) * (width - left - right);
  const y = (v: number) => top + (1 - (v - low) / (high - low)) * (height - top - bottom);
  const path = (points: [number, number][]) =>
    points.reduce(
      (d, [t, v]) => (Number.isFinite(v) ? `${d}${d ? 'L' : 'M'}${x(t).toFixed(1)},${y(v).toFixed(1)}` : d),
      '',
    );
  const stepCount = Math.max(2, Math.floor((width - left) / 110));
  const times = Array.from({ length: stepCount }, (_, i) => t0 + ((t1 - t0) * (i + 0.5)) / stepCount);
  const nearest = (s: Series, t: number) =>
    s.points.reduce<[number, number] | undefined>(
      (best, p) => (!best || Math.abs(p[0] - t) < Math.abs(best[0] - t) ? p : best),
      undefined,
    );
  const move = (event: PointerEvent) => {
    const r = box.current!.getBoundingClientRect();
    setCursor(Math.min(t1, Math.max(t0, t0 + ((event.clientX - r.left - left) / (width - left - right)) * (t1 - t0))));
  };
  const key = (event: KeyboardEvent) => {
    const step = (t1 - t0) / 40,
      now = cursor ?? t1;
    if (event.key === 'ArrowLeft') setCursor(Math.max(t0, now - step));
    else if (event.key === 'ArrowRight') setCursor(Math.min(t1, now + step));
    else if (event.key === 'Escape') setCursor(undefined);
    else return;
    event.preventDefault();
  };
  const last = series
    .map((s) => `${s.name} ${format(s.points.at(-1)?.[1] ?? NaN, unit)}`)
    .slice(0, 8)
    .join(', ');
  const shown =
    cursor === undefined
      ? []
      : series
          .map((s, i) => ({ s, i, p: nearest(s, cursor) }))
          .filter((e) => e.p && Math.abs(e.p[0] - cursor) <= (t1 - t0) / 8);
  return (
    <div className="chart" ref={box}>
      <svg
        height={height}
        viewBox={`0 0 ${width} ${height}`}
        role="img"
        aria-label={`${label}. Latest: ${last}.`}
        tabIndex={0}
        onKeyDown={key}
        onPointerMove={move}
        onPointerLeave={() => setCursor(undefined)}
        onBlur={() => setCursor(undefined)}
      >
        {levels.map((v) => (
          <g key={v}>
            <line className="axis" x1={left} x2={width - right} y1={y(v)} y2={y(v)} opacity=".6" />
            <text x={left - 6} y={y(v) + 4} textAnchor="end">
              {format(v, unit)}
            </text>
          </g>
        ))}
        {times.map((t) => (
          <text key={t} x={x(t)} y={height - 5} textAnchor="middle">
            {timeText(t, t1 - t0)}
          </text>
        ))}
        {band && (
          <path
            className="band"
            fill="var(--chart-1)"
            d={`${path(band.from)}${path([...band.to].reverse()).replace('M', 'L')}Z`}
          />
        )}
        {limit && (
          <g>
            <line className="limit" x1={left} x2={width - right} y1={y(limit.value)} y2={y(limit.value)} />
            <text x={width - right} y={y(limit.value) - 4} textAnchor="end">
              {limit.name}
            </text>
          </g>
        )}
        {marks.map((m) => (
          <g key={m.name}>
            <line className="cursor" x1={x(m.time)} x2={x(m.time)} y1={top} y2={height - bottom} />
            <text
              x={x(m.time) + (x(m.time) < width / 2 ? 4 : -4)}
              y={top + 10}
              textAnchor={x(m.time) < width / 2 ? 'start' : 'end'}
            >
              {m.name}
            </text>
          </g>
        ))}
        {series.map((s, i) =>
          s.points.length === 1 ? (
            <circle key={i} cx={x(s.points[0][0])} cy={y(s.points[0][1])} r="3" fill={colour(i)} />
          ) : (
            <path
              key={i}
              className="series"
              d={path(s.points)}
              stroke={colour(i)}
              strokeDasharray={s.dashed ? '5 4' : undefined}
            />
          ),
        )}
        {cursor !== undefined && (
          <line className="cursor" x1={x(cursor)} x2={x(cursor)} y1={top} y2={height - bottom} />
        )}
        {shown.map(({ i, p }) => (
          <circle key={i} cx={x(p![0])} cy={y(p![1])} r="3.2" fill={colour(i)} />
        ))}
      </svg>
      {cursor !== undefined && shown.length > 0 && (
        <div
          className="chart-tip"
          aria-live="polite"
          ref={(e) => {
            if (e) {
              e.style.left = `${x(cursor) > width / 2 ? Math.max(0, x(cursor) - e.offsetWidth - 12) : x(cursor) + 12}px`;
            }
          }}
        >
          <div className="muted">{new Date(cursor).toLocaleString()}</div>
          {shown.slice(0, 10).map(({ s, i, p }) => (
            <div key={i}>
              <Swatch index={i} /> {s.name} <b>{format(p![1], unit)}</b>
            </div>
          ))}
        </div>
      )}
      {legend && series.length > 1 && (
        <ul className="legend" id={id}>
          {series.slice(0, 16).map((s, i) => (
            <li key={i}>
              <Swatch index={i} />
              {s.name}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
const Swatch = ({ index }: { index: number }) => (
  <span
    className="swatch"
    aria-hidden="true"
    ref={(e) => {
      if (e) e.style.background = colour(index);
    }}
  />
);
