import { Alert, Button, Form, FormGroup, FormSelect, FormSelectOption, Label, TextInput } from '@patternfly/react-core';
import { useState, type FormEvent } from 'react';
import { mergePatch } from '../api/http';
import { mainstay, useWatchOne } from '../api/watch';
import { condition, type Team } from '../api/types';
import { Command, Empty, Gate, PageFrame, Section } from '../components/basics';
import { Rows } from '../components/table';
import { Link, useParams } from '../router';
import { environmentsOf, useSession } from '../session';

function AddMember({ team }: { team: Team }) {
  const [user, setUser] = useState('');
  const [role, setRole] = useState('developer');
  const [result, setResult] = useState<{ ok: boolean; text: string }>();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const others = (team.spec.members ?? []).filter((m) => m.user !== user.trim());
    mergePatch(`${mainstay('teams')}/${team.metadata.name}`, {
      metadata: { resourceVersion: team.metadata.resourceVersion },
      spec: { members: [...others, { user: user.trim(), role }] },
    }).then(
      () => {
        setResult({ ok: true, text: `${user.trim()} is a ${role} of ${team.metadata.name}.` });
        setUser('');
      },
      (e: Error) => setResult({ ok: false, text: e.message }),
    );
  };
  return (
    <Form onSubmit={submit} isHorizontal className="narrow">
      <FormGroup label="User" fieldId="member" isRequired>
        <TextInput id="member" value={user} onChange={(_e, v) => setUser(v)} isRequired />
      </FormGroup>
      <FormGroup label="Role" fieldId="role">
        <FormSelect id="role" value={role} onChange={(_e, v) => setRole(v)}>
          {['viewer', 'developer', 'owner'].map((r) => (
            <FormSelectOption key={r} value={r} label={r} />
          ))}
        </FormSelect>
      </FormGroup>
      <div className="row">
        <Button type="submit" variant="secondary" isDisabled={!user.trim()}>
          Add or change
        </Button>
      </div>
      {result && (
        <Alert
          isInline
          variant={result.ok ? 'success' : 'danger'}
          title={result.text}
          role={result.ok ? 'status' : 'alert'}
        />
      )}
    </Form>
  );
}

export default function TeamPage() {
  const { team: name } = useParams();
  const { admin, me } = useSession();
  const live = useWatchOne<Team>(mainstay('teams'), name);
  const team = live.object;
  const ready = team && condition(team, 'Ready');
  const mayChange = admin || team?.spec.members?.some((m) => m.user === me?.name && m.role === 'owner');
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
        {team && ready && ready.status !== 'True' && (
          <Alert isInline variant="warning" title={`Not ready: ${ready.message ?? ready.reason ?? ''}`} />
        )}
        {team && (
          <>
            <Section title="Members">
              {team.spec.members?.length ? (
                <Rows
                  label="Members"
                  columns={['User', 'Role']}
                  rows={team.spec.members.map((m) => ({
                    key: m.user,
                    cells: [
                      m.user,
                      <Label
                        key="r"
                        isCompact
                        variant="outline"
                        color={m.role === 'owner' ? 'purple' : m.role === 'viewer' ? 'grey' : 'blue'}
                      >
                        {m.role ?? 'developer'}
                      </Label>,
                    ],
                  }))}
                />
              ) : (
                <Empty level="h3" title="Nobody is in this team yet" command={`kubectl edit team ${name}`} />
              )}
            </Section>
            <Section title="Environments">
              <Rows
                label="Environments"
                columns={['Environment', 'Namespace']}
                rows={environmentsOf(team).map((e) => ({
                  key: e.name,
                  cells: [e.name, <code key="n">{e.namespace}</code>],
                }))}
              />
            </Section>
            <p className="row">
              <Link to={`/teams/${name}/repositories`}>Repositories</Link>
              <Link to={`/teams/${name}/workloads`}>Workloads</Link>
              <Link to={`/teams/${name}/runs`}>Runs</Link>
            </p>
            {mayChange ? (
              <Section title="Add a member">
                <AddMember team={team} />
              </Section>
            ) : (
              <div className="muted tiny">
                An owner or an administrator adds members: <Command>{`kubectl edit team ${name}`}</Command>
              </div>
            )}
          </>
        )}
      </Gate>
    </PageFrame>
  );
}
