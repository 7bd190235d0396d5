// What a volume's blocks hold: reads what is mapped or not, and gives a fresh block its first content, so that no byte around
// a small write changes. Follows its I/O, so that freed blocks are not reused under it.
import type { Allocator } from './allocator.js';
import type { DataFile } from './datafile.js';
import type { External } from './external.js';
import type { Inflight } from './inflight.js';
import type { PoolOptions } from './options.js';
import type { VolumeRow } from './schema.js';
import type { BlockSource } from './space.js';
import type { State } from './state.js';

/** What all devices of a pool use. */
export interface DeviceHost {
  readonly blockSize: number;
  readonly state: State;
  readonly data: DataFile;
  readonly allocator: Allocator;
  readonly space: BlockSource;
  readonly inflight: Inflight;
  options(): PoolOptions;
  /** Bytes of a volume, as durable. */
  sizeOf(row: VolumeRow): number;
  /** Pages have lost their last reference. */
  doomed(): void;
}

/** Blocks up to this size are copied through one buffer. */
const WHOLE_COPY = 2 ** 20;

export class Content {
  private spare: Buffer | null = null;

  constructor(
    private readonly host: DeviceHost,
    readonly external: External | null,
  ) {}

  /** Reads from the data file. */
  readData(from: number, length: number, into: Buffer, at: number): void | Promise<void> {
    const done = this.host.data.read(from, length, into, at);
    if (done !== undefined) return this.host.inflight.track(done);
  }

  /** Reads what nothing is mapped for. */
  readHole(offset: number, length: number, into: Buffer, at: number): void | Promise<void> {
    if (this.external !== null) {
      return this.host.inflight.track(this.external.read(offset, length, into, at));
    }
    into.fill(0, at, at + length);
  }

  /** Gives a fresh block its first content: the piece, and around it what was there before. */
  fill(block: number, old: number, offset: number, data: Buffer): void | Promise<void> {
    const { blockSize } = this.host;
    const inBlock = offset % blockSize;
    const begin = block * blockSize;
    if (data.length === blockSize) return this.writeRaw(begin, data);
    if (old < 0 && this.external === null) return this.fillHole(begin, inBlock, data);
    if (blockSize > WHOLE_COPY) return this.fillInPieces(begin, old, offset, data);
    const buffer = this.spare ?? Buffer.allocUnsafe(blockSize);
    this.spare = null;
    const read =
      old >= 0
        ? this.readData(old * blockSize, blockSize, buffer, 0)
        : this.readHole(offset - inBlock, blockSize, buffer, 0);
    if (read !== undefined) return read.then(() => this.writeAround(begin, inBlock, data, buffer));
    return this.writeAround(begin, inBlock, data, buffer);
  }

  private writeAround(begin: number, inBlock: number, data: Buffer, buffer: Buffer): void | Promise<void> {
    data.copy(buffer, inBlock);
    const done = this.writeRaw(begin, buffer);
    if (done === undefined) this.spare = buffer;
    return done;
  }

  private fillHole(begin: number, inBlock: number, data: Buffer): void | Promise<void> {
    const { data: file, blockSize } = this.host;
    if (file.zeroes || !this.host.options().zeroing) return this.writeRaw(begin + inBlock, data);
    const zeroed = this.host.inflight.track(file.zero(begin, blockSize));
    return zeroed.then(() => this.writeRaw(begin + inBlock, data));
  }

  private async fillInPieces(begin: number, old: number, offset: number, data: Buffer): Promise<void> {
    const { blockSize } = this.host;
    const inBlock = offset % blockSize;
    const buffer = Buffer.allocUnsafe(WHOLE_COPY);
    for (let at = 0; at < blockSize; at += WHOLE_COPY) {
      const bytes = Math.min(WHOLE_COPY, blockSize - at);
      if (at >= inBlock && at + bytes <= inBlock + data.length) continue;
      if (old >= 0) await this.readData(old * blockSize + at, bytes, buffer, 0);
      else await this.readHole(offset - inBlock + at, bytes, buffer, 0);
      await this.writeRaw(begin + at, bytes === WHOLE_COPY ? buffer : buffer.subarray(0, bytes));
    }
    await this.writeRaw(begin + inBlock, data);
  }

  /** Writes to the data file. */
  writeRaw(to: number, data: Buffer): void | Promise<void> {
    const done = this.host.data.write(to, data);
    if (done !== undefined) return this.host.inflight.track(done);
  }
}
