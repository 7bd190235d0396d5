// A lock file held (flock) as long as the process lives, so that it is gone with the process; it holds the owner's pid.
import { E, fromText, ok, SysError } from '../base/index.js';
import { close, flock, ftruncate, pread, pwrite } from './calls.js';
import { LOCK, O } from './constants.js';
import { openPath } from './fd.js';

/**
 * Takes the lock at `path`, exclusive or `shared`; the descriptor holds it until it is closed. SysError EBUSY says that `what`
 * is in use, and by which process.
 */
export function lockFile(path: string, what: string, shared = false): number {
  const fd = ok(openPath(fromText(path), O.RDWR | O.CREAT, 0o600), path);
  if (flock(fd, (shared ? LOCK.SH : LOCK.EX) | LOCK.NB) < 0) {
    const owner = Buffer.alloc(16);
    const bytes = pread(fd, owner, 0, owner.length, 0);
    close(fd);
    const pid = owner.subarray(0, Math.max(0, bytes)).toString('latin1').trim();
    throw new SysError(E.EBUSY, `${what} is in use by ${pid === '' ? 'another process' : `process ${pid}`}`);
  }
  if (!shared) {
    const pid = Buffer.from(`${process.pid}\n`);
    ftruncate(fd, 0);
    pwrite(fd, pid, 0, pid.length, 0);
  }
  return fd;
}
