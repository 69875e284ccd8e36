// Search and commands, Ctrl K: pages, teams, repositories, workloads, recent runs of the team, and actions.
import { Modal, ModalBody, ModalHeader, TextInput } from '@patternfly/react-core';
import SearchIcon from '@patternfly/react-icons/dist/esm/icons/search-icon';
import { useId, useMemo, useState, type KeyboardEvent } from 'react';
import { signOut } from '../api/auth';
import { mainstay, useWatch } from '../api/watch';
import type { Repository, WorkflowRun } from '../api/types';
import { platformPages, teamPages } from '../places';
import { navigate } from '../router';
import { useSession, useTeam } from '../session';
import { setTheme } from '../theme';
import { newestFirst } from './runs';
import { useDeployments, workloadOf } from './workloads';

interface Entry {
  text: string;
  kind: string;
  run: () => void;
}

export default function Palette({ close }: { close: () => void }) {
  const { team, teams } = useSession();
  const { environments } = useTeam(team);
  const repositories = useWatch<Repository>(team && mainstay('repositories', team));
  const runs = useWatch<WorkflowRun>(team && mainstay('workflowruns', team));
  const deployments = useDeployments(environments);
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const id = useId();
  const entries = useMemo(() => {
    const go = (to: string) => () => navigate(to);
    const all: Entry[] = [
      { text: 'Overview', kind: 'Page', run: go('/') },
      { text: 'Teams', kind: 'Page', run: go('/teams') },
      ...platformPages.map(([to, title]) => ({ text: title, kind: 'Page', run: go(to) })),
      ...teams.map((t) => ({ text: t.metadata.name, kind: 'Team', run: go(`/teams/${t.metadata.name}`) })),
    ];
    if (team) {
      for (const [to, title] of teamPages.slice(1))
        all.push({ text: `${title} of ${team}`, kind: 'Page', run: go(`/teams/${team}${to}`) });
      for (const r of repositories.items)
        all.push({
          text: r.metadata.name,
          kind: 'Repository',
          run: go(`/teams/${team}/repositories/${r.metadata.name}`),
        });
      for (const name of new Set(deployments.items.map(workloadOf)))
        all.push({ text: name, kind: 'Workload', run: go(`/teams/${team}/workloads/${name}`) });
      for (const r of newestFirst(runs.items).slice(0, 20))
        all.push({
          text: `${r.metadata.name} (${r.status?.phase ?? 'Pending'})`,
          kind: 'Run',
          run: go(`/teams/${team}/runs/${r.metadata.name}`),
        });
    }
    all.push(
      { text: 'Light theme', kind: 'Command', run: () => setTheme('light') },
      { text: 'Dark theme', kind: 'Command', run: () => setTheme('dark') },
      { text: 'Theme of the system', kind: 'Command', run: () => setTheme('system') },
      { text: 'Sign out', kind: 'Command', run: () => signOut('You have signed out.', { everywhere: true }) },
    );
    return all;
  }, [team, teams, repositories.items, runs.items, deployments.items]);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = entries.filter((e) => words.every((w) => `${e.text} ${e.kind}`.toLowerCase().includes(w))).slice(0, 40);
  const chosen = Math.min(at, found.length - 1);
  const choose = (entry: Entry | undefined) => {
    if (!entry) return;
    close();
    entry.run();
  };
  const key = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown') setAt(Math.min(chosen + 1, found.length - 1));
    else if (event.key === 'ArrowUp') setAt(Math.max(chosen - 1, 0));
    else if (event.key === 'Enter') choose(found[chosen]);
    else return;
    event.preventDefault();
  };
  return (
    <Modal
      isOpen
      variant="small"
      position="top"
      onClose={close}
      aria-labelledby={`${id}-title`}
      elementToFocus={`#${CSS.escape(id)}-input input`}
    >
      <ModalHeader title="Search and commands" labelId={`${id}-title`} />
      <ModalBody>
        <div id={`${id}-input`} onKeyDown={key}>
          <TextInput
            value={text}
            onChange={(_e, value) => {
              setText(value);
              setAt(0);
            }}
            placeholder="A page, team, repository, workload, run or command"
            customIcon={<SearchIcon />}
            type="search"
            aria-label="Search"
            role="combobox"
            aria-expanded="true"
            aria-autocomplete="list"
            aria-controls={`${id}-list`}
            aria-activedescendant={found[chosen] ? `${id}-${chosen}` : undefined}
          />
        </div>
        <ul className="palette-list" role="listbox" id={`${id}-list`} aria-label="What was found">
          {found.map((entry, i) => (
            <li
              key={`${entry.kind}/${entry.text}`}
              id={`${id}-${i}`}
              role="option"
              aria-selected={i === chosen}
              ref={(e) => {
                if (i === chosen) e?.scrollIntoView?.({ block: 'nearest' });
              }}
              onMouseMove={() => setAt(i)}
              onClick={() => choose(entry)}
            >
              <span>{entry.text}</span>
              <span className="muted tiny">{entry.kind}</span>
            </li>
          ))}
        </ul>
        <div role="status" className="visually-hidden">
          {found.length} found
        </div>
        {found.length === 0 && <p className="muted">Nothing is called so.</p>}
      </ModalBody>
    </Modal>
  );
}
