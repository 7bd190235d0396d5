// Data of files under a limit of bytes. Where there is room for the worst case, the data is taken and then measured. Close
// to the limit it is taken in pieces that cannot exceed it, the last ones block by block: a block that turns out to be one
// too many is given back.
import { E, ok, Stat, SysError } from '../base/index.js';
import {
  AT,
  copyFileRangeAsync,
  FALLOC,
  fallocate,
  fallocateAsync,
  ftruncate,
  lseek,
  pwrite,
  pwriteAsync,
  SEEK,
  statx,
} from '../sys/index.js';
import type { FileHandle } from './io.js';
import { noSpace, type Quota } from './quota.js';

const before = new Stat();
const PUNCH = FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE;
/** Modes that take no blocks. */
const FREE_MODES = FALLOC.PUNCH_HOLE | FALLOC.COLLAPSE_RANGE | FALLOC.INSERT_RANGE;

/** Does something with bytes of a file; bytes done, or -errno. */
type Act = (fd: number, offset: number, length: number) => number;

/** Writes up to `atOnce` bytes in this turn of the event loop, more on a worker. Fewer bytes than asked: it is full. */
export function write(
  quota: Quota,
  handle: FileHandle,
  offset: number,
  data: Buffer,
  atOnce: number,
): number | Promise<number> {
  if (quota.room() < worst(quota, data.length)) {
    if (quota.busy) return quota.idle().then(() => write(quota, handle, offset, data, atOnce));
    const at = (to: number) => to - offset;
    return inPieces(quota, handle, offset, data.length, (fd, to, length) =>
      pwrite(fd, data, at(to), length, to),
    );
  }
  const fd = handle.fd();
  if (data.length <= atOnce) {
    const rc = pwrite(fd, data, 0, data.length, offset);
    quota.meter.settle(handle.node, fd);
    return ok(rc, handle.node.describe());
  }
  return promised(quota, handle, worst(quota, data.length), () =>
    pwriteAsync(fd, data, 0, data.length, offset),
  );
}

export async function allocate(
  quota: Quota,
  handle: FileHandle,
  mode: number,
  offset: number,
  length: number,
): Promise<void> {
  const fd = handle.fd();
  if ((mode & FREE_MODES) !== 0) {
    const rc = await fallocateAsync(fd, mode, offset, length);
    quota.meter.settle(handle.node, fd);
    ok(rc, handle.node.describe());
    return;
  }
  for (let done = 0; done < length; ) {
    if (quota.room() < worst(quota, length - done) && quota.busy) await quota.idle();
    const piece = pieceAt(quota, offset + done, length - done);
    if (piece > 0) {
      const from = offset + done;
      await promised(quota, handle, worst(quota, piece), () => fallocateAsync(fd, mode, from, piece));
      done += piece;
      continue;
    }
    const act: Act = (_, at, bytes) => Math.min(0, fallocate(fd, mode, at, bytes)) || bytes;
    done += lastBlock(quota, handle, offset + done, length - done, act);
  }
}

export async function copyRange(
  quota: Quota,
  source: FileHandle,
  from: number,
  target: FileHandle,
  to: number,
  length: number,
): Promise<number> {
  while (quota.room() < worst(quota, length) && quota.busy) await quota.idle();
  const piece = pieceAt(quota, to, length);
  if (piece > 0)
    return promised(quota, target, worst(quota, piece), () =>
      copyFileRangeAsync(source.fd(), from, target.fd(), to, piece),
    );
  // Over what is there already nothing is needed.
  const fd = target.fd();
  if (lseek(fd, to, SEEK.DATA) !== to) throw noSpace(target.node.describe());
  const there = Math.min(length, lseek(fd, to, SEEK.HOLE) - to);
  return promised(quota, target, 0, () => copyFileRangeAsync(source.fd(), from, fd, to, there));
}

/** What so many bytes may take, wherever they begin in a block. */
function worst(quota: Quota, length: number): number {
  return (Math.ceil(length / quota.block) + 1) * quota.block;
}

/** How many of `length` bytes at `offset` fit in any case. */
function pieceAt(quota: Quota, offset: number, length: number): number {
  const room = quota.room();
  if (room >= worst(quota, length)) return length;
  const blocks = Math.max(0, Math.floor(room / quota.block));
  return Math.min(length, Math.max(0, blocks * quota.block - (blocks > 0 ? offset % quota.block : 0)));
}

/** Works asynchronously with room promised for what it `takes` in bytes; counts the file after it. */
async function promised(
  quota: Quota,
  handle: FileHandle,
  takes: number,
  work: () => Promise<number>,
): Promise<number> {
  const done = quota.work(Math.min(takes, Math.max(0, quota.room())));
  try {
    return ok(await work(), handle.node.describe());
  } finally {
    quota.meter.settle(handle.node);
    done();
  }
}

function inPieces(quota: Quota, handle: FileHandle, offset: number, length: number, act: Act): number {
  const fd = handle.fd();
  for (let done = 0; done < length; ) {
    const piece = pieceAt(quota, offset + done, length - done);
    try {
      if (piece === 0) done += lastBlock(quota, handle, offset + done, length - done, act);
      else {
        const rc = act(fd, offset + done, piece);
        quota.meter.settle(handle.node, fd);
        done += ok(rc, handle.node.describe());
      }
    } catch (error) {
      // What has been done counts; whoever goes on hears of the rest.
      if (done > 0 && error instanceof SysError) return done;
      throw error;
    }
  }
  return length;
}

/**
 * Goes on to the end of one block although there is no room for a block: it may have one already (data, or preallocated).
 * If it takes one all the same, that is given back, and it is ENOSPC.
 */
function lastBlock(quota: Quota, handle: FileHandle, offset: number, length: number, act: Act): number {
  const { block, meter } = quota;
  const fd = handle.fd();
  const what = handle.node.describe();
  const start = offset - (offset % block);
  const piece = Math.min(length, start + block - offset);
  const isData = lseek(fd, offset, SEEK.DATA) === offset;
  ok(statx(fd, '', AT.EMPTY_PATH, before.slots), what);
  const { size } = before;
  const held = meter.known().bytes;
  const rc = act(fd, offset, piece);
  meter.settle(handle.node, fd);
  if (isData || meter.known().bytes <= held || quota.room() >= 0) return ok(rc, what);
  if (offset + piece > size) ok(ftruncate(fd, size), what);
  // Beyond the old end truncation has freed it; a block that was a hole before holds nothing else.
  if (start < size) {
    const punched = fallocate(fd, PUNCH, start, block);
    if (punched !== -E.EOPNOTSUPP) ok(punched, what);
  }
  meter.settle(handle.node, fd);
  throw noSpace(what);
}
