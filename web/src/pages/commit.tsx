import { Alert } from '@patternfly/react-core';
import { useAsk } from '../api/ask';
import { mainstay, useWatch } from '../api/watch';
import type { WorkflowRun } from '../api/types';
import { Ago, Loading, PageFrame, Problem, Section, teamCrumbs } from '../components/basics';
import { DiffView } from '../components/code';
import { RunRows } from '../components/runs';
import { Link, useParams } from '../router';

interface Detail {
  sha: string;
  parents: string[];
  author: { name: string; email: string };
  authoredAt: string;
  subject: string;
  body: string;
  patch: string;
  patchTruncated: boolean;
}

export default function CommitPage() {
  const { team, repository, sha } = useParams();
  const { value: detail, error } = useAsk<Detail>(`${mainstay('repositories', team)}/${repository}/git/commits/${sha}`);
  const runs = useWatch<WorkflowRun>(
    `${mainstay('workflowruns', team)}?labelSelector=${encodeURIComponent(`mainstay.dev/commit=${sha}`)}`,
  );
  const home = `/teams/${team}/repositories/${repository}`;
  return (
    <PageFrame
      title={detail?.subject ?? sha.slice(0, 7)}
      crumbs={teamCrumbs(
        team,
        { text: repository, to: home },
        { text: 'Commits', to: `${home}?tab=commits` },
        { text: sha.slice(0, 7) },
      )}
      description={
        detail && (
          <>
            {detail.author.name} &lt;{detail.author.email}&gt;, <Ago time={detail.authoredAt} />. Commit{' '}
            <code className="any">{detail.sha}</code>
          </>
        )
      }
    >
      {error && <Problem error={error} what="this commit" />}
      {!detail && !error && <Loading what="Loading the commit" />}
      {runs.items.length > 0 && (
        <Section title="Runs">
          <RunRows runs={runs.items} team={team} />
        </Section>
      )}
      {detail && (
        <>
          {detail.body && <pre className="any">{detail.body}</pre>}
          {detail.parents.length > 0 && (
            <p className="muted tiny">
              After{' '}
              {detail.parents.map((p) => (
                <Link key={p} to={`${home}/commits/${p}`}>
                  <code>{p.slice(0, 7)}</code>{' '}
                </Link>
              ))}
            </p>
          )}
          {detail.patchTruncated && (
            <Alert
              isInline
              variant="info"
              title="The change is larger than can be shown here; this is its beginning."
            />
          )}
          <DiffView patch={detail.patch} />
        </>
      )}
    </PageFrame>
  );
}
