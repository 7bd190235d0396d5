// FUSE over io_uring, switched on for a test file. The switch is the machine's and test files run side by side, so who needs
// it holds a shared lock, and the last one to go puts the switch back to what the first one found.
import { readFileSync, writeFileSync } from 'node:fs';
import { ok } from '../../src/base/index.js';
import { LOCK, native, O, openPath } from '../../src/sys/index.js';
import { needs, RING_SWITCH } from './needs.js';

const USERS = '/run/lamina-test-ring';

interface Test {
  teardown(task: () => void): void;
}

/** Switches it on until the test ends. Skips the test file where the kernel has no such thing; in CI it must. */
export function ringOn(t: Test): void {
  needs('mount', 'ring');
  const lock = ok(openPath(USERS, O.RDWR | O.CREAT, 0o600), USERS);
  ok(native.flock(lock, LOCK.SH), USERS);
  if (readFileSync(RING_SWITCH, 'latin1').trim() === 'N') {
    writeFileSync(USERS, 'off');
    writeFileSync(RING_SWITCH, '1');
  }
  t.teardown(() => {
    const alone = native.flock(lock, LOCK.EX | LOCK.NB) === 0;
    if (alone && readFileSync(USERS, 'latin1') === 'off') {
      writeFileSync(RING_SWITCH, '0');
      writeFileSync(USERS, '');
    }
    native.close(lock);
  });
}
