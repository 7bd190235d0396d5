// A block device with the meaning of a regular file of fixed size: reads end at its end, writes past it find no space,
// holes are its extents, a hole that is punched reads as zeros. Whatever the device does at once is answered at once.
import { type BlockDevice, E, SysError } from '../base/index.js';
import { FALLOC, SEEK } from '../sys/index.js';

const PAST_END = new SysError(E.ENOSPC, 'write past the end of a volume');
const GROWS = new SysError(
  E.EPERM,
  'fallocate past the end of a volume: its size is changed by `lamina volume resize`',
);
const UNSUPPORTED = new SysError(E.EOPNOTSUPP, 'fallocate of a volume: only holes and zeros');
const NO_MORE = new SysError(E.ENXIO, 'no data there, or past the end of a volume');

/** Bytes put into `into` from `at`; fewer than `size` at the end. */
export function readAt(
  device: BlockDevice,
  offset: number,
  size: number,
  into: Buffer,
  at: number,
): number | Promise<number> {
  const length = Math.min(size, device.size - offset);
  if (length <= 0) return 0;
  const done = device.read(offset, length, into, at);
  return done === undefined ? length : done.then(() => length);
}

/** Bytes written: fewer than given at the end, ENOSPC past it. With `sync` they are durable. */
export function writeAt(
  device: BlockDevice,
  offset: number,
  data: Buffer,
  sync: boolean,
): number | Promise<number> {
  const length = Math.min(data.length, device.size - offset);
  if (length <= 0) {
    if (data.length === 0) return 0;
    throw PAST_END;
  }
  const done = device.write(offset, length === data.length ? data : data.subarray(0, length));
  if (sync) return settle(done, device, length);
  return done === undefined ? length : done.then(() => length);
}

async function settle(done: void | Promise<void>, device: BlockDevice, length: number): Promise<number> {
  await done;
  await device.flush();
  return length;
}

/**
 * fallocate(2): PUNCH_HOLE gives space back, ZERO_RANGE keeps what is there and takes none for the rest (so that a mkfs
 * that zeroes its journal costs nothing); neither changes the size. EOPNOTSUPP for everything else.
 */
export function allocate(
  device: BlockDevice,
  mode: number,
  offset: number,
  length: number,
): void | Promise<void> {
  const kind = mode & ~FALLOC.KEEP_SIZE;
  if (kind !== FALLOC.PUNCH_HOLE && kind !== FALLOC.ZERO_RANGE) throw UNSUPPORTED;
  if ((mode & FALLOC.KEEP_SIZE) === 0 && offset + length > device.size) throw GROWS;
  const inside = Math.min(length, device.size - offset);
  if (inside <= 0) return;
  if (kind === FALLOC.PUNCH_HOLE) return device.zero(offset, inside, true);
  return zeroData(device, dataIn(device, offset, inside), 0);
}

interface Piece {
  readonly offset: number;
  readonly length: number;
}

function dataIn(device: BlockDevice, offset: number, length: number): Piece[] {
  const pieces: Piece[] = [];
  const end = offset + length;
  // A visit may end before the range does.
  for (let at = offset; at < end; ) {
    device.extents(at, end - at, (length, hole) => {
      if (!hole) pieces.push({ offset: at, length });
      at += length;
      return true;
    });
  }
  return pieces;
}

/** Zeroes the pieces from the `first` on, one after the other. */
function zeroData(device: BlockDevice, pieces: readonly Piece[], first: number): void | Promise<void> {
  for (let i = first; i < pieces.length; i++) {
    const { offset, length } = pieces[i]!;
    const done = device.zero(offset, length, false);
    if (done !== undefined) return done.then(() => zeroData(device, pieces, i + 1));
  }
}

/** lseek(2) with SEEK_DATA or SEEK_HOLE; there is a hole at the end. ENXIO where there is nothing to find. */
export function seek(device: BlockDevice, offset: number, whence: number): number {
  const wanted = whence === SEEK.HOLE;
  const { size } = device;
  if (offset >= size) throw NO_MORE;
  let at = offset;
  let found = false;
  // A visit may end before the range does.
  while (!found && at < size) {
    device.extents(at, size - at, (length, hole) => {
      found = hole === wanted;
      if (!found) at += length;
      return !found;
    });
  }
  if (found) return at;
  if (wanted) return size;
  throw NO_MORE;
}
