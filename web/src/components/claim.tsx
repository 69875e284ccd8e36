// What a workload asked for, and what came of it.
import { Alert, Card, CardBody, CardTitle } from '@patternfly/react-core';
import type { ResourceClaim } from '../api/types';
import { base, Link } from '../router';
import { Ago, Fact, Facts, Phase } from './basics';

// A claim's dashboard is the console's own, at the endpoint's address, or one elsewhere that its class names.
function Dashboard({ url }: { url: string }) {
  const here = `${location.origin}${base}`;
  if (url.startsWith(here)) return <Link to={url.slice(here.length)}>dashboard</Link>;
  if (!/^https?:/.test(url)) return null;
  return (
    <a href={url} target="_blank" rel="noreferrer">
      dashboard
    </a>
  );
}

export function Claim({ claim, team, environment }: { claim: ResourceClaim; team: string; environment?: string }) {
  const { name, namespace, creationTimestamp } = claim.metadata;
  const { spec, status: s } = claim;
  const bad = s?.conditions?.find((c) =>
    c.type === 'OverCapacity' ? c.status === 'True' : c.type === 'Ready' && c.status === 'False',
  );
  return (
    <Card isCompact component="article" data-claim={name}>
      <CardTitle component="h3">
        <span className="row apart">
          <span className="any">{name}</span>
          <Phase phase={s?.phase ?? 'Pending'} />
        </span>
      </CardTitle>
      <CardBody>
        {bad && <Alert isInline isPlain variant="warning" title={bad.message || bad.reason || bad.type} />}
        <Facts width="13ch">
          <Fact term="Type">
            {spec.type} <span className="muted">({s?.class ?? spec.class ?? 'class to be chosen'})</span>
          </Fact>
          {environment && <Fact term="Environment">{environment}</Fact>}
          {spec.workload && (
            <Fact term="Workload">
              <Link to={`/teams/${team}/workloads/${spec.workload}`}>{spec.workload}</Link>
            </Fact>
          )}
          {Object.entries(s?.outputs ?? {}).map(([key, value]) => (
            <Fact key={key} term={key}>
              <code className="any">{value}</code>
            </Fact>
          ))}
          {s?.secretName && (
            <Fact term="Secret">
              <code className="any">{s.secretName}</code>
            </Fact>
          )}
          {s?.usage?.size && (
            <Fact term="Holds">
              {s.usage.size}
              {s.usage.limit && ` of ${s.usage.limit}`}
            </Fact>
          )}
          {s?.monthlyCost && <Fact term="A month">{s.monthlyCost}</Fact>}
          {s?.reclaimPolicy && (
            <Fact term="If deleted">{s.reclaimPolicy === 'Retain' ? 'its data are kept' : 'its data go too'}</Fact>
          )}
          {!!s?.backups?.length && <Fact term="Backups">{s.backups.length}</Fact>}
        </Facts>
        <p className="muted tiny row foot">
          <span>
            Made <Ago time={creationTimestamp} />
          </span>
          {s?.url && <Dashboard url={s.url} />}
          {s?.driver === 'terraform' && (
            <Link to={`/teams/${team}/terraform/${namespace}/${name}`}>its Terraform workspace</Link>
          )}
        </p>
      </CardBody>
    </Card>
  );
}
