// READ: the device reads into the reply itself. A simple reply, or structured chunks: one for all of a small read, or of
// one that must not be taken apart (DF); otherwise a chunk for each piece, where holes carry no bytes.
import {
  CHUNK_BYTES,
  HOLE_BYTES,
  OFFSET_BYTES,
  type Request,
  SIMPLE_BYTES,
  writeChunk,
  writeDataChunk,
  writeHoleChunk,
  writeSimple,
} from './layout.js';
import { CHUNK, CHUNK_DONE, FLAG } from './protocol.js';
import type { Transmission } from './transmission.js';

/** Reads from this size on are told their holes: asking the map costs something, and saves copying zeros. */
const HOLES_FROM = 4096;
/** A reply has at most so many pieces; what comes after them counts as data. */
export const MAX_PIECES = 64;
const DATA_HEAD = CHUNK_BYTES + OFFSET_BYTES;
const HOLE_CHUNK = CHUNK_BYTES + HOLE_BYTES;

export function read(t: Transmission, request: Request): void | Promise<void> {
  if (!t.structured) return readWhole(t, request, SIMPLE_BYTES);
  if (request.length === 0) return readNothing(t, request);
  if (request.length >= HOLES_FROM && (request.flags & FLAG.DF) === 0) {
    t.pieces.collect(t.device, request.offset, request.length, MAX_PIECES);
    if (t.pieces.count > 1 || t.pieces.holes[0] === 1) return readPieces(t, request);
  }
  return readWhole(t, request, DATA_HEAD);
}

function readNothing(t: Transmission, request: Request): void {
  t.output.reserve(CHUNK_BYTES);
  writeChunk(t.output.buffer, t.output.at, request, CHUNK.NONE, CHUNK_DONE, 0);
  t.output.commit(CHUNK_BYTES);
}

function writeHead(buffer: Buffer, at: number, request: Request, head: number): void {
  if (head === SIMPLE_BYTES) writeSimple(buffer, at, request, 0);
  else writeDataChunk(buffer, at, request, CHUNK_DONE, request.offset, request.length);
}

function readWhole(t: Transmission, request: Request, head: number): void | Promise<void> {
  const { output } = t;
  const total = head + request.length;
  output.reserve(total);
  const { buffer, at } = output;
  writeHead(buffer, at, request, head);
  const pending = t.device.read(request.offset, request.length, buffer, at + head);
  if (pending === undefined) output.commit(total);
  else return later(t, [pending], total);
}

/** Sends what was reserved when everything that reads into it has ended; nothing of it when something failed. */
async function later(t: Transmission, reads: readonly Promise<void>[], total: number): Promise<void> {
  const piece = t.output.detach(total);
  const failed = (await Promise.allSettled(reads)).find(each => each.status === 'rejected');
  if (failed !== undefined) {
    piece.slab.release();
    throw failed.reason;
  }
  t.output.attach(piece);
}

function readPieces(t: Transmission, request: Request): void | Promise<void> {
  const { pieces, output } = t;
  addRest(t, request.length);
  let total = 0;
  for (let i = 0; i < pieces.count; i++) {
    total += pieces.holes[i] === 1 ? HOLE_CHUNK : DATA_HEAD + pieces.lengths[i]!;
  }
  output.reserve(total);
  const reads: Promise<void>[] = [];
  let at = output.at;
  let { offset } = request;
  for (let i = 0; i < pieces.count; i++) {
    const length = pieces.lengths[i]!;
    const flags = i === pieces.count - 1 ? CHUNK_DONE : 0;
    if (pieces.holes[i] === 1) {
      writeHoleChunk(output.buffer, at, request, flags, offset, length);
      at += HOLE_CHUNK;
    } else {
      writeDataChunk(output.buffer, at, request, flags, offset, length);
      const pending = startRead(t, offset, length, at + DATA_HEAD);
      if (pending !== undefined) reads.push(pending);
      at += DATA_HEAD + length;
    }
    offset += length;
  }
  if (reads.length === 0) output.commit(total);
  else return later(t, reads, total);
}

/** What fails at once fails like what fails later, since other reads of this reply may be under way. */
function startRead(t: Transmission, offset: number, length: number, at: number): void | Promise<void> {
  try {
    return t.device.read(offset, length, t.output.buffer, at);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Makes the pieces cover the whole request. */
function addRest({ pieces }: Transmission, length: number): void {
  const rest = length - pieces.covered;
  if (rest === 0) return;
  const last = pieces.count - 1;
  if (pieces.holes[last] === 0) {
    pieces.lengths[last]! += rest;
  } else {
    pieces.lengths[pieces.count] = rest;
    pieces.holes[pieces.count++] = 0;
  }
}
