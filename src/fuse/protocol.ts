// Numbers of the FUSE kernel protocol, 7.31 to 7.45: opcodes, flags and device codes. Source: linux/fuse.h, and for what
// Debian's 7.38 header lacks Documentation/filesystems/fuse-*.rst. Struct layouts are in layout.ts.

export const MAJOR = 7;
/** Oldest kernel minor served (5.4) and newest known. */
export const MINOR_MIN = 31;
export const MINOR_MAX = 45;

/** Node id of the root; the kernel knows it without a lookup. */
export const ROOT_ID = 1;

export const OP = Object.freeze({
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
});

/** Bits of the INIT flags; 32 and up travel in flags2. */
export const INIT_BIT = Object.freeze({
  ASYNC_READ: 0,
  POSIX_LOCKS: 1,
  ATOMIC_O_TRUNC: 3,
  EXPORT_SUPPORT: 4,
  BIG_WRITES: 5,
  DONT_MASK: 6,
  FLOCK_LOCKS: 10,
  AUTO_INVAL_DATA: 12,
  DO_READDIRPLUS: 13,
  READDIRPLUS_AUTO: 14,
  ASYNC_DIO: 15,
  WRITEBACK_CACHE: 16,
  PARALLEL_DIROPS: 18,
  POSIX_ACL: 20,
  ABORT_ERROR: 21,
  MAX_PAGES: 22,
  CACHE_SYMLINKS: 23,
  NO_OPENDIR_SUPPORT: 24,
  EXPLICIT_INVAL_DATA: 25,
  HANDLE_KILLPRIV_V2: 28,
  SETXATTR_EXT: 29,
  INIT_EXT: 30,
  CREATE_SUPP_GROUP: 34,
  HAS_EXPIRE_ONLY: 35,
  DIRECT_IO_ALLOW_MMAP: 36,
  PASSTHROUGH: 37,
  REQUEST_TIMEOUT: 42,
  ALLOW_IDMAP: 40,
  OVER_IO_URING: 41,
});

/** Flags of an OPEN, OPENDIR or CREATE answer. */
export const FOPEN = Object.freeze({
  DIRECT_IO: 1,
  KEEP_CACHE: 2,
  CACHE_DIR: 8,
  PARALLEL_DIRECT_WRITES: 0x40,
  PASSTHROUGH: 0x80,
});

/** What SETATTR changes (fuse_setattr_in.valid). */
export const FATTR = Object.freeze({
  MODE: 1,
  UID: 2,
  GID: 4,
  SIZE: 8,
  ATIME: 0x10,
  MTIME: 0x20,
  FH: 0x40,
  ATIME_NOW: 0x80,
  MTIME_NOW: 0x100,
  KILL_SUIDGID: 0x800,
});

/** GETATTR carries a file handle. */
export const GETATTR_FH = 1;
/** OPEN and CREATE: drop setuid and setgid. */
export const OPEN_KILL_SUIDGID = 1;
/** WRITE: pages that the kernel writes back, of a mapping; nobody waits for the call. */
export const WRITE_CACHE = 1;
/** WRITE: drop setuid and setgid. */
export const WRITE_KILL_SUIDGID = 4;
/** SETXATTR of an access ACL: drop setgid. */
export const SETXATTR_ACL_KILL_SGID = 1;
/** FSYNC and FSYNCDIR: data only. */
export const FSYNC_FDATASYNC = 1;

/** Codes of unasked messages to the kernel; they travel in the error field of a reply with unique 0. */
export const NOTIFY = Object.freeze({ INVAL_INODE: 2, INVAL_ENTRY: 3, STORE: 4 });

/** Largest WRITE and READ in bytes, and the same in pages (the kernel's default limit). */
export const MAX_WRITE = 1 << 20;
export const MAX_PAGES = 256;

const names = new Map<number, string>(Object.entries(OP).map(([name, code]) => [code, name]));

/** An opcode's name as the kernel spells it without FUSE_, or its number. */
export function opName(opcode: number): string {
  return names.get(opcode) ?? String(opcode);
}
