// The limits of a mount (options size and inodes): what may still be taken, and what is promised to work in hand. A limit is
// kept to the block; what deletion itself needs is always given.
import { E, type Stat, SysError } from '../base/index.js';
import type { FsStat } from '../fuse/index.js';
import type { Meter } from './meter.js';

const SECTOR = 512;

export class Quota {
  private promisedBytes = 0;
  private promisedInodes = 0;
  private works = 0;
  private waiting: (() => void)[] = [];
  private deleting = false;

  constructor(
    readonly meter: Meter,
    /** Limits; null: none. */
    readonly bytes: number | null,
    readonly inodes: number | null,
    /** Bytes that the upper's file system gives at once. */
    readonly block: number,
  ) {}

  get limitsBytes(): boolean {
    return this.bytes !== null;
  }

  /** Bytes that are left; below 0 when more is in use than the limit allows. */
  room(): number {
    return this.bytes === null ? Infinity : this.bytes - this.meter.known().bytes - this.promisedBytes;
  }

  /** Throws ENOSPC unless a new name for a new inode may be made. It may while not more is in use than the limit. */
  admitName(what: string): void {
    if (this.deleting) return;
    if (this.room() < 0 || this.inodesLeft() < 1) throw noSpace(what);
  }

  /** Throws ENOSPC unless the new inode, made out of sight, may come into the upper. */
  admit(made: Stat, what: string): void {
    if (this.deleting) return;
    if (made.blocks * SECTOR > this.room() || this.inodesLeft() < 1) throw noSpace(what);
  }

  /** What `remove` needs (copies of directories, whiteouts) is not refused. */
  exempt<T>(remove: () => T): T {
    const before = this.deleting;
    this.deleting = true;
    try {
      return remove();
    } finally {
      this.deleting = before;
    }
  }

  /** Promises room to one request's data; it must call what is returned when it has ended and is counted. */
  work(bytes: number): () => void {
    this.works++;
    const done = this.promise(bytes, 0);
    return () => {
      done();
      if (--this.works === 0) for (const go of this.waiting.splice(0)) go();
    };
  }

  /** Is there such work? It may come to less than was promised. */
  get busy(): boolean {
    return this.works > 0;
  }

  /** Resolves when there is none. Copy-ups, which can take long, are not waited for. */
  idle(): Promise<void> {
    return this.busy ? new Promise(resolve => this.waiting.push(resolve)) : Promise.resolve();
  }

  /**
   * Promises room to a copy-up, once there is some; what is returned ends the promise, however often it is called. Rejects
   * with ENOSPC when there is none.
   */
  async fit(bytes: number, inodes: number, what: string): Promise<() => void> {
    while (bytes > this.room() || inodes > this.inodesLeft()) {
      if (!this.busy) throw noSpace(what);
      await this.idle();
    }
    return this.promise(bytes, inodes);
  }

  /** Narrows what the real file system says to what the limits leave of it. */
  narrow(real: FsStat): FsStat {
    const usage = this.meter.usage();
    const shown = { ...real };
    if (this.bytes !== null) {
      const left = Math.floor(Math.max(0, this.bytes - usage.bytes) / real.frsize);
      shown.blocks = Math.min(Math.floor(this.bytes / real.frsize), real.blocks);
      shown.bfree = Math.min(left, real.bfree);
      shown.bavail = Math.min(left, real.bavail);
    }
    if (this.inodes !== null) {
      const left = Math.max(0, this.inodes - usage.inodes);
      // A file system that makes inodes as they are needed tells no number of them (btrfs).
      shown.files = real.files > 0 ? Math.min(this.inodes, real.files) : this.inodes;
      shown.ffree = real.files > 0 ? Math.min(left, real.ffree) : left;
    }
    return shown;
  }

  private promise(bytes: number, inodes: number): () => void {
    this.promisedBytes += bytes;
    this.promisedInodes += inodes;
    let kept = true;
    return () => {
      if (!kept) return;
      kept = false;
      this.promisedBytes -= bytes;
      this.promisedInodes -= inodes;
    };
  }

  private inodesLeft(): number {
    return this.inodes === null ? Infinity : this.inodes - this.meter.known().inodes - this.promisedInodes;
  }
}

export function noSpace(what: string): SysError {
  return new SysError(E.ENOSPC, `${what}: the limit of this mount`);
}
