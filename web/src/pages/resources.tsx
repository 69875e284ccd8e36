import { mainstay, useWatch, useWatchAll } from '../api/watch';
import type { ResourceClaim, ResourceClass } from '../api/types';
import { Command, Empty, Gate, PageFrame, Section, teamCrumbs } from '../components/basics';
import { Claim } from '../components/claim';
import { Rows } from '../components/table';
import { Link, useParams } from '../router';
import { useTeam } from '../session';

const example = 'resources:\n  db: {type: postgres}';

function Classes() {
  const classes = useWatch<ResourceClass>(mainstay('resourceclasses'));
  const rows = classes.items.map(({ metadata, spec }) => ({
    key: metadata.name,
    cells: [
      spec.type,
      metadata.name,
      spec.description ?? spec.driver,
      (spec.environments ?? []).join(', ') || 'all',
      spec.monthlyCost ?? 'by the price list',
    ],
  }));
  return (
    <Gate
      live={classes}
      what="resource classes"
      empty={
        <Empty level="h3" title="The platform team offers no class yet" command="kubectl get resourceclasses">
          A ResourceClass says how a type of resource is provided.
        </Empty>
      }
    >
      <Rows label="Resource classes" columns={['Type', 'Class', 'What it is', 'Environments', 'A month']} rows={rows} />
    </Gate>
  );
}

export default function Resources() {
  const { team } = useParams();
  const { environments } = useTeam(team);
  const claims = useWatchAll<ResourceClaim>(environments.map((e) => mainstay('resourceclaims', e.namespace)));
  const orderOf = (c: ResourceClaim) => environments.findIndex((e) => e.namespace === c.metadata.namespace);
  const sorted = [...claims.items].sort(
    (a, b) => orderOf(a) - orderOf(b) || a.metadata.name.localeCompare(b.metadata.name),
  );
  return (
    <PageFrame
      title="Resources"
      description="Databases, buckets and volumes that the team's workloads ask for."
      crumbs={teamCrumbs(team, { text: 'Resources' })}
    >
      <Section title="Claims">
        <Gate
          live={claims}
          what="resource claims"
          empty={
            <Empty level="h3" title="No workload asks for a resource yet" command={example}>
              Name what it needs in score.yaml, and push:
            </Empty>
          }
        >
          <div className="grid middle">
            {sorted.map((c) => (
              <Claim key={c.metadata.uid} claim={c} team={team} environment={environments[orderOf(c)]?.name} />
            ))}
          </div>
        </Gate>
      </Section>
      <Section title="What can be asked for">
        <Classes />
      </Section>
      <p className="row">
        <Link to={`/teams/${team}/terraform`}>Terraform workspaces</Link>
        <Link to={`/teams/${team}/costs`}>Usage and costs</Link>
        <Link to="/addresses">Address pools</Link>
      </p>
      <div className="muted tiny">
        All claims: <Command>{`kubectl get resourceclaims -n ${environments[0]?.namespace ?? `${team}-dev`}`}</Command>
      </div>
    </PageFrame>
  );
}
