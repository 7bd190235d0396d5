// What lockwait (lockwait.ts) and who started it agree on: the file whose lock (flock) is the pool's, the file whose lock is the
// queue's, both in the pool's directory; and the answers: the pool's lock was free, or has become free.
export const LOCK_FILE = 'lock';
export const QUEUE_FILE = 'queue';
export const FREE = 'f';
export const WAITED = 'w';
