import { core, mainstay, useWatch, useWatchAll } from '../api/watch';
import type { Release, Service } from '../api/types';
import { Command, Empty, Gate, PageFrame, Phase, teamCrumbs } from '../components/basics';
import { Rows } from '../components/table';
import { stateOf, urlOf, useDeployments, workloadOf } from '../components/workloads';
import { Link, useParams } from '../router';
import { useTeam } from '../session';

export default function Workloads() {
  const { team } = useParams();
  const { environments } = useTeam(team);
  const deployments = useDeployments(environments);
  const services = useWatchAll<Service>(environments.map((e) => core('services', e.namespace)));
  const releases = useWatch<Release>(mainstay('releases', team));
  const names = [
    ...new Set([...deployments.items.map(workloadOf), ...releases.items.map((r) => r.spec.workload)]),
  ].sort();
  return (
    <PageFrame
      title="Workloads"
      description="What runs in the team's environments."
      crumbs={teamCrumbs(team, { text: 'Workloads' })}
    >
      <Gate
        live={{ ...deployments, items: names, ready: deployments.ready && releases.ready }}
        what="workloads"
        empty={
          <Empty
            title="Nothing runs here yet"
            command={[`mainstay repo create web --team ${team}`, 'git push origin main']}
          >
            A push to a repository builds an image and deploys it to the first environment.
          </Empty>
        }
      >
        <Rows
          label="Workloads"
          columns={['Workload', ...environments.map((e) => e.name)]}
          rows={names.map((name) => ({
            key: name,
            cells: [
              <Link key="l" to={`/teams/${team}/workloads/${name}`}>
                {name}
              </Link>,
              ...environments.map((e) => {
                const d = deployments.items.find((x) => x.metadata.namespace === e.namespace && workloadOf(x) === name);
                const url = urlOf(
                  services.items.find((s) => s.metadata.namespace === e.namespace && s.metadata.name === name),
                );
                if (!d)
                  return (
                    <span key={e.name} className="muted">
                      –
                    </span>
                  );
                const s = stateOf(d);
                return (
                  <span key={e.name} className="row">
                    <Phase phase={s.phase} /> <span className="muted tiny">{s.text} pods</span>{' '}
                    {url && (
                      <a className="any tiny" href={url} target="_blank" rel="noreferrer">
                        open
                      </a>
                    )}
                  </span>
                );
              }),
            ],
          }))}
        />
        <div className="muted tiny">
          Its output:{' '}
          <Command>{`mainstay logs ${names[0]} --team ${team} --env ${environments[0]?.name ?? 'dev'} --follow`}</Command>
        </div>
      </Gate>
    </PageFrame>
  );
}
