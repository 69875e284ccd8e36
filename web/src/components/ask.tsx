// One question before something that others will notice; its answer is told in words.
import { Alert, Button, Modal, ModalBody, ModalFooter, ModalHeader, TextArea } from '@patternfly/react-core';
import { useEffect, useId, useRef, useState, type ReactNode } from 'react';

export function AskDialog({
  title,
  action,
  danger,
  comment: mayComment,
  send,
  close,
  children,
}: {
  title: string;
  action: string;
  danger?: boolean;
  comment?: boolean;
  send: (comment: string) => Promise<unknown>;
  close: () => void;
  children: ReactNode;
}) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const [comment, setComment] = useState('');
  const id = useId();
  const here = useRef(true);
  useEffect(
    () => () => {
      here.current = false;
    },
    [],
  );
  const go = () => {
    setBusy(true);
    setError('');
    send(comment).then(
      () => {
        if (here.current) close(); // and not the next question, where this one was left meanwhile
      },
      (e: Error) => {
        setError(e.message);
        setBusy(false);
      },
    );
  };
  return (
    <Modal isOpen variant="small" onClose={close} aria-labelledby={`${id}-title`} aria-describedby={`${id}-body`}>
      <ModalHeader title={title} labelId={`${id}-title`} />
      <ModalBody id={`${id}-body`}>
        <p>{children}</p>
        {mayComment && (
          <>
            <label htmlFor={`${id}-comment`}>Comment (optional)</label>
            <TextArea
              id={`${id}-comment`}
              value={comment}
              onChange={(_e, v) => setComment(v)}
              rows={2}
              maxLength={1000}
            />
          </>
        )}
        {error && <Alert isInline variant="danger" title={error} role="alert" />}
      </ModalBody>
      <ModalFooter>
        <Button variant={danger ? 'danger' : 'primary'} onClick={go} isLoading={busy} isDisabled={busy}>
          {action}
        </Button>
        <Button variant="link" onClick={close}>
          Cancel
        </Button>
      </ModalFooter>
    </Modal>
  );
}
