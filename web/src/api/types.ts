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
