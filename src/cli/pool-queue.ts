// Waiting for a pool that another process has: until its lock is free or it listens on its control socket, whichever is
// first. Both are events; who waits for the lock waits in a queue, so that many commands at once follow one another.
import { type ChildProcess, spawn } from 'node:child_process';
import { type FSWatcher, watch } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CONTROL_SOCKET } from '../export/index.js';
import { FREE, LOCK_FILE } from './lockwait-words.js';

/** Milliseconds in which nobody else gets the pool, after which somebody is said to have it for good. */
const PATIENCE = 20_000;

/** So often the lock may be free and the pool busy all the same, because others were faster; more often it is not the lock. */
const FREE_AND_BUSY = 8;

export class PoolQueue {
  #watcher: FSWatcher | null = null;
  #child: ChildProcess | null = null;
  /** What has happened since it was last asked. */
  #happened = true;
  #wake: (() => void) | null = null;
  /** The child has been asked and has not answered yet. */
  #asked = false;
  #free = 0;

  #alive: (() => void) | null = null;

  constructor(
    private readonly dir: string,
    private readonly patience = PATIENCE,
  ) {}

  /**
   * Resolves when it is worth another try: at once the first time, since what happened before nobody watched is not known. False
   * when nothing has happened for too long, or when it is not the lock that keeps the pool busy.
   */
  async turn(): Promise<boolean> {
    if (this.#watcher === null) this.#join();
    const happened = this.#happened || (await this.#event());
    this.#happened = false;
    return happened && this.#free < FREE_AND_BUSY;
  }

  /** Lets the next one come. */
  leave(): void {
    this.#watcher?.close();
    this.#child?.kill('SIGKILL');
    this.#watcher = null;
    this.#child = null;
  }

  #join(): void {
    this.#watcher = watch(this.dir, (_, name) => {
      if (name === CONTROL_SOCKET) this.#tell();
      // Written by each process that gets the pool.
      if (name === LOCK_FILE) this.#alive?.();
    });
    const script = fileURLToPath(new URL('./lockwait.js', import.meta.url));
    this.#child = spawn(process.execPath, [script, this.dir], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout!.setEncoding('latin1').on('data', (said: string) => {
      this.#free = said === FREE ? this.#free + 1 : 0;
      this.#asked = false;
      this.#tell();
    });
    // Killed while it is written to.
    this.#child.stdin!.on('error', () => {});
  }

  #tell(): void {
    this.#happened = true;
    this.#wake?.();
  }

  #event(): Promise<boolean> {
    // Not before: while we try to take the lock, our own child must not have it.
    if (!this.#asked) this.#child?.stdin?.write('\n');
    this.#asked = true;
    return new Promise(resolve => {
      const over = (happened: boolean) => {
        clearTimeout(bound);
        this.#wake = null;
        this.#alive = null;
        resolve(happened);
      };
      const bound = setTimeout(() => over(false), this.patience);
      this.#wake = () => over(true);
      this.#alive = () => bound.refresh();
    });
  }
}
