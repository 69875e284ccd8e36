// How requests come to a workload in one environment, and who may connect to it.
import { mainstay, useWatch, useWatchOne } from '../../api/watch';
import type {
  AuthorizationPolicy,
  Deployment,
  HTTPRoute,
  Ingress,
  KObject,
  NetworkPolicy,
  Selector,
  Service,
} from '../../api/types';
import { condition } from '../../api/types';
import { Command, Empty, Gate, Phase, Section } from '../../components/basics';
import { Rows } from '../../components/table';
import { urlOf } from '../../components/workloads';

const networking = (plural: string, namespace: string) =>
  `/apis/networking.k8s.io/v1/namespaces/${namespace}/${plural}`;
const gateway = (namespace: string) => `/apis/gateway.networking.k8s.io/v1/namespaces/${namespace}/httproutes`;

// Kubernetes' label selectors; an empty one selects everything.
function selects(selector: Selector | undefined, labels: Record<string, string>): boolean {
  const exact = Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  const rest = (selector?.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value: string | undefined = labels[key];
    if (operator === 'Exists') return value !== undefined;
    if (operator === 'DoesNotExist') return value === undefined;
    const listed = value !== undefined && values.includes(value);
    return operator === 'In' ? listed : !listed;
  });
  return exact && rest;
}

interface Way {
  key: string;
  kind: string;
  hosts: string[];
  paths: string;
  share?: string;
  state: string;
}

function routeWays(route: HTTPRoute, workload: string): Way[] {
  const accepted = route.status?.parents?.flatMap((p) => p.conditions ?? []).find((c) => c.type === 'Accepted');
  return (route.spec.rules ?? []).flatMap((rule, i): Way[] => {
    const backends = rule.backendRefs ?? [];
    const mine = backends.find((b) => b.name === workload);
    if (!mine) return [];
    const total = backends.reduce((sum, b) => sum + (b.weight ?? 1), 0);
    const paths = rule.matches?.map((m) => `${m.method ?? ''} ${m.path?.value ?? '/'}`.trim()).join(', ') || '/';
    return [
      {
        key: `${route.metadata.name}/${i}`,
        kind: `HTTPRoute ${route.metadata.name}`,
        hosts: route.spec.hostnames ?? [],
        paths,
        share: backends.length > 1 && total ? `${Math.round(((mine.weight ?? 1) / total) * 100)} %` : undefined,
        state: !accepted || accepted.status === 'True' ? 'Ready' : (accepted.reason ?? 'Refused'),
      },
    ];
  });
}
function ingressWays(ingress: Ingress, workload: string): Way[] {
  return (ingress.spec.rules ?? []).flatMap((rule, i): Way[] => {
    const paths = (rule.http?.paths ?? []).filter((p) => p.backend?.service?.name === workload);
    if (!paths.length) return [];
    const key = `${ingress.metadata.name}/${i}`;
    const hosts = rule.host ? [rule.host] : [];
    const text = paths.map((p) => p.path ?? '/').join(', ');
    return [{ key, kind: `Ingress ${ingress.metadata.name}`, hosts, paths: text, state: 'Ready' }];
  });
}

function Ways({ namespace, workload, service }: { namespace: string; workload: string; service?: Service }) {
  const routes = useWatch<HTTPRoute>(gateway(namespace));
  const ingresses = useWatch<Ingress>(networking('ingresses', namespace));
  const url = urlOf(service);
  const routed = service && condition(service, 'Routed');
  const ways: Way[] = [
    ...routes.items.flatMap((r) => routeWays(r, workload)),
    ...ingresses.items.flatMap((i) => ingressWays(i, workload)),
  ];
  if (url)
    ways.unshift({
      key: 'url',
      kind: 'Its own URL',
      hosts: [new URL(url).host],
      paths: '/',
      state: routed?.status === 'False' ? (routed.reason ?? 'Not ready') : 'Ready',
    });
  const none = (
    <Empty level="h3" title="No request comes in from outside" command="kubectl explain httproute.spec">
      A service in score.yaml gives a workload its URL; an HTTPRoute or Ingress gives it other hosts and paths.
    </Empty>
  );
  const rows = ways.map((w) => ({
    key: w.key,
    cells: [
      w.kind,
      <span key="h" className="any">
        {w.hosts.join(', ')}
      </span>,
      w.paths,
      w.share ?? 'all',
      <Phase key="s" phase={w.state} />,
    ],
  }));
  return (
    <Gate live={{ ...routes, items: ways }} what="routes" empty={none}>
      <Rows label="Ways in" columns={['By', 'Host', 'Paths', 'Share', 'State']} rows={rows} />
    </Gate>
  );
}

const portsOf = (rule: unknown) => {
  const ports = (rule as { ports?: { port?: number | string }[] }).ports ?? [];
  return ports.map((p) => p.port).join(', ') || 'all ports';
};
const peersOf = (rule: { from?: unknown[] }) => {
  if (!rule.from?.length) return 'everybody';
  return rule.from
    .map((peer) => {
      const {
        podSelector: pods,
        namespaceSelector: spaces,
        ipBlock: block,
      } = peer as Record<string, Selector & { cidr?: string }>;
      const labels = (s?: Selector) =>
        Object.entries(s?.matchLabels ?? {})
          .map(([k, v]) => `${k.split('/').pop()}=${v}`)
          .join(',') || 'all';
      if (block) return block.cidr;
      return [spaces && `namespaces ${labels(spaces)}`, pods && `pods ${labels(pods)}`].filter(Boolean).join(', ');
    })
    .join('; ');
};

function Policies({ namespace, labels }: { namespace: string; labels: Record<string, string> }) {
  const network = useWatch<NetworkPolicy>(networking('networkpolicies', namespace));
  const calls = useWatch<AuthorizationPolicy>(mainstay('authorizationpolicies', namespace));
  const space = useWatchOne<KObject>('/api/v1/namespaces', namespace);
  const meshed = space.object?.metadata.labels?.['mainstay.dev/mesh'] === 'true';
  const rows = [
    ...network.items
      .filter((p) => selects(p.spec.podSelector, labels))
      .flatMap((p) => {
        const types = p.spec.policyTypes ?? ['Ingress'];
        if (!types.includes('Ingress')) return [];
        const rules = (p.spec.ingress ?? []) as { from?: unknown[] }[];
        return (rules.length ? rules : [undefined]).map((rule, i) => ({
          key: `n/${p.metadata.name}/${i}`,
          cells: [
            `NetworkPolicy ${p.metadata.name}`,
            <span key="f" className="any">
              {rule ? peersOf(rule) : 'nobody'}
            </span>,
            rule ? portsOf(rule) : '–',
          ],
        }));
      }),
    ...calls.items
      .filter((p) => selects(p.spec.selector, labels))
      .flatMap((p) =>
        (p.spec.rules ?? []).map((rule, i) => ({
          key: `a/${p.metadata.name}/${i}`,
          cells: [
            `AuthorizationPolicy ${p.metadata.name}`,
            <span key="f" className="any">
              {rule.principals?.join(', ') ?? 'every identity'}
            </span>,
            rule.ports?.join(', ') ?? 'all ports',
          ],
        })),
      ),
  ];
  const usual = `Pods of this environment, the team's own namespace and the edge may connect; nobody else. A NetworkPolicy that selects its pods replaces that.`;
  return (
    <>
      <p className="muted">
        {meshed
          ? 'In the mesh: connections are carried over mutually authenticated TLS.'
          : 'Not in the mesh: connections between pods are not encrypted.'}
      </p>
      <Gate
        live={{ ...network, items: rows }}
        what="network policies"
        empty={
          <Empty level="h3" title="The default holds" command="kubectl explain networkpolicy.spec">
            {usual}
          </Empty>
        }
      >
        <Rows label="Who may connect" columns={['By', 'From', 'To']} rows={rows} />
      </Gate>
      {!meshed && (
        <div className="muted tiny">
          Encrypt: <Command>{`kubectl label namespace ${namespace} mainstay.dev/mesh=true`}</Command>
        </div>
      )}
    </>
  );
}

export function Traffic({
  namespace,
  workload,
  deployment,
  service,
}: {
  namespace: string;
  workload: string;
  deployment?: Deployment;
  service?: Service;
}) {
  const labels = deployment?.spec.template.metadata?.labels ?? { 'app.kubernetes.io/name': workload };
  return (
    <>
      <Section title="Ways in">
        <Ways namespace={namespace} workload={workload} service={service} />
      </Section>
      <Section title="Who may connect">
        <Policies namespace={namespace} labels={labels} />
      </Section>
    </>
  );
}
