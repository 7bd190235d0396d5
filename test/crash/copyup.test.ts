// The daemon dies at every step of copyup: see steps.ts and the group `copyUp` in scenarios.ts.
import t from 'tap';
import { crashAtEveryStep } from './steps.js';

void t.test('copyup', { timeout: 600_000 }, t => crashAtEveryStep(t, 'copyUp'));
