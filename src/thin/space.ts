// What happens when no block is free: wait for what is being freed, grow if the pool may, and then queue or fail as
// configured (dm-thin's queue_if_no_space and error_if_no_space). Tells of the low-water mark once until the pool grows.
import { E, isErrno, SysError } from '../base/index.js';
import type { Allocator } from './allocator.js';
import type { PoolOptions } from './options.js';
import type { State } from './state.js';
import type { Transactions } from './transactions.js';

/** Milliseconds between looks at a disk that is full: nobody tells when it is not any more. */
const LOOK_AGAIN = 500;

export interface SpaceHost {
  options(): PoolOptions;
  /** Why nothing may be changed now, or null. */
  refusal(): SysError | null;
  /** Makes the pool larger, to so many blocks. */
  grow(blocks: number): Promise<void>;
  /** Pages are being taken apart that will free blocks: resolves when some have been. Null when none are. */
  reclaiming(): Promise<void> | null;
  lowWater(free: number): void;
  /** The pool has run full, or has room again. */
  full(full: boolean): void;
}

/** Where fresh blocks come from. */
export interface BlockSource {
  /** A block at once, or -1: `obtain` may wait for one. */
  take(): number;
  /** Up to `most` blocks that follow one another, as far as there are some at once. */
  takeRun(most: number): { readonly begin: number; readonly length: number };
  /** A block to write to and map. SysError ENOSPC. */
  obtain(): Promise<number>;
  /** A block has been mapped: has one of the marks been passed? */
  mapped(): void;
}

export class Space implements BlockSource {
  /** The same blocks for who cannot wait until somebody makes room. */
  readonly impatient: BlockSource = {
    take: () => this.take(),
    takeRun: most => this.takeRun(most),
    obtain: () => this.obtainFor(false),
    mapped: () => this.mapped(),
  };

  private told = false;
  private fullSince = 0;
  private growing: Promise<boolean> | null = null;
  private readonly waiting = new Set<() => void>();
  /** How often there may have been room again. */
  private releases = 0;

  constructor(
    private readonly state: State,
    private readonly allocator: Allocator,
    private readonly transactions: Transactions,
    private readonly host: SpaceHost,
  ) {}

  get isFull(): boolean {
    return this.fullSince > 0;
  }

  take(): number {
    if (this.transactions.failed !== null || this.transactions.heavy) return -1;
    return this.allocator.take();
  }

  takeRun(most: number): { readonly begin: number; readonly length: number } {
    const begin = this.take();
    if (begin < 0) return { begin, length: 0 };
    let length = 1;
    while (length < most && this.allocator.peek() === begin + length) {
      this.allocator.take();
      length++;
    }
    return { begin, length };
  }

  obtain(): Promise<number> {
    return this.obtainFor(true);
  }

  private async obtainFor(patient: boolean): Promise<number> {
    for (;;) {
      const refusal = this.host.refusal();
      if (refusal !== null) throw refusal;
      if (this.transactions.heavy && this.transactions.failed === null) await this.transactions.commit();
      const { failed } = this.transactions;
      if (failed !== null) throw new SysError(E.ENOSPC, `no metadata can be written (${failed.message})`);
      const block = this.allocator.take();
      if (block >= 0) return block;
      if (!(await this.makeRoom(patient))) throw new SysError(E.ENOSPC, 'the pool has no free block');
    }
  }

  /** There may be room again: those who wait look. */
  released(): void {
    this.releases++;
    if (this.state.dataCounts.used < this.state.pool.data_blocks) this.setFull(false);
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const wake of waiting) wake();
  }

  /** A block has lost its last reference: it is free after the next commit, for which nobody who waits must wait long. */
  freeing(): void {
    if (this.waiting.size > 0) this.transactions.soon(true);
  }

  /** The pool has grown: the low-water mark counts anew. */
  grown(): void {
    this.told = false;
    this.released();
  }

  mapped(): void {
    const total = this.state.pool.data_blocks;
    const free = total - this.state.dataCounts.used;
    const { lowWater, growThreshold } = this.host.options();
    if (free < lowWater && !this.told) {
      this.told = true;
      this.host.lowWater(free);
    }
    // Ahead of need; when it fails, the one who finds no block is told.
    if (growThreshold < 100 && (total - free) * 100 >= total * growThreshold) {
      this.growByItself().catch(() => false);
    }
  }

  private async makeRoom(patient: boolean): Promise<boolean> {
    const { releases } = this;
    const diskFull = await this.refill();
    if (diskFull === 'filled') {
      this.setFull(false);
      return true;
    }
    const reclaiming = this.host.reclaiming();
    if (reclaiming !== null || this.transactions.freeing) {
      await reclaiming;
      await this.transactions.settled();
      return true;
    }
    if (diskFull === 'none' && (await this.growByItself())) return true;
    // What was released while we looked may have come too late to be seen.
    if (releases !== this.releases) return true;
    this.setFull(true);
    return patient && this.queue(diskFull === 'disk full');
  }

  private async refill(): Promise<'filled' | 'none' | 'disk full'> {
    try {
      return (await this.allocator.refill()) ? 'filled' : 'none';
    } catch (error) {
      if (isErrno(error, E.ENOSPC)) return 'disk full';
      throw error;
    }
  }

  /** Waits for room; false when this pool does not queue, or has been full for too long. */
  private queue(diskFull: boolean): Promise<boolean> {
    const { onFull, noSpaceTimeout } = this.host.options();
    const left =
      noSpaceTimeout === 0 ? Number.POSITIVE_INFINITY : this.fullSince + noSpaceTimeout - Date.now();
    if (onFull === 'error' || left <= 0) return Promise.resolve(false);
    return new Promise(resolve => {
      const patience = Math.min(left, diskFull ? LOOK_AGAIN : Number.POSITIVE_INFINITY);
      const wake = (): void => {
        clearTimeout(timer);
        resolve(true);
      };
      const giveUp = (): void => {
        this.waiting.delete(wake);
        resolve(patience < left);
      };
      const timer = Number.isFinite(patience) ? setTimeout(giveUp, patience) : undefined;
      this.waiting.add(wake);
    });
  }

  private setFull(full: boolean): void {
    if (full === this.isFull) return;
    this.fullSince = full ? Date.now() : 0;
    this.host.full(full);
  }

  private growByItself(): Promise<boolean> {
    const { growThreshold, growPercent } = this.host.options();
    if (growThreshold >= 100) return Promise.resolve(false);
    const total = this.state.pool.data_blocks;
    this.growing ??= this.host
      .grow(total + Math.max(1, Math.floor((total * growPercent) / 100)))
      .then(
        () => true,
        (error: unknown) => {
          if (isErrno(error, E.ENOSPC)) return false;
          throw error;
        },
      )
      .finally(() => {
        this.growing = null;
      });
    return this.growing;
  }
}
