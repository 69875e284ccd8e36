import { Button, Form, SearchInput } from '@patternfly/react-core';
import { useEffect, useMemo, useRef, useState, type FormEvent } from 'react';
import type { ApiError } from '../api/http';
import { linesBefore, useTail, type LogLine } from '../api/loki';
import { Choice, Command, Empty, Loading, PageFrame, Problem, type Option } from '../components/basics';
import { Rows } from '../components/table';
import { setQuery, useQuery } from '../router';

// audit.k8s.io/v1 Event, as far as it is shown.
interface AuditEvent {
  auditID?: string;
  verb?: string;
  requestURI?: string;
  user?: { username?: string };
  impersonatedUser?: { username?: string };
  sourceIPs?: string[];
  responseStatus?: { code?: number; message?: string };
  annotations?: Record<string, string>;
}
const times: Option[] = [
  ['1', 'Last hour'],
  ['24', 'Last day'],
  ['168', 'Last 7 days'],
  ['720', 'Last 30 days'],
];
const atOnce = 200; // lines of one search

const logqlOf = (words: string) => {
  const filters = words.split(/\s+/).filter(Boolean);
  return `{source="audit"}${filters.map((w) => ` |= ${JSON.stringify(w)}`).join('')}`;
};

function eventOf(text: string): AuditEvent {
  try {
    return JSON.parse(text) as AuditEvent;
  } catch {
    return { requestURI: text };
  }
}

function row(line: LogLine, i: number) {
  const e = eventOf(line.text);
  const who = e.user?.username ?? '–';
  const code = e.responseStatus?.code;
  return {
    key: e.auditID ?? `${line.time}/${i}`,
    cells: [
      new Date(line.time).toLocaleString(),
      <span key="w" className="any">
        {e.impersonatedUser?.username ? `${e.impersonatedUser.username} (by ${who})` : who}
        {e.sourceIPs?.[0] && <div className="muted tiny">{e.sourceIPs[0]}</div>}
      </span>,
      e.verb ?? '–',
      <code key="u" className="any tiny">
        {e.requestURI}
      </code>,
      <span key="c" className={code && code >= 400 ? 'bad' : undefined}>
        {code ?? '–'}
      </span>,
      <span key="m" className="any tiny">
        {e.responseStatus?.message || e.annotations?.['authorization.k8s.io/reason']}
      </span>,
    ],
  };
}

const noneEarlier = { before: 0, lines: [] as LogLine[] };

// What is older than the lines that came first; asked for page by page. After a break the newest lines come anew, fewer than
// there were: what is older is asked for again where it does not join them any more.
function useEarlier(logql: string, hours: number, lines: LogLine[] | undefined) {
  const [earlier, setEarlier] = useState(noneEarlier);
  const [state, setState] = useState<{ busy?: boolean; error?: ApiError; all?: boolean }>({});
  const search = useRef({});
  useEffect(() => {
    search.current = {};
    setEarlier(noneEarlier);
    setState({});
  }, [logql, hours]);
  const end = lines?.at(-1)?.time ?? Infinity;
  const joined = end <= earlier.before;
  const before = joined ? earlier.before : end;
  const kept = joined ? earlier.lines : [];
  const oldest = kept.at(-1)?.time ?? end;
  const since = Date.now() - hours * 3600e3;
  const more = () => {
    setState({ busy: true });
    const mine = search.current;
    const done = (next: typeof state, found: LogLine[] = []) => {
      if (search.current !== mine) return; // what was found is not what is looked for now
      setEarlier({ before, lines: [...kept, ...found] });
      setState(next);
    };
    linesBefore(logql, oldest, (oldest - since) / 60e3, atOnce).then(
      (found) => done({ all: found.length < atOnce }, found),
      (error) => done({ error }),
    );
  };
  return { more, ...state, earlier: kept, all: state.all && joined };
}

export default function Audit() {
  const query = useQuery();
  const words = query.get('q') ?? '',
    hours = query.get('hours') ?? '24';
  const [text, setText] = useState(words);
  const logql = useMemo(() => logqlOf(words), [words]);
  const { lines, error, retry } = useTail(logql, Number(hours) * 60, atOnce);
  const { earlier, more, busy, all, error: stopped } = useEarlier(logql, Number(hours), lines);
  const shown = [...(lines ?? []), ...earlier];
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setQuery({ q: text.trim() || undefined });
  };
  return (
    <PageFrame title="Audit" description="Who changed what, and who was refused. New lines appear by themselves.">
      <Form onSubmit={submit} role="search" className="block">
        <div className="row">
          <SearchInput
            aria-label="Words that the line holds"
            placeholder="A user, a path, a word"
            value={text}
            onChange={(_e, v) => setText(v)}
            onClear={() => {
              setText('');
              setQuery({ q: undefined });
            }}
          />
          <Choice
            label="Time"
            value={hours}
            options={times}
            onChange={(v) => setQuery({ hours: v === '24' ? undefined : v })}
          />
          <Button type="submit">Search</Button>
        </div>
      </Form>
      {error ? (
        <Problem error={error} what="the audit log" retry={retry} />
      ) : !lines ? (
        <Loading what="Searching" />
      ) : shown.length === 0 ? (
        <Empty title="No line of the audit log fits">
          Try another word, or a longer time. You see what concerns your teams; administrators see all.
        </Empty>
      ) : (
        <>
          <p className="muted tiny">{shown.length} lines, the newest first</p>
          <Rows
            label="Audit log"
            columns={['Time', 'User', 'Verb', 'What', 'Answer', 'Message']}
            rows={shown.map(row)}
          />
          {stopped && <Problem error={stopped} what="earlier lines" retry={more} />}
          {lines.length >= atOnce && !all && (
            <Button variant="secondary" onClick={more} isLoading={busy} isDisabled={busy}>
              Earlier lines
            </Button>
          )}
        </>
      )}
      <div className="muted tiny">
        Over HTTP: <Command>{`curl -G "$URL/loki/api/v1/query_range" --data-urlencode 'query=${logql}'`}</Command>
      </div>
    </PageFrame>
  );
}
