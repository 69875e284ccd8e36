import { Alert, Button } from '@patternfly/react-core';
import { useState } from 'react';
import { post } from '../api/http';
import { mainstay, useWatch, useWatchOne } from '../api/watch';
import type { TerraformRun, Workspace } from '../api/types';
import {
  Ago,
  Command,
  Empty,
  Fact,
  Facts,
  Gate,
  PageFrame,
  Phase,
  Section,
  Sha,
  teamCrumbs,
} from '../components/basics';
import { AskDialog } from '../components/ask';
import { CodeView } from '../components/code';
import { format } from '../components/format';
import { newestFirst } from '../components/runs';
import { Rows } from '../components/table';
import { Link, setQuery, useParams, useQuery } from '../router';
import { stateOf } from './terraform';

const approvals: Record<string, string> = {
  auto: 'nobody needs to approve',
  manual: 'any developer of the team approves',
  independent: 'somebody else than its author approves',
};

function About({ team, workspace: w }: { team: string; workspace: Workspace }) {
  const { source, approval = 'manual', driftCheck, destroyOnDelete } = w.spec ?? {};
  const s = w.status;
  const claim = w.metadata.ownerReferences?.find((o) => o.kind === 'ResourceClaim');
  const home = `/teams/${source?.namespace ?? team}/repositories/${source?.repository}`;
  return (
    <Facts wide>
      <Fact term="Module">
        {source?.repository ? (
          <>
            <Link to={home}>{source.repository}</Link>
            {source.path && `, folder ${source.path}`} at {source.revision ?? 'HEAD'}
          </>
        ) : source?.files ? (
          `${Object.keys(source.files).join(', ')}, written in the workspace`
        ) : (
          'none: it keeps a state for a Terraform that runs elsewhere'
        )}
      </Fact>
      {source && <Fact term="Plans">{approvals[approval] ?? approval}</Fact>}
      {source && <Fact term="Drift">{driftCheck ? `looked for every ${driftCheck}` : 'is not looked for'}</Fact>}
      {source && <Fact term="If deleted">{destroyOnDelete ? 'what it made is destroyed' : 'what it made stays'}</Fact>}
      {claim && (
        <Fact term="Provides">
          claim <Link to={`/teams/${team}/resources`}>{claim.name}</Link>
        </Fact>
      )}
      <Fact term="State">
        {s?.serial === undefined ? (
          'none yet'
        ) : (
          <>
            serial {s.serial}, {s.resources ?? 0} resources, written <Ago time={s.updatedAt} /> by {s.updatedBy}
          </>
        )}
      </Fact>
      {s?.appliedRevision && (
        <Fact term="Applied">
          <Sha sha={s.appliedRevision} />
        </Fact>
      )}
      {s?.lock && (
        <Fact term="Locked">
          by {s.lock.who ?? s.lock.user} for {s.lock.operation}, <Ago time={s.lock.at} />
        </Fact>
      )}
      {s?.address && (
        <Fact term="Backend">
          <code className="any">{s.address}</code>
        </Fact>
      )}
    </Facts>
  );
}

function Outputs({ workspace }: { workspace: Workspace }) {
  const plain = Object.entries(workspace.status?.outputs ?? {}),
    sensitive = workspace.status?.sensitiveOutputs ?? [];
  if (!plain.length && !sensitive.length) return null;
  const rows = [
    ...plain.map(([name, value]) => ({
      key: name,
      cells: [
        name,
        <code key="v" className="any">
          {typeof value === 'string' ? value : JSON.stringify(value)}
        </code>,
      ],
    })),
    ...sensitive.map((name) => ({
      key: name,
      cells: [
        name,
        <span key="v" className="muted">
          sensitive: kept in the state alone
        </span>,
      ],
    })),
  ];
  return (
    <Section title="Outputs">
      <Rows label="Outputs" columns={['Output', 'Value']} rows={rows} />
    </Section>
  );
}

type Verb = 'approve' | 'discard';

function Run({ run }: { run: TerraformRun }) {
  const [ask, setAsk] = useState<Verb>();
  const { spec, status: s } = run;
  const waits = s?.phase === 'AwaitingApproval';
  const path = `${mainstay('terraformruns', run.metadata.namespace)}/${run.metadata.name}`;
  return (
    <Section
      title={`Run ${run.metadata.name}`}
      actions={
        waits && (
          <>
            <Button variant={spec.operation === 'destroy' ? 'danger' : 'primary'} onClick={() => setAsk('approve')}>
              Approve
            </Button>
            <Button variant="secondary" onClick={() => setAsk('discard')}>
              Discard
            </Button>
          </>
        )
      }
    >
      <div className="stack">
        {s?.message && !waits && (
          <Alert isInline variant={s.phase === 'Failed' ? 'danger' : 'info'} title={s.message} className="any" />
        )}
        <Facts wide>
          <Fact term="State">
            <span role="status" data-testid="terraform-phase">
              <Phase phase={s?.phase ?? 'Pending'} />
            </span>
          </Fact>
          <Fact term="Operation">
            {spec.operation}, asked for by {spec.requestedBy ?? 'the platform'},{' '}
            <Ago time={run.metadata.creationTimestamp} />
          </Fact>
          {s?.summary && <Fact term="Plan">{s.summary}</Fact>}
          {s?.revision && (
            <Fact term="Commit">
              <Sha sha={s.revision} />
            </Fact>
          )}
          {waits && s.approval && <Fact term="Waits">{approvals[s.approval] ?? s.approval}</Fact>}
          {s?.approvedBy && (
            <Fact term="Approved">
              by {s.approvedBy}, <Ago time={s.approvedAt} />
              {s.approvalComment && `: ${s.approvalComment}`}
            </Fact>
          )}
          {s?.discardedBy && <Fact term="Discarded">by {s.discardedBy}</Fact>}
        </Facts>
        {s?.plan && <CodeView text={s.plan.trim()} label={`Plan of ${run.metadata.name}`} />}
        {s?.log && (
          <details open={s.phase === 'Failed'}>
            <summary>What Terraform said last</summary>
            <CodeView text={s.log.trim()} label={`Output of ${run.metadata.name}`} />
          </details>
        )}
      </div>
      {ask === 'approve' && (
        <AskDialog
          title={`Approve ${run.metadata.name}`}
          action="Approve and apply"
          danger={spec.operation === 'destroy'}
          comment
          send={(comment) => post(`${path}/approve`, { comment })}
          close={() => setAsk(undefined)}
        >
          Exactly this plan is applied: {s?.summary}.
        </AskDialog>
      )}
      {ask === 'discard' && (
        <AskDialog
          title={`Discard ${run.metadata.name}`}
          action="Discard the plan"
          danger
          comment
          send={(comment) => post(`${path}/discard`, { comment })}
          close={() => setAsk(undefined)}
        >
          Nothing is changed. Another run makes another plan.
        </AskDialog>
      )}
    </Section>
  );
}

const operations = [
  ['apply', 'Plan and apply', 'Makes a plan; it is applied when it has been approved.'],
  ['plan', 'Plan only', 'Makes a plan to look at. Nothing is changed.'],
  ['drift', 'Look for drift', 'Compares what is there with what was applied. Nothing is changed.'],
  ['destroy', 'Plan to destroy', 'Makes a plan to destroy all that the state names; it needs its approval.'],
] as const;

function Begin({ workspace }: { workspace: Workspace }) {
  const [operation, setOperation] = useState<(typeof operations)[number]>();
  const { name, namespace } = workspace.metadata;
  const begin = (what: string) =>
    post<TerraformRun>(mainstay('terraformruns', namespace), {
      apiVersion: 'mainstay.dev/v1',
      kind: 'TerraformRun',
      metadata: { generateName: `${name}-`, namespace },
      spec: { workspace: name, operation: what },
    }).then((run) => setQuery({ run: run.metadata.name }));
  return (
    <>
      {operations.map((o) => (
        <Button
          key={o[0]}
          variant={o[0] === 'destroy' ? 'link' : 'secondary'}
          isDanger={o[0] === 'destroy'}
          onClick={() => setOperation(o)}
        >
          {o[1]}
        </Button>
      ))}
      {operation && (
        <AskDialog
          title={`${operation[1]}: ${name}`}
          action={operation[1]}
          danger={operation[0] === 'destroy'}
          send={() => begin(operation[0])}
          close={() => setOperation(undefined)}
        >
          {operation[2]}
        </AskDialog>
      )}
    </>
  );
}

function Runs({ runs, shown }: { runs: TerraformRun[]; shown?: TerraformRun }) {
  const rows = runs.slice(0, 50).map((r) => ({
    key: r.metadata.name,
    cells: [
      <Button
        key="b"
        variant="link"
        isInline
        aria-current={r === shown ? 'true' : undefined}
        onClick={() => setQuery({ run: r.metadata.name })}
      >
        {r.metadata.name}
      </Button>,
      r.spec.operation,
      <Phase key="p" phase={r.status?.phase ?? 'Pending'} />,
      r.status?.summary ?? '–',
      r.status?.approvedBy ?? '–',
      <Ago key="a" time={r.metadata.creationTimestamp} />,
    ],
  }));
  return <Rows label="Runs" columns={['Run', 'Operation', 'State', 'Plan', 'Approved by', 'Began']} rows={rows} />;
}

function States({ workspace }: { workspace: Workspace }) {
  const versions = [...(workspace.status?.versions ?? [])].reverse();
  if (!versions.length) return null;
  const rows = versions.map((v) => ({
    key: v.name,
    cells: [v.serial, <Ago key="a" time={v.at} />, v.by, format(v.bytes, 'bytes')],
  }));
  return (
    <Section title="States kept">
      <Rows label="States kept" columns={['Serial', 'Written', 'By', 'Size']} rows={rows} />
    </Section>
  );
}

export default function WorkspacePage() {
  const { team, namespace, workspace: name } = useParams();
  const wanted = useQuery().get('run');
  const live = useWatchOne<Workspace>(mainstay('workspaces', namespace), name);
  const allRuns = useWatch<TerraformRun>(
    `${mainstay('terraformruns', namespace)}?fieldSelector=${encodeURIComponent(`spec.workspace=${name}`)}`,
  );
  const workspace = live.object;
  const runs = newestFirst(allRuns.items);
  // The run that was picked, else the one that waits for somebody, else the newest.
  const shown =
    runs.find((r) => r.metadata.name === wanted) ??
    runs.find((r) => r.status?.phase === 'AwaitingApproval') ??
    (wanted ? undefined : runs[0]);
  const drift = workspace?.status?.drift;
  return (
    <PageFrame
      title={
        <span className="row">
          {name}
          {workspace && <Phase phase={stateOf(workspace)} />}
        </span>
      }
      label={`Workspace ${name}`}
      description={workspace?.spec?.description}
      crumbs={teamCrumbs(team, { text: 'Terraform', to: `/teams/${team}/terraform` }, { text: `${namespace}/${name}` })}
      actions={workspace?.spec?.source && <Begin workspace={workspace} />}
    >
      <Gate
        live={live}
        what="this workspace"
        empty={<Empty title={`There is no workspace ${name}`} command={`kubectl get workspaces -n ${namespace}`} />}
      >
        {workspace && (
          <>
            {drift?.found && (
              <Alert isInline variant="warning" title={`It has drifted: ${drift.summary ?? ''}`} className="block">
                Found <Ago time={drift.at} /> by run {drift.run}. “Plan and apply” plans the way back.
              </Alert>
            )}
            <Section title="About">
              <About team={team} workspace={workspace} />
            </Section>
            {shown && <Run key={shown.metadata.name} run={shown} />}
            <Outputs workspace={workspace} />
            {workspace.spec?.source && (
              <Section title="Runs">
                <Gate
                  live={{ ...allRuns, items: runs }}
                  what="its runs"
                  empty={<Empty level="h3" title="Nothing has run yet" />}
                >
                  <Runs runs={runs} shown={shown} />
                </Gate>
              </Section>
            )}
            <States workspace={workspace} />
            {!workspace.spec?.source && (
              <div className="muted tiny">
                To let the platform run a module here:{' '}
                <Command>{`kubectl edit workspace ${name} -n ${namespace}`}</Command>
              </div>
            )}
          </>
        )}
      </Gate>
    </PageFrame>
  );
}
