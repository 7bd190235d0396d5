// Operations on names, one system call each: what an operation of ops.ts does on a real mount. Paths are relative to the
// tree's root; results are -errno, 0 or a description of what was found. No call follows a final symlink.
import { E, S, Stat } from '../../src/base/index.js';
import { AT, getxattr, listxattr, native, O, readDirents } from '../../src/sys/index.js';

const typeNames = new Map<number, string>([
  [S.IFREG, 'reg'],
  [S.IFDIR, 'dir'],
  [S.IFLNK, 'lnk'],
  [S.IFCHR, 'chr'],
  [S.IFBLK, 'blk'],
  [S.IFIFO, 'fifo'],
  [S.IFSOCK, 'sock'],
]);

/** The file type of a mode, as a word. */
export function typeName(mode: number): string {
  return typeNames.get(mode & S.IFMT) ?? 'none';
}

/** Type, permissions, owner, and for what is no directory its links and size. */
export function describe(stat: Stat): string {
  const who = `${typeName(stat.mode)} ${(stat.mode & 0o7777).toString(8)} ${stat.uid}:${stat.gid}`;
  return (stat.mode & S.IFMT) === S.IFDIR ? who : `${who} ${stat.nlink} ${stat.size}`;
}

export class NameCalls {
  protected readonly stat = new Stat();

  constructor(readonly root: number) {}

  mkdir(path: string, mode = 0o755): number {
    return native.mkdirat(this.root, path, mode);
  }

  mknod(path: string, mode: number, major = 0, minor = 0): number {
    return native.mknodat(this.root, path, mode, major, minor);
  }

  symlink(path: string, target: string): number {
    return native.symlinkat(target, this.root, path);
  }

  link(from: string, to: string): number {
    return native.linkat(this.root, from, this.root, to, 0);
  }

  unlink(path: string): number {
    return native.unlinkat(this.root, path, 0);
  }

  rmdir(path: string): number {
    return native.unlinkat(this.root, path, AT.REMOVEDIR);
  }

  /** Removes a directory and all that is in it. */
  rmtree(path: string): number {
    const fd = native.openat2(this.root, path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0, 0);
    if (fd < 0) return fd;
    const names: string[] = [];
    const rc = readDirents(fd, name => names.push(`${path}/${name}`));
    native.close(fd);
    if (rc < 0) return rc;
    // Sorted: what is left when one removal fails must not depend on the order of the listing.
    for (const name of names.sort()) {
      const unlinked = this.unlink(name);
      const removed = unlinked === -E.EISDIR ? this.rmtree(name) : unlinked;
      if (removed < 0) return removed;
    }
    return this.rmdir(path);
  }

  /** Removes a directory with all that is in it, and makes an empty one in its place. */
  recreate(path: string): number {
    const rc = this.rmtree(path);
    return rc < 0 ? rc : this.mkdir(path);
  }

  rename(from: string, to: string, flags = 0): number {
    return native.renameat2(this.root, from, this.root, to, flags);
  }

  chmod(path: string, mode: number): number {
    return native.fchmodat(this.root, path, mode);
  }

  chown(path: string, uid: number, gid: number): number {
    return native.fchownat(this.root, path, uid, gid);
  }

  utimes(path: string, atime: number, mtime: number, nsec = 0): number {
    return native.utimensat(this.root, path, atime, nsec, mtime, nsec);
  }

  access(path: string, mode: number): number {
    return native.faccessat(this.root, path, mode, AT.EACCESS);
  }

  setxattr(path: string, name: string, value: string, flags = 0): number {
    return native.setxattrat(this.root, path, name, Buffer.from(value, 'latin1'), flags);
  }

  removexattr(path: string, name: string): number {
    return native.removexattrat(this.root, path, name);
  }

  getxattr(path: string, name: string): string | number {
    const value = getxattr(this.root, path, name);
    return typeof value === 'number' ? value : value.toString('latin1');
  }

  listxattr(path: string): string | number {
    const names = listxattr(this.root, path);
    return typeof names === 'number' ? names : [...names].sort().join(' ');
  }

  readlink(path: string): string | number {
    const buffer = Buffer.alloc(4096);
    const length = native.readlinkat(this.root, path, buffer);
    return length < 0 ? length : buffer.toString('latin1', 0, length);
  }

  lstat(path: string): string | number {
    const rc = native.statx(this.root, path, AT.SYMLINK_NOFOLLOW, this.stat.slots);
    return rc < 0 ? rc : describe(this.stat);
  }

  /** As `lstat`, following a final symlink. */
  follow(path: string): string | number {
    const rc = native.statx(this.root, path, 0, this.stat.slots);
    return rc < 0 ? rc : describe(this.stat);
  }

  /** The link count. */
  links(path: string): string | number {
    const rc = native.statx(this.root, path, AT.SYMLINK_NOFOLLOW, this.stat.slots);
    return rc < 0 ? rc : String(this.stat.nlink);
  }

  /** Modification time in seconds, and access time when `both`. */
  times(path: string, both = 0): string | number {
    const rc = native.statx(this.root, path, AT.SYMLINK_NOFOLLOW, this.stat.slots);
    if (rc < 0) return rc;
    const mtime = `${this.stat.mtime}.${this.stat.mtimeNsec}`;
    return both ? `${this.stat.atime}.${this.stat.atimeNsec} ${mtime}` : mtime;
  }

  /** Whether two names are one file. */
  same(a: string, b: string): string | number {
    const first = native.statx(this.root, a, AT.SYMLINK_NOFOLLOW, this.stat.slots);
    if (first < 0) return first;
    const { inoLow, inoHigh, dev } = this.stat;
    const second = native.statx(this.root, b, AT.SYMLINK_NOFOLLOW, this.stat.slots);
    if (second < 0) return second;
    const same = this.stat.inoLow === inoLow && this.stat.inoHigh === inoHigh && this.stat.dev === dev;
    return same ? 'same' : 'different';
  }

  /** Sorted names with their types. */
  readdir(path: string): string | number {
    const fd = native.openat2(this.root, path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0, 0);
    if (fd < 0) return fd;
    const names: string[] = [];
    try {
      const rc = readDirents(fd, (name, _ino, type) => names.push(`${name}:${type}`));
      if (rc < 0) return rc;
    } finally {
      native.close(fd);
    }
    return names.sort().join(' ');
  }

  getflags(path: string): string | number {
    const fd = native.openat2(this.root, path, O.RDONLY | O.NONBLOCK | O.NOFOLLOW | O.CLOEXEC, 0, 0);
    if (fd < 0) return fd;
    // Only the flags that a union carries: sync, immutable, append, noatime (linux/fs.h FS_*_FL).
    const flags = native.getFileFlags(fd);
    native.close(fd);
    return flags < 0 ? flags : `0x${(flags & 0xb8).toString(16)}`;
  }

  /** Sets the flags (linux/fs.h FS_*_FL) and keeps what the file system itself shows, such as extents. */
  setflags(path: string, flags: number): number {
    const fd = native.openat2(this.root, path, O.RDONLY | O.NONBLOCK | O.NOFOLLOW | O.CLOEXEC, 0, 0);
    if (fd < 0) return fd;
    const now = native.getFileFlags(fd);
    const rc = now < 0 ? now : native.setFileFlags(fd, (now & ~0xb8) | flags);
    native.close(fd);
    return rc;
  }

  statfs(path: string): string | number {
    const fd = native.openat2(this.root, path, O.PATH | O.CLOEXEC, 0, 0);
    if (fd < 0) return fd;
    const out = new Float64Array(12);
    const rc = native.fstatfs(fd, out);
    native.close(fd);
    if (rc < 0) return rc;
    return `bsize ${out[1]} blocks ${out[2]} namelen ${out[7]}`;
  }
}
