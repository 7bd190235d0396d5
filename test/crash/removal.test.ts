// The daemon dies at every step of removal: see steps.ts and the group `removal` in scenarios.ts.
import t from 'tap';
import { crashAtEveryStep } from './steps.js';

void t.test('removal', { timeout: 600_000 }, t => crashAtEveryStep(t, 'removal'));
