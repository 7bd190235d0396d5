// Writing deletions into the upper: kernel overlayfs's character device 0/0, or AUFS's `.wh.` file where the file system
// has no device nodes. Each method is one visible step, so that a crash leaves the old view or the new one.
import { type ByteString, crashPoint, E, ok, S } from '../base/index.js';
import { linkat, mknodat, RENAME, renameat2, unlinkat } from '../sys/index.js';
import type { RealDir } from './realdir.js';
import { whiteoutFileName } from './spelling.js';
import type { Upper } from './upper.js';

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
    if (rc < 0) unlinkat(work, temp, 0);
    ok(rc, `whiteout of ${name}`);
    crashPoint('whiteout:moved');
    if (isDirectory) this.upper.discard(temp);
  }

  replace(temp: ByteString, dir: RealDir, name: ByteString, isDirectory: boolean): void {
    const work = this.upper.work.rootFd;
    ok(renameat2(work, temp, dir.fd(), name, isDirectory ? RENAME.EXCHANGE : 0), name);
    crashPoint('replace:moved');
    if (isDirectory) unlinkat(work, temp, 0);
  }

  rename(from: RealDir, name: ByteString, to: RealDir, newName: ByteString, how: RenameHow): void {
    if (how.over && (how.leave || how.isDirectory)) {
      ok(renameat2(from.fd(), name, to.fd(), newName, RENAME.EXCHANGE), name);
      crashPoint('rename:exchanged');
      if (!how.leave) ok(unlinkat(from.fd(), name, 0), name);
      return;
    }
    ok(renameat2(from.fd(), name, to.fd(), newName, how.leave ? RENAME.WHITEOUT : 0), name);
  }

  close(): void {
    if (this.shared !== null) unlinkat(this.upper.work.rootFd, this.shared, 0);
    this.shared = null;
  }

  /** One more name for the shared whiteout; a new one when it is full (EMLINK) or there is none. */
  private link(dirfd: number, name: ByteString): void {
    const work = this.upper.work.rootFd;
    if (this.shared !== null) {
      const rc = linkat(work, this.shared, dirfd, name, 0);
      if (rc !== -E.EMLINK && rc !== -E.ENOENT) {
        ok(rc, `whiteout of ${name}`);
        return;
      }
      unlinkat(work, this.shared, 0);
    }
    this.shared = this.upper.temporaryName();
    ok(mknodat(work, this.shared, S.IFCHR, 0, 0), `whiteout of ${name}`);
    ok(linkat(work, this.shared, dirfd, name, 0), `whiteout of ${name}`);
  }
}

/** `.wh.NAME` files: they can stand beside NAME, and then say nothing about it. */
export class DotWhiteouts implements WhiteoutWriter {
  constructor(private readonly upper: Upper) {}

  hide(dir: RealDir, name: ByteString): void {
    const rc = mknodat(dir.fd(), whiteoutFileName(name), S.IFREG | 0o444, 0, 0);
    if (rc !== -E.EEXIST) ok(rc, `whiteout of ${name}`);
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
    this.upper.discard(temp);
  }

  replace(temp: ByteString, dir: RealDir, name: ByteString): void {
    ok(renameat2(this.upper.work.rootFd, temp, dir.fd(), name, 0), name);
    crashPoint('replace:moved');
    this.reveal(dir, name);
  }

  rename(from: RealDir, name: ByteString, to: RealDir, newName: ByteString, how: RenameHow): void {
    if (how.leave) this.hide(from, name);
    ok(renameat2(from.fd(), name, to.fd(), newName, 0), name);
    crashPoint('rename:moved');
    if (how.over) this.reveal(to, newName);
  }

  close(): void {}

  private reveal(dir: RealDir, name: ByteString): void {
    const rc = unlinkat(dir.fd(), whiteoutFileName(name), 0);
    if (rc !== -E.ENOENT) ok(rc, `whiteout of ${name}`);
  }
}
