// When changes become durable: on request, a second after the first change, and when many have gathered. One commit runs at
// a time; whoever asks while it runs shares the next one. Data first, then the metadata that names it, then the space of
// what it freed.
import { E, SysError } from '../base/index.js';
import type { Allocator } from './allocator.js';
import type { DataFile } from './datafile.js';
import type { Inflight } from './inflight.js';
import type { MetadataStore } from './metadata.js';
import type { State } from './state.js';

/**
 * Milliseconds after which a change is committed unasked (dm-thin's COMMIT_PERIOD). A commit here writes the page cache
 * out as well, which under a stream of writes takes as long as the disk needs: unasked ones take a tenth of the time at
 * most, and wait up to LONGEST for that (the kernel's own write-back waits as long).
 */
const PERIOD = 1000;
const LONGEST = 30_000;
const REST = 9;
/**
 * Weight at which a commit starts, and at which writers wait for it. Two transactions of this weight (one on its way, one
 * open) fit into the reserve, so that a removal can always be committed with them.
 */
const MANY = 1024;
const TOO_MANY = 2048;

export interface TransactionEvents {
  /** A commit failed, or worked again (null). */
  failing(error: SysError | null): void;
  /** Space has become free. */
  released(): void;
}

export class Transactions {
  private timer: NodeJS.Timeout | null = null;
  private running: Promise<void> | null = null;
  private next: Promise<void> | null = null;
  private urgent = false;
  private isClosed = false;
  private coming = false;
  private refused: SysError | null = null;
  private restUntil = 0;
  private releasing: Promise<void> = Promise.resolve();
  /** Transactions whose freed blocks are not free yet. */
  private releases = 0;
  /** Why the last commit failed; null when it did not. */
  failed: SysError | null = null;

  constructor(
    private readonly state: State,
    private readonly store: MetadataStore,
    private readonly data: DataFile,
    private readonly allocator: Allocator,
    private readonly inflight: Inflight,
    private readonly passdown: () => boolean,
    private readonly events: TransactionEvents,
  ) {}

  /** Something has changed: it will be committed before long. */
  touched(): void {
    if (this.isClosed || this.refused !== null) return;
    if (this.timer === null) {
      const wait = Math.max(PERIOD, this.restUntil - performance.now());
      this.timer = setTimeout(() => this.commitUnasked(), wait);
    }
    if (this.state.weight > MANY && this.running === null) this.soon(false);
  }

  /**
   * Commits when what is being done now has been done: a change of a map or of several volumes consists of many steps,
   * and a transaction must not begin between them. `urgent`: see `commit`.
   */
  soon(urgent: boolean): void {
    this.urgent ||= urgent;
    if (this.coming) return;
    this.coming = true;
    setImmediate(() => {
      this.coming = false;
      if (!this.isClosed && this.refused === null) this.commitUnasked();
    });
  }

  /** Have so many changes gathered that writers should wait for a commit? */
  get heavy(): boolean {
    return this.state.weight > TOO_MANY;
  }

  /**
   * Everything that was done before is durable when this resolves. `urgent`: it frees space, and may use the reserve.
   * SysError when it is not: the changes stay in memory, and the next commit tries again.
   */
  commit(urgent = false): Promise<void> {
    if (this.isClosed) return Promise.reject(new SysError(E.EBADF, 'the pool is closed'));
    if (this.refused !== null) return Promise.reject(this.refused);
    this.urgent ||= urgent;
    if (this.running === null && this.next === null) return this.start();
    this.next ??= this.after(this.running!);
    return this.next;
  }

  /** No commit any more: each fails with `error`. With `damaged` the pool is marked as one that needs a check. */
  refuse(error: SysError, damaged: boolean): void {
    this.stopTimer();
    this.refused = error;
    if (!damaged) return;
    const running = this.running ?? Promise.resolve();
    // The error that is behind this has been told; a commit under way comes first.
    const mark = running.catch(() => {}).then(() => this.store.commit(this.state.damagedBatch()));
    const marked = mark.catch(() => {});
    this.releasing = this.releasing.then(() => marked);
  }

  /** Freed blocks on their way to being free? */
  get freeing(): boolean {
    return this.releases > 0 || this.allocator.hasFreed;
  }

  /** Blocks freed before are free when it resolves. */
  async settled(): Promise<void> {
    await this.commit(true);
    await this.releasing;
  }

  /** Commits, and stops. */
  async close(): Promise<void> {
    try {
      await this.commit(true);
    } finally {
      this.isClosed = true;
      this.stopTimer();
      await this.releasing;
    }
  }

  /** The next commit. Those whose changes could not be committed take them back before it begins. */
  private async after(running: Promise<void>): Promise<void> {
    await running.catch(() => {});
    await new Promise(resolve => setImmediate(resolve));
    return this.start();
  }

  private start(): Promise<void> {
    this.next = null;
    // It may have been asked for before there was a reason to refuse it.
    if (this.refused !== null) return Promise.reject(this.refused);
    this.running = this.run().finally(() => {
      this.running = null;
    });
    return this.running;
  }

  private async run(): Promise<void> {
    const { urgent } = this;
    this.urgent = false;
    this.stopTimer();
    if (!this.state.changed && !this.allocator.hasFreed) return this.syncData();
    const frozen = this.state.freeze(urgent);
    const freed = this.allocator.takeFreed();
    if (freed.length > 0) this.releases++;
    const begun = performance.now();
    try {
      await this.data.sync();
      await this.store.commit(frozen.batch);
    } catch (error) {
      if (freed.length > 0) this.releases--;
      this.state.thaw(frozen);
      this.allocator.returnFreed(freed);
      if (error instanceof SysError) this.setFailed(error);
      throw error;
    }
    const ended = performance.now();
    this.restUntil = ended + Math.min(LONGEST, REST * (ended - begun));
    this.state.arrived(frozen);
    this.setFailed(null);
    if (freed.length > 0) this.release(freed);
  }

  private async syncData(): Promise<void> {
    try {
      await this.data.sync();
    } catch (error) {
      if (error instanceof SysError) this.setFailed(error);
      throw error;
    }
  }

  private release(freed: number[]): void {
    this.releasing = this.releasing.then(async () => {
      await this.inflight.drained();
      try {
        await this.allocator.release(freed, this.passdown());
      } catch (error) {
        // Not free in this process; they are when the pool is opened next.
        if (!(error instanceof SysError)) throw error;
        this.events.failing(error);
      }
      this.releases--;
      this.events.released();
    });
  }

  private commitUnasked(): void {
    this.stopTimer();
    // Whoever asks for durability is told; until then, `failing` tells whoever listens.
    this.commit().catch((error: unknown) => {
      if (!(error instanceof SysError)) throw error;
    });
  }

  private setFailed(error: SysError | null): void {
    if (error === null && this.failed === null) return;
    this.failed = error;
    this.events.failing(error);
  }

  private stopTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}
