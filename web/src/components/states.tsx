// A part of a page that has nothing to show: not yet, nothing there, or not for this reader.
import { Alert, AlertActionLink, EmptyState, EmptyStateBody, Skeleton } from '@patternfly/react-core';
import type { ComponentType, ReactNode } from 'react';
import { ApiError } from '../api/http';
import { Command } from './command';

export function Empty({
  title,
  icon,
  children,
  command,
  level = 'h2',
}: {
  title: string;
  icon?: ComponentType;
  children?: ReactNode;
  command?: string | string[];
  level?: 'h2' | 'h3';
}) {
  const commands = command === undefined ? [] : Array.isArray(command) ? command : [command];
  return (
    <EmptyState titleText={title} headingLevel={level} icon={icon} variant="xs">
      {children && <EmptyStateBody>{children}</EmptyStateBody>}
      {commands.map((c) => (
        <div key={c} className="command-row">
          <Command>{c}</Command>
        </div>
      ))}
    </EmptyState>
  );
}

// What went wrong with one part of a page; the others go on.
export function Problem({ error, what, retry }: { error: Error; what: string; retry?: () => void }) {
  const known = error instanceof ApiError && (error.denied || error.absent);
  const title = !known
    ? `${what} cannot be shown now`
    : error.denied
      ? `You may not see ${what}`
      : error.notOffered
        ? `This Mainstay does not offer ${what}`
        : `${what} cannot be found`;
  return (
    <Alert
      variant={known ? 'info' : 'danger'}
      isInline
      title={title[0].toUpperCase() + title.slice(1)}
      role={known ? 'status' : 'alert'}
      actionLinks={retry && <AlertActionLink onClick={retry}>Try again</AlertActionLink>}
    >
      {error.message}
    </Alert>
  );
}

// What came of something that was sent.
export interface Outcome {
  ok: boolean;
  text: string;
}
export const Told = ({ outcome }: { outcome?: Outcome }) =>
  outcome && (
    <Alert
      isInline
      variant={outcome.ok ? 'success' : 'danger'}
      title={outcome.text}
      role={outcome.ok ? 'status' : 'alert'}
    />
  );

export const Loading = ({ what = 'Loading' }: { what?: string }) => (
  <div role="status" aria-label={what} className="loading">
    <Skeleton width="60%" />
    <Skeleton width="85%" />
    <Skeleton width="40%" />
  </div>
);

// A live list's three states that are not the list.
export function Gate({
  live,
  what,
  children,
  empty,
}: {
  live: { ready: boolean; error?: ApiError; items: unknown[]; retry?: () => void };
  what: string;
  children: ReactNode;
  empty?: ReactNode;
}) {
  if (live.error) return <Problem error={live.error} what={what} retry={live.retry} />;
  if (!live.ready) return <Loading what={`Loading ${what}`} />;
  if (live.items.length === 0 && empty) return <>{empty}</>;
  return <>{children}</>;
}
