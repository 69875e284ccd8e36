// The Deployments that make up a team's workloads, and what is read off them.
import { useWatchAll } from '../api/watch';
import type { Deployment, Service } from '../api/types';

export const useDeployments = (environments: { namespace: string }[]) =>
  useWatchAll<Deployment>(
    environments.map(
      ({ namespace }) =>
        `/apis/apps/v1/namespaces/${namespace}/deployments?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dmainstay`,
    ),
  );
export const workloadOf = ({ metadata }: Deployment) => metadata.labels?.['app.kubernetes.io/name'] ?? metadata.name;
export const stateOf = (d: Deployment) => {
  const want = d.spec.replicas ?? 1,
    ready = d.status?.readyReplicas ?? 0;
  return {
    text: `${ready} of ${want}`,
    phase: ready >= want && (d.status?.updatedReplicas ?? 0) >= want ? 'Ready' : 'Not ready',
  };
};
export const urlOf = (service: Service | undefined) => service?.metadata.annotations?.['mainstay.dev/url'];
