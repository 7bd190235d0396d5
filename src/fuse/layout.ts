// Every struct of the protocol, once: offsets in 32-bit words, `words` is the length of the fixed part. Requests follow
// the 10-word in_header, replies the 4-word out_header. Both directions (this room's codec and the client of the tests)
// use these tables. Source: linux/fuse.h; STATX and the backing id are newer than Debian's copy.

const struct = <T extends Record<string, number>>(fields: T): Readonly<T> => Object.freeze(fields);

export const IN_HEADER = struct({
  len: 0,
  opcode: 1,
  unique: 2,
  nodeid: 4,
  uid: 6,
  gid: 7,
  pid: 8,
  /** Low half: length of the extensions at the end, in units of 8 bytes. */
  extlen: 9,
  words: 10,
});
export const OUT_HEADER = struct({ len: 0, error: 1, unique: 2, words: 4 });

export const ATTR = struct({
  ino: 0,
  size: 2,
  blocks: 4,
  atime: 6,
  mtime: 8,
  ctime: 10,
  atimeNsec: 12,
  mtimeNsec: 13,
  ctimeNsec: 14,
  mode: 15,
  nlink: 16,
  uid: 17,
  gid: 18,
  rdev: 19,
  blksize: 20,
  flags: 21,
  words: 22,
});
export const ENTRY_OUT = struct({
  nodeid: 0,
  generation: 2,
  entryValid: 4,
  attrValid: 6,
  entryValidNsec: 8,
  attrValidNsec: 9,
  attr: 10,
  words: 32,
});
export const ATTR_OUT = struct({ valid: 0, validNsec: 2, attr: 4, words: 26 });
export const STATX_OUT = struct({
  valid: 0,
  validNsec: 2,
  flags: 3,
  mask: 8,
  blksize: 9,
  attributes: 10,
  nlink: 12,
  uid: 13,
  gid: 14,
  mode: 15,
  ino: 16,
  size: 18,
  blocks: 20,
  attributesMask: 22,
  /** Each time: seconds (2 words), nanoseconds, reserved. */
  atime: 24,
  btime: 28,
  ctime: 32,
  mtime: 36,
  rdevMajor: 40,
  rdevMinor: 41,
  devMajor: 42,
  devMinor: 43,
  words: 72,
});
export const OPEN_OUT = struct({ fh: 0, flags: 2, backing: 3, words: 4 });
export const WRITE_OUT = struct({ size: 0, words: 2 });
export const COPY_OUT_64 = struct({ copied: 0, words: 2 });
export const LSEEK_OUT = struct({ offset: 0, words: 2 });
export const XATTR_OUT = struct({ size: 0, words: 2 });
export const IOCTL_OUT = struct({ result: 0, flags: 1, inIovs: 2, outIovs: 3, words: 4 });
export const STATFS_OUT = struct({
  blocks: 0,
  bfree: 2,
  bavail: 4,
  files: 6,
  ffree: 8,
  bsize: 10,
  namelen: 11,
  frsize: 12,
  words: 20,
});
export const INIT_IN = struct({ major: 0, minor: 1, maxReadahead: 2, flags: 3, flags2: 4, words: 16 });
/** What a kernel without INIT_EXT sends. */
export const INIT_IN_SHORT_WORDS = 4;
export const INIT_OUT = struct({
  major: 0,
  minor: 1,
  maxReadahead: 2,
  flags: 3,
  /** u16 max_background, u16 congestion_threshold. */
  background: 4,
  maxWrite: 5,
  timeGran: 6,
  /** u16 max_pages, u16 map_alignment. */
  maxPages: 7,
  flags2: 8,
  maxStackDepth: 9,
  /** u16 seconds, and unused bytes. */
  requestTimeout: 10,
  words: 16,
});
export const DIRENT = struct({ ino: 0, next: 2, namelen: 4, type: 5, words: 6 });

export const FORGET_IN = struct({ nlookup: 0, words: 2 });
export const BATCH_FORGET_IN = struct({ count: 0, words: 2 });
export const FORGET_ONE = struct({ nodeid: 0, nlookup: 2, words: 4 });
export const GETATTR_IN = struct({ flags: 0, fh: 2, words: 4 });
export const STATX_IN = struct({ flags: 0, fh: 2, statxFlags: 4, mask: 5, words: 6 });
export const SETATTR_IN = struct({
  valid: 0,
  fh: 2,
  size: 4,
  atime: 8,
  mtime: 10,
  atimeNsec: 14,
  mtimeNsec: 15,
  mode: 17,
  uid: 19,
  gid: 20,
  words: 22,
});
export const MKNOD_IN = struct({ mode: 0, rdev: 1, umask: 2, words: 4 });
export const MKDIR_IN = struct({ mode: 0, umask: 1, words: 2 });
export const RENAME_IN = struct({ newdir: 0, words: 2 });
export const RENAME2_IN = struct({ newdir: 0, flags: 2, words: 4 });
export const LINK_IN = struct({ oldnodeid: 0, words: 2 });
export const OPEN_IN = struct({ flags: 0, openFlags: 1, words: 2 });
export const CREATE_IN = struct({ flags: 0, mode: 1, umask: 2, openFlags: 3, words: 4 });
export const RELEASE_IN = struct({ fh: 0, flags: 2, releaseFlags: 3, words: 6 });
export const READ_IN = struct({ fh: 0, offset: 2, size: 4, flags: 8, words: 10 });
export const WRITE_IN = struct({ fh: 0, offset: 2, size: 4, writeFlags: 5, flags: 8, words: 10 });
export const FSYNC_IN = struct({ fh: 0, flags: 2, words: 4 });
export const SETXATTR_IN = struct({ size: 0, flags: 1, setxattrFlags: 2, words: 4 });
/** Without SETXATTR_EXT. */
export const SETXATTR_IN_SHORT_WORDS = 2;
export const GETXATTR_IN = struct({ size: 0, words: 2 });
export const ACCESS_IN = struct({ mask: 0, words: 2 });
export const IOCTL_IN = struct({ fh: 0, flags: 2, cmd: 3, arg: 4, inSize: 6, outSize: 7, words: 8 });
export const FALLOCATE_IN = struct({ fh: 0, offset: 2, length: 4, mode: 6, words: 8 });
export const LSEEK_IN = struct({ fh: 0, offset: 2, whence: 4, words: 6 });
export const COPY_IN = struct({
  fhIn: 0,
  offIn: 2,
  nodeidOut: 4,
  fhOut: 6,
  offOut: 8,
  length: 10,
  flags: 12,
  words: 14,
});
export const SYNCFS_IN = struct({ padding: 0, words: 2 });
export const INVAL_INODE_OUT = struct({ nodeid: 0, offset: 2, length: 4, words: 6 });
export const STORE_OUT = struct({ nodeid: 0, offset: 2, size: 4, padding: 5, words: 6 });
export const INVAL_ENTRY_OUT = struct({ parent: 0, namelen: 2, flags: 3, words: 4 });

const HIGH = 4294967296;

/** Writes a 64-bit integer, negative ones in two's complement; exact to 2^53. */
export function put64(words: Uint32Array, at: number, value: number): void {
  words[at] = value;
  words[at + 1] = Math.floor(value / HIGH);
}

/** Reads an unsigned 64-bit integer; exact to 2^53. */
export function get64(words: Uint32Array, at: number): number {
  return words[at]! + words[at + 1]! * HIGH;
}

/** Reads a signed 64-bit integer. */
export function getSigned64(words: Uint32Array, at: number): number {
  return words[at]! + (words[at + 1]! | 0) * HIGH;
}

/** A device number as the protocol carries it (the kernel's new_encode_dev), and its halves. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}
export function deviceMajor(rdev: number): number {
  return (rdev >>> 8) & 0xfff;
}
export function deviceMinor(rdev: number): number {
  return (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
}

/** A 32-bit view of a buffer that starts at a multiple of 4. */
export function wordsOf(buffer: Buffer): Uint32Array {
  return new Uint32Array(buffer.buffer, buffer.byteOffset, buffer.length >> 2);
}

/** Rounds up to the 8 bytes at which directory entries start. */
export function align8(bytes: number): number {
  return (bytes + 7) & ~7;
}
