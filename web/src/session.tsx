// What all pages share: who I am, the teams there are, and the team looked at.
import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { post, type ApiError } from './api/http';
import { mainstay, useWatch } from './api/watch';
import type { Team } from './api/types';
import { usePath } from './router';

export interface Me {
  name: string;
  groups: string[];
}
interface Session {
  me?: Me;
  teams: Team[];
  teamsReady: boolean;
  teamsError?: ApiError;
  retryTeams?: () => void;
  mine: Team[];
  team?: string;
  admin: boolean;
}

const Context = createContext<Session>({ teams: [], teamsReady: false, mine: [], admin: false });
export const useSession = () => useContext(Context);
const key = 'mainstay.team';

export function SessionProvider({ children }: { children: ReactNode }) {
  const [me, setMe] = useState<Me>();
  const teams = useWatch<Team>(mainstay('teams'));
  const path = usePath();
  useEffect(() => {
    let gone = false;
    post<{ status: { userInfo: { username: string; groups?: string[] } } }>(
      '/apis/authentication.k8s.io/v1/selfsubjectreviews',
      { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
    )
      .then(({ status }) => {
        if (!gone) setMe({ name: status.userInfo.username, groups: status.userInfo.groups ?? [] });
      })
      .catch(() => {});
    return () => {
      gone = true;
    };
  }, []);
  const inPath = /^\/teams\/([^/]+)/.exec(path)?.[1];
  useEffect(() => {
    if (inPath) localStorage.setItem(key, inPath);
  }, [inPath]);
  const value = useMemo(() => {
    const all = [...teams.items].sort((a, b) => a.metadata.name.localeCompare(b.metadata.name));
    const admin = me?.groups.includes('mainstay:admins') || me?.groups.includes('system:masters') || false;
    const mine = admin ? all : all.filter((t) => t.spec.members?.some((m) => m.user === me?.name));
    const kept = localStorage.getItem(key) ?? undefined;
    const team = inPath ?? (mine.some((t) => t.metadata.name === kept) ? kept : mine[0]?.metadata.name);
    return {
      me,
      teams: all,
      teamsReady: teams.ready && !teams.error,
      teamsError: teams.error,
      retryTeams: teams.retry,
      mine,
      team,
      admin,
    };
  }, [me, teams, inPath]);
  return <Context.Provider value={value}>{children}</Context.Provider>;
}

// The team's own namespace and those of its environments, in order of promotion.
export function environmentsOf(team: Team | undefined): { name: string; namespace: string }[] {
  if (!team) return [];
  const names = team.spec.environments?.map((e) => e.name) ?? [];
  return (names.length ? names : ['dev']).map((name) => ({ name, namespace: `${team.metadata.name}-${name}` }));
}
export function useTeam(name: string | undefined) {
  const { teams } = useSession();
  const team = teams.find((t) => t.metadata.name === name);
  const key = environmentsOf(team)
    .map((e) => e.name)
    .join();
  return useMemo(() => {
    const environments = environmentsOf(team);
    const namespaces = name ? [name, ...environments.map((e) => e.namespace)] : [];
    return { environments, namespaces };
  }, [team?.metadata.name, name, key]);
}
