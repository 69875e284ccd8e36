// What stands around every page: the bar at the top, the navigation and the palette.
import {
  Button,
  FormSelect,
  FormSelectOption,
  Masthead,
  MastheadBrand,
  MastheadContent,
  MastheadLogo,
  MastheadMain,
  MastheadToggle,
  Nav,
  NavGroup,
  NavItem,
  NavList,
  Page,
  PageSidebar,
  PageSidebarBody,
  PageToggleButton,
  Tooltip,
} from '@patternfly/react-core';
import BarsIcon from '@patternfly/react-icons/dist/esm/icons/bars-icon';
import MoonIcon from '@patternfly/react-icons/dist/esm/icons/moon-icon';
import SearchIcon from '@patternfly/react-icons/dist/esm/icons/search-icon';
import SignOutAltIcon from '@patternfly/react-icons/dist/esm/icons/sign-out-alt-icon';
import SunIcon from '@patternfly/react-icons/dist/esm/icons/sun-icon';
import { lazy, Suspense, useEffect, useState, type AnchorHTMLAttributes, type ReactNode } from 'react';
import { signOut } from './api/auth';
import { onConnection } from './api/stream';
import { base, follow, Link, navigate, usePath } from './router';
import { platformPages, teamPages } from './places';
import { useSession } from './session';
import { setTheme, useDark } from './theme';

const Palette = lazy(() => import('./components/palette'));

const Home = (props: AnchorHTMLAttributes<HTMLAnchorElement>) => <Link {...props} to="/" />;
function Logo() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#06c" />
      <path
        d="M16 5v22M16 7 6 24h20z"
        fill="none"
        stroke="#fff"
        strokeWidth="2.4"
        strokeLinejoin="round"
        strokeLinecap="round"
      />
    </svg>
  );
}

function Sidebar({ close }: { close: () => void }) {
  const path = usePath();
  const { team, teams, mine } = useSession();
  const item = (to: string, text: string, exact = false) => (
    <NavItem
      key={to}
      itemId={to}
      to={base + to}
      isActive={exact ? path === to : path === to || path.startsWith(`${to}/`)}
      onClick={(event) => {
        follow(event as unknown as React.MouseEvent, to);
        if (innerWidth < 1200) close();
      }}
    >
      {text}
    </NavItem>
  );
  const shown = mine.length ? mine : teams;
  return (
    <PageSidebarBody>
      <Nav aria-label="Pages">
        <NavList>
          {item('/', 'Overview', true)}
          {item('/teams', 'Teams', true)}
        </NavList>
        {team && (
          <>
            <div className="team-switch">
              <label htmlFor="team">Team</label>
              <FormSelect id="team" value={team} onChange={(_e, value) => navigate(`/teams/${value}`)}>
                {!shown.some((t) => t.metadata.name === team) && <FormSelectOption value={team} label={team} />}
                {shown.map((t) => (
                  <FormSelectOption key={t.metadata.name} value={t.metadata.name} label={t.metadata.name} />
                ))}
              </FormSelect>
            </div>
            <NavList>{teamPages.map(([to, title]) => item(`/teams/${team}${to}`, title, !to))}</NavList>
          </>
        )}
        <NavGroup title="Platform">{platformPages.map(([to, title]) => item(to, title))}</NavGroup>
      </Nav>
    </PageSidebarBody>
  );
}

function ThemeButton() {
  const dark = useDark();
  const text = dark ? 'Use the light theme' : 'Use the dark theme';
  return (
    <Tooltip content={text}>
      <Button
        variant="plain"
        aria-label={text}
        icon={dark ? <SunIcon /> : <MoonIcon />}
        onClick={() => setTheme(dark ? 'light' : 'dark')}
      />
    </Tooltip>
  );
}

// Says when live views stand still, and when they move again.
function Connection() {
  const [lost, setLost] = useState(false);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = onConnection((connected) => {
      clearTimeout(timer);
      if (connected) setLost(false);
      else timer = setTimeout(() => setLost(true), 1500);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, []);
  return (
    <span role="status" className="tiny">
      {lost ? 'Reconnecting …' : ''}
    </span>
  );
}

export function Shell({ children }: { children: ReactNode }) {
  const { me } = useSession();
  const [open, setOpen] = useState(() => innerWidth >= 1200);
  const [palette, setPalette] = useState(false);
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        setPalette((p) => !p);
      }
    };
    addEventListener('keydown', key);
    return () => removeEventListener('keydown', key);
  }, []);
  const masthead = (
    <Masthead>
      <MastheadMain>
        <MastheadToggle>
          <PageToggleButton
            variant="plain"
            aria-label="Navigation"
            isSidebarOpen={open}
            onSidebarToggle={() => setOpen(!open)}
          >
            <BarsIcon />
          </PageToggleButton>
        </MastheadToggle>
        <MastheadBrand>
          <MastheadLogo component={Home}>
            <span className="brand">
              <Logo /> Mainstay
            </span>
          </MastheadLogo>
        </MastheadBrand>
      </MastheadMain>
      <MastheadContent>
        <div className="masthead-end">
          <Connection />
          <Button
            variant="secondary"
            icon={<SearchIcon />}
            onClick={() => setPalette(true)}
            aria-label="Search Ctrl K, pages and commands"
          >
            <span className="hide-phone">
              Search <kbd>Ctrl K</kbd>
            </span>
          </Button>
          <ThemeButton />
          <span className="hide-phone tiny" data-testid="me">
            {me?.name}
          </span>
          <Tooltip content="Sign out">
            <Button
              variant="plain"
              aria-label={`Sign out${me ? ` ${me.name}` : ''}`}
              icon={<SignOutAltIcon />}
              onClick={() => signOut('You have signed out.', { everywhere: true })}
            />
          </Tooltip>
        </div>
      </MastheadContent>
    </Masthead>
  );
  return (
    <Page
      masthead={masthead}
      mainContainerId="main"
      mainAriaLabel="Content"
      skipToContent={
        <a className="skip" href="#main">
          Skip to the content
        </a>
      }
      sidebar={
        <PageSidebar isSidebarOpen={open}>
          {/* Closed, it is out of sight and must be out of the way of the Tab key, too. */}
          {open && <Sidebar close={() => setOpen(false)} />}
        </PageSidebar>
      }
    >
      {children}
      {palette && (
        <Suspense fallback={null}>
          <Palette close={() => setPalette(false)} />
        </Suspense>
      )}
    </Page>
  );
}
