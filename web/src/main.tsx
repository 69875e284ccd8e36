import '@patternfly/react-core/dist/styles/base.css';
import './style.css';
import { createRoot } from 'react-dom/client';
import { applyTheme } from './theme';
import { App } from './app';

applyTheme();
createRoot(document.getElementById('root')!).render(<App />);
