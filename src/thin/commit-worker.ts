// The commit worker: takes batches from the pool's thread and answers each when it is durable, so that nobody's I/O waits
// for the disk's fsync. null ends it.
import { parentPort, workerData } from 'node:worker_threads';
import { E, SysError } from '../base/index.js';
import type { Batch } from './batch.js';
import { type CommitResult, Committer } from './committer.js';

let committer: Committer | null = null;
const port = parentPort!;

interface Task {
  readonly batch: Batch;
  readonly limit: number;
}

/** Whatever goes wrong is an answer: nobody would hear of an exception. */
function answer({ batch, limit }: Task): CommitResult {
  try {
    committer ??= new Committer(workerData as string);
    return committer.commit(batch, limit);
  } catch (error) {
    const errno = error instanceof SysError ? error.errno : E.EIO;
    return { errno, what: error instanceof SysError ? error.what : `commit worker: ${String(error)}` };
  }
}

port.on('message', (task: Task | null) => {
  if (task === null) {
    committer?.close();
    port.close();
    return;
  }
  port.postMessage(answer(task));
});
