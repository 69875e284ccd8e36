import { Alert, Button, Form, FormGroup, FormSelect, FormSelectOption, Label, TextInput } from '@patternfly/react-core';
import { useState, type FormEvent } from 'react';
import { mergePatch } from '../api/http';
import { mainstay, useWatch, useWatchOne } from '../api/watch';
import { condition, type DeliveryReport, type Environment, type Team } from '../api/types';
import { AskDialog } from '../components/ask';
import { Command, Empty, Gate, PageFrame, Section, Told, type Outcome } from '../components/basics';
import { Figure } from '../components/figure';
import { Rows } from '../components/table';
import { Link, useParams } from '../router';
import { environmentsOf, useSession } from '../session';

type Members = NonNullable<Team['spec']['members']>;
const roleColor = (role: string) => (role === 'owner' ? 'purple' : role === 'viewer' ? 'grey' : 'blue');

// Lists are replaced as a whole: the version read says that nobody changed the members in between.
const setMembers = ({ metadata }: Team, members: Members) =>
  mergePatch(`${mainstay('teams')}/${metadata.name}`, {
    metadata: { resourceVersion: metadata.resourceVersion },
    spec: { members },
  });

function AddMember({ team }: { team: Team }) {
  const [user, setUser] = useState('');
  const [role, setRole] = useState('developer');
  const [result, setResult] = useState<Outcome>();
  const [busy, setBusy] = useState(false);
  const name = user.trim();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setResult(undefined);
    const others = (team.spec.members ?? []).filter((m) => m.user !== name);
    setMembers(team, [...others, { user: name, role }])
      .then(
        () => {
          setResult({ ok: true, text: `${name} is ${role} of ${team.metadata.name}.` });
          setUser('');
        },
        (e: Error) => setResult({ ok: false, text: e.message }),
      )
      .finally(() => setBusy(false));
  };
  return (
    <Form onSubmit={submit} isHorizontal className="narrow">
      <FormGroup label="User" fieldId="member" isRequired>
        <TextInput id="member" value={user} onChange={(_e, v) => setUser(v)} isRequired autoComplete="off" />
      </FormGroup>
      <FormGroup label="Role" fieldId="role">
        <FormSelect id="role" value={role} onChange={(_e, v) => setRole(v)}>
          {['viewer', 'developer', 'owner'].map((r) => (
            <FormSelectOption key={r} value={r} label={r} />
          ))}
        </FormSelect>
      </FormGroup>
      <div className="row">
        <Button type="submit" variant="secondary" isDisabled={busy || !name} isLoading={busy}>
          Add or change
        </Button>
      </div>
      <Told outcome={result} />
    </Form>
  );
}

function MemberRows({ team, mayChange }: { team: Team; mayChange: boolean }) {
  const [leaving, setLeaving] = useState<string>();
  const members = team.spec.members ?? [];
  if (!members.length)
    return (
      <Empty level="h3" title="Nobody is in this team yet" command={`kubectl edit team ${team.metadata.name}`}>
        An owner or an administrator adds members.
      </Empty>
    );
  const rows = members.map(({ user, role = 'developer' }) => ({
    key: user,
    cells: [
      user,
      <Label key="r" isCompact variant="outline" color={roleColor(role)}>
        {role}
      </Label>,
      ...(mayChange
        ? [
            <Button
              key="b"
              size="sm"
              variant="link"
              isInline
              aria-label={`Remove ${user}`}
              onClick={() => setLeaving(user)}
            >
              Remove
            </Button>,
          ]
        : []),
    ],
  }));
  return (
    <>
      <Rows label="Members" columns={['User', 'Role', ...(mayChange ? [''] : [])]} rows={rows} />
      {leaving && (
        <AskDialog
          title={`Remove ${leaving} from ${team.metadata.name}`}
          action="Remove"
          danger
          send={() =>
            setMembers(
              team,
              members.filter((m) => m.user !== leaving),
            )
          }
          close={() => setLeaving(undefined)}
        >
          {leaving} loses every right in this team at once. The account stays.
        </AskDialog>
      )}
    </>
  );
}

function Environments({ team }: { team: Team }) {
  const rules = useWatch<Environment>(mainstay('environments', team.metadata.name));
  const known = rules.ready && !rules.error;
  const rows = environmentsOf(team).map((e) => {
    const { approvals = 0, autoPromote } = rules.items.find((r) => r.metadata.name === e.name)?.spec ?? {};
    return {
      key: e.name,
      cells: [
        e.name,
        <code key="n">{e.namespace}</code>,
        ...(known
          ? [approvals ? `${approvals}, not of the authors` : 'none', autoPromote ? 'by itself' : 'by hand']
          : ['–', '–']),
      ],
    };
  });
  return (
    <Rows label="Environments" columns={['Environment', 'Namespace', 'Approvals', 'Promotion to it']} rows={rows} />
  );
}

// DORA's four figures.
function Delivery({ team }: { team: string }) {
  const live = useWatchOne<DeliveryReport>(mainstay('deliveryreports', team), 'delivery');
  const s = live.object?.status;
  const none = (
    <Empty level="h3" title="Nothing has been delivered yet" command="git push origin main">
      The figures come with the first deployment to the last environment.
    </Empty>
  );
  return (
    <Gate live={live} what="delivery figures" empty={none}>
      <div className="row figures">
        <Figure name="deployments a day" value={s?.deploymentsPerDay} />
        <Figure name="lead time, push to running" value={s?.leadTime} />
        <Figure name="of changes fail" value={s?.changeFailureRate} />
        <Figure name="time to restore" value={s?.timeToRestore} />
      </div>
      <p className="muted tiny">
        {s?.deployments ?? 0} deployments to {s?.environment} within {s?.days ?? 30} days, {s?.failures ?? 0} of them
        failed or were rolled back. Medians.
      </p>
    </Gate>
  );
}

export default function TeamPage() {
  const { team: name } = useParams();
  const { admin, me } = useSession();
  const live = useWatchOne<Team>(mainstay('teams'), name);
  const team = live.object;
  const ready = team && condition(team, 'Ready');
  const mayChange = admin || !!team?.spec.members?.some((m) => m.user === me?.name && m.role === 'owner');
  return (
    <PageFrame
      title={team?.spec.displayName || name}
      label={`Team ${name}`}
      crumbs={[{ text: 'Teams', to: '/teams' }, { text: name }]}
    >
      <Gate
        live={live}
        what="this team"
        empty={<Empty title={`There is no team ${name}`} command={`mainstay team create ${name}`} />}
      >
        {team && (
          <>
            {ready && ready.status !== 'True' && (
              <Alert isInline variant="warning" title={`Not ready: ${ready.message ?? ready.reason ?? ''}`} />
            )}
            <Section title="Delivery">
              <Delivery team={name} />
            </Section>
            <Section title="Environments">
              <Environments team={team} />
            </Section>
            <Section title="Members">
              <MemberRows team={team} mayChange={mayChange} />
            </Section>
            {mayChange ? (
              <Section title="Add a member">
                <AddMember team={team} />
              </Section>
            ) : (
              <div className="muted tiny">
                An owner or an administrator adds members: <Command>{`kubectl edit team ${name}`}</Command>
              </div>
            )}
            <p className="row">
              <Link to={`/teams/${name}/repositories`}>Repositories</Link>
              <Link to={`/teams/${name}/workloads`}>Workloads</Link>
              <Link to={`/teams/${name}/runs`}>Runs</Link>
              <Link to={`/teams/${name}/costs`}>Usage and costs</Link>
            </p>
          </>
        )}
      </Gate>
    </PageFrame>
  );
}
