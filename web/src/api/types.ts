// The objects the console shows, as far as it reads them.

export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
}

export interface Metadata {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  creationTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: { kind: string; name: string }[];
}

export interface KObject {
  apiVersion?: string;
  kind?: string;
  metadata: Metadata;
}

export interface Capability extends KObject {
  spec: { title: string; number: number; part?: string; lostWithout?: string };
  status?: { provider?: string; engine?: string; healthy?: boolean; message?: string; checkedAt?: string };
}

export interface Team extends KObject {
  spec: { displayName?: string; members?: { user: string; role?: string }[]; environments?: { name: string }[] };
  status?: { namespaces?: string[]; conditions?: Condition[] };
}

export interface Ref {
  sha: string;
  previous?: string;
  pushedAt?: string;
  pushedBy?: string;
}
export interface Repository extends KObject {
  spec: { description?: string; defaultBranch?: string; protectedBranches?: string[] };
  status?: { url?: string; refs?: Record<string, Ref>; conditions?: Condition[] };
}

export interface Step {
  name?: string;
  phase?: string;
  startedAt?: string;
  finishedAt?: string;
  exitCode?: number;
  detail?: string;
  message?: string;
}
export interface Job {
  id: string;
  name?: string;
  phase?: string;
  pod?: string;
  message?: string;
  startedAt?: string;
  finishedAt?: string;
  steps?: Step[];
  needs?: string[];
  matrix?: Record<string, unknown>;
}
export interface WorkflowRun extends KObject {
  spec: {
    repository: string;
    ref?: string;
    commit: string;
    event?: string;
    actor?: string;
    workflow?: string;
    number?: number;
    environment?: string;
    cancel?: boolean;
  };
  status?: {
    phase?: string;
    startedAt?: string;
    finishedAt?: string;
    message?: string;
    notes?: string[];
    jobs?: Job[];
    images?: {
      repository?: string;
      digest?: string;
      reference?: string;
      packages?: number;
      sbom?: string;
      provenance?: string;
      message?: string;
    }[];
    deployments?: { namespace?: string; name?: string; url?: string }[];
    conditions?: Condition[];
  };
}

export interface Container {
  name: string;
  image: string;
}
export interface Deployment extends KObject {
  spec: { replicas?: number; template: { metadata?: Partial<Metadata>; spec: { containers: Container[] } } };
  status?: { replicas?: number; readyReplicas?: number; updatedReplicas?: number; conditions?: Condition[] };
}
export interface Pod extends KObject {
  spec: { containers: Container[] };
  status?: {
    phase?: string;
    podIP?: string;
    startTime?: string;
    reason?: string;
    conditions?: Condition[];
    containerStatuses?: {
      name: string;
      ready: boolean;
      restartCount: number;
      state?: Record<string, { reason?: string; message?: string }>;
    }[];
  };
}
export interface Service extends KObject {
  spec: { type?: string; ports?: { port: number }[] };
}
export interface EventObject extends KObject {
  type?: string;
  reason?: string;
  message?: string;
  count?: number;
  lastTimestamp?: string;
  eventTime?: string;
  firstTimestamp?: string;
  involvedObject?: { kind?: string; name?: string };
  regarding?: { kind?: string; name?: string };
}

export interface Release extends KObject {
  spec: {
    workload: string;
    repository?: string;
    commit?: string;
    run?: string;
    subject?: string;
    author?: string;
    image?: string;
    digest?: string;
    sbom?: string;
    provenance?: string;
  };
  status?: {
    environments?: { name: string; state?: string; requestedBy?: string; deployedAt?: string; message?: string }[];
    approvals?: { environment: string; by: string; at: string; comment?: string; attestation?: string }[];
    history?: {
      environment: string;
      action?: string;
      by?: string;
      at?: string;
      finishedAt?: string;
      result?: string;
    }[];
  };
}
export interface Environment extends KObject {
  spec: { order?: number; approvals?: number; autoPromote?: boolean };
  status?: { namespace?: string };
}
export interface DeliveryReport extends KObject {
  status?: {
    environment?: string;
    days?: number;
    deployments?: number;
    failures?: number;
    deploymentsPerDay?: string;
    leadTime?: string;
    changeFailureRate?: string;
    timeToRestore?: string;
  };
}

export interface AlertObject extends KObject {
  spec: {
    alert: string;
    rule?: { namespace?: string; name?: string; group?: string };
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  status?: { state?: string; activeAt?: string; value?: string };
}
export interface PrometheusRule extends KObject {
  spec?: { groups?: { name?: string; rules?: { alert?: string; expr?: string; for?: string }[] }[] };
  status?: { firing?: number; pending?: number; conditions?: Condition[] };
}
export interface AlertReceiver extends KObject {
  spec?: {
    webhook?: { url?: string };
    email?: { to?: string[] };
    matchers?: { name: string; op?: string; value: string }[];
  };
}

export interface Finding {
  id: string;
  severity?: string;
  package?: string;
  version?: string;
  fixedVersion?: string;
  link?: string;
  title?: string;
}
export interface ImageReport extends KObject {
  spec?: { repository?: string; digest?: string };
  status?: { dataRevision?: number; packages?: number; scannedAt?: string; message?: string; findings?: Finding[] };
}
export interface VerificationPolicy extends KObject {
  spec: {
    mode?: string;
    teams?: string[];
    environments?: string[];
    provenance?: { repositories?: string[]; workflows?: string[]; refs?: string[] };
    vulnerabilities?: { block?: string; ignoreUnfixed?: boolean };
  };
}

export interface ResourceClass extends KObject {
  spec: { type: string; driver: string; description?: string; environments?: string[]; monthlyCost?: string };
}
export interface ResourceClaim extends KObject {
  spec: { type: string; class?: string; workload?: string };
  status?: {
    phase?: string;
    class?: string;
    driver?: string;
    reclaimPolicy?: string;
    outputs?: Record<string, string>;
    secretName?: string;
    backups?: { name: string }[];
    usage?: { size?: string; limit?: string };
    monthlyCost?: string;
    url?: string;
    conditions?: Condition[];
  };
}
export interface Workspace extends KObject {
  spec?: {
    description?: string;
    source?: { repository?: string; namespace?: string; revision?: string; path?: string; files?: object };
    approval?: string;
    driftCheck?: string;
    destroyOnDelete?: boolean;
  };
  status?: {
    phase?: string;
    lastRun?: string;
    appliedRevision?: string;
    outputs?: Record<string, unknown>;
    sensitiveOutputs?: string[];
    drift?: { found?: boolean; summary?: string; run?: string; at?: string };
    address?: string;
    serial?: number;
    resources?: number;
    updatedAt?: string;
    updatedBy?: string;
    versions?: { name: string; serial: number; at: string; by: string; bytes: number }[];
    lock?: { operation?: string; who?: string; user?: string; at?: string } | null;
    conditions?: Condition[];
  };
}
export interface TerraformRun extends KObject {
  spec: { workspace: string; operation: string; requestedBy?: string };
  status?: {
    phase?: string;
    message?: string;
    approval?: string;
    approvedBy?: string;
    approvedAt?: string;
    approvalComment?: string;
    discardedBy?: string;
    revision?: string;
    summary?: string;
    plan?: string;
    log?: string;
    startedAt?: string;
    finishedAt?: string;
  };
}

export interface Amounts {
  cpu?: string;
  memory?: string;
  storage?: string;
  addresses?: number;
  pods?: number;
}
export interface Usage {
  name?: string;
  namespace?: string;
  requested?: Amounts;
  used?: Amounts;
  free?: Amounts;
  monthlyCost?: string;
  workloads?: Usage[];
}
export interface UsageReport extends KObject {
  status?: Usage & { currency?: string; environments?: Usage[] };
}
export interface ResourceQuota extends KObject {
  spec?: { hard?: Record<string, string> };
  status?: { hard?: Record<string, string>; used?: Record<string, string> };
}
type Share = Record<'total' | 'requested' | 'used' | 'free', string | undefined>;
export interface CapacityReport extends KObject {
  status?: {
    cpu?: Share;
    memory?: Share;
    disk?: Share & { stored?: Record<string, string> };
    addresses?: { pool: string; total: number; used: number; free: number }[];
  };
}

export interface Selector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}
export interface NetworkPolicy extends KObject {
  spec: { podSelector?: Selector; policyTypes?: string[]; ingress?: unknown[]; egress?: unknown[] };
}
export interface AuthorizationPolicy extends KObject {
  spec: { selector?: Selector; rules?: { principals?: string[]; ports?: number[] }[] };
}
export interface HTTPRoute extends KObject {
  spec: {
    hostnames?: string[];
    rules?: {
      matches?: { path?: { type?: string; value?: string }; method?: string }[];
      backendRefs?: { name: string; port?: number; weight?: number; namespace?: string }[];
    }[];
  };
  status?: { parents?: { conditions?: Condition[] }[] };
}
export interface Ingress extends KObject {
  spec: {
    rules?: {
      host?: string;
      http?: { paths?: { path?: string; backend?: { service?: { name: string } } }[] };
    }[];
  };
}

// Kinds whose fields are read with `at()`, since other capabilities refine them.
export interface AnyObject extends KObject {
  spec?: Record<string, unknown>;
  status?: Record<string, unknown>;
}

export interface Status {
  kind: 'Status';
  code?: number;
  reason?: string;
  message?: string;
}

// The value at a dotted path, or undefined.
export function at<T = unknown>(object: unknown, path: string): T | undefined {
  let value: unknown = object;
  for (const part of path.split('.')) {
    if (value === null || typeof value !== 'object') return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value as T | undefined;
}
export const condition = (object: unknown, type: string) =>
  (at<Condition[]>(object, 'status.conditions') ?? []).find((c) => c.type === type);
