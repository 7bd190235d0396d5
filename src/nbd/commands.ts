// The commands of the transmission phase, one row each: what flags it takes, what is refused before it runs, and what it does
// to the device. DISC has no row: it is not answered.

import { Refusal } from './errors.js';
import { CHUNK_BYTES, CONTEXT_BYTES, EXTENT_BYTES, type Request, writeChunk, writeExtent } from './layout.js';
import { ALLOCATION, CHUNK, CHUNK_DONE, COMMAND, FLAG, MAX_PAYLOAD, NBD_ERROR } from './protocol.js';
import { read } from './read.js';
import type { Transmission } from './transmission.js';

export interface Command {
  readonly name: string;
  /** What it takes beside FUA, which every command takes. */
  readonly flags: number;
  /** Changes the device: refused on a read-only one. */
  readonly writes: boolean;
  /** Bytes that a request may name. */
  readonly limit: number;
  /** The answer to a range that is not inside the device. */
  readonly beyond: number;
  /** Queues its own answer when it succeeds, structured where that was agreed; the others are answered for. */
  readonly answers: boolean;
  /** Does it, now or later. `request` and the device's extents are good until it returns, `data` until it has ended. */
  run(t: Transmission, request: Request, data: Buffer): void | Promise<void>;
}

/** The limit of commands that carry no bytes. */
export const UNLIMITED = 0xffffffff;
const { EINVAL, ENOSPC, ENOTSUP } = NBD_ERROR;

function row(
  name: string,
  run: Command['run'],
  details: Partial<Omit<Command, 'name' | 'run'>> = {},
): Command {
  return { name, run, flags: 0, writes: false, limit: UNLIMITED, beyond: EINVAL, answers: false, ...details };
}

const WRITES = { writes: true, beyond: ENOSPC };

/** By type. */
export const COMMANDS: Readonly<Record<number, Command>> = {
  [COMMAND.READ]: row('READ', read, { flags: FLAG.DF, limit: MAX_PAYLOAD, answers: true }),
  [COMMAND.WRITE]: row('WRITE', write, { ...WRITES, limit: MAX_PAYLOAD }),
  [COMMAND.FLUSH]: row('FLUSH', flush, { limit: 0 }),
  [COMMAND.TRIM]: row('TRIM', trim, { writes: true }),
  [COMMAND.CACHE]: row('CACHE', cache),
  [COMMAND.WRITE_ZEROES]: row('WRITE_ZEROES', zero, { ...WRITES, flags: FLAG.NO_HOLE | FLAG.FAST_ZERO }),
  [COMMAND.BLOCK_STATUS]: row('BLOCK_STATUS', blockStatus, { flags: FLAG.REQ_ONE, answers: true }),
};

function write({ device }: Transmission, { offset }: Request, data: Buffer): void | Promise<void> {
  return device.write(offset, data);
}

function flush({ device }: Transmission): Promise<void> {
  return device.flush();
}

function trim({ device }: Transmission, { offset, length }: Request): void | Promise<void> {
  return device.discard(offset, length);
}

/** Fast is what gives whole blocks back; all else would write zeros. */
function zero({ device }: Transmission, request: Request): void | Promise<void> {
  const { offset, length, flags } = request;
  const unmap = (flags & FLAG.NO_HOLE) === 0;
  if ((flags & FLAG.FAST_ZERO) !== 0) {
    const first = Math.ceil(offset / device.blockSize) * device.blockSize;
    if (!unmap || first + device.blockSize > offset + length)
      throw new Refusal(ENOTSUP, 'not faster than writing');
  }
  return device.zero(offset, length, unmap);
}

/** Brings the range to where it can be read from fast: reads it, in steps between which others have their turn. */
async function cache(t: Transmission, request: Request): Promise<void> {
  const end = request.offset + request.length;
  const step = t.nowhere.length;
  for (let at = request.offset; at < end && !t.ended; at += step) {
    await t.device.read(at, Math.min(step, end - at), t.nowhere, 0);
    await new Promise(resolve => setImmediate(resolve));
  }
}

function blockStatus(t: Transmission, request: Request): void {
  const { extents, output } = t;
  if (!t.allocation) throw new Refusal(EINVAL, 'no metadata context was set');
  if (request.length === 0) throw new Refusal(EINVAL, 'BLOCK_STATUS of nothing');
  const most = (request.flags & FLAG.REQ_ONE) === 0 ? extents.lengths.length : 1;
  extents.collect(t.device, request.offset, request.length, most);
  const payload = CONTEXT_BYTES + EXTENT_BYTES * extents.count;
  output.reserve(CHUNK_BYTES + payload);
  const { buffer } = output;
  let at = output.at + CHUNK_BYTES;
  writeChunk(buffer, output.at, request, CHUNK.BLOCK_STATUS, CHUNK_DONE, payload);
  buffer.writeUInt32BE(ALLOCATION.ID, at);
  at += CONTEXT_BYTES;
  for (let i = 0; i < extents.count; i++, at += EXTENT_BYTES) {
    writeExtent(
      buffer,
      at,
      extents.lengths[i]!,
      extents.holes[i] === 1 ? ALLOCATION.HOLE | ALLOCATION.ZERO : 0,
    );
  }
  output.commit(CHUNK_BYTES + payload);
}
