// Makes what is committed durable without keeping the thread that serves mounts waiting for the disk: SQLite only writes its
// write-ahead log; it is synced by a thread of the addon, once for all who wait, and copied into the database by a worker.
// Source: sqlite.org/wal.html; a transaction is durable when the log is synced up to its end, and so is all before it.
import { once } from 'node:events';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { fromText, ok } from '../base/index.js';
import { close, fsyncAsync, O, openPath } from '../sys/index.js';

/** Transactions after which the log is copied, a few pages each. */
const CHECKPOINT_EVERY = 1000;

export class LogSync {
  private fd = -1;
  private syncing: Promise<void> | undefined;
  private waiting: Promise<void> | undefined;
  private commits = 0;
  private worker: Worker | undefined;

  /** `warn` hears why the log could not be copied; then it is merely long, and copied next time. */
  constructor(
    private readonly path: string,
    private readonly warn: (message: string) => void,
  ) {}

  /** A transaction has been written to the log. */
  committed(): void {
    if (++this.commits < CHECKPOINT_EVERY || this.worker !== undefined) return;
    this.commits = 0;
    const worker = new Worker(new URL('./checkpoint-worker.js', import.meta.url), { workerData: this.path });
    worker.once('error', error => this.warn(`${this.path}-wal stays long: ${error.message}`));
    worker.once('exit', () => {
      this.worker = undefined;
    });
    worker.unref();
    this.worker = worker;
  }

  /**
   * Resolves when everything that was committed before the call is durable. SysError when that cannot be had; then nothing
   * more is durable, for what a failed sync has lost no later one finds.
   */
  durable(): Promise<void> {
    this.waiting ??= this.next();
    return this.waiting;
  }

  /** Waits for what goes on. */
  async close(): Promise<void> {
    // Whoever waits for these hears how they end.
    await Promise.allSettled([this.waiting, this.syncing]);
    const { worker, fd } = this;
    if (worker !== undefined) {
      worker.ref();
      await once(worker, 'exit');
    }
    if (fd >= 0) close(fd);
  }

  /** One sync after that which is under way: that may have begun before what is waited for was written. */
  private async next(): Promise<void> {
    await this.syncing;
    this.syncing = this.sync();
    this.waiting = undefined;
    await this.syncing;
  }

  private async sync(): Promise<void> {
    const log = `${this.path}-wal`;
    if (this.fd < 0) {
      this.fd = ok(openPath(fromText(log), O.RDONLY), log);
      const dir = dirname(this.path);
      const fd = ok(openPath(fromText(dir), O.RDONLY | O.DIRECTORY), dir);
      try {
        ok(await fsyncAsync(fd, false), dir);
      } finally {
        close(fd);
      }
    }
    ok(await fsyncAsync(this.fd, true), log);
  }
}
