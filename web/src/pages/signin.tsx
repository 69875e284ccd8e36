import {
  Alert,
  Button,
  Divider,
  Form,
  FormGroup,
  FormHelperText,
  HelperText,
  HelperTextItem,
  TextInput,
  Title,
} from '@patternfly/react-core';
import { useEffect, useState, type FormEvent } from 'react';
import { discovery, signIn, signOutMessage, useToken } from '../api/auth';
import { Command } from '../components/basics';
import { navigate, usePath } from '../router';

export default function SignIn({ problem }: { problem?: string }) {
  const path = usePath();
  const [offered, setOffered] = useState<boolean>();
  const [text, setText] = useState('');
  const [error, setError] = useState(problem ?? '');
  const [busy, setBusy] = useState(false);
  const [byToken, setByToken] = useState(false);
  const returnTo = path === '/callback' ? '/' : path + (path === '/' ? '' : location.search);
  useEffect(() => {
    document.title = 'Sign in · Mainstay';
    discovery().then(
      (d) => {
        setOffered(!!d.authorization_endpoint);
        if (!d.authorization_endpoint) setByToken(true);
      },
      // Not known: the button asks again.
      () => setOffered(true),
    );
  }, []);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError('');
    useToken(text)
      .then(
        () => {
          if (path === '/callback') navigate('/', { replace: true });
        },
        (e: Error) => setError(e.message),
      )
      .finally(() => setBusy(false));
  };
  const flow = () => {
    setBusy(true);
    setError('');
    signIn(returnTo).catch((e: Error) => {
      setError(e.message);
      setBusy(false);
    });
  };
  return (
    <main className="signin">
      <div className="signin-box">
        <div className="row">
          <img src="/console/favicon.svg" alt="" width="36" height="36" />
          <Title headingLevel="h1" size="2xl">
            Sign in to Mainstay
          </Title>
        </div>
        {error && <Alert variant="danger" isInline title={error} role="alert" />}
        {!error && signOutMessage() && <Alert variant="info" isInline title={signOutMessage()} role="status" />}
        {offered && (
          <Button variant="primary" isBlock size="lg" onClick={flow} isDisabled={busy}>
            Sign in
          </Button>
        )}
        {offered && !byToken && (
          <Button variant="link" onClick={() => setByToken(true)}>
            Use a token instead
          </Button>
        )}
        {offered && byToken && <Divider />}
        {byToken && (
          <Form onSubmit={submit}>
            <FormGroup label="Access token" fieldId="token" isRequired>
              <TextInput
                id="token"
                type="password"
                autoComplete="off"
                value={text}
                onChange={(_e, value) => setText(value)}
                aria-describedby="token-help"
              />
              <FormHelperText>
                <HelperText>
                  <HelperTextItem id="token-help">
                    Make one where you are logged in: <Command>mainstay user token NAME</Command>
                  </HelperTextItem>
                </HelperText>
              </FormHelperText>
            </FormGroup>
            <Button
              type="submit"
              variant={offered ? 'secondary' : 'primary'}
              isBlock
              isDisabled={busy || !text.trim()}
              isLoading={busy}
            >
              Use this token
            </Button>
          </Form>
        )}
      </div>
    </main>
  );
}
