import { Card, CardBody, CardTitle, DescriptionList } from '@patternfly/react-core';
import { mainstay, useWatch, useWatchAll } from '../api/watch';
import { at, type AnyObject, type Condition } from '../api/types';
import { Ago, Command, Empty, Gate, PageFrame, Phase, Section } from '../components/basics';
import { Rows } from '../components/table';
import { Link, useParams } from '../router';
import { useTeam } from '../session';
import { Fact } from './run';

const example = 'resources:\n  db: {type: postgres}';

export default function Resources() {
  const { team } = useParams();
  const { environments } = useTeam(team);
  const claims = useWatchAll<AnyObject>(environments.map((e) => mainstay('resourceclaims', e.namespace)));
  const classes = useWatch<AnyObject>(mainstay('resourceclasses'));
  const environmentOf = (o: AnyObject) =>
    environments.find((e) => e.namespace === o.metadata.namespace)?.name ?? o.metadata.namespace;
  return (
    <PageFrame
      title="Resources"
      description="Databases, buckets and volumes that the team's workloads ask for."
      crumbs={[{ text: 'Teams', to: '/teams' }, { text: team, to: `/teams/${team}` }, { text: 'Resources' }]}
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
          <div className="grid">
            {[...claims.items]
              .sort((a, b) =>
                `${environmentOf(a)}${a.metadata.name}`.localeCompare(`${environmentOf(b)}${b.metadata.name}`),
              )
              .map((c) => {
                const bad = (at<Condition[]>(c, 'status.conditions') ?? []).find((x) => x.status === 'False');
                const url = at<string>(c, 'status.url');
                return (
                  <Card key={c.metadata.uid} isCompact component="article">
                    <CardTitle component="h3">
                      <span className="row apart">
                        <span className="any">{c.metadata.name}</span>
                        <Phase phase={at<string>(c, 'status.phase') ?? 'Pending'} />
                      </span>
                    </CardTitle>
                    <CardBody>
                      <DescriptionList isCompact isHorizontal termWidth="7ch">
                        <Fact term="Type">
                          {at<string>(c, 'spec.type')}{' '}
                          <span className="muted">({at<string>(c, 'status.class') ?? 'class to be chosen'})</span>
                        </Fact>
                        <Fact term="Environment">{environmentOf(c)}</Fact>
                        {at(c, 'spec.workload') !== undefined && (
                          <Fact term="Workload">
                            <Link to={`/teams/${team}/workloads/${at<string>(c, 'spec.workload')}`}>
                              {at<string>(c, 'spec.workload')}
                            </Link>
                          </Fact>
                        )}
                        {Object.entries(at<Record<string, string>>(c, 'status.outputs') ?? {}).map(([k, v]) => (
                          <Fact key={k} term={k}>
                            <code className="any">{v}</code>
                          </Fact>
                        ))}
                        {at(c, 'status.secretName') !== undefined && (
                          <Fact term="Secret">
                            <code className="any">{at<string>(c, 'status.secretName')}</code>
                          </Fact>
                        )}
                        {at(c, 'status.monthlyCost') !== undefined && (
                          <Fact term="A month">{at<string>(c, 'status.monthlyCost')}</Fact>
                        )}
                        {!!at<unknown[]>(c, 'status.backups')?.length && (
                          <Fact term="Backups">{at<unknown[]>(c, 'status.backups')!.length}</Fact>
                        )}
                      </DescriptionList>
                      {bad && (
                        <p className="tiny any">
                          {bad.reason}: {bad.message}
                        </p>
                      )}
                      <p className="muted tiny">
                        Made <Ago time={c.metadata.creationTimestamp} />
                        {url && /^https?:/.test(url) && (
                          <>
                            {' '}
                            · <a href={url}>dashboard</a>
                          </>
                        )}
                      </p>
                    </CardBody>
                  </Card>
                );
              })}
          </div>
        </Gate>
      </Section>
      <Section title="What can be asked for">
        <Gate
          live={classes}
          what="resource classes"
          empty={
            <Empty level="h3" title="The platform team offers no class yet" command="kubectl get resourceclasses" />
          }
        >
          <Rows
            label="Resource classes"
            columns={['Type', 'Class', 'What it is', 'Environments']}
            rows={classes.items.map((c) => ({
              key: c.metadata.name,
              cells: [
                at<string>(c, 'spec.type'),
                c.metadata.name,
                at<string>(c, 'spec.description') ?? at<string>(c, 'spec.driver'),
                (at<string[]>(c, 'spec.environments') ?? []).join(', ') || 'all',
              ],
            }))}
          />
        </Gate>
        <div className="muted tiny">
          All claims: <Command>{`kubectl get resourceclaims -n ${team}-${environments[0]?.name ?? 'dev'}`}</Command>
        </div>
      </Section>
    </PageFrame>
  );
}
