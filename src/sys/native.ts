// The addon's functions, typed. Each checks its arguments (TypeError), makes one system call (or one loop over one
// descriptor) and returns >= 0 or -errno. Names and paths are byte strings (base/bytes.ts), `dirfd` may be AT_FDCWD,
// offsets and sizes are bytes, exact up to 2^53. Functions that end in Async run on a thread of the addon's pool with the
// ids of the process, resolve to the same number, and never reject.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type ByteString, STAT_SLOTS } from '../base/index.js';
import type { SocketCalls } from './socket.js';

export interface Native extends SocketCalls {
  /** Slot names of a stat array, in the order in which statx fills it. */
  readonly statSlots: readonly string[];
  /** Constants of this host's headers, or of newer kernels (see the addon), by name. */
  readonly constants: Readonly<Record<string, number>>;

  // Descriptors and names
  openat2(dirfd: number, path: ByteString, flags: number, mode: number, resolve: number): number;
  close(fd: number): number;
  /** dup(2) with close-on-exec. */
  dup(fd: number): number;
  /** Fills `slots` (see statSlots); path "" with AT_EMPTY_PATH means the descriptor itself. */
  statx(dirfd: number, path: ByteString, flags: number, slots: Float64Array): number;
  faccessat(dirfd: number, path: ByteString, mode: number, flags: number): number;
  /** getdents64(2): raw entries into `buffer`; bytes filled, 0 at the end. */
  getdents(fd: number, buffer: Buffer): number;
  /** Bytes of the target in `buffer`. */
  readlinkat(dirfd: number, path: ByteString, buffer: Buffer): number;
  mkdirat(dirfd: number, path: ByteString, mode: number): number;
  mknodat(dirfd: number, path: ByteString, mode: number, major: number, minor: number): number;
  symlinkat(target: ByteString, dirfd: number, path: ByteString): number;
  linkat(olddirfd: number, oldpath: ByteString, newdirfd: number, newpath: ByteString, flags: number): number;
  unlinkat(dirfd: number, path: ByteString, flags: number): number;
  renameat2(
    olddirfd: number,
    oldpath: ByteString,
    newdirfd: number,
    newpath: ByteString,
    flags: number,
  ): number;
  /** Never follows a final symlink (fchmodat2, or O_PATH and /proc/self/fd on older kernels). Path "" means the descriptor. */
  fchmodat(dirfd: number, path: ByteString, mode: number): number;
  /** Never follows a final symlink. uid or gid -1 leaves it. Path "" means the descriptor. */
  fchownat(dirfd: number, path: ByteString, uid: number, gid: number): number;
  /** Never follows a final symlink. nsec may be UTIME_NOW or UTIME_OMIT. Path "" means the descriptor. */
  utimensat(
    dirfd: number,
    path: ByteString,
    atime: number,
    atimeNsec: number,
    mtime: number,
    mtimeNsec: number,
  ): number;
  ftruncate(fd: number, size: number): number;
  lseek(fd: number, offset: number, whence: number): number;
  fallocate(fd: number, mode: number, offset: number, length: number): number;
  fsync(fd: number, datasync: boolean): number;
  flock(fd: number, operation: number): number;
  /** Fills [type, bsize, blocks, bfree, bavail, files, ffree, namelen, frsize, flags, fsid0, fsid1]. */
  fstatfs(fd: number, out: Float64Array): number;

  // Data
  pread(fd: number, buffer: Buffer, at: number, length: number, offset: number): number;
  /** preadv2 with RWF_NOWAIT: only what is in the page cache; -EAGAIN when nothing is. */
  preadNowait(fd: number, buffer: Buffer, at: number, length: number, offset: number): number;
  pwrite(fd: number, buffer: Buffer, at: number, length: number, offset: number): number;
  copyFileRange(src: number, srcOffset: number, dst: number, dstOffset: number, length: number): number;
  /** FICLONE. */
  clone(dst: number, src: number): number;
  /**
   * Makes the empty file `dst` a copy of the first `size` bytes of `src`, if those are at most 64 KiB without holes and in the page
   * cache: else -EAGAIN, with `dst` as it was.
   */
  copyCached(src: number, dst: number, size: number): number;

  // Extended attributes; the path is relative to dirfd and a final symlink is never followed. Path "" means the
  // descriptor (O_PATH too). Uses the *xattrat calls of Linux 6.13, or O_PATH and /proc/self/fd before.
  getxattrat(dirfd: number, path: ByteString, name: ByteString, buffer: Buffer): number;
  setxattrat(dirfd: number, path: ByteString, name: ByteString, value: Uint8Array, flags: number): number;
  listxattrat(dirfd: number, path: ByteString, buffer: Buffer): number;
  removexattrat(dirfd: number, path: ByteString, name: ByteString): number;

  // Identity
  /** Handle bytes into `buffer` from offset 8; offset 0 gets the type (i32 LE) and 4 the mount id. Returns its length. */
  nameToHandleAt(dirfd: number, path: ByteString, buffer: Buffer, flags: number): number;
  openByHandleAt(mountFd: number, handle: Uint8Array, type: number, flags: number): number;
  /** FS_IOC_GETFSUUID: 16 bytes into `out`. */
  fsUuid(fd: number, out: Buffer): number;
  /** A number that no other mount has had since the machine started: that of the mount of `fd`. -ENOSYS before Linux 6.8. */
  uniqueMountId(fd: number): number;
  /** FS_IOC_GETFLAGS and SETFLAGS. */
  getFileFlags(fd: number): number;
  setFileFlags(fd: number, flags: number): number;
  /** FS_IOC_FSGETXATTR and FSSETXATTR: struct fsxattr (28 bytes). */
  getFsxattr(fd: number, out: Buffer): number;
  setFsxattr(fd: number, value: Uint8Array): number;

  // Process and mounts
  umask(mask: number): number;
  /** Sets this thread's file system ids; both together so that no caller forgets one. -EPERM changes neither. */
  setfsids(uid: number, gid: number): number;
  /** SECBIT_NO_SETUID_FIXUP for this thread: setfsids then keeps its capabilities. */
  keepCapabilities(): number;
  mount(source: ByteString, target: ByteString, type: ByteString, flags: number, data: ByteString): number;
  umount(target: ByteString, flags: number): number;
  openTree(dirfd: number, path: ByteString, flags: number): number;
  mountSetattr(fd: number, path: ByteString, flags: number, set: number, clear: number): number;
  /** A connected AF_UNIX stream pair into `out`. Both close-on-exec. */
  socketpair(out: Int32Array): number;
  /** One descriptor by SCM_RIGHTS from a socket; blocks until a message or the end (-ENOTCONN) comes. */
  receiveFd(socket: number): number;

  // /dev/fuse
  /**
   * Reads up to `starts.length - 1` requests into `buffer`, each starting at a multiple of 8, while at least `room` bytes
   * are left; request i lies at starts[i] .. starts[i + 1] (its header's length says where it ends). Busy-reads up to
   * `spinMicros` for the first one. Returns how many; 0 when none came; -ENODEV after unmount.
   */
  fuseRead(fd: number, buffer: Buffer, starts: Int32Array, room: number, spinMicros: number): number;
  /** Writes the messages buffer[0..ends[0]], buffer[ends[0]..ends[1]] and so on; results[i] is 0 or -errno. */
  fuseWrite(fd: number, buffer: Buffer, ends: Int32Array, count: number, results: Int32Array): number;
  /**
   * fsync (or fdatasync) of `fd`, and then the answer to the request with this number, both on a worker thread. Resolves to what the
   * sync came to; that the answer was refused is not said.
   */
  fuseSyncAsync(
    fuseFd: number,
    fd: number,
    datasync: boolean,
    uniqueLow: number,
    uniqueHigh: number,
  ): Promise<number>;
  /** FUSE_DEV_IOC_BACKING_OPEN; returns the backing id. */
  fuseBackingOpen(fuseFd: number, fd: number): number;
  fuseBackingClose(fuseFd: number, id: number): number;
  /**
   * A ring for FUSE over io_uring, of this thread and for it alone, or -errno. `entries` bounds a batch, not how many
   * requests there are at one time.
   */
  ringOpen(entries: number): Ring | number;
  /** The ring's own descriptor that becomes readable when something comes after a ringTake that found nothing. */
  ringBell(ring: Ring): number;
  /**
   * Registers `count` entries for the queue of CPU `queue`, each with an equal part of `memory`, of which its first
   * RING_ENTRY_HEAD bytes are not for the payload. `memory` must begin at a multiple of 8, and stay until the ring is closed.
   * Returns the number of this block: 0, 1, 2 and so on, also of those that failed. A refusal comes through ringTake.
   */
  ringAdd(ring: Ring, fuseFd: number, queue: number, memory: Buffer, count: number): number;
  /**
   * Makes the messages of `buffer` (as fuseWrite takes them) answers, sent by the next ringTake or ringSubmit. results[i] is
   * the block whose entry is free again, or -1 for what answers no request that came from this ring, and is not sent.
   */
  ringReply(ring: Ring, buffer: Buffer, ends: Int32Array, count: number, results: Int32Array): number;
  /**
   * Sends what waits to be sent, then fills `taken` with triples, after trying for `spinMicros` for the first one: {block,
   * start, end} of a request, as bytes of the block's memory, or {-1 - block, errno, 1 when it was being registered, else 0}
   * of an entry that is no more. Returns how many.
   */
  ringTake(ring: Ring, taken: Int32Array, spinMicros: number): number;
  /** Sends what waits to be sent. */
  ringSubmit(ring: Ring): number;
  /** The kernel drops all entries; every other call answers EBADF from now on. */
  ringClose(ring: Ring): number;
  /**
   * Calls `wake` from the event loop whenever `fd` is readable, until stopped; level-triggered, keeps the loop alive. The status
   * is 0, or once and for the last time -EBADF when the descriptor is in error, as /dev/fuse is after an unmount. Throws when
   * `fd` cannot be watched. `fd` may be closed as soon as `stop` has returned. `events` are those of `Watch.want`.
   */
  watchReadable(fd: number, wake: (status: number, events: number) => void): Watch;

  // On worker threads
  umountAsync(target: ByteString, flags: number): Promise<number>;
  fsyncAsync(fd: number, datasync: boolean): Promise<number>;
  syncfsAsync(fd: number): Promise<number>;
  /** Resolves to bytes read; `buffer` must stay untouched until then. */
  preadAsync(fd: number, buffer: Buffer, at: number, length: number, offset: number): Promise<number>;
  pwriteAsync(fd: number, buffer: Buffer, at: number, length: number, offset: number): Promise<number>;
  copyFileRangeAsync(
    src: number,
    srcOffset: number,
    dst: number,
    dstOffset: number,
    length: number,
  ): Promise<number>;
  fallocateAsync(fd: number, mode: number, offset: number, length: number): Promise<number>;
  closeAsync(fd: number): Promise<number>;
  /**
   * Copies the whole of `src` to the empty file `dst`: FICLONE, else copy_file_range or read and write over its data
   * extents only (SEEK_DATA), then sets the size; fsyncs `dst` when `sync` is set. Resolves to 0.
   */
  copyFileAsync(src: number, dst: number, size: number, sync: boolean): Promise<number>;
  /** All raw getdents64 entries of a directory. Resolves to a Buffer, or -errno. */
  getdentsAsync(fd: number): Promise<Buffer | number>;
}

/** FUSE over io_uring: what ringOpen made. */
export interface Ring {
  readonly ring: unique symbol;
}

export interface Watch {
  stop(): void;
  /** From now on wakes when readable (1), writable (2), either (3), or never (0); without effect after `stop`. */
  want(events: number): void;
}

const require = createRequire(import.meta.url);

function load(): Native {
  const file =
    process.env.LAMINA_ADDON ?? fileURLToPath(new URL('../../build/Release/lamina.node', import.meta.url));
  let addon: Native;
  try {
    addon = require(file) as Native;
  } catch (cause) {
    throw new Error(`cannot load the addon ${file}; run 'npm install' to build it`, { cause });
  }
  if (addon.statSlots.join() !== STAT_SLOTS.join()) {
    throw new Error(`the addon ${file} is of another version than this code; run 'npm install' to build it`);
  }
  return addon;
}

/** The addon, loaded once per process: the one that `npm install` built, or the file that LAMINA_ADDON names. */
export const native: Native = load();
