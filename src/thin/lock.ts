// Who has the pool: its lock file.
import { join } from 'node:path';
import { close, lockFile } from '../sys/index.js';
import { LOCK as LOCK_FILE } from './places.js';

/**
 * Takes the pool's lock, exclusive or (to read only) shared; the descriptor holds it until it is closed. SysError EBUSY
 * names the process that has it.
 */
export function lockPool(dir: string, shared: boolean): number {
  return lockFile(join(dir, LOCK_FILE), dir, shared);
}

export function unlockPool(fd: number): void {
  close(fd);
}
