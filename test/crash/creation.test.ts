// The daemon dies at every step of creation: see steps.ts and the group `creation` in scenarios.ts.
import t from 'tap';
import { crashAtEveryStep } from './steps.js';

void t.test('creation', { timeout: 600_000 }, t => crashAtEveryStep(t, 'creation'));
