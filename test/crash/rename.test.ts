// The daemon dies at every step of rename: see steps.ts and the group `rename` in scenarios.ts.
import t from 'tap';
import { crashAtEveryStep } from './steps.js';

void t.test('rename', { timeout: 600_000 }, t => crashAtEveryStep(t, 'rename'));
