// Where a workload's image comes from, and what is known of it.
import { Alert, DescriptionList } from '@patternfly/react-core';
import { mainstay, useWatch } from '../api/watch';
import { at, type AnyObject, type Deployment, type WorkflowRun } from '../api/types';
import { Fact } from '../pages/run';
import { Link } from '../router';
import { Command, Empty, Gate, Phase, Section, Sha } from './basics';
import { Rows } from './table';

interface Finding {
  id?: string;
  vulnerability?: string;
  package?: string;
  version?: string;
  installedVersion?: string;
  fixedVersion?: string;
  fixed?: string;
  severity?: string;
  title?: string;
  summary?: string;
}
const order = ['critical', 'high', 'medium', 'low'];
const rank = (f: Finding) => {
  const i = order.indexOf((f.severity ?? '').toLowerCase());
  return i < 0 ? 9 : i;
};

export function Findings({
  team,
  workload,
  digest,
  deployment,
}: {
  team: string;
  workload: string;
  digest?: string;
  deployment?: Deployment;
}) {
  const reports = useWatch<AnyObject>(mainstay('imagereports', team));
  const runs = useWatch<WorkflowRun>(mainstay('workflowruns', team));
  const image = runs.items
    .flatMap((r) => (r.status?.images ?? []).map((i) => ({ ...i, run: r })))
    .find((i) => i.digest === digest);
  const report = reports.items.find(
    (r) =>
      digest &&
      (at(r, 'spec.digest') === digest ||
        at(r, 'status.digest') === digest ||
        r.metadata.name.includes(digest.slice(7, 19))),
  );
  const findings = [
    ...(at<Finding[]>(report, 'status.findings') ?? at<Finding[]>(report, 'status.vulnerabilities') ?? []),
  ].sort((a, b) => rank(a) - rank(b));
  const a = deployment?.spec.template.metadata?.annotations;
  if (!deployment) return <Empty title="Not deployed in this environment" />;
  return (
    <>
      <Section title="Provenance">
        <DescriptionList isHorizontal isCompact>
          <Fact term="Image">
            <code className="any">{deployment.spec.template.spec.containers[0]?.image}</code>
          </Fact>
          {a?.['mainstay.dev/repository'] && (
            <Fact term="Built from">
              {a['mainstay.dev/repository']} at{' '}
              <Link
                to={`/teams/${a['mainstay.dev/repository'].replace('/', '/repositories/')}/commits/${a['mainstay.dev/commit']}`}
              >
                <Sha sha={a['mainstay.dev/commit']} />
              </Link>
            </Fact>
          )}
          {a?.['mainstay.dev/workflow-run'] && (
            <Fact term="By run">
              <Link to={`/teams/${team}/runs/${a['mainstay.dev/workflow-run'].split('/').pop()}`}>
                {a['mainstay.dev/workflow-run']}
              </Link>
            </Fact>
          )}
          {image && (
            <Fact term="SBOM">
              {image.sbom ? (
                <>
                  {image.packages ?? 'some'} packages, attached to the image as <Sha sha={image.sbom} />
                </>
              ) : (
                'none'
              )}
            </Fact>
          )}
          {image && (
            <Fact term="Provenance">
              {image.provenance ? (
                <>
                  signed, attached to the image as <Sha sha={image.provenance} />
                </>
              ) : (
                (image.message ?? 'none')
              )}
            </Fact>
          )}
        </DescriptionList>
        {digest && (
          <div className="muted tiny">
            The whole chain: <Command>{`mainstay trace ${digest}`}</Command>
          </div>
        )}
      </Section>
      <Section title="Findings">
        <Gate
          live={{ ...reports, items: report ? [report] : [] }}
          what="vulnerability findings"
          empty={
            <Empty level="h3" title="This image has no report yet" command="mainstay vuln import FILE">
              An administrator loads vulnerability data; images are matched at once, and again when the data change.
            </Empty>
          }
        >
          {findings.length === 0 ? (
            <Alert isInline variant="success" title={`No known vulnerability in ${workload}'s image.`} />
          ) : (
            <Rows
              label="Findings"
              columns={['Severity', 'Vulnerability', 'Package', 'Fixed in']}
              rows={findings.slice(0, 300).map((f, i) => ({
                key: `${f.id}${i}`,
                cells: [
                  <Phase key="s" phase={f.severity ?? 'Unknown'} />,
                  <span key="v">
                    <b>{f.id ?? f.vulnerability}</b> <span className="muted tiny">{f.title ?? f.summary}</span>
                  </span>,
                  `${f.package ?? ''} ${f.version ?? f.installedVersion ?? ''}`,
                  f.fixedVersion || f.fixed || 'not fixed',
                ],
              }))}
            />
          )}
        </Gate>
      </Section>
    </>
  );
}
