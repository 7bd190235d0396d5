// Which data blocks may be taken. Blocks are taken from a window: a run of free ones whose space has been made sure of, so
// that taking one is a step in memory. A block that was freed waits until the transaction that freed it is durable and
// nobody reads it any more; then its space goes back to the file, and it is free.
import { E, isErrno } from '../base/index.js';
import type { RefCounts } from './counts.js';
import type { DataFile } from './datafile.js';
import { CHUNK } from './entry.js';

/** Bytes of a window, at most; at least one block. */
const WINDOW = 8 * 2 ** 20;

interface Window {
  next: number;
  readonly end: number;
}

export class Allocator {
  private window: Window = { next: 0, end: 0 };
  private following: Window | null = null;
  private filling: Promise<boolean> | null = null;
  /** Free by count, but in a window, being written for the first time, or waiting to be released: chunk to 1,024 bits. */
  private readonly busy = new Map<number, { bits: Uint32Array; count: number }>();
  /** Freed in the open transaction. */
  private freed: number[] = [];
  private cursor = 0;
  /** Blocks from this number on are not taken: they are not durably the pool's yet. */
  limit: number;
  private readonly windowBlocks: number;

  constructor(
    private readonly counts: RefCounts,
    private readonly data: DataFile,
    private readonly blockSize: number,
  ) {
    this.limit = counts.size;
    this.windowBlocks = Math.max(1, Math.floor(WINDOW / blockSize));
  }

  /** A block that nobody has, to be written and then either mapped and `keep`t or given back; -1 when `refill` is needed. */
  take(): number {
    const { window } = this;
    if (window.next === window.end) {
      if (this.following === null) return -1;
      this.window = this.following;
      this.following = null;
      return this.take();
    }
    if (
      this.following === null &&
      this.filling === null &&
      window.end - window.next < this.windowBlocks / 2
    ) {
      // Ahead of need. What fails here fails again, and is told, when the window is empty.
      this.refill().catch(() => {});
    }
    return window.next++;
  }

  /** The block that `take` would give if the window has one, else -1. */
  peek(): number {
    return this.window.next < this.window.end ? this.window.next : -1;
  }

  /** The taken block is mapped now. */
  keep(block: number): void {
    this.setBusy(block, false);
  }

  /** The taken block was not used. */
  giveBack(block: number): void {
    this.setBusy(block, false);
  }

  /** The block's last reference has gone. */
  free(block: number): void {
    this.setBusy(block, true);
    this.freed.push(block);
  }

  /** Blocks freed since the last call, for the transaction that is being committed. */
  takeFreed(): number[] {
    const { freed } = this;
    this.freed = [];
    return freed;
  }

  /** That transaction failed: they wait for the next. */
  returnFreed(blocks: readonly number[]): void {
    for (const block of blocks) this.freed.push(block);
  }

  get hasFreed(): boolean {
    return this.freed.length > 0;
  }

  /** Gives committed blocks' space back to the data file if `punch` is set, and makes them free. */
  async release(blocks: number[], punch: boolean): Promise<void> {
    blocks.sort((a, b) => a - b);
    for (let i = 0; i < blocks.length; ) {
      let end = i + 1;
      while (end < blocks.length && blocks[end] === blocks[end - 1]! + 1) end++;
      if (punch) await this.data.punch(blocks[i]! * this.blockSize, (end - i) * this.blockSize);
      for (; i < end; i++) this.setBusy(blocks[i]!, false);
    }
  }

  /** Looks for free blocks; false when there are none. SysError ENOSPC when the data file's disk is full. */
  refill(): Promise<boolean> {
    this.filling ??= this.fill().finally(() => {
      this.filling = null;
    });
    return this.filling;
  }

  /** Gives back what the windows still hold; nothing is taken any more. */
  async close(punch: boolean): Promise<void> {
    if (this.filling !== null) await this.filling.catch(() => false);
    for (const window of [this.window, this.following]) {
      if (window === null || window.next === window.end) continue;
      const { next, end } = window;
      window.next = end;
      await this.release(
        Array.from({ length: end - next }, (_, i) => next + i),
        punch,
      );
    }
  }

  private async fill(): Promise<boolean> {
    const run = this.findRun();
    if (run === null) return false;
    for (let block = run.next; block < run.end; block++) this.setBusy(block, true);
    const prepared = await this.prepare(run).catch((error: unknown) => {
      for (let block = run.next; block < run.end; block++) this.setBusy(block, false);
      throw error;
    });
    for (let block = prepared.end; block < run.end; block++) this.setBusy(block, false);
    if (this.window.next === this.window.end && this.following === null) this.window = prepared;
    else this.following = prepared;
    return true;
  }

  /** The whole run, or its first block when the disk has no room for more. */
  private async prepare(run: Window): Promise<Window> {
    const { blockSize } = this;
    try {
      await this.data.prepare(run.next * blockSize, (run.end - run.next) * blockSize);
      return run;
    } catch (error) {
      if (!isErrno(error, E.ENOSPC) || run.end === run.next + 1) throw error;
      await this.data.punch((run.next + 1) * blockSize, (run.end - run.next - 1) * blockSize);
      await this.data.prepare(run.next * blockSize, blockSize);
      return { next: run.next, end: run.next + 1 };
    }
  }

  /** The next run of free blocks at or after the cursor, then from the start. */
  private findRun(): Window | null {
    const chunks = this.counts.length;
    // Going back to the start is a step, and the chunk that it began in is looked at twice.
    for (let looked = 0; looked <= chunks + 1; looked++) {
      const chunk = Math.floor(this.cursor / CHUNK);
      if (chunk >= chunks) {
        this.cursor = 0;
        continue;
      }
      const run = this.runIn(chunk, this.cursor % CHUNK);
      this.cursor = run === null ? (chunk + 1) * CHUNK : run.end;
      if (run !== null) return run;
    }
    return null;
  }

  private runIn(chunk: number, from: number): Window | null {
    const busy = this.busy.get(chunk);
    if (this.counts.freeIn(chunk) <= (busy?.count ?? 0)) return null;
    const counts = this.counts.countsOf(chunk);
    const length = Math.min(this.counts.lengthOf(chunk), this.limit - chunk * CHUNK);
    const isFree = (slot: number): boolean =>
      counts[slot] === 0 && (busy === undefined || (busy.bits[slot >> 5]! & (1 << (slot & 31))) === 0);
    let begin = from;
    while (begin < length && !isFree(begin)) begin++;
    if (begin >= length) return null;
    let end = begin + 1;
    while (end < length && end - begin < this.windowBlocks && isFree(end)) end++;
    return { next: chunk * CHUNK + begin, end: chunk * CHUNK + end };
  }

  private setBusy(block: number, busy: boolean): void {
    const id = Math.floor(block / CHUNK);
    const slot = block % CHUNK;
    let chunk = this.busy.get(id);
    if (chunk === undefined) {
      chunk = { bits: new Uint32Array(CHUNK / 32), count: 0 };
      this.busy.set(id, chunk);
    }
    const bit = 1 << (slot & 31);
    const was = (chunk.bits[slot >> 5]! & bit) !== 0;
    if (was === busy) return;
    chunk.bits[slot >> 5]! ^= bit;
    chunk.count += busy ? 1 : -1;
    if (chunk.count === 0) this.busy.delete(id);
  }
}
