// Takes doomed pages apart, a few at a time between other work: what a removed volume held becomes free however large it
// was, and nobody waits for it. Progress is part of the transactions, so a crash loses none and repeats none.
import { setImmediate } from 'node:timers/promises';
import { E, isErrno, SysError } from '../base/index.js';
import type { State } from './state.js';
import type { Transactions } from './transactions.js';

const PAGES_AT_ONCE = 16;
/** Weight of the open transaction from which a commit comes first: the blocks of so many leaves are remembered until then. */
const MUCH = 1024;

export class Reclaimer {
  private running: Promise<void> | null = null;
  private stopped = false;

  constructor(
    private readonly state: State,
    private readonly transactions: Transactions,
    private readonly failed: (error: SysError) => void,
  ) {}

  /** The operation that doomed a page is durable, or has been taken back. */
  unpin(page: number): void {
    this.state.tree.pinned.delete(page);
    this.kick();
  }

  /** There may be something to do. */
  kick(): void {
    if (this.running !== null || this.stopped || !this.hasWork()) return;
    this.running = this.run().finally(() => {
      this.running = null;
    });
    // What goes wrong with it is told through `failed`.
    this.running.catch(() => {});
  }

  /** Resolves when what can be taken apart now has been; null when there is nothing to do. */
  work(): Promise<void> | null {
    this.kick();
    return this.running;
  }

  /** Stops after the slice at hand. */
  async stop(): Promise<void> {
    this.stopped = true;
    // What went wrong with it has been told through `failed`.
    await this.running?.catch(() => {});
  }

  private hasWork(): boolean {
    return this.state.tree.doomed.size > this.state.tree.pinned.size;
  }

  private async run(): Promise<void> {
    while (this.hasWork() && !this.stopped) {
      try {
        this.slice();
        if (this.state.weight > MUCH) await this.transactions.commit(true);
      } catch (error) {
        if (error instanceof SysError) this.failed(error);
        throw error;
      }
      await setImmediate();
    }
  }

  private slice(): void {
    let left = PAGES_AT_ONCE;
    for (const [page, height] of this.state.tree.doomed) {
      if (left-- === 0) break;
      if (this.state.tree.pinned.has(page)) continue;
      try {
        this.state.tree.dismantle(page, height);
      } catch (error) {
        // A page that cannot be read keeps what it holds: `lamina pool check` finds it.
        if (isErrno(error, E.EUCLEAN)) this.state.tree.pinned.add(page);
        throw error;
      }
    }
    this.transactions.touched();
  }
}
