// Waiting for an upper directory whose last mount is gone and whose daemon is still ending: engines unmount and mount again at
// once, and a daemon gives the upper back only when what was written is on disk. It shares its lock until then.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { ByteString } from '../base/index.js';
import { close, flock, LOCK, O, openPath } from '../sys/index.js';

/** Seconds for a daemon to notice that its mount is gone; who has the upper for longer has it mounted. */
const NOTICE = 3;

/** Seconds for it to end. */
const PATIENCE = 60;

/** Returns when nobody has the upper directory, or when it is clear that somebody keeps it: who opens it says so. */
export async function waitForUpper(upper: ByteString | null): Promise<void> {
  const fd = upper === null ? -1 : openPath(upper, O.RDONLY | O.DIRECTORY);
  // Whatever is wrong with it is said by who opens it, too.
  if (fd < 0) return;
  try {
    if (flock(fd, LOCK.EX | LOCK.NB) === 0) return;
    if (await lockWithin(NOTICE, '--shared', fd)) await lockWithin(PATIENCE, '--exclusive', fd);
  } finally {
    close(fd);
  }
}

/** flock(2) blocks, so a child calls it, on our open file. */
async function lockWithin(seconds: number, how: string, fd: number): Promise<boolean> {
  const child = spawn('flock', [how, '--wait', String(seconds), '3'], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
  });
  const [status] = await once(child, 'close');
  return status === 0;
}
