// Operations on open files: descriptors live in named slots and stay open across operations, so a sequence can write
// through a descriptor whose file has been copied up, renamed or unlinked since. An empty slot answers EBADF.
import { E } from '../../src/base/index.js';
import { AT, native, O, readDirents } from '../../src/sys/index.js';
import { describe, NameCalls } from './ops-names.js';

export class FileCalls extends NameCalls {
  private readonly slots = new Map<string, number>();

  private fd(slot: string): number {
    return this.slots.get(slot) ?? -1;
  }

  private keep(slot: string, fd: number): number {
    if (fd < 0) return fd;
    this.close(slot);
    this.slots.set(slot, fd);
    return 0;
  }

  closeAll(): void {
    for (const slot of [...this.slots.keys()]) this.close(slot);
  }

  /** Never blocks on a fifo: O_NONBLOCK is added. */
  open(slot: string, path: string, flags: number, mode = 0o644): number {
    const creates = (flags & O.CREAT) !== 0 || (flags & O.TMPFILE) === O.TMPFILE;
    const all = flags | O.CLOEXEC | O.NONBLOCK;
    return this.keep(slot, native.openat2(this.root, path, all, creates ? mode : 0, 0));
  }

  close(slot: string): number {
    const fd = this.slots.get(slot);
    if (fd === undefined) return -E.EBADF;
    this.slots.delete(slot);
    return native.close(fd);
  }

  tmpfile(slot: string, directory: string, mode = 0o644): number {
    return this.keep(slot, native.openat2(this.root, directory, O.TMPFILE | O.RDWR | O.CLOEXEC, mode, 0));
  }

  /** Gives an open file (such as a tmpfile) a name. */
  linkSlot(slot: string, to: string): number {
    return native.linkat(this.fd(slot), '', this.root, to, AT.EMPTY_PATH);
  }

  read(slot: string, offset: number, length: number): string | number {
    const buffer = Buffer.alloc(length);
    const got = native.pread(this.fd(slot), buffer, 0, length, offset);
    return got < 0 ? got : shown(buffer.subarray(0, got));
  }

  write(slot: string, offset: number, data: string): string | number {
    const rc = native.pwrite(this.fd(slot), bytesOf(data), 0, data.length, offset);
    return rc < 0 ? rc : `${rc} bytes`;
  }

  fstat(slot: string): string | number {
    const rc = native.statx(this.fd(slot), '', AT.EMPTY_PATH, this.stat.slots);
    return rc < 0 ? rc : describe(this.stat);
  }

  ftruncate(slot: string, size: number): number {
    return native.ftruncate(this.fd(slot), size);
  }

  fallocate(slot: string, mode: number, offset: number, length: number): number {
    return native.fallocate(this.fd(slot), mode, offset, length);
  }

  seek(slot: string, offset: number, whence: number): string | number {
    const at = native.lseek(this.fd(slot), offset, whence);
    return at < 0 ? at : `at ${at}`;
  }

  copyRange(from: string, at: number, to: string, toAt: number, length: number): string | number {
    const rc = native.copyFileRange(this.fd(from), at, this.fd(to), toAt, length);
    return rc < 0 ? rc : `${rc} bytes`;
  }

  fsync(slot: string, datasync = 0): number {
    return native.fsync(this.fd(slot), datasync !== 0);
  }

  flock(slot: string, operation: number): number {
    return native.flock(this.fd(slot), operation);
  }

  fchmod(slot: string, mode: number): number {
    return native.fchmodat(this.fd(slot), '', mode);
  }

  fchown(slot: string, uid: number, gid: number): number {
    return native.fchownat(this.fd(slot), '', uid, gid);
  }

  futimes(slot: string, atime: number, mtime: number): number {
    return native.utimensat(this.fd(slot), '', atime, 0, mtime, 0);
  }

  fsetxattr(slot: string, name: string, value: string, flags = 0): number {
    return native.setxattrat(this.fd(slot), '', name, Buffer.from(value, 'latin1'), flags);
  }

  /** Lists an open directory from its start, sorted. */
  list(slot: string): string | number {
    const fd = this.fd(slot);
    const names: string[] = [];
    const rc = readDirents(fd, (name, _ino, type) => names.push(`${name}:${type}`));
    return rc < 0 ? rc : names.sort().join(' ');
  }

  /** A whole file of its own: made, which must not exist. */
  create(path: string, data: string, mode = 0o644): number {
    return this.whole(path, O.WRONLY | O.CREAT | O.EXCL, data, mode);
  }

  /** A whole file: made, or cut to nothing and written anew. */
  put(path: string, data: string, mode = 0o644): number {
    return this.whole(path, O.WRONLY | O.CREAT | O.TRUNC, data, mode);
  }

  append(path: string, data: string): number {
    return this.whole(path, O.WRONLY | O.APPEND, data, 0);
  }

  /** Writes into an existing file. */
  patch(path: string, offset: number, data: string): number {
    return this.whole(path, O.WRONLY, data, 0, offset);
  }

  private whole(path: string, flags: number, data: string, mode: number, offset = 0): number {
    const fd = native.openat2(this.root, path, flags | O.NONBLOCK | O.CLOEXEC, mode, 0);
    if (fd < 0) return fd;
    const wrote = native.pwrite(fd, bytesOf(data), 0, data.length, offset);
    const closed = native.close(fd);
    return wrote < 0 ? wrote : closed;
  }

  cat(path: string): string | number {
    const fd = native.openat2(this.root, path, O.RDONLY | O.NONBLOCK | O.CLOEXEC, 0, 0);
    if (fd < 0) return fd;
    const buffer = Buffer.alloc(1 << 16);
    const got = native.pread(fd, buffer, 0, buffer.length, 0);
    native.close(fd);
    return got < 0 ? got : shown(buffer.subarray(0, got));
  }

  /** Opens for writing and sets the size. */
  truncate(path: string, size: number): number {
    const fd = native.openat2(this.root, path, O.WRONLY | O.NONBLOCK | O.CLOEXEC, 0, 0);
    if (fd < 0) return fd;
    const rc = native.ftruncate(fd, size);
    native.close(fd);
    return rc;
  }
}

/** The bytes of a string; never an empty buffer, whose address may be none. */
function bytesOf(data: string): Buffer {
  return Buffer.from(`${data}\0`, 'latin1');
}

/** Data as text that compares and prints well: as it is when short, else its length and a checksum. */
export function shown(data: Buffer): string {
  if (data.length <= 64) return data.toString('latin1').replaceAll('\0', '\\0');
  let sum = 2166136261;
  for (const byte of data) sum = Math.imul(sum ^ byte, 16777619) >>> 0;
  return `${data.length} bytes, fnv ${sum.toString(16)}`;
}
