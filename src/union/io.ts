// Open files. A handle reads where the node's data is now: a file that is copied up while somebody has it open for reading
// shows him the new data, as kernel overlayfs has done since 4.19.
import { E, ok, Stat, SysError } from '../base/index.js';
import type { Caller, Opened } from '../fuse/index.js';
import { openForReading } from '../layer/index.js';
import {
  AT,
  close,
  copyFileRangeAsync,
  fallocateAsync,
  fsyncAsync,
  lseek,
  O,
  openChild,
  openPath,
  preadAsync,
  preadNowait,
  pwrite,
  pwriteAsync,
  statx,
} from '../sys/index.js';
import { copyUp } from './copyup.js';
import type { Foresight } from './foresight.js';
import * as limited from './limitedio.js';
import { openData, syncOwn } from './metacopy.js';
import type { Meter } from './meter.js';
import { Dir, type Node } from './node.js';
import { dropPrivileges, dropped } from './privileges.js';
import type { Stack } from './stack.js';

/** Writes up to this many bytes are made at once: a worker would cost more than the copy into the page cache. */
const SMALL_WRITE = 128 * 1024;
const KEPT_FLAGS = O.ACCMODE | O.APPEND | O.NONBLOCK | O.DSYNC | O.SYNC;
/** Files of this size or more are not preloaded. */
const SMALL_FILE = 32 * 1024;
const small = Buffer.allocUnsafeSlow(SMALL_FILE);
/** The daemon may open whatever a caller may: that an open succeeds needs no trying. */
const privileged = process.geteuid!() === 0;
const scratch = new Stat();

/** An open file. */
export class FileHandle {
  constructor(
    readonly node: Node,
    /** Access mode and flags of the real file's descriptor. */
    readonly flags: number,
    /** The real file's descriptor; -1: it has not been needed. */
    private real: number,
    private isUpper: boolean,
    /** Wants to know whether the real file is needed. */
    private foresight: Foresight | null = null,
  ) {}

  /** The lower file's descriptor, after the file was copied up; closed with the handle. */
  private before = -1;

  /** A descriptor of the real file as it is now. */
  fd(): number {
    if (this.real < 0) {
      this.needed();
      this.real = openReal(this.node, this.flags);
      this.isUpper = this.node.hasUpperData();
    } else if (!this.isUpper && this.node.hasUpperData()) {
      const fd = openReal(this.node, this.flags);
      // A worker may be reading from it still; its number must not become another file's meanwhile.
      this.before = this.real;
      this.real = fd;
      this.isUpper = true;
    }
    return this.real;
  }

  /** Whoever needs the real file is about to read it: the kernel has its content from now on. */
  private needed(): void {
    if (this.foresight === null) return;
    this.foresight.wasRead();
    this.foresight = null;
    this.node.preloaded = true;
  }

  close(): void {
    this.foresight?.wasNot();
    if (this.real >= 0) close(this.real);
    if (this.before >= 0) close(this.before);
    this.real = this.before = -1;
  }
}

/** Opens the node's real file. */
export function openReal(node: Node, flags: number): number {
  if (node instanceof Dir) return openForReading(node.reals[0]!);
  if (node.data !== null) return ok(openData(node.data, flags), node.describe());
  const quiet = !node.isUpper() && node.real.layer.noatime ? O.NOATIME : 0;
  if (node.detached >= 0) return ok(openPath(`/proc/self/fd/${node.detached}`, flags), node.describe());
  const fd = openChild(node.real.fd(), node.realName, flags | quiet, 0);
  if (fd === -E.EPERM && quiet !== 0)
    return ok(openChild(node.real.fd(), node.realName, flags, 0), node.describe());
  if (fd === -E.ENOENT) throw new SysError(E.ESTALE, node.describe());
  return ok(fd, node.describe());
}

export function open(
  stack: Stack,
  node: Node,
  flags: number,
  killPrivileges: boolean,
): Opened<FileHandle> | Promise<Opened<FileHandle>> {
  const truncates = (flags & O.TRUNC) !== 0;
  const writes = (flags & O.ACCMODE) !== O.RDONLY || truncates;
  if (!writes) return opened(stack, node, flags);
  const copying = copyUp(stack, node, {
    empty: truncates,
    killPrivileges,
    durable: (flags & (O.SYNC | O.DSYNC)) !== 0,
    despite: (flags & O.APPEND) !== 0 && !truncates ? 'append' : 'nothing',
  });
  const finish = () => {
    const result = opened(stack, node, flags);
    if (truncates && killPrivileges) dropPrivileges(node);
    return result;
  };
  return copying === undefined ? finish() : copying.then(finish);
}

function opened(stack: Stack, node: Node, flags: number): Opened<FileHandle> {
  const kept = flags & KEPT_FLAGS;
  if (!node.hasUpperData()) return openedLower(stack, node, kept);
  const truncates = (flags & O.TRUNC) !== 0;
  if (truncates) stack.meter?.watch(node);
  const fd = openReal(node, kept | (flags & O.TRUNC));
  const result = openedAs(stack, node, kept, fd);
  if (truncates) stack.meter?.settle(node, fd);
  return result;
}

/** Opens the real file when it is read, if that can be told from what has happened so far. */
function openedLower(stack: Stack, node: Node, flags: number): Opened<FileHandle> {
  const knows = node.preloaded;
  if (privileged && node.data === null && !(stack.passthrough && stack.behaviour.readonly)) {
    const { foresight } = stack;
    if (knows || !foresight.readsNext()) {
      node.opens++;
      return { handle: new FileHandle(node, flags, -1, false, knows ? null : foresight), keepCache: true };
    }
  }
  const fd = openReal(node, flags);
  const result = openedAs(stack, node, flags, fd);
  if (result.backing !== undefined || knows) return result;
  node.preloaded = true;
  const preload = smallContent(fd);
  return preload === null ? result : { ...result, preload };
}

/**
 * All of a small lower file, if it can be had without waiting for a disk. The first reader is spared a round trip; pages
 * that the kernel drops later are read as usual.
 */
function smallContent(fd: number): Buffer | null {
  const got = preadNowait(fd, small, 0, small.length, 0);
  if (got <= 0 || got === small.length || !isEnd(fd, got)) return null;
  return small.subarray(0, got);
}

/** A handle for a descriptor of the node's real file, which it takes over. `mode`: the file's, where it is known. */
export function openedAs(
  stack: Stack,
  node: Node,
  flags: number,
  fd: number,
  mode?: number,
): Opened<FileHandle> {
  const isUpper = node.hasUpperData();
  const handle = new FileHandle(node, flags & KEPT_FLAGS, fd, isUpper);
  if (stack.meter !== null && isUpper) countOpen(stack.meter, node, flags);
  else node.opens++;
  // A lower file that could still be copied up must not be read behind our back: its readers would miss the copy.
  const direct =
    stack.passthrough && (isUpper || stack.behaviour.readonly) && !losesPrivileges(flags, fd, mode);
  return direct ? { handle, backing: fd, keepCache: true } : { handle, keepCache: true };
}

/** A file that is open for writing is measured from now on; one without a name is in use again. */
function countOpen(meter: Meter, node: Node, flags: number): void {
  if ((flags & O.ACCMODE) !== O.RDONLY || node.detached >= 0) meter.watch(node);
  node.opens++;
  if (node.detached >= 0) meter.settle(node);
}

/**
 * Is this an open for writing of a file that a write changes (setuid, setgid of a group-executable)? The kernel would write
 * as the daemon, which may keep those bits; so such writes come through us.
 */
function losesPrivileges(flags: number, fd: number, mode?: number): boolean {
  if ((flags & O.ACCMODE) === O.RDONLY) return false;
  if (mode !== undefined) return dropped(mode) !== 0;
  ok(statx(fd, '', AT.EMPTY_PATH, scratch.slots), 'fstat');
  return dropped(scratch.mode) !== 0;
}

export function release(stack: Stack, handle: FileHandle): void {
  handle.close();
  // What was written through a mapping of the real file has moved its times, and the kernel has not told us.
  if (stack.passthrough && (handle.flags & O.ACCMODE) !== O.RDONLY) stack.notify.attributes(handle.node);
  handle.node.opens--;
  stack.meter?.released(handle.node, (handle.flags & O.ACCMODE) !== O.RDONLY);
  stack.shrink(handle.node);
}

export function read(
  handle: FileHandle,
  offset: number,
  size: number,
  into: Buffer,
  at: number,
): number | Promise<number> {
  const fd = handle.fd();
  const got = preadNowait(fd, into, at, size, offset);
  if (got === size) return got;
  if (got < 0 && got !== -E.EAGAIN && got !== -E.EOPNOTSUPP && got !== -E.EINVAL) {
    throw new SysError(-got, handle.node.describe());
  }
  if (got >= 0 && isEnd(fd, offset + got)) return got;
  return readRest(handle, offset, size, into, at, Math.max(got, 0));
}

function isEnd(fd: number, offset: number): boolean {
  return statx(fd, '', AT.EMPTY_PATH, scratch.slots) >= 0 && offset >= scratch.size;
}

async function readRest(
  handle: FileHandle,
  offset: number,
  size: number,
  into: Buffer,
  at: number,
  have: number,
): Promise<number> {
  let done = have;
  while (done < size) {
    const got = ok(
      await preadAsync(handle.fd(), into, at + done, size - done, offset + done),
      handle.node.describe(),
    );
    if (got === 0) break;
    done += got;
  }
  return done;
}

export function write(
  stack: Stack,
  handle: FileHandle,
  offset: number,
  data: Buffer,
  killPrivileges: boolean,
): number | Promise<number> {
  if (data.length === 0) return 0;
  const fd = handle.fd();
  if (killPrivileges) dropPrivileges(handle.node);
  const { quota } = stack;
  if (quota?.limitsBytes) return limited.write(quota, handle, offset, data, SMALL_WRITE);
  if (data.length <= SMALL_WRITE) return ok(pwrite(fd, data, 0, data.length, offset), handle.node.describe());
  return pwriteAsync(fd, data, 0, data.length, offset).then(rc => ok(rc, handle.node.describe()));
}

/** Or the descriptor to sync. */
export function fsync(stack: Stack, handle: FileHandle, datasync: boolean): void | Promise<void> | number {
  if (!stack.behaviour.fsync || !handle.node.isUpper()) return;
  // Of metadata alone there is little to write.
  if (handle.node.data !== null) {
    ok(syncOwn(handle.node, datasync), `fsync of ${handle.node.describe()}`);
    return;
  }
  // What a crash of the machine would make of an unsynced copy must be durable too.
  if (!handle.node.unsynced) return handle.fd();
  return stack.group!.settle(handle.node).then(async () => {
    ok(await fsyncAsync(handle.fd(), datasync), `fsync of ${handle.node.describe()}`);
  });
}

export function fallocate(
  stack: Stack,
  caller: Caller,
  handle: FileHandle,
  mode: number,
  offset: number,
  length: number,
): Promise<void> {
  if (caller.uid !== 0) dropPrivileges(handle.node);
  if (stack.quota?.limitsBytes) return limited.allocate(stack.quota, handle, mode, offset, length);
  return fallocateAsync(handle.fd(), mode, offset, length).then(rc => {
    ok(rc, handle.node.describe());
  });
}

export function seek(handle: FileHandle, offset: number, whence: number): number {
  return ok(lseek(handle.fd(), offset, whence), handle.node.describe());
}

export function copyRange(
  stack: Stack,
  caller: Caller,
  source: FileHandle,
  from: number,
  target: FileHandle,
  to: number,
  length: number,
): Promise<number> {
  if (caller.uid !== 0) dropPrivileges(target.node);
  if (stack.quota?.limitsBytes) return limited.copyRange(stack.quota, source, from, target, to, length);
  return copyFileRangeAsync(source.fd(), from, target.fd(), to, length).then(rc =>
    ok(rc, target.node.describe()),
  );
}
