// A command to copy.
import { ClipboardCopy } from '@patternfly/react-core';

export const Command = ({ children }: { children: string }) => (
  <ClipboardCopy isReadOnly hoverTip="Copy" clickTip="Copied" variant="inline-compact" isCode className="command">
    {children}
  </ClipboardCopy>
);
