// Counts an upper directory while it is in use: a walk in short slices of the event loop. Each inode counts once, by its
// number; whoever changes one that the walk has not met counts it first, so that the sum is exact at the end.
import { setImmediate as turn } from 'node:timers/promises';
import { type ByteString, DT, E, isErrno, modeToType, ok, Stat } from '../base/index.js';
import { type Layer, openForReading, type RealDir } from '../layer/index.js';
import { AT, close, decodeDirents, getdents, statx } from '../sys/index.js';

/** Milliseconds of one slice. */
const SLICE = 1;
const BUFFER_SIZE = 32 * 1024;

export class UsageWalk {
  /** Inode numbers that have been counted. */
  readonly visited = new Set<number>();
  private readonly pending: RealDir[];
  private readonly stat = new Stat();
  private stopped = false;
  private sliceEnd = 0;

  constructor(
    private readonly layer: Layer,
    private readonly count: (stat: Stat) => void,
  ) {
    this.pending = [layer.root];
  }

  /** Walks a directory once more: it was moved, perhaps to where the walk has been. */
  again(dir: RealDir): void {
    this.pending.push(dir);
  }

  stop(): void {
    this.stopped = true;
  }

  async run(): Promise<void> {
    await turn();
    if (this.stopped) return;
    ok(statx(this.layer.rootFd, '', AT.EMPTY_PATH, this.stat.slots), this.layer.path);
    this.meet();
    this.sliceEnd = performance.now() + SLICE;
    for (let dir = this.pending.pop(); dir !== undefined && !this.stopped; dir = this.pending.pop()) {
      await this.list(dir);
    }
  }

  private async list(dir: RealDir): Promise<void> {
    const fd = openIfThere(dir);
    if (fd < 0) return;
    const buffer = Buffer.allocUnsafeSlow(BUFFER_SIZE);
    try {
      for (;;) {
        const length = getdents(fd, buffer);
        // A directory that was removed while it was open has no entries, not even none.
        if (length === 0 || length === -E.ENOENT) return;
        ok(length, dir.describe());
        const names: ByteString[] = [];
        decodeDirents(buffer, length, name => names.push(name));
        for (const name of names) {
          this.entry(dir, fd, name);
          if (performance.now() < this.sliceEnd) continue;
          await turn();
          if (this.stopped) return;
          this.sliceEnd = performance.now() + SLICE;
        }
      }
    } finally {
      close(fd);
    }
  }

  private entry(dir: RealDir, fd: number, name: ByteString): void {
    // Gone since it was listed: whoever removed or moved it has seen to the count.
    if (statx(fd, name, AT.SYMLINK_NOFOLLOW, this.stat.slots) < 0) return;
    if (modeToType(this.stat.mode) === DT.DIR) this.pending.push(dir.child(name));
    this.meet();
  }

  private meet(): void {
    if (this.visited.has(this.stat.ino)) return;
    this.visited.add(this.stat.ino);
    this.count(this.stat);
  }
}

/** The directory, or -1 when it has been moved or removed meanwhile. */
function openIfThere(dir: RealDir): number {
  try {
    return openForReading(dir);
  } catch (error) {
    if (isErrno(error, E.ENOENT) || isErrno(error, E.ENOTDIR)) return -1;
    throw error;
  }
}
