// Block devices for tests: a Buffer with a map of what is allocated, and a sparse file. Both keep the rules of
// base/blockdevice.ts: whole blocks of a discard are unmapped and read as zeros, its partial edges stay as they are.
import { closeSync, fdatasync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { type BlockDevice, E, type ExtentVisitor, ok, SysError } from '../../src/base/index.js';
import { FALLOC, fallocate, lseek, SEEK } from '../../src/sys/index.js';

const DEFAULT_BLOCK = 64 * 1024;

/** A device that a test can look into and let grow. */
export interface TestDevice extends BlockDevice {
  /** Makes the device `size` bytes long; the new part reads as zeros. */
  grow(size: number): void;
}

export interface BufferDevice extends TestDevice {
  /** The content; holes are zeros in it. */
  readonly content: Buffer;
  /** One byte per block: 1 when it takes space. */
  readonly allocated: Uint8Array;
  /** How often flush() was called. */
  readonly flushes: number;
}

export interface TestDeviceOptions {
  /** Bytes; 64 KiB unless told. */
  readonly blockSize?: number;
  readonly readOnly?: boolean;
}

/** Throws EINVAL unless the range is inside the device. */
export function checkRange(device: BlockDevice, what: string, offset: number, length: number): void {
  const good = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (good && offset + length <= device.size) return;
  throw new SysError(E.EINVAL, `${what} of ${length} bytes at ${offset} in a device of ${device.size} bytes`);
}

function checkWrite(device: BlockDevice, what: string, offset: number, length: number): void {
  if (device.readOnly) throw new SysError(E.EROFS, `${what} on a read-only device`);
  checkRange(device, what, offset, length);
}

/** The whole blocks inside a range, in bytes: [begin, end), empty when begin >= end. The device's last block may be short. */
export function wholeBlocks(
  device: BlockDevice,
  offset: number,
  length: number,
): [begin: number, end: number] {
  const { blockSize, size } = device;
  const end = offset + length;
  return [
    Math.ceil(offset / blockSize) * blockSize,
    end === size ? end : Math.floor(end / blockSize) * blockSize,
  ];
}

class MemoryDevice implements BufferDevice {
  readonly blockSize: number;
  readonly readOnly: boolean;
  content: Buffer;
  allocated: Uint8Array;
  flushes = 0;

  constructor(size: number, options: TestDeviceOptions) {
    this.blockSize = options.blockSize ?? DEFAULT_BLOCK;
    this.readOnly = options.readOnly ?? false;
    this.content = Buffer.alloc(size);
    this.allocated = new Uint8Array(Math.ceil(size / this.blockSize));
  }

  get size(): number {
    return this.content.length;
  }

  read(offset: number, length: number, into: Buffer, at: number): void {
    checkRange(this, 'read', offset, length);
    if (at < 0 || at + length > into.length) throw new SysError(E.EINVAL, 'read beyond the buffer given');
    this.content.copy(into, at, offset, offset + length);
  }

  write(offset: number, data: Buffer): void {
    checkWrite(this, 'write', offset, data.length);
    data.copy(this.content, offset);
    this.allocate(offset, data.length);
  }

  zero(offset: number, length: number, unmap: boolean): void {
    checkWrite(this, 'zero', offset, length);
    this.content.fill(0, offset, offset + length);
    if (unmap) this.unmap(offset, length);
    else this.allocate(offset, length);
  }

  discard(offset: number, length: number): void {
    checkWrite(this, 'discard', offset, length);
    this.unmap(offset, length);
  }

  flush(): Promise<void> {
    this.flushes++;
    return Promise.resolve();
  }

  extents(offset: number, length: number, visit: ExtentVisitor): void {
    checkRange(this, 'extents', offset, length);
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const hole = this.allocated[Math.floor(at / this.blockSize)] === 0;
      const next = Math.min(end, (Math.floor(at / this.blockSize) + 1) * this.blockSize);
      if (!visit(next - at, hole)) return;
      at = next;
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  grow(size: number): void {
    this.content = Buffer.concat([this.content], size);
    const allocated = new Uint8Array(Math.ceil(size / this.blockSize));
    allocated.set(this.allocated);
    this.allocated = allocated;
  }

  private allocate(offset: number, length: number): void {
    if (length === 0) return;
    const last = Math.floor((offset + length - 1) / this.blockSize);
    this.allocated.fill(1, Math.floor(offset / this.blockSize), last + 1);
  }

  private unmap(offset: number, length: number): void {
    const [begin, end] = wholeBlocks(this, offset, length);
    if (begin >= end) return;
    this.content.fill(0, begin, end);
    this.allocated.fill(0, begin / this.blockSize, Math.ceil(end / this.blockSize));
  }
}

/** A device of `size` bytes over a Buffer; every operation is done when it returns. */
export function bufferDevice(
  size: number,
  blockSize: number | TestDeviceOptions = DEFAULT_BLOCK,
): BufferDevice {
  return new MemoryDevice(size, typeof blockSize === 'number' ? { blockSize } : blockSize);
}

class FileDevice implements TestDevice {
  readonly blockSize: number;
  readonly readOnly: boolean;
  private readonly fd: number;
  private length: number;

  constructor(path: string, options: TestDeviceOptions) {
    this.blockSize = options.blockSize ?? DEFAULT_BLOCK;
    this.readOnly = options.readOnly ?? false;
    this.fd = openSync(path, this.readOnly ? 'r' : 'r+');
    this.length = fstatSync(this.fd).size;
  }

  get size(): number {
    return this.length;
  }

  read(offset: number, length: number, into: Buffer, at: number): void {
    checkRange(this, 'read', offset, length);
    if (at < 0 || at + length > into.length) throw new SysError(E.EINVAL, 'read beyond the buffer given');
    if (length > 0 && readSync(this.fd, into, at, length, offset) !== length)
      throw new SysError(E.EIO, 'read');
  }

  write(offset: number, data: Buffer): void {
    checkWrite(this, 'write', offset, data.length);
    if (data.length > 0) writeSync(this.fd, data, 0, data.length, offset);
  }

  zero(offset: number, length: number, unmap: boolean): void {
    checkWrite(this, 'zero', offset, length);
    if (length === 0) return;
    if (unmap) this.punch(offset, length);
    else writeSync(this.fd, Buffer.alloc(length), 0, length, offset);
  }

  discard(offset: number, length: number): void {
    checkWrite(this, 'discard', offset, length);
    const [begin, end] = wholeBlocks(this, offset, length);
    if (begin < end) this.punch(begin, end - begin);
  }

  async flush(): Promise<void> {
    await promisify(fdatasync)(this.fd);
  }

  extents(offset: number, length: number, visit: ExtentVisitor): void {
    checkRange(this, 'extents', offset, length);
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const data = lseek(this.fd, at, SEEK.DATA);
      const hole = data !== at;
      // -ENXIO: nothing but a hole up to the end.
      const next = hole ? (data < 0 ? end : data) : ok(lseek(this.fd, at, SEEK.HOLE), 'SEEK_HOLE');
      if (!visit(Math.min(next, end) - at, hole)) return;
      at = next;
    }
  }

  close(): Promise<void> {
    closeSync(this.fd);
    return Promise.resolve();
  }

  grow(size: number): void {
    ftruncateSync(this.fd, size);
    this.length = size;
  }

  private punch(offset: number, length: number): void {
    ok(fallocate(this.fd, FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE, offset, length), 'punch');
  }
}

/** A device over a file that exists; its holes are the file's. */
export function fileDevice(path: string, options: TestDeviceOptions = {}): TestDevice {
  return new FileDevice(path, options);
}
