import { Button, Form, FormGroup, FormSelect, FormSelectOption, SearchInput } from '@patternfly/react-core';
import { useCallback, useEffect, useState, type FormEvent } from 'react';
import { type ApiError } from '../api/http';
import { searchLines, type LogLine } from '../api/loki';
import { Command, Empty, Loading, PageFrame, Problem } from '../components/basics';
import { Rows } from '../components/table';
import { setQuery, useQuery } from '../router';

const quote = (s: string) => JSON.stringify(s);

export default function Audit() {
  const query = useQuery();
  const [word, setWord] = useState(query.get('q') ?? '');
  const [hours, setHours] = useState(query.get('hours') ?? '24');
  const [lines, setLines] = useState<LogLine[]>();
  const [error, setError] = useState<ApiError>();
  const q = query.get('q') ?? '',
    h = query.get('hours') ?? '24';
  const search = useCallback(() => {
    setError(undefined);
    setLines(undefined);
    const logql = `{source="audit"}${q
      .split(/\s+/)
      .filter(Boolean)
      .map((w) => ` |= ${quote(w)}`)
      .join('')}`;
    searchLines(logql, Number(h) * 60, 300).then(setLines, setError);
  }, [q, h]);
  useEffect(search, [search]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setQuery({ q: word.trim() || undefined, hours: hours === '24' ? undefined : hours });
    if (word.trim() === q && hours === h) search();
  };
  const cells = (line: LogLine) => {
    let entry: Record<string, unknown> = {};
    try {
      entry = JSON.parse(line.text);
    } catch {
      /* a plain line */
    }
    const get = (...keys: string[]) =>
      keys.map((k) => entry[k]).find((v) => typeof v === 'string' || typeof v === 'number');
    const user =
      typeof entry.user === 'object' && entry.user ? (entry.user as { username?: string }).username : get('user');
    const code = get('code', 'status', 'responseCode') ?? (entry.responseStatus as { code?: number } | undefined)?.code;
    return [
      new Date(line.time).toLocaleString(),
      user ?? line.labels.user ?? '–',
      get('verb', 'method') ?? '–',
      <code key="u" className="any tiny">
        {get('path', 'requestURI', 'uri', 'resource') ?? line.text}
      </code>,
      code ?? '–',
      get('message', 'reason') ?? (entry.responseStatus as { message?: string } | undefined)?.message ?? '',
    ];
  };
  return (
    <PageFrame title="Audit" description="Who changed what, and who was refused.">
      <Form onSubmit={submit} role="search" className="block">
        <div className="row">
          <SearchInput
            aria-label="Words that the line holds"
            placeholder="A user, a path, a word"
            value={word}
            onChange={(_e, v) => setWord(v)}
            onClear={() => setWord('')}
          />
          <FormGroup fieldId="hours">
            <FormSelect id="hours" aria-label="Time" value={hours} onChange={(_e, v) => setHours(v)}>
              {[
                ['1', 'Last hour'],
                ['24', 'Last day'],
                ['168', 'Last 7 days'],
                ['720', 'Last 30 days'],
              ].map(([v, t]) => (
                <FormSelectOption key={v} value={v} label={t} />
              ))}
            </FormSelect>
          </FormGroup>
          <Button type="submit">Search</Button>
        </div>
      </Form>
      {error ? (
        <Problem error={error} what="the audit log" retry={search} />
      ) : !lines ? (
        <Loading what="Searching" />
      ) : lines.length === 0 ? (
        <Empty title="No line of the audit log fits">
          Try another word, or a longer time. You see what concerns your teams; administrators see all.
        </Empty>
      ) : (
        <>
          <p role="status" className="muted tiny">
            {lines.length} lines, the newest first
          </p>
          <Rows
            label="Audit log"
            columns={['Time', 'User', 'Verb', 'What', 'Answer', 'Message']}
            rows={lines.map((l, i) => ({ key: String(i), cells: cells(l) }))}
          />
        </>
      )}
      <div className="muted tiny">
        Over HTTP:{' '}
        <Command>{'curl -G "$URL/loki/api/v1/query_range" --data-urlencode \'query={source="audit"}\''}</Command>
      </div>
    </PageFrame>
  );
}
