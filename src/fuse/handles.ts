// File handles: which open file or directory the kernel means by a number. Numbers are array indexes and are given again
// after RELEASE.
import { E, SysError } from '../base/index.js';

const BAD_HANDLE = new SysError(E.EBADF, 'unknown FUSE file handle');

/** One open file or directory, and the node id it was opened by. */
export interface OpenFile<H> {
  readonly handle: H;
  readonly nodeid: number;
  readonly directory: boolean;
}

export class HandleTable<H> {
  /** Index 0 is never given: a request without a handle carries 0. */
  private readonly files: (OpenFile<H> | undefined)[] = [undefined];
  private readonly free: number[] = [];

  get size(): number {
    return this.files.length - 1 - this.free.length;
  }

  add(handle: H, nodeid: number, directory: boolean): number {
    const fh = this.free.pop() ?? this.files.length;
    this.files[fh] = { handle, nodeid, directory };
    return fh;
  }

  /** The handle of an open file. Throws EBADF. */
  file(fh: number): H {
    const open = this.files[fh];
    if (open === undefined || open.directory) throw BAD_HANDLE;
    return open.handle;
  }

  /** The handle of an open directory. Throws EBADF. */
  directory(fh: number): H {
    const open = this.files[fh];
    if (open?.directory !== true) throw BAD_HANDLE;
    return open.handle;
  }

  /** Forgets `fh` and returns what it was. Throws EBADF. */
  remove(fh: number, directory: boolean): OpenFile<H> {
    const open = this.files[fh];
    if (open === undefined || open.directory !== directory) throw BAD_HANDLE;
    this.files[fh] = undefined;
    this.free.push(fh);
    return open;
  }

  /** Forgets everything; calls `each` for what was still open. */
  clear(each: (open: OpenFile<H>) => void): void {
    const left = this.files.splice(1);
    this.free.length = 0;
    for (const open of left) if (open !== undefined) each(open);
  }
}
