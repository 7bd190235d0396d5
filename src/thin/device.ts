// One thin device while it is in use: reads, zeros, discards and its extents, split at blocks; writes are in writing.ts.
import { setImmediate } from 'node:timers/promises';
import { E, type ExtentVisitor, SysError } from '../base/index.js';
import { all, together } from './all.js';
import { Content, type DeviceHost } from './content.js';
import { blockAt, FANOUT } from './entry.js';
import type { External } from './external.js';
import type { VolumeRow } from './schema.js';
import { Writing } from './writing.js';

/** Leaves of the map that are worked through in one go. */
const LEAVES_AT_ONCE = 32;
const ZEROS = Buffer.alloc(2 ** 20);
/** Pieces of a range that are zeroed, or found to be holes, in one go. */
const PIECES_AT_ONCE = 32;

export class ThinDevice {
  private readonly content: Content;
  private readonly writing: Writing;

  constructor(
    private readonly host: DeviceHost,
    readonly row: VolumeRow,
    external: External | null,
  ) {
    this.content = new Content(host, external);
    this.writing = new Writing(host, row, this.content);
  }

  read(offset: number, length: number, into: Buffer, at: number): void | Promise<void> {
    const pending: Promise<void>[] = [];
    try {
      this.readPieces(offset, length, { into, at, pending });
    } catch (error) {
      if (pending.length === 0) throw error;
      pending.push(Promise.reject(error));
    }
    if (pending.length > 0) return all(pending);
  }

  private readPieces(
    offset: number,
    length: number,
    { into, at, pending }: { into: Buffer; at: number; pending: Promise<void>[] },
  ): void {
    const { blockSize, state } = this.host;
    const end = offset + length;
    while (offset < end) {
      const block = state.tree.find(this.row, Math.floor(offset / blockSize));
      const from = block * blockSize + (offset % blockSize);
      let bytes = Math.min(end - offset, blockSize - (offset % blockSize));
      if (block >= 0) bytes = this.follow(offset, end, bytes, from);
      const done =
        block >= 0
          ? this.content.readData(from, bytes, into, at)
          : this.content.readHole(offset, bytes, into, at);
      if (done !== undefined) pending.push(done);
      offset += bytes;
      at += bytes;
    }
  }

  /** How far the data that begins at `offset` and lies at `from` goes on in one piece; `bytes` is known to. */
  private follow(offset: number, end: number, bytes: number, from: number): number {
    const { blockSize, state } = this.host;
    while (offset + bytes < end) {
      const block = state.tree.find(this.row, (offset + bytes) / blockSize);
      if (block * blockSize !== from + bytes) break;
      bytes += Math.min(end - offset - bytes, blockSize);
    }
    return bytes;
  }

  write(offset: number, data: Buffer): void | Promise<void> {
    return this.writing.write(offset, data);
  }

  /** Makes a range read as zeros. */
  zero(offset: number, length: number, unmap: boolean): void | Promise<void> {
    const { blockSize } = this.host;
    const end = offset + length;
    const first = Math.ceil(offset / blockSize);
    const last = this.lastBlock(end);
    const gives = unmap && this.content.external === null && this.host.options().discards !== 'ignore';
    if (!gives || first >= last) return this.zeroPieces(offset, end, unmap);
    return together([
      () => this.zeroPieces(offset, first * blockSize, unmap),
      () => this.unmap(first, last),
      () => this.zeroPieces(Math.min(end, last * blockSize), end, unmap),
    ]);
  }

  private zeroPieces(offset: number, end: number, unmap: boolean): void | Promise<void> {
    const { gate } = this.writing;
    for (let pieces = 0; offset < end; pieces++) {
      const from = offset;
      if (gate.closed) return gate.opened().then(() => this.zeroPieces(from, end, unmap));
      if (pieces === PIECES_AT_ONCE) return setImmediate().then(() => this.zeroPieces(from, end, unmap));
      const hole = unmap ? this.holeAt(offset) : 0;
      const stop = Math.min(end, offset + (hole > 0 ? hole : this.pieceAt(offset)));
      if (hole === 0) {
        const done = this.write(offset, ZEROS.subarray(0, stop - offset));
        if (done !== undefined) return done.then(() => this.zeroPieces(stop, end, unmap));
      }
      offset = stop;
    }
  }

  /** Bytes to the end of the block, as far as they are zeroed in one go. */
  private pieceAt(offset: number): number {
    const { blockSize } = this.host;
    return Math.min(blockSize - (offset % blockSize), ZEROS.length);
  }

  /** Bytes from here that are no block's, and zeros: to the block's end at least; 0 when there is a block. */
  private holeAt(offset: number): number {
    if (this.content.external !== null) return 0;
    const { blockSize, state } = this.host;
    const index = Math.floor(offset / blockSize);
    const { leaf, end } = state.tree.nextLeaf(this.row, index);
    const stop = leaf === null && this.writing.fillingIn(index, end) === undefined ? end : index + 1;
    if (leaf !== null && blockAt(leaf.words, index % FANOUT) >= 0) return 0;
    return this.writing.fillingIn(index, index + 1) === undefined ? stop * blockSize - offset : 0;
  }

  /** Unmaps the whole blocks of the range, if the pool's options let it. */
  discard(offset: number, length: number): void | Promise<void> {
    if (this.host.options().discards === 'ignore') return;
    return this.unmap(Math.ceil(offset / this.host.blockSize), this.lastBlock(offset + length));
  }

  /** The end of the whole blocks before `end`; the volume's last block is whole where the volume ends. */
  private lastBlock(end: number): number {
    const { blockSize } = this.host;
    return end === this.size ? Math.ceil(end / blockSize) : Math.floor(end / blockSize);
  }

  /** Unmaps the virtual blocks `from` to `to` (exclusive). */
  unmap(from: number, to: number): void | Promise<void> {
    const { tree } = this.host.state;
    for (let leaves = 0; from < to; leaves++) {
      if (this.writing.gate.closed) return this.writing.gate.opened().then(() => this.unmap(from, to));
      const { leaf, end } = tree.nextLeaf(this.row, from);
      const stop = Math.min(end, to);
      const filling = this.writing.fillingIn(from, stop);
      if (filling !== undefined) return filling.then(() => this.unmap(from, to));
      if (leaf !== null) {
        tree.unmap(this.row, from, stop);
        this.host.state.changeVolume(this.row);
      }
      from = stop;
      if (leaves >= LEAVES_AT_ONCE) return setImmediate().then(() => this.unmap(from, to));
    }
    if (tree.doomed.size > 0) this.host.doomed();
  }

  extents(offset: number, length: number, visit: ExtentVisitor): void {
    const { blockSize, state } = this.host;
    const end = offset + length;
    let kind = false;
    let piece = 0;
    const add = (bytes: number, hole: boolean): boolean => {
      if (hole !== kind && piece > 0) {
        if (!visit(piece, kind)) return false;
        piece = 0;
      }
      kind = hole;
      piece += bytes;
      return true;
    };
    for (let leaves = 0; offset < end && leaves < LEAVES_AT_ONCE * 32; leaves++) {
      const found = state.tree.nextLeaf(this.row, Math.floor(offset / blockSize));
      const stop = Math.min(found.end * blockSize, end);
      while (offset < stop) {
        const slot = Math.floor(offset / blockSize) % FANOUT;
        const next =
          found.leaf === null ? stop : Math.min(stop, (Math.floor(offset / blockSize) + 1) * blockSize);
        const mapped = found.leaf !== null && blockAt(found.leaf.words, slot) >= 0;
        if (!add(next - offset, !mapped && this.content.external === null)) return;
        offset = next;
      }
    }
    if (piece > 0) visit(piece, kind);
  }

  /** Holds new changes back; the result lets them go on. */
  hold(): () => void {
    return this.writing.gate.close();
  }

  /** Resolves when no change is under way. */
  calm(): Promise<void> {
    return this.writing.gate.calm();
  }

  /** Bytes that its users may reach. */
  get size(): number {
    return this.host.sizeOf(this.row);
  }

  checkRange(offset: number, length: number): void {
    if (offset >= 0 && length >= 0 && offset + length <= this.size) return;
    throw new SysError(
      E.EINVAL,
      `bytes ${offset} to ${offset + length} are beyond the ${this.size} bytes of ${this.row.name}`,
    );
  }

  /** The pool closes: changes that are held back fail. */
  end(error: SysError): void {
    this.writing.gate.end(error);
    this.close();
  }

  close(): void {
    this.content.external?.close();
  }
}
