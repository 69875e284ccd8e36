import { Card, CardBody, CardFooter, CardTitle, Tab, Tabs, TabTitleText } from '@patternfly/react-core';
import type { ReactNode } from 'react';
import { core, mainstay, useWatch, useWatchAll } from '../../api/watch';
import type { Deployment, Environment, Release, ResourceClaim, Service } from '../../api/types';
import { Choice, Empty, Gate, PageFrame, Phase, Section, Sha, teamCrumbs } from '../../components/basics';
import { Claim } from '../../components/claim';
import { LogView } from '../../components/log';
import { stateOf, urlOf, useDeployments, workloadOf } from '../../components/workloads';
import { setQuery, useParams, useQuery } from '../../router';
import { useSession, useTeam } from '../../session';
import { Metrics } from './metrics';
import { Events, Pods } from './pods';
import { Provenance } from './provenance';
import { placeOf, Releases } from './releases';
import { Traffic } from './traffic';

interface Place {
  name: string;
  namespace: string;
  deployment?: Deployment;
  service?: Service;
  rules?: Environment;
}

function rulesInWords(rules: Environment | undefined): string {
  const { approvals = 0, autoPromote } = rules?.spec ?? {};
  const parts = [
    approvals > 0 && `needs ${approvals} approval${approvals > 1 ? 's' : ''}`,
    autoPromote && 'follows by itself',
  ];
  return parts.filter(Boolean).join(', ');
}

function EnvironmentCard({ place, releases }: { place: Place; releases: Release[] }) {
  const { name, deployment: d, service } = place;
  const url = urlOf(service);
  const release = releases.find((r) => placeOf(r, name)?.state === 'Deployed');
  return (
    <Card isCompact component="article" data-environment={name}>
      <CardTitle component="h3">
        <span className="row apart">
          {name}
          {d ? <Phase phase={stateOf(d).phase} /> : <span className="muted tiny">not deployed</span>}
        </span>
      </CardTitle>
      <CardBody>
        {d ? (
          <>
            <div>{stateOf(d).text} pods ready</div>
            <div className="tiny">
              {release ? (
                <>
                  release <b className="any">{release.metadata.name}</b>
                </>
              ) : (
                <>
                  commit <Sha sha={d.spec.template.metadata?.annotations?.['mainstay.dev/commit']} />
                </>
              )}
            </div>
          </>
        ) : (
          <span className="muted tiny">Promote a release to deploy it here.</span>
        )}
        <div className="muted tiny">{rulesInWords(place.rules)}</div>
      </CardBody>
      {url && (
        <CardFooter>
          <a className="any" href={url} target="_blank" rel="noreferrer">
            {url}
          </a>
        </CardFooter>
      )}
    </Card>
  );
}

function usePlaces(team: string, workload: string) {
  const { environments } = useTeam(team);
  const deployments = useDeployments(environments);
  const services = useWatchAll<Service>(environments.map((e) => core('services', e.namespace)));
  const rules = useWatch<Environment>(mainstay('environments', team));
  const places = environments.map((e): Place => ({
    ...e,
    deployment: deployments.items.find((d) => d.metadata.namespace === e.namespace && workloadOf(d) === workload),
    service: services.items.find((s) => s.metadata.namespace === e.namespace && s.metadata.name === workload),
    rules: rules.items.find((r) => r.metadata.name === e.name),
  }));
  return { places, live: deployments };
}

function Claims({ team, workload, place }: { team: string; workload: string; place: Place }) {
  const claims = useWatch<ResourceClaim>(mainstay('resourceclaims', place.namespace));
  const mine = claims.items.filter((c) => c.spec.workload === workload);
  const none = (
    <Empty title={`${workload} asks for no resource`} command={'resources:\n  db: {type: postgres}'}>
      Name a database, bucket, cache or volume in score.yaml, and push:
    </Empty>
  );
  return (
    <Gate live={{ ...claims, items: mine }} what="resource claims" empty={none}>
      <div className="grid middle">
        {mine.map((c) => (
          <Claim key={c.metadata.uid} claim={c} team={team} />
        ))}
      </div>
    </Gate>
  );
}

export default function WorkloadPage() {
  const { team, workload } = useParams();
  const query = useQuery();
  const { me } = useSession();
  const { places, live } = usePlaces(team, workload);
  const names = live.items.map(workloadOf);
  const allReleases = useWatch<Release>(mainstay('releases', team));
  const releases = allReleases.items.filter((r) => r.spec.workload === workload);
  const deployed = places.filter((p) => p.deployment);
  const shown = places.find((p) => p.name === query.get('env')) ?? deployed[0] ?? places[0];
  const parts: [key: string, title: string, content: () => ReactNode][] = [
    [
      'releases',
      'Releases',
      () => (
        <Gate
          live={{ ...allReleases, items: releases }}
          what="releases"
          empty={
            <Empty title="There is no release yet" command="git push origin main">
              Each run that deploys makes a release, which can be promoted and rolled back.
            </Empty>
          }
        >
          <Releases team={team} releases={releases} environments={places.map((p) => p.name)} />
          {me && (
            <p className="muted tiny">You are {me.name}. Approvals count from people who did not write the release.</p>
          )}
        </Gate>
      ),
    ],
    ['pods', 'Pods', () => <Pods namespace={shown.namespace} workload={workload} />],
    [
      'logs',
      'Logs',
      () => (
        <LogView namespace={shown.namespace} selection={{ workload }} title={`${workload} in ${shown.name}`} showPod />
      ),
    ],
    ['metrics', 'Metrics', () => <Metrics team={team} namespace={shown.namespace} workload={workload} />],
    [
      'events',
      'Events',
      () => (
        <Events
          namespace={shown.namespace}
          workload={workload}
          others={names}
          place={`--team ${team} --env ${shown.name}`}
        />
      ),
    ],
    ['traffic', 'Traffic', () => <Traffic workload={workload} {...shown} />],
    ['resources', 'Resources', () => <Claims team={team} workload={workload} place={shown} />],
    [
      'provenance',
      'Provenance',
      () =>
        shown.deployment ? (
          <Provenance team={team} environment={shown.name} deployment={shown.deployment} releases={releases} />
        ) : (
          <Empty title={`Not deployed in ${shown.name}`}>Promote a release to deploy it there.</Empty>
        ),
    ],
  ];
  return (
    <PageFrame
      title={workload}
      label={`${workload}, workload of ${team}`}
      crumbs={teamCrumbs(team, { text: 'Workloads', to: `/teams/${team}/workloads` }, { text: workload })}
    >
      <Gate
        live={{
          ...live,
          items: [...deployed, ...releases],
          ready: live.ready && allReleases.ready,
        }}
        what="this workload"
        empty={
          <Empty title={`${workload} runs nowhere yet`} command="git push origin main">
            It appears when its first run deploys it.
          </Empty>
        }
      >
        <Section title="Environments">
          <div className="pipeline">
            {places.map((p) => (
              <EnvironmentCard key={p.name} place={p} releases={releases} />
            ))}
          </div>
        </Section>
        <div className="block">
          <Choice
            id="env"
            label="Environment shown below"
            value={shown?.name}
            options={places.map((p) => [p.name, p.name] as const)}
            onChange={(v) => setQuery({ env: v })}
          />
        </div>
        <Tabs
          activeKey={query.get('tab') ?? 'releases'}
          onSelect={(_e, key) => setQuery({ tab: String(key) })}
          aria-label="Parts of the workload"
          mountOnEnter
          unmountOnExit
          isOverflowHorizontal={false}
        >
          {parts.map(([key, title, content]) => (
            <Tab key={key} eventKey={key} title={<TabTitleText>{title}</TabTitleText>}>
              <div className="tab-body">{shown && key === (query.get('tab') ?? 'releases') && content()}</div>
            </Tab>
          ))}
        </Tabs>
      </Gate>
    </PageFrame>
  );
}
