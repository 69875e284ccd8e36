// Where a workload's image comes from, what is in it, and who let it in.
import { Alert } from '@patternfly/react-core';
import type { ReactNode } from 'react';
import { mainstay, useWatch } from '../../api/watch';
import type { Deployment, Finding, ImageReport, Release, VerificationPolicy, WorkflowRun } from '../../api/types';
import { Ago, Command, Empty, Fact, Facts, Gate, Phase, Section, Sha } from '../../components/basics';
import { Rows } from '../../components/table';
import { Link } from '../../router';

const severities = ['critical', 'high', 'medium', 'low'];
const rank = (f: Finding) => severities.indexOf((f.severity ?? '').toLowerCase()) + 1 || 9;

// The patterns of policies: * is any text, ? any letter; no pattern fits everything.
const fits = (patterns: string[] | undefined, text: string) =>
  !patterns?.length ||
  patterns.some((p) => {
    const escaped = p
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.');
    return new RegExp(`^${escaped}$`).test(text);
  });

function whatPolicyAsks({ provenance: p, vulnerabilities: v }: VerificationPolicy['spec']): string {
  const parts = [
    p?.repositories && `built from ${p.repositories.join(', ')}`,
    p?.refs && `of ${p.refs.join(', ')}`,
    p?.workflows && `by ${p.workflows.join(', ')}`,
    v?.block && `no finding of severity ${v.block} or worse${v.ignoreUnfixed ? ' that has been fixed' : ''}`,
  ];
  return parts.filter(Boolean).join('; ') || 'signed provenance';
}

function Policies({ team, environment }: { team: string; environment: string }) {
  const policies = useWatch<VerificationPolicy>(mainstay('verificationpolicies'));
  const held = policies.items.filter((p) => fits(p.spec.teams, team) && fits(p.spec.environments, environment));
  return (
    <Fact term="Admitted by">
      its signed provenance, of a repository of {team}
      {held.map((p) => (
        <div key={p.metadata.name} className="tiny">
          policy {p.metadata.name} ({p.spec.mode === 'enforce' ? 'enforced' : 'audit only'}): {whatPolicyAsks(p.spec)}
        </div>
      ))}
    </Fact>
  );
}

interface Shown {
  team: string;
  environment: string;
  deployment: Deployment;
  releases: Release[];
}
const imageOf = (d: Deployment) => d.spec.template.spec.containers[0]?.image ?? '';
export const digestOf = (d: Deployment | undefined) => d && imageOf(d).split('@')[1];

const attached = (what: string, digest: string) => (
  <>
    {what}, attached to the image as <Sha sha={digest} />
  </>
);

// From the commit to what runs, link by link.
function Chain({ team, environment, deployment, releases }: Shown) {
  const runs = useWatch<WorkflowRun>(mainstay('workflowruns', team));
  const digest = digestOf(deployment);
  const release = releases.find((r) => r.spec.digest === digest);
  const image = runs.items.flatMap((r) => r.status?.images ?? []).find((i) => i.digest === digest);
  const notes = deployment.spec.template.metadata?.annotations ?? {};
  const repository = notes['mainstay.dev/repository'],
    commit = notes['mainstay.dev/commit'],
    run = notes['mainstay.dev/workflow-run']?.split('/').pop();
  const sbom = image?.sbom ?? release?.spec.sbom,
    provenance = image?.provenance ?? release?.spec.provenance;
  const approvals = release?.status?.approvals?.filter((a) => a.environment === environment) ?? [];
  const facts: [string, ReactNode][] = [];
  if (repository)
    facts.push([
      'Commit',
      <>
        <Link to={`/teams/${repository.replace('/', '/repositories/')}/commits/${commit}`}>
          <Sha sha={commit} />
        </Link>{' '}
        of {repository}
        {release?.spec.author && `, pushed by ${release.spec.author}`}
      </>,
    ]);
  if (run) facts.push(['Run', <Link to={`/teams/${team}/runs/${run}`}>{run}</Link>]);
  facts.push(['Image', <code className="any">{imageOf(deployment)}</code>]);
  facts.push(['SBOM', sbom ? attached(`${image?.packages ?? 'its'} packages`, sbom) : (image?.message ?? 'none')]);
  facts.push(['Provenance', provenance ? attached('signed', provenance) : (image?.message ?? 'none')]);
  for (const a of approvals)
    facts.push([
      'Approval',
      <>
        by {a.by}, <Ago time={a.at} />
        {a.comment && `: ${a.comment}`}
        {a.attestation && (
          <>
            , signed as <Sha sha={a.attestation} />
          </>
        )}
      </>,
    ]);
  return (
    <>
      <Facts>
        {facts.map(([term, value], i) => (
          <Fact key={i} term={term}>
            {value}
          </Fact>
        ))}
        <Policies team={team} environment={environment} />
      </Facts>
      {digest && (
        <div className="muted tiny">
          Checked link by link: <Command>{`mainstay trace ${digest}`}</Command>
        </div>
      )}
    </>
  );
}

function FindingRows({ report }: { report: ImageReport }) {
  const s = report.status;
  if (s?.message) return <Alert isInline variant="warning" title={s.message} />;
  if (!s?.dataRevision)
    return (
      <Empty level="h3" title="There are no vulnerability data to match with yet" command="mainstay vuln import FILE">
        The image&apos;s {s?.packages ?? 0} packages are known. An administrator loads data of OSV or Debian; all images
        are matched at once, and again when the data change.
      </Empty>
    );
  const found = [...(s.findings ?? [])].sort((a, b) => rank(a) - rank(b));
  const looked = (
    <p className="muted tiny">
      {s.packages} packages looked at <Ago time={s.scannedAt} />.
    </p>
  );
  if (!found.length)
    return (
      <>
        <Alert isInline variant="success" title="No known vulnerability in this image" />
        {looked}
      </>
    );
  const rows = found.slice(0, 300).map((f, i) => ({
    key: `${f.id}/${i}`,
    cells: [
      <Phase key="s" phase={f.severity} />,
      <span key="v" className="any">
        {f.link && /^https?:/.test(f.link) ? (
          <a href={f.link} target="_blank" rel="noreferrer">
            {f.id}
          </a>
        ) : (
          <b>{f.id}</b>
        )}{' '}
        <span className="muted tiny">{f.title}</span>
      </span>,
      <span key="p" className="any">
        {f.package} {f.version}
      </span>,
      f.fixedVersion || 'not fixed',
    ],
  }));
  return (
    <>
      <Rows label="Findings" columns={['Severity', 'Vulnerability', 'Package', 'Fixed in']} rows={rows} />
      {looked}
    </>
  );
}

export function Provenance(shown: Shown) {
  const { team, deployment } = shown;
  const reports = useWatch<ImageReport>(mainstay('imagereports', team));
  const digest = digestOf(deployment);
  const report = reports.items.find((r) => digest && r.spec?.digest === digest);
  return (
    <>
      <Section title="Provenance">
        <Chain {...shown} />
      </Section>
      <Section title="Findings">
        <Gate
          live={{ ...reports, items: report ? [report] : [] }}
          what="vulnerability findings"
          empty={
            <Empty level="h3" title="This image has not been looked at yet">
              Its report is made when its run ends.
            </Empty>
          }
        >
          {report && <FindingRows report={report} />}
        </Gate>
      </Section>
    </>
  );
}
