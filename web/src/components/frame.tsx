// What every page stands in: its heading, where it is, and its sections.
import { Breadcrumb, BreadcrumbItem, Bullseye, Content, PageSection, Title } from '@patternfly/react-core';
import { useEffect, useRef, type ReactNode } from 'react';
import { Link } from '../router';

export interface Crumb {
  text: string;
  to?: string;
}
export const teamCrumbs = (team: string, ...rest: Crumb[]): Crumb[] => [
  { text: 'Teams', to: '/teams' },
  { text: team, to: `/teams/${team}` },
  ...rest,
];
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
