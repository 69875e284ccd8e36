// Small pieces that all pages use.
import {
  Alert,
  AlertActionLink,
  Breadcrumb,
  BreadcrumbItem,
  Bullseye,
  Button,
  ClipboardCopy,
  Content,
  EmptyState,
  EmptyStateBody,
  Label,
  PageSection,
  Skeleton,
  Title,
  Tooltip,
} from '@patternfly/react-core';
import { useEffect, useRef, useState, type ComponentType, type ReactNode } from 'react';
import type { ApiError } from '../api/http';
import { Link } from '../router';

type Color = 'green' | 'red' | 'blue' | 'orange' | 'grey' | 'teal' | 'purple';
const colors: Record<string, Color> = {
  Succeeded: 'green',
  Running: 'blue',
  Pending: 'grey',
  Failed: 'red',
  Cancelled: 'orange',
  Skipped: 'grey',
  Ready: 'green',
  Bound: 'green',
  Deployed: 'green',
  Healthy: 'green',
  Degraded: 'red',
  Absent: 'grey',
  'Not ready': 'orange',
  firing: 'red',
  pending: 'orange',
  inactive: 'green',
  Warning: 'orange',
  Normal: 'grey',
  critical: 'red',
  high: 'orange',
  medium: 'orange',
  low: 'grey',
  CRITICAL: 'red',
  HIGH: 'orange',
  MEDIUM: 'orange',
  LOW: 'grey',
  Active: 'green',
  Provisioning: 'blue',
  Promoting: 'blue',
  Waiting: 'orange',
  AwaitingApproval: 'orange',
  Superseded: 'grey',
  RolledBack: 'orange',
  Error: 'red',
};
const status: Record<string, 'success' | 'danger' | 'info' | 'warning' | undefined> = {
  green: 'success',
  red: 'danger',
  orange: 'warning',
  blue: 'info',
};

export function Phase({ phase }: { phase?: string }) {
  const text = phase || 'Unknown';
  const color = colors[text] ?? 'grey';
  const s = status[color];
  return s ? (
    <Label status={s} variant="outline" isCompact>
      {text}
    </Label>
  ) : (
    <Label color="grey" variant="outline" isCompact>
      {text}
    </Label>
  );
}

// One clock for all times shown: it ticks for the words alone, nothing is asked of the server.
const tickers = new Set<() => void>();
setInterval(() => tickers.forEach((f) => f()), 15_000);
function useTick() {
  const [, set] = useState(0);
  useEffect(() => {
    const f = () => set((n) => n + 1);
    tickers.add(f);
    return () => {
      tickers.delete(f);
    };
  }, []);
}

export function span(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s < 600 && s % 60 ? ` ${s % 60} s` : ''}`;
  if (s < 86400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}
export function Ago({ time }: { time?: string }) {
  useTick();
  if (!time) return <>–</>;
  const date = new Date(time);
  const gone = Date.now() - date.getTime();
  return (
    <time dateTime={time} title={date.toLocaleString()}>
      {gone < 5000 ? 'just now' : `${span(gone)} ago`}
    </time>
  );
}
export function Duration({ from, to }: { from?: string; to?: string }) {
  useTick();
  if (!from) return <>–</>;
  return <>{span((to ? new Date(to).getTime() : Date.now()) - new Date(from).getTime())}</>;
}

export const Sha = ({ sha }: { sha?: string }) =>
  sha ? <code title={sha}>{sha.replace(/^sha256:/, '').slice(0, 7)}</code> : <>–</>;
export const Command = ({ children }: { children: string }) => (
  <ClipboardCopy isReadOnly hoverTip="Copy" clickTip="Copied" variant="inline-compact" isCode className="command">
    {children}
  </ClipboardCopy>
);
export const Hint = ({ text, children }: { text: string; children: ReactNode }) => (
  <Tooltip content={text}>
    <span>{children}</span>
  </Tooltip>
);

export interface Crumb {
  text: string;
  to?: string;
}
// The heading takes the focus after each navigation, so that keyboards and screen readers begin there.
let firstPage = true;
export function PageFrame({
  title,
  crumbs = [],
  actions,
  description,
  children,
  label,
}: {
  title: ReactNode;
  label?: string;
  crumbs?: Crumb[];
  actions?: ReactNode;
  description?: ReactNode;
  children: ReactNode;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  const text = label ?? (typeof title === 'string' ? title : '');
  useEffect(() => {
    document.title = text ? `${text} · Mainstay` : 'Mainstay';
  }, [text]);
  useEffect(() => {
    if (!firstPage) heading.current?.focus({ preventScroll: true });
    firstPage = false;
  }, []);
  return (
    <>
      <PageSection className="page-head">
        {crumbs.length > 0 && (
          <Breadcrumb ouiaId="crumbs">
            {crumbs.map((c) => (
              <BreadcrumbItem key={c.text} isActive={!c.to}>
                {c.to ? <Link to={c.to}>{c.text}</Link> : c.text}
              </BreadcrumbItem>
            ))}
          </Breadcrumb>
        )}
        <div className="title-row">
          <div>
            <h1 ref={heading} tabIndex={-1} className="pf-v6-c-title pf-m-2xl">
              {title}
            </h1>
            {description && (
              <Content component="p" className="muted">
                {description}
              </Content>
            )}
          </div>
          {actions && <div className="actions">{actions}</div>}
        </div>
      </PageSection>
      <PageSection isFilled>{children}</PageSection>
    </>
  );
}

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
export function Problem({ error, what, retry }: { error: ApiError | Error; what: string; retry?: () => void }) {
  const s = 'status' in error ? error.status : 0;
  const title =
    s === 403
      ? `You may not see ${what}`
      : s === 404 || s === 501
        ? `This Mainstay does not offer ${what}`
        : `${what} cannot be shown now`;
  return (
    <Alert
      variant={s === 403 || s === 404 || s === 501 ? 'info' : 'danger'}
      isInline
      title={title[0].toUpperCase() + title.slice(1)}
      role={s === 403 || s === 404 ? 'status' : 'alert'}
      actionLinks={retry && <AlertActionLink onClick={retry}>Try again</AlertActionLink>}
    >
      {s === 403 && 'An owner of the team or an administrator can give you the right. '}
      {error.message}
    </Alert>
  );
}

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

export const Center = ({ children }: { children: ReactNode }) => <Bullseye>{children}</Bullseye>;
export const Section = ({ title, children, actions }: { title: string; children: ReactNode; actions?: ReactNode }) => (
  <section className="block" aria-label={title}>
    <div className="title-row">
      <Title headingLevel="h2" size="lg">
        {title}
      </Title>
      {actions && <div className="actions">{actions}</div>}
    </div>
    {children}
  </section>
);
export const LinkButton = ({ onClick, children }: { onClick: () => void; children: ReactNode }) => (
  <Button variant="link" isInline onClick={onClick}>
    {children}
  </Button>
);
