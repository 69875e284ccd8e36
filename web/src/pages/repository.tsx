import { Alert, Button, FormSelect, FormSelectOption, Tab, Tabs, TabTitleText } from '@patternfly/react-core';
import FolderIcon from '@patternfly/react-icons/dist/esm/icons/folder-icon';
import FileIcon from '@patternfly/react-icons/dist/esm/icons/file-icon';
import { useState, type ReactNode } from 'react';
import { useAsk } from '../api/ask';
import { mainstay, useWatch, useWatchOne } from '../api/watch';
import type { Repository, WorkflowRun } from '../api/types';
import { Ago, Command, Empty, Gate, Loading, PageFrame, Problem, teamCrumbs } from '../components/basics';
import { format } from '../components/format';
import { refName, RunRows } from '../components/runs';
import { Rows } from '../components/table';
import { Link, setQuery, useParams, useQuery } from '../router';
import { CodeView } from '../components/code';

interface Entry {
  name: string;
  type: 'blob' | 'tree' | 'commit' | 'link';
  size?: number;
}
interface Blob {
  size?: number;
  binary?: boolean;
  tooLarge?: boolean;
  message?: string;
  content?: string;
}
interface Commit {
  sha: string;
  author: { name: string };
  authoredAt: string;
  subject: string;
}

const bytes = (n?: number) => (n === undefined ? '' : format(n, 'bytes'));

function Files({ base, sha, path }: { base: string; sha: string; path: string }) {
  const parts = path.split('/').filter(Boolean);
  const at = (n: number) => parts.slice(0, n).join('/');
  const crumbs = (
    <nav aria-label="Folder" className="row any">
      <LinkTo path="">root</LinkTo>
      {parts.map((p, i) => (
        <span key={i}> / {i === parts.length - 1 ? p : <LinkTo path={at(i + 1)}>{p}</LinkTo>}</span>
      ))}
    </nav>
  );
  return (
    <>
      {crumbs}
      {/* By its path, so that no entry of one folder leads into another. */}
      <FolderOrFile key={`${sha}/${path}`} base={base} sha={sha} path={path} />
    </>
  );
}
const LinkTo = ({ path, children }: { path: string; children: ReactNode }) => (
  <Button variant="link" isInline onClick={() => setQuery({ path: path || undefined })}>
    {children}
  </Button>
);

function FolderOrFile({ base, sha, path }: { base: string; sha: string; path: string }) {
  const query = (p: string) => `revision=${sha}&path=${encodeURIComponent(p)}`;
  const tree = useAsk<{ items: Entry[]; truncated: boolean }>(`${base}/tree?${query(path)}`);
  if (tree.error && path) return <FileView base={base} query={query(path)} path={path} />;
  if (tree.error) return <Problem error={tree.error} what="the files" />;
  if (!tree.value) return <Loading what="Loading files" />;
  const readme = tree.value.items.find((e) => /^readme(\.md|\.txt)?$/i.test(e.name));
  return (
    <>
      <Rows
        label="Files"
        columns={['Name', 'Size']}
        rows={tree.value.items.map((e) => ({
          key: e.name,
          cells: [
            <span key="n" className="row">
              {e.type === 'tree' ? <FolderIcon /> : <FileIcon />}
              <LinkTo path={path ? `${path}/${e.name}` : e.name}>{e.name}</LinkTo>
            </span>,
            bytes(e.size),
          ],
        }))}
      />
      {tree.value.truncated && (
        <Alert isInline variant="info" title="There are more files than can be shown here; clone the repository." />
      )}
      {readme && (
        <div className="block">
          <FileView base={base} query={query(path ? `${path}/${readme.name}` : readme.name)} path={readme.name} />
        </div>
      )}
    </>
  );
}

function FileView({ base, query, path }: { base: string; query: string; path: string }) {
  const blob = useAsk<Blob>(`${base}/blob?${query}`);
  if (blob.error) return <Problem error={blob.error} what={path} />;
  if (!blob.value) return <Loading what={`Loading ${path}`} />;
  const { content, binary, tooLarge, message, size } = blob.value;
  if (tooLarge) return <Alert isInline variant="info" title={message ?? 'The file is too large to show.'} />;
  if (binary) return <Alert isInline variant="info" title={`${path} is not text (${bytes(size)}).`} />;
  return (
    <>
      <p className="muted tiny">
        {path}, {bytes(size)}
      </p>
      <CodeView text={content ?? ''} label={path} />
    </>
  );
}

function Commits({ base, sha, team, repository }: { base: string; sha: string; team: string; repository: string }) {
  const [skip, setSkip] = useState(0);
  const page = useAsk<{ items: Commit[]; more: boolean }>(`${base}/commits?revision=${sha}&skip=${skip}`);
  if (page.error) return <Problem error={page.error} what="the commits" />;
  if (!page.value) return <Loading what="Loading commits" />;
  return (
    <>
      <Rows
        label="Commits"
        columns={['Commit', 'Message', 'Author', 'Written']}
        rows={page.value.items.map((c) => ({
          key: c.sha,
          cells: [
            <Link key="s" to={`/teams/${team}/repositories/${repository}/commits/${c.sha}`}>
              <code>{c.sha.slice(0, 7)}</code>
            </Link>,
            <span key="m" className="any">
              {c.subject}
            </span>,
            c.author.name,
            <Ago key="a" time={c.authoredAt} />,
          ],
        }))}
      />
      <div className="row">
        {skip > 0 && (
          <Button variant="secondary" onClick={() => setSkip(Math.max(0, skip - 30))}>
            Newer
          </Button>
        )}
        {page.value.more && (
          <Button variant="secondary" onClick={() => setSkip(skip + 30)}>
            Older
          </Button>
        )}
      </div>
    </>
  );
}

export default function RepositoryPage() {
  const { team, repository } = useParams();
  const query = useQuery();
  const live = useWatchOne<Repository>(mainstay('repositories', team), repository);
  const runs = useWatch<WorkflowRun>(mainstay('workflowruns', team));
  const object = live.object;
  const refs = object?.status?.refs ?? {};
  const names = Object.keys(refs).sort();
  const wanted = query.get('ref') ?? `refs/heads/${object?.spec.defaultBranch ?? 'main'}`;
  const ref = wanted in refs ? wanted : names[0];
  const sha = refs[ref]?.sha;
  const base = `${mainstay('repositories', team)}/${repository}/git`;
  const mine = runs.items.filter((r) => r.spec.repository === repository);
  const url = object?.status?.url ?? `${location.origin}/git/${team}/${repository}.git`;
  return (
    <PageFrame
      title={repository}
      label={`${repository}, repository of ${team}`}
      description={object?.spec.description}
      crumbs={teamCrumbs(team, { text: 'Repositories', to: `/teams/${team}/repositories` }, { text: repository })}
    >
      <Gate
        live={live}
        what="this repository"
        empty={
          <Empty
            title={`There is no repository ${repository}`}
            command={`mainstay repo create ${repository} --team ${team}`}
          />
        }
      >
        <div className="row">
          <span className="muted">Clone</span>
          <Command>{`git clone ${url}`}</Command>
        </div>
        {!sha ? (
          <Empty title="Nothing has been pushed yet" command={[`git remote add origin ${url}`, 'git push origin main']}>
            Push a commit: it is built, checked and deployed, and its run shows up here.
          </Empty>
        ) : (
          <Tabs
            activeKey={query.get('tab') ?? 'files'}
            onSelect={(_e, key) => setQuery({ tab: String(key), path: undefined })}
            aria-label="Parts of the repository"
            mountOnEnter
            unmountOnExit
          >
            <Tab eventKey="files" title={<TabTitleText>Files</TabTitleText>}>
              <div className="stack tab-body">
                <div className="row">
                  <label htmlFor="ref">Branch or tag</label>
                  <div>
                    <FormSelect id="ref" value={ref} onChange={(_e, v) => setQuery({ ref: v, path: undefined })}>
                      {names.map((r) => (
                        <FormSelectOption key={r} value={r} label={refName(r)} />
                      ))}
                    </FormSelect>
                  </div>
                </div>
                <Files base={base} sha={sha} path={query.get('path') ?? ''} />
              </div>
            </Tab>
            <Tab eventKey="commits" title={<TabTitleText>Commits</TabTitleText>}>
              <div className="tab-body">
                <Commits base={base} sha={sha} team={team} repository={repository} />
              </div>
            </Tab>
            <Tab eventKey="runs" title={<TabTitleText>Runs</TabTitleText>}>
              <div className="tab-body">
                <Gate
                  live={{ ...runs, items: mine }}
                  what="runs"
                  empty={<Empty title="Nothing has run yet" command="git push origin main" />}
                >
                  <RunRows runs={mine} team={team} />
                </Gate>
              </div>
            </Tab>
          </Tabs>
        )}
      </Gate>
    </PageFrame>
  );
}
