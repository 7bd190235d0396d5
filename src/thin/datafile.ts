// The pool's data: a sparse file or a block device. What is short and in memory is done at once; what may wait for the disk
// goes to the addon's threads. A test may put its own between (Pool.openWith).
import { E, ok, SysError } from '../base/index.js';
import {
  close,
  FALLOC,
  fallocateAsync,
  flock,
  fsyncAsync,
  ftruncate,
  LOCK,
  lseek,
  preadAsync,
  preadNowait,
  pwrite,
  pwriteAsync,
  SEEK,
} from '../sys/index.js';
import { openStorage } from './storage.js';

export interface DataFile {
  /** Bytes. */
  readonly size: number;
  /** Whether `prepare` leaves zeros, so that a fresh block needs none written. */
  readonly zeroes: boolean;
  read(offset: number, length: number, into: Buffer, at: number): void | Promise<void>;
  write(offset: number, data: Buffer): void | Promise<void>;
  /** Makes room for blocks that nobody uses: writes there will not fail for want of space. ENOSPC when there is none. */
  prepare(offset: number, length: number): Promise<void>;
  /** Writes zeros without giving the space back. */
  zero(offset: number, length: number): Promise<void>;
  /** Gives the space back. What is there is nobody's any more. */
  punch(offset: number, length: number): Promise<void>;
  /** What was written before is durable when it resolves. */
  sync(): Promise<void>;
  /** Makes a file larger; a device must be so already (ENOSPC). */
  grow(size: number): Promise<void>;
  close(): void;
}

/** Up to so many bytes are copied at once; a thread would cost more. */
const SMALL = 256 * 1024;
/** A write that took longer than this (ms) was held up by the kernel: those of the next moments go to threads. */
const HELD_UP = 2;
const ASIDE = 100;
const ZEROS = Buffer.alloc(64 * 1024);

export class FileData implements DataFile {
  private fd: number;
  private readonly device: boolean;
  readonly zeroes: boolean;
  private bytes: number;
  private syncing = 0;
  private asideUntil = 0;
  private written = false;
  private preallocates = true;
  private broken: SysError | null = null;

  /** Opens for reading and writing, and locks it (EBUSY). */
  constructor(
    private readonly path: string,
    readOnly = false,
  ) {
    const { fd, isDevice, size } = openStorage(path, 'data', !readOnly);
    this.fd = fd;
    this.device = isDevice;
    this.zeroes = !isDevice;
    this.bytes = size;
    if (!readOnly && flock(fd, LOCK.EX | LOCK.NB) < 0) {
      close(fd);
      throw new SysError(E.EBUSY, `${path} is another pool's data, or this one's in another process`);
    }
  }

  get size(): number {
    return this.bytes;
  }

  read(offset: number, length: number, into: Buffer, at: number): void | Promise<void> {
    let done = 0;
    if (length <= SMALL) {
      done = preadNowait(this.fd, into, at, length, offset);
      if (done === length) return;
    }
    return this.readAside(offset, length, into, at, Math.max(0, done));
  }

  private async readAside(
    offset: number,
    length: number,
    into: Buffer,
    at: number,
    begun: number,
  ): Promise<void> {
    for (let done = begun; done < length; ) {
      const bytes = ok(await preadAsync(this.fd, into, at + done, length - done, offset + done), this.path);
      if (bytes === 0) throw new SysError(E.EIO, `${this.path} ends at ${offset + done}: it was cut off`);
      done += bytes;
    }
  }

  write(offset: number, data: Buffer): void | Promise<void> {
    this.written = true;
    if (data.length > SMALL || this.syncing > 0) return this.writeAside(offset, data, 0);
    const begun = performance.now();
    if (begun < this.asideUntil) return this.writeAside(offset, data, 0);
    const bytes = ok(pwrite(this.fd, data, 0, data.length, offset), this.path);
    const ended = performance.now();
    if (ended - begun > HELD_UP) this.asideUntil = ended + ASIDE;
    if (bytes < data.length) return this.writeAside(offset, data, bytes);
  }

  private async writeAside(offset: number, data: Buffer, begun: number): Promise<void> {
    for (let done = begun; done < data.length; ) {
      done += ok(await pwriteAsync(this.fd, data, done, data.length - done, offset + done), this.path);
    }
    // A sync that began meanwhile may have missed it.
    this.written = true;
  }

  async prepare(offset: number, length: number): Promise<void> {
    if (this.device) return;
    const data = lseek(this.fd, offset, SEEK.DATA);
    if (data >= 0 && data < offset + length) await this.punch(offset, length);
    if (!this.preallocates) return;
    const rc = await fallocateAsync(this.fd, FALLOC.KEEP_SIZE, offset, length);
    if (rc === -E.EOPNOTSUPP) this.preallocates = false;
    else ok(rc, this.path);
  }

  async zero(offset: number, length: number): Promise<void> {
    this.written = true;
    const rc = await fallocateAsync(this.fd, FALLOC.ZERO_RANGE | FALLOC.KEEP_SIZE, offset, length);
    if (rc !== -E.EOPNOTSUPP) ok(rc, this.path);
    else
      for (let done = 0; done < length; done += ZEROS.length) {
        await this.writeAside(offset + done, ZEROS.subarray(0, Math.min(ZEROS.length, length - done)), 0);
      }
    this.written = true;
  }

  async punch(offset: number, length: number): Promise<void> {
    const rc = await fallocateAsync(this.fd, FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE, offset, length);
    // Where nothing can be given back, blocks are only free for the pool; but a file must then be zeroed by hand.
    if (rc !== -E.EOPNOTSUPP) ok(rc, this.path);
    else if (!this.device) await this.zero(offset, length);
  }

  async sync(): Promise<void> {
    if (this.broken !== null) throw this.broken;
    if (!this.written) return;
    this.written = false;
    this.syncing++;
    const rc = await fsyncAsync(this.fd, true);
    this.syncing--;
    if (rc === 0) return;
    // The kernel forgets what it could not write: no later fsync may say that all is well.
    this.broken = new SysError(-rc, `${this.path}: written data was lost`);
    throw this.broken;
  }

  async grow(size: number): Promise<void> {
    if (this.device) {
      this.bytes = ok(lseek(this.fd, 0, SEEK.END), this.path);
      if (this.bytes < size) {
        throw new SysError(
          E.ENOSPC,
          `${this.path} has ${this.bytes} bytes, and ${size} are wanted: enlarge it first`,
        );
      }
      return;
    }
    if (size > this.bytes) ok(ftruncate(this.fd, size), this.path);
    this.written = true;
    this.bytes = Math.max(size, this.bytes);
  }

  close(): void {
    close(this.fd);
    // Whatever comes late must not meet another file under this number.
    this.fd = -1;
  }
}
