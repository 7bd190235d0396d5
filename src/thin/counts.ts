// Reference counts of data blocks or of pages: arrays of 1,024 counts, read when needed. How many are zero in each chunk
// is known from the start, so that free numbers are found without reading what is full.
import { E, SysError } from '../base/index.js';
import { CHUNK } from './entry.js';

/** A chunk of counts as it is in memory. */
export class Chunk {
  touched = true;
  dirty = false;
  travelling = 0;

  constructor(
    readonly id: number,
    readonly counts: Uint32Array,
  ) {}
}

const MAX_COUNT = 2 ** 32 - 1;

export class RefCounts {
  private readonly chunks = new Map<number, Chunk>();
  readonly changed = new Set<Chunk>();
  /** Lowered, but not to zero, by the open transaction, and by the one on its way to the disk. */
  private lowered = new Set<number>();
  private loweredBefore = new Set<number>();
  private free: Int32Array;
  private evictAt: number;
  /** Numbers whose count is not zero. */
  used = 0;

  /**
   * `limit`: clean chunks kept. `capacity`: numbers that exist (Infinity: as many as wanted); `first`: numbers below it are
   * never free. `known`: the chunks that have rows. `load`: counts from the database. `damaged` hears
   * of counts that cannot be right, before they are thrown.
   */
  constructor(
    private readonly limit: number,
    private capacity: number,
    private readonly first: number,
    known: Iterable<{ id: number; free: number }>,
    private readonly load: (id: number) => Uint32Array,
    private readonly damaged: (error: SysError) => void = () => {},
  ) {
    this.evictAt = limit;
    this.free = new Int32Array(capacity === Infinity ? 64 : Math.ceil(capacity / CHUNK)).fill(-1);
    for (const { id, free } of known) {
      if (!this.reach(id)) throw beyond(id);
      this.free[id] = free;
      this.used += this.room(id) - free;
    }
  }

  /** Numbers that exist. */
  get size(): number {
    return this.capacity;
  }

  /** Chunks that there are, or have been touched when there is no end. */
  get length(): number {
    return this.free.length;
  }

  /** How many counts of a chunk are zero. */
  freeIn(chunk: number): number {
    const free = this.free[chunk];
    return free === undefined || free < 0 ? this.room(chunk) : free;
  }

  get(number: number): number {
    return this.chunk(Math.floor(number / CHUNK)).counts[number % CHUNK]!;
  }

  /**
   * True when there is one reference, now and in what the disk has: another that has gone since the last commit would be
   * back after a crash, and must find what it referred to.
   */
  isSole(number: number): boolean {
    return this.get(number) === 1 && !this.lowered.has(number) && !this.loweredBefore.has(number);
  }

  /** How many references the open transaction has taken away from what others still refer to. */
  get loweredCount(): number {
    return this.lowered.size;
  }

  /** The open transaction's changes are on their way. */
  freeze(): void {
    this.loweredBefore = this.lowered;
    this.lowered = new Set();
  }

  /** They are durable, or (`arrived` false) belong to the open transaction again. */
  thaw(arrived: boolean): void {
    if (!arrived) for (const number of this.loweredBefore) this.lowered.add(number);
    this.loweredBefore = new Set();
  }

  /** Counts one reference more. */
  increment(number: number): void {
    const chunk = this.chunk(Math.floor(number / CHUNK));
    const slot = number % CHUNK;
    const count = chunk.counts[slot]!;
    if (count === MAX_COUNT) throw new SysError(E.EMLINK, `block ${number} has ${MAX_COUNT} references`);
    chunk.counts[slot] = count + 1;
    this.change(chunk);
    if (count > 0) return;
    this.free[chunk.id] = this.freeIn(chunk.id) - 1;
    this.used++;
  }

  /** Counts one reference less; returns how many are left. */
  decrement(number: number): number {
    const chunk = this.chunk(Math.floor(number / CHUNK));
    const slot = number % CHUNK;
    const count = chunk.counts[slot]!;
    if (count === 0)
      throw this.wrong(
        new SysError(E.EUCLEAN, `block ${number} is referred to, and its reference count is 0`),
      );
    chunk.counts[slot] = count - 1;
    this.change(chunk);
    if (count === 1) {
      this.free[chunk.id] = this.freeIn(chunk.id) + 1;
      this.used--;
    } else this.lowered.add(number);
    return count - 1;
  }

  /** Numbers that a chunk has: all of it, but for the last. */
  lengthOf(chunk: number): number {
    return Math.min(CHUNK, this.capacity - chunk * CHUNK);
  }

  /** The counts of a chunk, to look through. */
  countsOf(chunk: number): Uint32Array {
    return this.chunk(chunk).counts;
  }

  /** More numbers than before, until what it returns is called: none of the new ones may be in use then. */
  grow(capacity: number): () => void {
    const before = { capacity: this.capacity, length: this.free.length };
    this.extend(capacity);
    return () => {
      const last = before.length - 1;
      const known = this.free.subarray(0, before.length);
      const counted = last >= 0 && known[last]! >= 0;
      const now = last >= 0 ? this.room(last) : 0;
      this.capacity = before.capacity;
      if (counted) {
        known[last]! -= now - this.room(last);
        this.change(this.chunk(last));
      }
      this.free = known.slice();
    };
  }

  private extend(capacity: number): void {
    const last = this.free.length - 1;
    const before = last >= 0 ? this.room(last) : 0;
    this.capacity = capacity;
    this.reach(Math.ceil(capacity / CHUNK) - 1);
    if (last >= 0 && this.free[last]! >= 0) this.free[last]! += this.room(last) - before;
    // The row says how many are free: it must say so again.
    if (last >= 0 && this.free[last]! >= 0) this.change(this.chunk(last));
  }

  private room(chunk: number): number {
    const end = Math.min(CHUNK, this.capacity - chunk * CHUNK);
    return end - Math.max(0, Math.min(end, this.first - chunk * CHUNK));
  }

  /** Makes room for a chunk; false when it lies beyond the end. */
  private reach(chunk: number): boolean {
    if (chunk < this.free.length) return true;
    const size = this.capacity === Infinity ? 2 * chunk + 1 : Math.ceil(this.capacity / CHUNK);
    if (chunk >= size) return false;
    const free = new Int32Array(size).fill(-1);
    free.set(this.free);
    this.free = free;
    return true;
  }

  private wrong(error: SysError): SysError {
    this.damaged(error);
    return error;
  }

  private chunk(id: number): Chunk {
    const known = this.chunks.get(id);
    if (known !== undefined) {
      known.touched = true;
      return known;
    }
    if (!this.reach(id)) throw this.wrong(beyond(id));
    const fresh = this.free[id]! < 0;
    const chunk = new Chunk(id, fresh ? new Uint32Array(CHUNK) : this.load(id));
    if (this.chunks.size >= this.evictAt) this.evict();
    this.chunks.set(id, chunk);
    return chunk;
  }

  change(chunk: Chunk): void {
    if (chunk.dirty) return;
    chunk.dirty = true;
    this.chunks.set(chunk.id, chunk);
    this.changed.add(chunk);
    if (this.free[chunk.id]! < 0) this.free[chunk.id] = this.room(chunk.id);
  }

  private evict(): void {
    // What is changed cannot go: no second look before as many have come again.
    this.evictAt = Math.max(this.limit, this.chunks.size + this.limit / 16);
    let wanted = Math.ceil(this.limit / 16);
    let looks = this.chunks.size;
    for (const [id, chunk] of this.chunks) {
      if (wanted === 0 || looks-- === 0) return;
      this.chunks.delete(id);
      if (chunk.dirty || chunk.travelling > 0 || chunk.touched) {
        chunk.touched = false;
        this.chunks.set(id, chunk);
      } else wanted--;
    }
  }
}

function beyond(chunk: number): SysError {
  return new SysError(E.EUCLEAN, `reference counts beyond the end: chunk ${chunk}`);
}
