// A state in a word and a colour.
import { Label } from '@patternfly/react-core';

type Status = 'success' | 'danger' | 'info' | 'warning';
const words: Record<Status, string> = {
  success: 'Succeeded Ready Bound Deployed Healthy Active Applied Allowed inactive',
  danger: 'Failed Degraded Error firing critical CrashLoopBackOff ErrImagePull ImagePullBackOff',
  info: 'Running Deploying Provisioning Planning Applying',
  warning:
    'Cancelled Not-ready Warning AwaitingApproval RolledBack Drifted Discarded Refused pending high medium warning',
};
const statusOf = new Map(
  Object.entries(words).flatMap(([status, all]) => all.split(' ').map((word) => [word, status as Status])),
);

// For people; what Kubernetes says is left as it is, since it is searched for.
const spoken: Record<string, string> = { AwaitingApproval: 'Awaiting approval', RolledBack: 'Rolled back' };

export function Phase({ phase }: { phase?: string }) {
  const word = phase || 'Unknown';
  const status = statusOf.get(word.replace(' ', '-')) ?? statusOf.get(word.toLowerCase());
  return (
    <Label variant="outline" isCompact {...(status ? { status } : { color: 'grey' as const })}>
      {spoken[word] ?? word}
    </Label>
  );
}
