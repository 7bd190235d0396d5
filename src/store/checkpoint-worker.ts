// Copies the store's write-ahead log into its database, and ends. In a worker, since it waits for the disk several times. The
// log begins anew when somebody writes after all of it has been copied, so what was written meanwhile is copied too.
import { workerData } from 'node:worker_threads';
import { openDatabase } from '../sys/index.js';
import { APPLICATION_ID, SCHEMA_VERSION } from './schema.js';

/** Who writes all the time cannot be caught up with; then the log grows until the next time. */
const MOST_ROUNDS = 50;

const database = openDatabase(workerData as string, {
  mode: 'write',
  applicationId: APPLICATION_ID,
  version: SCHEMA_VERSION,
});
for (let round = 0; round < MOST_ROUNDS; round++) {
  const [state] = database.pragma('wal_checkpoint(PASSIVE)') as { log: number; checkpointed: number }[];
  if (state!.checkpointed === state!.log) break;
}
database.close();
