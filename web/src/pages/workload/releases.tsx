// Releases of a workload, and what may be done with each in each environment.
import { Button } from '@patternfly/react-core';
import { useState } from 'react';
import { post } from '../../api/http';
import { mainstay } from '../../api/watch';
import type { Release } from '../../api/types';
import { AskDialog } from '../../components/ask';
import { Ago, Phase, Sha } from '../../components/basics';
import { newestFirst } from '../../components/runs';
import { Rows } from '../../components/table';
import { Link } from '../../router';

type Verb = 'promote' | 'approve' | 'rollback';
interface Action {
  verb: Verb;
  environment: string;
}
const words: Record<Verb, string> = { promote: 'Promote to', approve: 'Approve for', rollback: 'Roll back' };
const titleOf = (release: Release) => release.spec.subject || release.spec.commit?.slice(0, 7);

export const placeOf = (release: Release, environment: string) =>
  release.status?.environments?.find((e) => e.name === environment);
const isLeft = (state?: string) => state === 'Superseded' || state === 'RolledBack';

// What the API will take: it decides, this only keeps buttons away that cannot work.
function actionsOf(release: Release, all: Release[], environments: string[]): Action[] {
  return environments.flatMap((environment, i): Action[] => {
    const here = placeOf(release, environment)?.state;
    const before = i > 0 ? placeOf(release, environments[i - 1])?.state : undefined;
    const actions: Action[] = [];
    if (here === 'AwaitingApproval') actions.push({ verb: 'approve', environment });
    if ((before === 'Deployed' || before === 'Superseded') && (!here || isLeft(here) || here === 'Failed'))
      actions.push({ verb: 'promote', environment });
    if (here === 'Deployed' && all.some((o) => o !== release && isLeft(placeOf(o, environment)?.state)))
      actions.push({ verb: 'rollback', environment });
    return actions;
  });
}

function Question({ verb, release, environment }: Action & { release: Release }) {
  const name = <b>{release.metadata.name}</b>,
    where = <b>{environment}</b>;
  if (verb === 'promote')
    return (
      <>
        Release {name} ({titleOf(release)}) goes to {where} with the image and configuration it has been tried with.
      </>
    );
  if (verb === 'approve')
    return (
      <>
        You vouch for release {name} in {where}. This is signed and kept with the image. Its authors cannot approve it.
      </>
    );
  return (
    <>
      Leaves release {name} in {where}; the one that was deployed there before comes back, with its configuration.
    </>
  );
}

function Ask({ verb, release, environment, close }: Action & { release: Release; close: () => void }) {
  const name = `${words[verb]} ${environment}`;
  const path = `${mainstay('releases', release.metadata.namespace)}/${release.metadata.name}/${verb}`;
  return (
    <AskDialog
      title={name}
      action={name}
      danger={verb === 'rollback'}
      comment={verb === 'approve'}
      send={(comment) => post(path, { environment, ...(comment ? { comment } : {}) })}
      close={close}
    >
      <Question verb={verb} release={release} environment={environment} />
    </AskDialog>
  );
}

function Place({ release, environment }: { release: Release; environment: string }) {
  const place = placeOf(release, environment);
  const approvals = release.status?.approvals?.filter((a) => a.environment === environment) ?? [];
  return (
    <div>
      {place ? <Phase phase={place.state} /> : <span className="muted">–</span>}
      {place?.message && <div className="muted tiny any">{place.message}</div>}
      {place?.state === 'AwaitingApproval' && place.requestedBy && (
        <div className="muted tiny">asked for by {place.requestedBy}</div>
      )}
      {approvals.map((a) => (
        <div key={a.by} className="muted tiny any">
          approved by {a.by}
          {a.comment && `: ${a.comment}`}
        </div>
      ))}
    </div>
  );
}

export function Releases({
  team,
  releases,
  environments,
}: {
  team: string;
  releases: Release[];
  environments: string[];
}) {
  const [ask, setAsk] = useState<Action & { release: Release }>();
  const rows = newestFirst(releases)
    .slice(0, 30)
    .map((r) => ({
      key: r.metadata.name,
      cells: [
        <div key="n">
          <b className="any">{r.metadata.name}</b>
          <div className="muted tiny">
            <Ago time={r.metadata.creationTimestamp} />
            {r.spec.author && ` by ${r.spec.author}`}
          </div>
        </div>,
        <div key="c">
          <Link to={`/teams/${team}/repositories/${r.spec.repository?.split('/').pop()}/commits/${r.spec.commit}`}>
            <Sha sha={r.spec.commit} />
          </Link>{' '}
          <span className="tiny any">{r.spec.subject}</span>
        </div>,
        ...environments.map((e) => <Place key={e} release={r} environment={e} />),
        <div key="a" className="row">
          {actionsOf(r, releases, environments).map((a) => (
            <Button
              key={a.verb + a.environment}
              size="sm"
              variant={a.verb === 'rollback' ? 'secondary' : 'primary'}
              onClick={() => setAsk({ ...a, release: r })}
            >
              {words[a.verb]} {a.environment}
            </Button>
          ))}
        </div>,
      ],
    }));
  return (
    <>
      <Rows label="Releases" columns={['Release', 'Commit', ...environments, 'Actions']} rows={rows} />
      {ask && <Ask {...ask} close={() => setAsk(undefined)} />}
    </>
  );
}
