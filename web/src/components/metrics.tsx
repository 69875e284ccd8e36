// Figures of the metrics engine, drawn and kept up to date.
import { Card, CardBody, CardTitle } from '@patternfly/react-core';
import type { ReactNode } from 'react';
import { useRange, type Query } from '../api/prometheus';
import { Choice, Loading, Problem, type Option } from './basics';
import { Chart } from './chart';

const spans: Option[] = [
  ['15', 'Last 15 minutes'],
  ['60', 'Last 1 hour'],
  ['360', 'Last 6 hours'],
  ['1440', 'Last 1 day'],
  ['10080', 'Last 7 days'],
];
export const TimeSpan = ({ minutes, onChange }: { minutes: number; onChange: (minutes: number) => void }) => (
  <Choice label="Time" value={String(minutes)} options={spans} onChange={(v) => onChange(Number(v))} />
);

export function MetricsChart({
  title,
  queries,
  minutes,
  ...drawing
}: {
  title: string;
  queries: Query[];
  minutes: number;
  unit?: string;
  min?: number;
  height?: number;
}) {
  const { value, error, retry } = useRange(queries, minutes);
  if (error) return <Problem error={error} what="metrics" retry={retry} />;
  if (!value) return <Loading what={`Loading ${title}`} />;
  return <Chart series={value} label={title} {...drawing} />;
}

export const PanelCard = ({ title, level, children }: { title?: string; level: 'h2' | 'h3'; children: ReactNode }) => (
  <Card isCompact isFullHeight component="article">
    <CardTitle component={level}>{title}</CardTitle>
    <CardBody>{children}</CardBody>
  </Card>
);
