// Small pieces that all pages use, and those of the files beside this one.
import {
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
  FormSelect,
  FormSelectOption,
} from '@patternfly/react-core';
import type { ReactNode } from 'react';

export * from './command';
export * from './frame';
export * from './phase';
export * from './states';
export * from './time';

export const Sha = ({ sha }: { sha?: string }) =>
  sha ? <code title={sha}>{sha.replace(/^sha256:/, '').slice(0, 7)}</code> : <>–</>;
export const Fact = ({ term, children }: { term: string; children: ReactNode }) => (
  <DescriptionListGroup>
    <DescriptionListTerm>{term}</DescriptionListTerm>
    <DescriptionListDescription>{children}</DescriptionListDescription>
  </DescriptionListGroup>
);
export const Facts = ({ children, width, wide }: { children: ReactNode; width?: string; wide?: boolean }) => (
  <DescriptionList
    isHorizontal
    isCompact
    termWidth={width}
    columnModifier={wide ? { default: '1Col', lg: '2Col' } : undefined}
  >
    {children}
  </DescriptionList>
);

// One of a few values, with a label that is read aloud or, where `id` is given, seen beside it.
export type Option = readonly [value: string, text: string];
export function Choice({
  label,
  value,
  options,
  onChange,
  id,
}: {
  label: string;
  value: string | undefined;
  options: readonly Option[];
  onChange: (value: string) => void;
  id?: string;
}) {
  const select = (
    <div>
      <FormSelect id={id} aria-label={id ? undefined : label} value={value} onChange={(_e, v) => onChange(v)}>
        {options.map(([v, text]) => (
          <FormSelectOption key={v} value={v} label={text} />
        ))}
      </FormSelect>
    </div>
  );
  if (!id) return select;
  return (
    <div className="row">
      <label htmlFor={id}>{label}</label>
      {select}
    </div>
  );
}
