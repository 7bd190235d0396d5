// Memory for requests and replies. A slab is used by several parties at a time, counted; the last one to release it gives it
// back to the pool, which keeps a few of each size, so that the same warm memory serves every connection.

/** Beyond a power of two: room for the headers around the data of one request. */
const EXTRA = 4096;
const SMALLEST = 128 * 1024;
/** Bytes that a pool keeps for later. */
const KEEP = 16 * 1024 * 1024;

export class Slab {
  users = 1;
  readonly buffer: Buffer;

  constructor(
    private readonly pool: SlabPool,
    readonly size: number,
  ) {
    this.buffer = Buffer.allocUnsafeSlow(size + EXTRA);
  }

  release(): void {
    if (--this.users === 0) this.pool.give(this);
  }
}

export class SlabPool {
  private readonly spare = new Map<number, Slab[]>();
  private kept = 0;
  /** Bytes in use, for tests: a connection that is gone holds none. */
  used = 0;

  /** A slab with room for `bytes` and the headers around them, with one user. */
  take(bytes: number): Slab {
    let size = SMALLEST;
    while (size < bytes) size *= 2;
    this.used += size;
    const slab = this.spare.get(size)?.pop();
    if (slab === undefined) return new Slab(this, size);
    this.kept -= size;
    slab.users = 1;
    return slab;
  }

  give(slab: Slab): void {
    this.used -= slab.size;
    if (this.kept + slab.size > KEEP) return;
    this.kept += slab.size;
    const list = this.spare.get(slab.size);
    if (list === undefined) this.spare.set(slab.size, [slab]);
    else list.push(slab);
  }
}
