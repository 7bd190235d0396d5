// One directory of one layer, found by its parent and name so that a rename moves it, with a descriptor that is opened
// when needed. Every step opens one name without following symlinks: no path in a layer can lead out of it.
import { readFileSync } from 'node:fs';
import { type ByteString, E, ok, SysError } from '../base/index.js';
import { close, O, openChild, readDirents } from '../sys/index.js';
import type { Layer } from './layer.js';

const DIRECTORY = O.PATH | O.DIRECTORY;

/** A directory in a layer. Its descriptor is for *at() calls (O_PATH). */
export class RealDir {
  private descriptor = -1;
  /** Neighbours in the list of open directories; RecentDirs' business only. */
  newer: RealDir | null = null;
  older: RealDir | null = null;
  private pinned = false;
  /** Its opaque note is "x": empty files in it may be whiteouts. */
  xattrWhiteouts = false;
  /** Empty files in it may be veiled devices (see spelling.ts). */
  veils = false;
  /** Files in it may come from other layers; null: nobody has looked. */
  impure: boolean | null = null;

  constructor(
    readonly layer: Layer,
    /** null for the layer's root, whose descriptor belongs to the layer. */
    public parent: RealDir | null,
    public name: ByteString,
  ) {}

  /**
   * A descriptor, good until some eight other directories have been asked for theirs: use it at once, in the same turn.
   * Throws ENOENT or ENOTDIR when the directory is gone from the layer.
   */
  fd(): number {
    if (this.parent === null) return this.layer.rootFd;
    if (this.pinned) return this.descriptor;
    if (this.descriptor < 0)
      this.descriptor = ok(openChild(this.parent.fd(), this.name, DIRECTORY, 0), this.describe());
    recent.touch(this);
    return this.descriptor;
  }

  /** Keeps the descriptor although the name is going away; `release` ends it. */
  pin(): void {
    this.fd();
    recent.remove(this);
    this.pinned = this.parent !== null;
  }

  /** Closes the descriptor, if any. */
  release(): void {
    if (!this.pinned) recent.remove(this);
    this.pinned = false;
    if (this.descriptor >= 0) close(this.descriptor);
    this.descriptor = -1;
  }

  /** All names in the directory, raw. */
  names(): ByteString[] {
    const fd = openForReading(this);
    const names: ByteString[] = [];
    readDirents(fd, name => names.push(name));
    close(fd);
    return names;
  }

  /** A subdirectory of this one; it is not looked at yet. */
  child(name: ByteString): RealDir {
    return new RealDir(this.layer, this, name);
  }

  /** "/a/b" from the root of the layer; "" for the root itself. */
  path(): ByteString {
    return this.parent === null ? '' : `${this.parent.path()}/${this.name}`;
  }

  /** For messages. */
  describe(): string {
    return `${this.layer.path}${this.path()}`;
  }
}

/** Closes what is open of a layer that is about to be closed. */
export function releaseLayer(layer: Layer): void {
  recent.releaseAll(dir => dir.layer === layer);
}

/** A list of directories with open descriptors; the one used longest ago is closed when there are too many. */
class RecentDirs {
  private newest: RealDir | null = null;
  private oldest: RealDir | null = null;
  private count = 0;

  constructor(private readonly limit: number) {}

  touch(dir: RealDir): void {
    if (this.newest === dir) return;
    this.remove(dir);
    dir.older = this.newest;
    if (this.newest !== null) this.newest.newer = dir;
    this.newest = dir;
    this.oldest ??= dir;
    if (++this.count > this.limit) this.oldest.release();
  }

  releaseAll(which: (dir: RealDir) => boolean): void {
    for (let dir = this.newest; dir !== null; ) {
      const { older } = dir;
      if (which(dir)) dir.release();
      dir = older;
    }
  }

  remove(dir: RealDir): void {
    if (dir.newer === null && dir.older === null && this.newest !== dir) return;
    if (dir.newer !== null) dir.newer.older = dir.older;
    else this.newest = dir.older;
    if (dir.older !== null) dir.older.newer = dir.newer;
    else this.oldest = dir.newer;
    dir.newer = null;
    dir.older = null;
    this.count--;
  }
}

/** How many descriptors this process may have (proc_pid_limits(5)); node has raised the soft limit to the hard one. */
function descriptorLimit(): number {
  return Number(/^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? 1024);
}

/** The open directories of this process, least recently used last: descriptors stay bounded however many are visited. */
const recent = new RecentDirs(Math.min(512, Math.floor(descriptorLimit() / 4)));

/** Opens a directory for reading its entries; the caller closes it. */
export function openForReading(dir: RealDir): number {
  const flags = O.RDONLY | O.DIRECTORY | (dir.layer.noatime ? O.NOATIME : 0);
  const fd = openChild(dir.fd(), '.', flags, 0);
  if (fd === -E.EPERM && dir.layer.noatime) {
    // O_NOATIME is for owners; somebody else's directory is read without it.
    return ok(openChild(dir.fd(), '.', O.RDONLY | O.DIRECTORY, 0), dir.describe());
  }
  if (fd < 0) throw new SysError(-fd, dir.describe());
  return fd;
}
