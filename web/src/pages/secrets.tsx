import {
  Button,
  Form,
  FormGroup,
  FormHelperText,
  HelperText,
  HelperTextItem,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  TextInput,
} from '@patternfly/react-core';
import { useEffect, useState, type FormEvent } from 'react';
import { ApiError, json } from '../api/http';
import { useTail } from '../api/loki';
import {
  Ago,
  Command,
  Empty,
  Loading,
  PageFrame,
  Problem,
  Section,
  teamCrumbs,
  Told,
  type Outcome,
} from '../components/basics';
import { Rows } from '../components/table';
import { useParams } from '../router';

interface Meta {
  current_version: number;
  updated_time?: string;
  versions?: Record<string, { created_time?: string; deletion_time?: string; destroyed?: boolean }>;
}
const encode = (path: string) => path.split('/').map(encodeURIComponent).join('/');

const changesOf = (team: string) => {
  const without = ['get', 'list'].map((verb) => ` != ${JSON.stringify(`"verb":"${verb}"`)}`);
  return `{source="audit", namespace="${team}"} |= ${JSON.stringify('"resource":"secrets"')}${without.join('')}`;
};

const mostFolders = 50;

// The paths below the team's, folder by folder; how many folders were not looked into.
async function allPaths(team: string): Promise<{ paths: string[]; left: number }> {
  const found: string[] = [],
    folders = [''];
  for (let i = 0; i < folders.length && i < mostFolders; ++i) {
    const answer = await json<{ data?: { keys?: string[] } }>(
      `/v1/secret/metadata/${team}/${encode(folders[i])}?list=true`,
    ).catch((e: ApiError) => {
      if (e.absent && !e.notOffered) return { data: { keys: [] } };
      throw e;
    });
    for (const key of answer.data?.keys ?? []) (key.endsWith('/') ? folders : found).push(folders[i] + key);
  }
  return { paths: found.sort(), left: Math.max(0, folders.length - mostFolders) };
}

const metaOf = (team: string, path: string) =>
  json<{ data: Meta }>(`/v1/secret/metadata/${team}/${encode(path)}`).then(
    (answer) => answer.data,
    () => undefined,
  );

function Write({ team, known, done }: { team: string; known: string[]; done: () => void }) {
  const [path, setPath] = useState('');
  const [rows, setRows] = useState([{ key: '', value: '' }]);
  const [result, setResult] = useState<Outcome>();
  const [busy, setBusy] = useState(false);
  const change = (i: number, part: Partial<{ key: string; value: string }>) =>
    setRows(rows.map((r, k) => (k === i ? { ...r, ...part } : r)));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setResult(undefined);
    const data = Object.fromEntries(rows.filter((r) => r.key.trim()).map((r) => [r.key.trim(), r.value]));
    const name = path.trim().replace(/^\/+|\/+$/g, '');
    json<{ data: { version: number } }>(`/v1/secret/data/${team}/${encode(name)}`, { method: 'POST', body: { data } })
      .then(
        ({ data: d }) => {
          setResult({ ok: true, text: `${name} is kept as version ${d.version}.` });
          setRows([{ key: '', value: '' }]);
          setPath('');
          done();
        },
        (e: Error) => setResult({ ok: false, text: e.message }),
      )
      .finally(() => setBusy(false));
  };
  return (
    <Form onSubmit={submit} className="narrow" autoComplete="off">
      <FormGroup label="Path" fieldId="secret-path" isRequired>
        <TextInput
          id="secret-path"
          value={path}
          onChange={(_e, v) => setPath(v)}
          placeholder="web/database"
          isRequired
        />
        <FormHelperText>
          <HelperText>
            <HelperTextItem>
              {known.includes(path.trim())
                ? 'There is one; this makes a new version that holds these keys alone.'
                : `Below secret/${team}/.`}
            </HelperTextItem>
          </HelperText>
        </FormHelperText>
      </FormGroup>
      {rows.map((r, i) => (
        <div key={i} className="grid">
          <FormGroup label={i ? `Key ${i + 1}` : 'Key'} fieldId={`k${i}`}>
            <TextInput id={`k${i}`} value={r.key} onChange={(_e, v) => change(i, { key: v })} placeholder="password" />
          </FormGroup>
          <FormGroup label={i ? `Value ${i + 1}` : 'Value'} fieldId={`v${i}`}>
            <TextInput
              id={`v${i}`}
              type="password"
              autoComplete="new-password"
              value={r.value}
              onChange={(_e, v) => change(i, { value: v })}
            />
          </FormGroup>
        </div>
      ))}
      <div className="row">
        <Button type="submit" isDisabled={busy || !path.trim() || !rows.some((r) => r.key.trim())} isLoading={busy}>
          Write the secret
        </Button>
        <Button variant="link" onClick={() => setRows([...rows, { key: '', value: '' }])}>
          One more key
        </Button>
      </div>
      <Told outcome={result} />
    </Form>
  );
}

// Values are asked for one secret at a time, on purpose; each reading is in the audit log.
function Reveal({ team, path, close }: { team: string; path: string; close: () => void }) {
  const [data, setData] = useState<Record<string, unknown>>();
  const [error, setError] = useState<ApiError>();
  const [asked, setAsked] = useState(false);
  const read = () => {
    setAsked(true);
    json<{ data: { data: Record<string, unknown> } }>(`/v1/secret/data/${team}/${encode(path)}`).then(
      (a) => setData(a.data.data ?? {}),
      setError,
    );
  };
  return (
    <Modal isOpen variant="small" onClose={close} aria-labelledby="reveal-title">
      <ModalHeader title={path} labelId="reveal-title" />
      <ModalBody>
        {!asked && (
          <p>The values will be shown on this screen. Reading them leaves a line in the audit log with your name.</p>
        )}
        {asked && !data && !error && <Loading what="Reading" />}
        {error && <Problem error={error} what="this secret" />}
        {data && (
          <Rows
            label="Values"
            columns={['Key', 'Value']}
            rows={Object.entries(data).map(([k, v]) => ({
              key: k,
              cells: [
                k,
                <code key="v" className="any">
                  {typeof v === 'string' ? v : JSON.stringify(v)}
                </code>,
              ],
            }))}
          />
        )}
      </ModalBody>
      <ModalFooter>
        {!asked && (
          <Button variant="danger" onClick={read}>
            Show the values
          </Button>
        )}
        <Button variant="link" onClick={close}>
          {asked ? 'Close' : 'Cancel'}
        </Button>
      </ModalFooter>
    </Modal>
  );
}

export default function Secrets() {
  const { team } = useParams();
  const [list, setList] = useState<{ path: string; meta?: Meta }[]>();
  const [left, setLeft] = useState(0);
  const [error, setError] = useState<ApiError>();
  const [shown, setShown] = useState<string>();
  const [round, setRound] = useState(0);
  const load = () => setRound((n) => n + 1);
  // Secrets have no watch; what is written and deleted is in the audit log as it happens.
  const { lines: changes } = useTail(changesOf(team), 0, 1);
  const latest = changes?.[0]?.time;
  useEffect(() => {
    let overtaken = false;
    setError(undefined);
    allPaths(team).then(
      async (found) => {
        const metas = await Promise.all(found.paths.slice(0, 100).map((path) => metaOf(team, path)));
        if (overtaken) return;
        setList(found.paths.map((path, i) => ({ path, meta: metas[i] })));
        setLeft(found.left);
      },
      (e) => {
        if (!overtaken) setError(e);
      },
    );
    return () => {
      overtaken = true;
    };
  }, [team, round, latest]);
  return (
    <PageFrame
      title="Secrets"
      description="Values are written here and read by workloads; they are never shown unless asked for."
      crumbs={teamCrumbs(team, { text: 'Secrets' })}
    >
      {error ? (
        <Problem error={error} what="secrets" retry={load} />
      ) : (
        <>
          <Section title="Kept">
            {!list ? (
              <Loading what="Loading secrets" />
            ) : list.length === 0 ? (
              <Empty
                level="h3"
                title="This team keeps no secret yet"
                command={`vault kv put secret/${team}/web/database password=…`}
              >
                Write the first one below, or with any Vault client:
              </Empty>
            ) : (
              <Rows
                label="Secrets"
                columns={['Path', 'Version', 'Written', '']}
                rows={list.map(({ path, meta }) => ({
                  key: path,
                  cells: [
                    <code key="p" className="any">
                      {path}
                    </code>,
                    meta?.current_version ?? '–',
                    <Ago
                      key="a"
                      time={meta?.versions?.[String(meta.current_version)]?.created_time ?? meta?.updated_time}
                    />,
                    <Button
                      key="b"
                      size="sm"
                      variant="secondary"
                      onClick={() => setShown(path)}
                      aria-label={`Show ${path}`}
                    >
                      Show …
                    </Button>,
                  ],
                }))}
              />
            )}
            {left > 0 && (
              <p className="muted tiny">
                {left} more folders are not shown: <Command>{`vault kv list secret/${team}/FOLDER`}</Command>
              </p>
            )}
          </Section>
          <Section title="Write">
            <Write team={team} known={(list ?? []).map((l) => l.path)} done={load} />
          </Section>
          <div className="muted tiny">
            To give one to pods, sync it: <Command>{`kubectl explain secretsync.spec`}</Command>
          </div>
        </>
      )}
      {shown && <Reveal team={team} path={shown} close={() => setShown(undefined)} />}
    </PageFrame>
  );
}
