// What a copy out of a pool reads: a volume that stands still, and its pieces of data and of nothing in order. Maps are
// walked in portions between which other work of the thread goes on.
import { randomUUID } from 'node:crypto';
import { setImmediate as others } from 'node:timers/promises';
import type { BlockDevice } from '../base/index.js';
import type { Pool, VolumeInfo } from './pool.js';
import { MAX_PAYLOAD } from './stream.js';

/** Bytes done of bytes in all; the last call has both equal. What it throws ends the operation. */
export type Progress = (done: number, total: number) => void;

/** A range of a device in bytes. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** A range that holds data, or that reads as zeros and takes no space. */
export interface Piece extends Range {
  readonly hole: boolean;
}

/** A volume whose content does not change, and the name of that content. */
export interface Frozen {
  readonly device: BlockDevice;
  readonly info: VolumeInfo;
  readonly guid: string;
}

/** Pieces found, and blocks looked at, in one go. A hole can be any length: looking at it costs little. */
const PIECES = 1024;
const BLOCKS = 32 * 1024;

/**
 * Runs `body` with the content that a volume has now: a read-only volume itself, of a writable one a snapshot that nobody
 * sees. The snapshot is removed afterwards, at the pool's next opening if the process dies before.
 */
export async function withFrozen<T>(
  pool: Pool,
  name: string,
  body: (frozen: Frozen) => Promise<T>,
): Promise<T> {
  const info = pool.info(name);
  if (info.readOnly || pool.status().mode === 'ro') {
    const device = pool.volume(name);
    try {
      return await body({ device, info, guid: info.readOnly ? info.guid : randomUUID() });
    } finally {
      await device.close();
    }
  }
  const guid = randomUUID();
  const snapshot = await pool.partialVolume({ name: `frozen-${guid}`, size: info.size, base: name, guid });
  try {
    return await body({ device: snapshot, info, guid });
  } finally {
    await snapshot.abandon();
  }
}

/** The most that is read at once, in bytes: whole blocks if a block is not more. */
export function portionFor(blockSize: number): number {
  return blockSize > MAX_PAYLOAD ? MAX_PAYLOAD : Math.floor(MAX_PAYLOAD / blockSize) * blockSize;
}

/** The pieces of a range; neighbours of one kind are one piece. */
export async function* piecesOf(device: BlockDevice, { offset, length }: Range): AsyncGenerator<Piece> {
  const end = offset + length;
  let last: Piece | null = null;
  let step = BLOCKS * device.blockSize;
  for (let at = offset; at < end; ) {
    const found: Piece[] = [];
    let holes = true;
    device.extents(at, Math.min(step, end - at), (size, hole) => {
      if (last !== null && last.hole === hole) last = { ...last, length: last.length + size };
      else {
        if (last !== null) found.push(last);
        last = { offset: at, length: size, hole };
      }
      at += size;
      holes &&= hole;
      return found.length < PIECES;
    });
    yield* found;
    step = holes ? 2 * step : BLOCKS * device.blockSize;
    await others();
  }
  if (last !== null) yield last;
}

/** Bytes of data in a range. */
export async function countData(device: BlockDevice, range: Range): Promise<number> {
  let data = 0;
  for await (const { length, hole } of piecesOf(device, range)) if (!hole) data += length;
  return data;
}

/** A piece cut at the multiples of `portion`. */
export function* portions({ offset, length }: Range, portion: number): Generator<Range> {
  const end = offset + length;
  for (let at = offset; at < end; ) {
    const next = Math.min(end, (Math.floor(at / portion) + 1) * portion);
    yield { offset: at, length: next - at };
    at = next;
  }
}
