// Unmounts from another thread. umount(2) may wait for the daemon (dirty pages of mapped files are written back first), so
// the thread that serves the mount must never call it.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type ByteString, SysError } from '../base/index.js';

export interface Task {
  readonly mountpoint: ByteString;
  readonly lazy: boolean;
}

/** null: done. */
export type Outcome = { readonly errno: number; readonly what: string } | null;

/** Unmounts; throws SysError (EBUSY when it is in use, unless `lazy`). */
export async function unmountAside(mountpoint: ByteString, lazy: boolean): Promise<void> {
  const workerData: Task = { mountpoint, lazy };
  // The loaders of the main thread are not the worker's business, and would cost a second.
  const worker = new Worker(new URL('./unmountworker.js', import.meta.url), { workerData, execArgv: [] });
  const [outcome] = (await once(worker, 'message')) as [Outcome];
  if (outcome !== null) throw new SysError(outcome.errno, outcome.what);
}
