// A process of its own that waits for a pool's lock, because flock(2) blocks: started as `lockwait DIR`. It queues with others of
// its kind (the lock of a file of its own), and from then on answers each byte on stdin with one when nobody has the
// pool's lock: w if it had to wait, f if it was free. It ends, and lets the next one in the queue come, when stdin does.
import { readSync, writeSync } from 'node:fs';
import { fromText, ok } from '../base/index.js';
import { close, flock, LOCK, O, openPath } from '../sys/index.js';
import { FREE, LOCK_FILE, QUEUE_FILE, WAITED } from './lockwait-words.js';

const dir = fromText(process.argv[2] ?? '.');
const queueFile = `${dir}/${QUEUE_FILE}`;
const lockFile = `${dir}/${LOCK_FILE}`;
const queue = ok(openPath(queueFile, O.RDONLY | O.CREAT, 0o600), queueFile);
ok(flock(queue, LOCK.EX), queueFile);
const byte = Buffer.alloc(1);
while (readSync(0, byte) > 0) {
  const lock = ok(openPath(lockFile, O.RDONLY), lockFile);
  const free = flock(lock, LOCK.SH | LOCK.NB) === 0;
  if (!free) ok(flock(lock, LOCK.SH), lockFile);
  close(lock);
  writeSync(1, free ? FREE : WAITED);
}
