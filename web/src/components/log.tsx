// Kept and coming output, from the platform's log route: it follows pods that run and shows those long gone.
import { Button, SearchInput, Switch } from '@patternfly/react-core';
import { useEffect, useRef, useState } from 'react';
import { errorOf, type ApiError } from '../api/http';
import { openStream } from '../api/stream';
import { mainstay } from '../api/watch';
import { Problem } from './basics';

export interface Line {
  time: string;
  pod: string;
  container: string;
  workload?: string;
  stream: string;
  line: string;
}
const maxLines = 5000;
// eslint-disable-next-line no-control-regex
const ansi = /\u001b\[[0-9;?]*[A-Za-z]/g;

export function useLogs(namespace: string, selection: Record<string, string | undefined>) {
  const query = new URLSearchParams({ follow: 'true' });
  for (const [key, value] of Object.entries(selection)) if (value) query.set(key, value);
  const path = `${mainstay('logs', namespace)}?${query}`;
  const [state, setState] = useState<{ lines: Line[]; error?: ApiError; ended?: boolean }>({ lines: [] });
  useEffect(() => {
    let lines: Line[] = [],
      pending = false,
      stop: () => void = () => {},
      gone = false;
    setState({ lines });
    const show = () => {
      if (pending) return;
      pending = true;
      setTimeout(() => {
        pending = false;
        if (!gone) setState({ lines: [...lines] });
      }, 60);
    };
    const open = () => {
      let status = 0,
        text = '',
        fresh = true;
      stop = openStream(path, {
        head: (s) => {
          status = s;
        },
        data: (chunk) => {
          text += chunk;
          if (status !== 200) return;
          if (fresh) {
            lines = [];
            fresh = false;
          }
          const parts = text.split('\n');
          text = parts.pop() ?? '';
          for (const part of parts) if (part) lines.push(JSON.parse(part) as Line);
          if (lines.length > maxLines) lines = lines.slice(-maxLines);
          show();
        },
        end: () => {
          if (status === 200) setState({ lines: [...lines], ended: true });
          else setState({ lines: [], error: errorOf(status, text) });
        },
        dropped: open, // what was shown stays until the new answer begins
      });
    };
    open();
    return () => {
      gone = true;
      stop();
    };
  }, [path]);
  return state;
}

export function LogView({
  namespace,
  selection,
  title,
  showPod,
  filter,
}: {
  namespace: string;
  selection: Record<string, string | undefined>;
  title: string;
  showPod?: boolean;
  filter?: (line: Line) => boolean;
}) {
  const { lines, error } = useLogs(namespace, selection);
  const [word, setWord] = useState('');
  const [follow, setFollow] = useState(true);
  const [speak, setSpeak] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const wanted = word.toLowerCase();
  const shown = lines.filter((l) => (!filter || filter(l)) && (!wanted || l.line.toLowerCase().includes(wanted)));
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shown.length, follow]);
  if (error) return <Problem error={error} what="logs" />;
  const download = () => {
    const url = URL.createObjectURL(
      new Blob([shown.map((l) => `${l.time} ${l.pod} ${l.line}\n`).join('')], { type: 'text/plain' }),
    );
    Object.assign(document.createElement('a'), { href: url, download: `${title}.log` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };
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
        <Button variant="link" isInline onClick={download} isDisabled={!shown.length}>
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
        onWheel={(e) => {
          if (e.deltaY < 0) setFollow(false);
        }}
      >
        {shown.length === 0 && <div className="none">{lines.length ? 'No line has this word.' : 'No output yet.'}</div>}
        {shown.map((l, i) => (
          <div key={i} className={l.stream === 'stderr' ? 'e' : undefined}>
            <span className="t">{l.time.slice(11, 23)}</span>
            {showPod && (
              <span className="s" title={l.pod}>
                {l.pod}
              </span>
            )}
            <span>{l.line.replace(ansi, '')}</span>
          </div>
        ))}
      </div>
    </div>
  );
}
