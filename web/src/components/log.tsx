// Kept and coming output, from the platform's log route: it follows pods that run and shows those long gone.
import { Button, SearchInput, Switch } from '@patternfly/react-core';
import { useLayoutEffect, useRef, useState } from 'react';
import { useLines } from '../api/lines';
import { mainstay } from '../api/watch';
import { Problem } from './basics';

interface Line {
  time: string;
  pod: string;
  stream: string;
  line: string;
}
export interface LogEntry {
  time: Date;
  source?: string;
  text: string;
  error?: boolean;
}

const read = (text: string) => [JSON.parse(text) as Line];
// eslint-disable-next-line no-control-regex
const ansi = /\u001b\[[0-9;?]*[A-Za-z]/g;
const clock = (time: Date) => time.toLocaleTimeString(undefined, { hourCycle: 'h23' });

// Jobs mark where a step begins and ends, as GitHub's do.
const group = '##[group]',
  endOfGroup = '##[endgroup]';
const kindOf = (l: LogEntry) => (l.text.startsWith(group) ? 'g' : l.error ? 'e' : undefined);
const shownOf = (text: string) => (text.startsWith(group) ? text.slice(group.length) : text.replace(ansi, ''));

export function LogLines({ entries }: { entries: LogEntry[] }) {
  const lines = entries.filter((l) => l.text !== endOfGroup);
  return lines.map((l, i) => (
    <div key={i} className={kindOf(l)}>
      <time className="t" dateTime={l.time.toISOString()} title={l.time.toLocaleString()}>
        {clock(l.time)}
      </time>
      {l.source && (
        <span className="s" title={l.source}>
          {l.source}
        </span>
      )}
      <span>{shownOf(l.text)}</span>
    </div>
  ));
}

function save(name: string, lines: Line[]) {
  const text = lines.map((l) => `${l.time} ${l.pod} ${l.line}\n`).join('');
  const url = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  Object.assign(document.createElement('a'), { href: url, download: `${name}.log` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

export function LogView({
  namespace,
  selection,
  title,
  showPod,
}: {
  namespace: string;
  selection: Record<string, string>;
  title: string;
  showPod?: boolean;
}) {
  const query = new URLSearchParams({ follow: 'true', ...selection });
  const { lines = [], error, retry } = useLines<Line>(`${mainstay('logs', namespace)}?${query}`, read, 5000);
  const [word, setWord] = useState('');
  const [follow, setFollow] = useState(true);
  const [speak, setSpeak] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const top = useRef(0);
  const wanted = word.toLowerCase();
  const shown = lines.filter((l) => l.line.toLowerCase().includes(wanted));
  useLayoutEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines, word, follow]);
  if (error) return <Problem error={error} what="logs" retry={retry} />;
  return (
    <div>
      <div className="log-bar">
        <SearchInput
          aria-label="Show only lines with"
          placeholder="Lines with …"
          value={word}
          onChange={(_e, v) => setWord(v)}
          onClear={() => setWord('')}
        />
        <Switch label="Follow" isChecked={follow} onChange={(_e, v) => setFollow(v)} />
        <Switch label="Read new lines aloud" isChecked={speak} onChange={(_e, v) => setSpeak(v)} />
        <Button variant="link" isInline onClick={() => save(title, shown)} isDisabled={!shown.length}>
          Download
        </Button>
      </div>
      <div
        className="log"
        ref={box}
        role="log"
        aria-live={speak ? 'polite' : 'off'}
        aria-label={`Output of ${title}`}
        tabIndex={0}
        onScroll={(e) => {
          const { scrollTop, scrollHeight, clientHeight } = e.currentTarget;
          // Up and away from the end, by whatever means: the reader wants to stay there.
          if (scrollTop < top.current && scrollTop + clientHeight < scrollHeight - 20) setFollow(false);
          top.current = scrollTop;
        }}
      >
        {shown.length === 0 && <div className="none">{lines.length ? 'No line has this word.' : 'No output yet.'}</div>}
        <LogLines
          entries={shown.map((l) => ({
            time: new Date(l.time),
            source: showPod ? l.pod : undefined,
            text: l.line,
            error: l.stream === 'stderr',
          }))}
        />
      </div>
    </div>
  );
}
