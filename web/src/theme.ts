// Light, dark, or as the system says.
import { useSyncExternalStore } from 'react';

export type Theme = 'system' | 'light' | 'dark';
const key = 'mainstay.theme';
const dark = matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();

export const theme = (): Theme => (localStorage.getItem(key) as Theme | null) ?? 'system';
export const isDark = () => theme() === 'dark' || (theme() === 'system' && dark.matches);
export function applyTheme() {
  document.documentElement.classList.toggle('pf-v6-theme-dark', isDark());
  listeners.forEach((f) => f());
}
export function setTheme(next: Theme) {
  if (next === 'system') localStorage.removeItem(key);
  else localStorage.setItem(key, next);
  applyTheme();
}
dark.addEventListener('change', applyTheme);
const subscribe = (f: () => void) => {
  listeners.add(f);
  return () => {
    listeners.delete(f);
  };
};
export const useDark = () => useSyncExternalStore(subscribe, isDark);
