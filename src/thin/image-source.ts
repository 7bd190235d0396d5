// Where an imported image comes from: a file or block device, of which only the data is read, or plain bytes in order.
import { E, fromText, ok, S, Stat, SysError } from '../base/index.js';
import { AT, close, closeAsync, lseek, O, openPath, preadAsync, SEEK, statx } from '../sys/index.js';
import { portions, type Range } from './send-source.js';
import { ByteInput } from './stream-input.js';
import { decodeFooter, FOOTER_BYTES } from './vhd.js';

export interface ImageChunk {
  readonly offset: number;
  /** The source's again when the next chunk is asked for. */
  readonly data: Buffer;
}

export interface ImageSource {
  /** Bytes of the image; null when only its end will tell. */
  readonly size: number | null;
  /** The data in order in whole units, cut at the multiples of `portion` (some units); what is left out reads as zeros. */
  chunks(portion: number, unit: number): AsyncGenerator<ImageChunk>;
  close(): Promise<void>;
}

/** Opens a raw image. SysError EINVAL for what is neither a file nor a block device. */
export async function openRaw(path: string): Promise<ImageSource> {
  const { fd, size } = openImage(path);
  return new FileSource(fd, path, size);
}

/** Opens a fixed VHD; the errors of decodeFooter, too. */
export async function openVhd(path: string): Promise<ImageSource> {
  const { fd, size } = openImage(path);
  try {
    if (size < FOOTER_BYTES)
      throw new SysError(E.EMEDIUMTYPE, `${path} has ${size} bytes: too short for a VHD`);
    const start = Buffer.alloc(FOOTER_BYTES);
    const footer = Buffer.alloc(FOOTER_BYTES);
    await readAll(fd, path, start, 0, FOOTER_BYTES);
    await readAll(fd, path, footer, size - FOOTER_BYTES, FOOTER_BYTES);
    return new FileSource(fd, path, decodeFooter(footer, start, size));
  } catch (error) {
    await closeAsync(fd);
    throw error;
  }
}

function openImage(path: string): { fd: number; size: number } {
  // Without O_NONBLOCK a FIFO would hold up the thread until somebody writes to it.
  const fd = ok(openPath(fromText(path), O.RDONLY | O.NONBLOCK), path);
  const stat = new Stat();
  ok(statx(fd, '', AT.EMPTY_PATH, stat.slots), path);
  const type = stat.mode & S.IFMT;
  if (type === S.IFREG) return { fd, size: stat.size };
  if (type === S.IFBLK) return { fd, size: ok(lseek(fd, 0, SEEK.END), path) };
  close(fd);
  throw new SysError(E.EINVAL, `${path} is neither a file nor a block device`);
}

async function readAll(
  fd: number,
  path: string,
  into: Buffer,
  offset: number,
  length: number,
): Promise<void> {
  for (let done = 0; done < length; ) {
    const bytes = ok(await preadAsync(fd, into, done, length - done, offset + done), path);
    if (bytes === 0) throw new SysError(E.EIO, `${path} became shorter while it was read`);
    done += bytes;
  }
}

class FileSource implements ImageSource {
  constructor(
    private readonly fd: number,
    private readonly path: string,
    readonly size: number,
  ) {}

  async *chunks(portion: number, unit: number): AsyncGenerator<ImageChunk> {
    const buffer = Buffer.allocUnsafe(portion);
    for (let at = 0; ; ) {
      const extent = this.nextData(at, unit);
      if (extent === null) return;
      at = extent.offset + extent.length;
      for (const { offset, length } of portions(extent, portion)) {
        await readAll(this.fd, this.path, buffer, offset, length);
        yield { offset, data: buffer.subarray(0, length) };
      }
    }
  }

  async close(): Promise<void> {
    await closeAsync(this.fd);
  }

  /** The first extent of data from `from` on; all of the rest where the file system cannot tell. */
  private nextData(from: number, unit: number): Range | null {
    if (from >= this.size) return null;
    const begin = lseek(this.fd, from, SEEK.DATA);
    if (begin === -E.ENXIO) return null;
    if (begin === -E.EINVAL) return { offset: from, length: this.size - from };
    if (ok(begin, this.path) >= this.size) return null;
    const offset = Math.floor(begin / unit) * unit;
    const end = Math.ceil(ok(lseek(this.fd, begin, SEEK.HOLE), this.path) / unit) * unit;
    return { offset, length: Math.min(this.size, end) - offset };
  }
}

/** A raw image out of a pipe. */
export class StreamSource implements ImageSource {
  readonly size = null;
  readonly #input: ByteInput;

  constructor(input: AsyncIterable<Buffer>) {
    this.#input = new ByteInput(input);
  }

  async *chunks(portion: number): AsyncGenerator<ImageChunk> {
    const buffer = Buffer.allocUnsafe(portion);
    for (let offset = 0; ; offset += portion) {
      const length = await this.#input.fill(buffer, 0, portion);
      if (length > 0) yield { offset, data: buffer.subarray(0, length) };
      if (length < portion) return;
    }
  }

  async close(): Promise<void> {
    await this.#input.close();
  }
}
