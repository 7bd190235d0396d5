// A volume whose blocks lie far apart in its map: block i of what a test sees is block i * `factor` of the volume. So a test
// with a few blocks of data works on maps of several levels. With factor 1 it is the volume itself.
import type { Volume } from '../../src/thin/index.js';
import { contentOf, type Piece, piecesOf } from './thin-pool.js';

export class Spread {
  constructor(
    readonly volume: Volume,
    private readonly factor: number,
  ) {}

  private get blockSize(): number {
    return this.volume.blockSize;
  }

  /** Bytes that a test sees. */
  get size(): number {
    return this.volume.size / this.factor;
  }

  async read(offset: number, length: number, into: Buffer, at: number): Promise<void> {
    const reads = this.pieces(offset, length).map(([place, bytes, done]) =>
      this.volume.read(place, bytes, into, at + done),
    );
    await Promise.all(reads);
  }

  async write(offset: number, data: Buffer): Promise<void> {
    await this.each(offset, data.length, (place, bytes, done) =>
      this.volume.write(place, data.subarray(done, done + bytes)),
    );
  }

  async zero(offset: number, length: number, unmap: boolean): Promise<void> {
    // Between the blocks there is nothing: unmapping that too changes nothing, and crosses pages of the map.
    if (unmap) await this.volume.zero(...this.range(offset, length), true);
    else await this.each(offset, length, (place, bytes) => this.volume.zero(place, bytes, false));
  }

  async discard(offset: number, length: number): Promise<void> {
    await this.volume.discard(...this.range(offset, length));
  }

  content(): Promise<Buffer> {
    return contentOf(this);
  }

  /** The map as the volume tells it. */
  map(): Piece[] {
    return piecesOf(this.volume);
  }

  /** The same from what each block is. */
  spread(pieces: readonly Piece[]): Piece[] {
    if (this.factor === 1) return [...pieces];
    const gap = (this.factor - 1) * this.blockSize;
    return pieces.flatMap(([length, hole]): Piece[] => [
      [length, hole],
      [gap, true],
    ]);
  }

  private place(offset: number): number {
    const block = Math.floor(offset / this.blockSize);
    return block * this.factor * this.blockSize + (offset % this.blockSize);
  }

  /** One range of the volume from the first byte to the last; to its end when that is the end here. */
  private range(offset: number, length: number): [offset: number, length: number] {
    const begin = this.place(offset);
    if (offset + length === this.size) return [begin, this.volume.size - begin];
    return [begin, length === 0 ? 0 : this.place(offset + length - 1) + 1 - begin];
  }

  /** The parts of a range, block by block: where they are, how long, and how much came before. */
  private pieces(offset: number, length: number): [place: number, bytes: number, done: number][] {
    if (this.factor === 1) return [[offset, length, 0]];
    const found: [number, number, number][] = [];
    for (let done = 0; done < length; ) {
      const bytes = Math.min(length - done, this.blockSize - ((offset + done) % this.blockSize));
      found.push([this.place(offset + done), bytes, done]);
      done += bytes;
    }
    return found;
  }

  private async each(
    offset: number,
    length: number,
    body: (place: number, bytes: number, done: number) => void | Promise<void>,
  ): Promise<void> {
    await Promise.all(this.pieces(offset, length).map(piece => body(...piece)));
  }
}
