// Writing deletions into the upper: kernel overlayfs's character device 0/0, or AUFS's `.wh.` file where the file system
// has no device nodes. Each method is one visible step, so that a crash leaves the old view or the new one.
import { type ByteString, crashPoint, E, ok, S, Stat } from '../base/index.js';
import { AT, linkat, mknodat, RENAME, renameat2, statx, unlinkat } from '../sys/index.js';
import type { RealDir } from './realdir.js';
import { whiteoutFileName } from './spelling.js';
import type { Upper } from './upper.js';

/** What is about to go; for the tally. */
const going = new Stat();

export interface WhiteoutWriter {
  /** Hides `name`, of which the upper directory has no entry. */
  hide(dir: RealDir, name: ByteString): void;
  /** Hides `name`, whose entry in the upper directory goes away with it. A directory holds nothing but whiteouts. */
  hideOver(dir: RealDir, name: ByteString, isDirectory: boolean): void;
  /** Moves the temporary thing `temp` of work to `name`, where a whiteout is. */
  replace(temp: ByteString, dir: RealDir, name: ByteString, isDirectory: boolean): void;
  /**
   * Renames within the upper. `leave`: the old name becomes a whiteout. `over`: the new name is one. `flags` of
   * renameat2 (0 or RENAME_NOREPLACE).
   */
  rename(from: RealDir, name: ByteString, to: RealDir, newName: ByteString, how: RenameHow): void;
  /** Has a whiteout with these attributes no other name in the upper? */
  isLast(stat: Stat): boolean;
  close(): void;
}

export interface RenameHow {
  readonly isDirectory: boolean;
  readonly leave: boolean;
  readonly over: boolean;
}

/** Character devices 0/0; all share one inode while it has room for links, as the kernel's do. */
export class CharWhiteouts implements WhiteoutWriter {
  private shared: ByteString | null = null;
  /** Its inode number, where somebody counts. */
  private sharedIno = -1;

  constructor(private readonly upper: Upper) {}

  hide(dir: RealDir, name: ByteString): void {
    this.link(dir.fd(), name);
    crashPoint('whiteout:linked');
  }

  hideOver(dir: RealDir, name: ByteString, isDirectory: boolean): void {
    const work = this.upper.work.rootFd;
    const temp = this.upper.temporaryName();
    this.link(work, temp);
    crashPoint('whiteout:prepared');
    const rc = renameat2(work, temp, dir.fd(), name, isDirectory ? RENAME.EXCHANGE : 0);
    if (rc < 0) {
      const leaves = isLeaving(this.upper, work, temp);
      unlinkat(work, temp, 0);
      if (leaves) this.upper.tally!.went(going);
    }
    ok(rc, `whiteout of ${name}`);
    crashPoint('whiteout:moved');
    if (isDirectory) this.upper.discard(temp, true);
  }

  replace(temp: ByteString, dir: RealDir, name: ByteString, isDirectory: boolean): void {
    const work = this.upper.work.rootFd;
    const leaves = isLeaving(this.upper, dir.fd(), name);
    ok(renameat2(work, temp, dir.fd(), name, isDirectory ? RENAME.EXCHANGE : 0), name);
    crashPoint('replace:moved');
    if (isDirectory) unlinkat(work, temp, 0);
    if (leaves) this.upper.tally!.went(going);
  }

  rename(from: RealDir, name: ByteString, to: RealDir, newName: ByteString, how: RenameHow): void {
    if (how.over && (how.leave || how.isDirectory)) {
      ok(renameat2(from.fd(), name, to.fd(), newName, RENAME.EXCHANGE), name);
      crashPoint('rename:exchanged');
      if (how.leave) return;
      const leaves = isLeaving(this.upper, from.fd(), name);
      ok(unlinkat(from.fd(), name, 0), name);
      if (leaves) this.upper.tally!.went(going);
      return;
    }
    const leaves = how.over && isLeaving(this.upper, to.fd(), newName);
    ok(renameat2(from.fd(), name, to.fd(), newName, how.leave ? RENAME.WHITEOUT : 0), name);
    if (leaves) this.upper.tally!.went(going);
    if (how.leave) this.upper.came(from.fd(), name);
  }

  isLast(stat: Stat): boolean {
    return stat.nlink === (this.shared !== null && stat.ino === this.sharedIno ? 2 : 1);
  }

  close(): void {
    if (this.shared !== null) unlinkat(this.upper.work.rootFd, this.shared, 0);
    this.shared = null;
  }

  /** One more name for the shared whiteout; a new one when it is full (EMLINK) or there is none. */
  private link(dirfd: number, name: ByteString): void {
    const work = this.upper.work.rootFd;
    if (this.shared !== null) {
      const rc = this.linkShared(this.shared, dirfd, name);
      if (rc !== -E.EMLINK && rc !== -E.ENOENT) {
        ok(rc, `whiteout of ${name}`);
        return;
      }
      unlinkat(work, this.shared, 0);
    }
    this.shared = this.upper.temporaryName();
    ok(mknodat(work, this.shared, S.IFCHR, 0, 0), `whiteout of ${name}`);
    ok(this.linkShared(this.shared, dirfd, name), `whiteout of ${name}`);
  }

  /** Its name in work does not count: the first one in the upper makes it an inode of the upper. */
  private linkShared(shared: ByteString, dirfd: number, name: ByteString): number {
    const { tally, work } = this.upper;
    if (tally === null) return linkat(work.rootFd, shared, dirfd, name, 0);
    const known = statx(work.rootFd, shared, AT.SYMLINK_NOFOLLOW, going.slots) >= 0;
    if (known) this.sharedIno = going.ino;
    const rc = linkat(work.rootFd, shared, dirfd, name, 0);
    if (rc >= 0 && known && going.nlink === 1) tally.came(going);
    return rc;
  }
}

/** Does somebody count, and is this name the last in the upper of what it names? Then that is in `going`. */
function isLeaving(upper: Upper, dirfd: number, name: ByteString): boolean {
  if (upper.tally === null || statx(dirfd, name, AT.SYMLINK_NOFOLLOW, going.slots) < 0) return false;
  return upper.whiteouts.isLast(going);
}

/** `.wh.NAME` files: they can stand beside NAME, and then say nothing about it. */
export class DotWhiteouts implements WhiteoutWriter {
  constructor(private readonly upper: Upper) {}

  hide(dir: RealDir, name: ByteString): void {
    const rc = mknodat(dir.fd(), whiteoutFileName(name), S.IFREG | 0o444, 0, 0);
    if (rc !== -E.EEXIST) ok(rc, `whiteout of ${name}`);
    if (rc >= 0) this.upper.came(dir.fd(), whiteoutFileName(name));
    crashPoint('whiteout:linked');
  }

  hideOver(dir: RealDir, name: ByteString, isDirectory: boolean): void {
    this.hide(dir, name);
    if (!isDirectory) {
      ok(unlinkat(dir.fd(), name, 0), `whiteout of ${name}`);
      return;
    }
    const temp = this.upper.temporaryName();
    ok(renameat2(dir.fd(), name, this.upper.work.rootFd, temp, 0), `whiteout of ${name}`);
    crashPoint('whiteout:moved');
    this.upper.discard(temp, true);
  }

  replace(temp: ByteString, dir: RealDir, name: ByteString): void {
    // Another writer of this upper may have left a device at the name itself.
    const leaves = isLeaving(this.upper, dir.fd(), name);
    ok(renameat2(this.upper.work.rootFd, temp, dir.fd(), name, 0), name);
    if (leaves) this.upper.tally!.went(going);
    crashPoint('replace:moved');
    this.reveal(dir, name);
  }

  rename(from: RealDir, name: ByteString, to: RealDir, newName: ByteString, how: RenameHow): void {
    if (how.leave) this.hide(from, name);
    const leaves = how.over && isLeaving(this.upper, to.fd(), newName);
    ok(renameat2(from.fd(), name, to.fd(), newName, 0), name);
    if (leaves) this.upper.tally!.went(going);
    crashPoint('rename:moved');
    if (how.over) this.reveal(to, newName);
  }

  isLast(stat: Stat): boolean {
    return stat.nlink === 1;
  }

  close(): void {}

  private reveal(dir: RealDir, name: ByteString): void {
    const leaves = isLeaving(this.upper, dir.fd(), whiteoutFileName(name));
    const rc = unlinkat(dir.fd(), whiteoutFileName(name), 0);
    if (rc !== -E.ENOENT) ok(rc, `whiteout of ${name}`);
    if (leaves) this.upper.tally!.went(going);
  }
}
