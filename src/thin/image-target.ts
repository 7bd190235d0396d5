// Where an exported image goes: a file that appears whole or not at all, a block device in place, or a sink that takes
// bytes in order. Pieces come in order of their offsets; what is left out reads as zeros.
import { randomUUID } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type ByteString, E, fromText, ok, S, Stat, SysError } from '../base/index.js';
import {
  AT,
  close,
  closeAsync,
  FALLOC,
  fallocateAsync,
  fsyncAsync,
  ftruncate,
  lseek,
  O,
  openPath,
  pwriteAsync,
  renameat2,
  SEEK,
  statx,
  unlinkat,
} from '../sys/index.js';
import type { ByteSink } from './stream-write.js';

export interface ImageTarget {
  data(offset: number, bytes: Buffer): Promise<void>;
  hole(offset: number, length: number): Promise<void>;
  /** All is there and durable; nothing may be called after. */
  finish(): Promise<void>;
  /** Takes back what can be taken back; nothing may be called after. */
  abandon(): Promise<void>;
}

const ZEROS = Buffer.alloc(1024 * 1024);

/**
 * A target for an image of `size` bytes at a path: a block device is overwritten, a file is replaced when all is there.
 * With `fills` a device must have this size, not more. SysError: ENOSPC when a device is too small, EBUSY when it is in
 * use, EINVAL for what is neither, and a device that is too large.
 */
export async function openTarget(path: string, size: number, fills: boolean): Promise<ImageTarget> {
  const stat = new Stat();
  const rc = statx(AT.FDCWD, fromText(path), 0, stat.slots);
  if (rc === -E.ENOENT) return new FileTarget(path, 0o666, size);
  ok(rc, path);
  const type = stat.mode & S.IFMT;
  if (type === S.IFREG) return new FileTarget(await realpath(path), stat.mode & 0o777, size);
  if (type === S.IFBLK) return new DeviceTarget(path, size, fills);
  throw new SysError(E.EINVAL, `${path} is neither a file nor a block device`);
}

async function writeAll(fd: number, path: string, bytes: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += ok(await pwriteAsync(fd, bytes, done, bytes.length - done, offset + done), path);
  }
}

class FileTarget implements ImageTarget {
  readonly #temporary: ByteString;
  readonly #fd: number;
  readonly #path: string;
  #there = false;

  constructor(path: string, mode: number, size: number) {
    this.#path = path;
    this.#temporary = fromText(
      join(dirname(path), `.${basename(path).slice(0, 48)}.${randomUUID()}.partial`),
    );
    this.#fd = ok(openPath(this.#temporary, O.WRONLY | O.CREAT | O.EXCL, mode), path);
    const rc = ftruncate(this.#fd, size);
    if (rc === 0) return;
    close(this.#fd);
    unlinkat(AT.FDCWD, this.#temporary, 0);
    throw new SysError(-rc, path);
  }

  async data(offset: number, bytes: Buffer): Promise<void> {
    await writeAll(this.#fd, this.#path, bytes, offset);
  }

  async hole(): Promise<void> {}

  async finish(): Promise<void> {
    ok(await fsyncAsync(this.#fd, false), this.#path);
    ok(renameat2(AT.FDCWD, this.#temporary, AT.FDCWD, fromText(this.#path), 0), this.#path);
    this.#there = true;
    const directory = dirname(this.#path);
    const fd = ok(openPath(fromText(directory), O.RDONLY | O.DIRECTORY), directory);
    const rc = await fsyncAsync(fd, false);
    await closeAsync(fd);
    ok(rc, directory);
    await closeAsync(this.#fd);
  }

  async abandon(): Promise<void> {
    await closeAsync(this.#fd);
    if (!this.#there) ok(unlinkat(AT.FDCWD, this.#temporary, 0), this.#path);
  }
}

class DeviceTarget implements ImageTarget {
  readonly #fd: number;
  readonly #path: string;

  constructor(path: string, size: number, fills: boolean) {
    this.#path = path;
    this.#fd = ok(openPath(fromText(path), O.WRONLY | O.EXCL), path);
    const there = lseek(this.#fd, 0, SEEK.END);
    if (there === size || (there > size && !fills)) return;
    close(this.#fd);
    const errno = there < size ? E.ENOSPC : E.EINVAL;
    throw new SysError(errno, `${path} has ${there} bytes, and the image ${size}`);
  }

  async data(offset: number, bytes: Buffer): Promise<void> {
    await writeAll(this.#fd, this.#path, bytes, offset);
  }

  async hole(offset: number, length: number): Promise<void> {
    const mode = FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE;
    // Whole sectors only, and only where the device can: the answer is zeros then (block/fops.c, blkdev_fallocate).
    const rc = await fallocateAsync(this.#fd, mode, offset, length);
    if (rc === 0) return;
    if (rc !== -E.EOPNOTSUPP && rc !== -E.EINVAL) ok(rc, this.#path);
    for (let done = 0; done < length; done += ZEROS.length) {
      const zeros = ZEROS.subarray(0, Math.min(ZEROS.length, length - done));
      await writeAll(this.#fd, this.#path, zeros, offset + done);
    }
  }

  async finish(): Promise<void> {
    ok(await fsyncAsync(this.#fd, false), this.#path);
    await closeAsync(this.#fd);
  }

  async abandon(): Promise<void> {
    await closeAsync(this.#fd);
  }
}

/** A pipe or whatever takes bytes one after the other: holes become zeros. */
export class SinkTarget implements ImageTarget {
  #at = 0;

  constructor(private readonly sink: ByteSink) {}

  async data(offset: number, bytes: Buffer): Promise<void> {
    await this.hole(this.#at, offset - this.#at);
    await this.sink(bytes);
    this.#at += bytes.length;
  }

  async hole(offset: number, length: number): Promise<void> {
    for (const end = offset + length; this.#at < end; ) {
      const zeros = ZEROS.subarray(0, Math.min(ZEROS.length, end - this.#at));
      await this.sink(zeros);
      this.#at += zeros.length;
    }
  }

  async finish(): Promise<void> {}

  async abandon(): Promise<void> {}
}
