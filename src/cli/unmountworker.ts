// The other thread of unmountaside.ts: one unmount, one message, the end.
import { parentPort, workerData } from 'node:worker_threads';
import { SysError } from '../base/index.js';
import { unmount } from '../fuse/index.js';
import type { Outcome, Task } from './unmountaside.js';

async function work({ mountpoint, lazy }: Task): Promise<Outcome> {
  try {
    await unmount(mountpoint, { lazy });
    return null;
  } catch (error) {
    if (error instanceof SysError) return { errno: error.errno, what: error.what };
    throw error;
  }
}

parentPort!.postMessage(await work(workerData as Task));
