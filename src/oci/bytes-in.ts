// A stream of chunks, taken in pieces of the size that the reader wants, and what compression it uses.
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { E, SysError } from '../base/index.js';

/** Where bytes come from: any readable stream, or a list of chunks. */
export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

const NOTHING = Buffer.alloc(0);

/** Reads a stream by size. */
export class BytesIn {
  private readonly chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  private rest: Buffer = NOTHING;
  /** Bytes taken so far. */
  taken = 0;

  constructor(private readonly source: ByteSource) {
    this.chunks = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  private async fill(): Promise<boolean> {
    while (this.rest.length === 0) {
      const next = await this.chunks.next();
      if (next.done === true) return false;
      this.rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    }
    return true;
  }

  /** Between 1 and `limit` bytes, or null at the end. Valid until the source reuses its chunk. */
  async some(limit: number): Promise<Buffer | null> {
    if (this.rest.length === 0 && !(await this.fill())) return null;
    const piece = this.rest.subarray(0, limit);
    this.rest = this.rest.subarray(piece.length);
    this.taken += piece.length;
    return piece;
  }

  /** Exactly `size` bytes; fewer only at the end of the stream. */
  async exactly(size: number): Promise<Buffer> {
    const first = await this.some(size);
    if (first === null || first.length === size) return first ?? NOTHING;
    const pieces = [first];
    for (let missing = size - first.length; missing > 0; ) {
      const piece = await this.some(missing);
      if (piece === null) break;
      pieces.push(piece);
      missing -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  /** Drops `size` bytes; false when the stream ends before. */
  async skip(size: number): Promise<boolean> {
    for (let missing = size; missing > 0; ) {
      const piece = await this.some(missing);
      if (piece === null) return false;
      missing -= piece.length;
    }
    return true;
  }

  /** Reads to the end, so that whoever writes into the other end of a pipe can finish. */
  async drain(): Promise<void> {
    while ((await this.some(1 << 20)) !== null);
  }

  /** What is left, as chunks. */
  async *remaining(): AsyncGenerator<Buffer, void, undefined> {
    for (let piece = await this.some(1 << 20); piece !== null; piece = await this.some(1 << 20)) yield piece;
  }

  /** Looks at the next `size` bytes without taking them. */
  async peek(size: number): Promise<Buffer> {
    const head = Buffer.from(await this.exactly(size));
    this.taken -= head.length;
    this.rest = Buffer.concat([head, this.rest]);
    return head;
  }

  /** Ends the source: no more will be read, if anything was. */
  async close(): Promise<void> {
    // The iterator of a stream that was never asked for anything does not end it.
    if (this.source instanceof Readable) this.source.destroy();
    else await this.chunks.return?.();
  }
}

/** Compressions by their first bytes. gzip is RFC 1952, Zstandard RFC 8878. */
const MAGICS = [
  { name: 'gzip', magic: Buffer.of(0x1f, 0x8b), readable: true },
  { name: 'zstd', magic: Buffer.of(0x28, 0xb5, 0x2f, 0xfd), readable: false },
  { name: 'xz', magic: Buffer.of(0xfd, 0x37, 0x7a, 0x58, 0x5a), readable: false },
  { name: 'bzip2', magic: Buffer.from('BZh'), readable: false },
];

/** The bytes of a layer as a plain tar; gzip is unpacked. Throws EOPNOTSUPP for other compressions. */
export async function uncompressed(input: BytesIn): Promise<BytesIn> {
  const head = await input.peek(5);
  const found = MAGICS.find(({ magic }) => head.subarray(0, magic.length).equals(magic));
  if (found === undefined) return input;
  if (!found.readable) {
    throw new SysError(
      E.EOPNOTSUPP,
      `the layer is compressed with ${found.name}; unpack it first (${found.name} -dc)`,
    );
  }
  return new BytesIn(gunzip(input));
}

async function* gunzip(input: BytesIn): AsyncGenerator<Buffer, void, undefined> {
  const compressed = Readable.from(input.remaining(), { objectMode: false });
  const plain = createGunzip({ chunkSize: 1 << 18 });
  compressed.once('error', error => plain.destroy(error));
  try {
    for await (const chunk of compressed.pipe(plain)) yield chunk as Buffer;
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
      throw new SysError(E.EBADMSG, `the gzip data is damaged or cut off (${error.message})`);
    }
    throw error;
  } finally {
    compressed.destroy();
    plain.destroy();
  }
}
