// An external origin: a file or device, never written, that a volume's unmapped blocks are read from. Where it is shorter
// than the volume there are zeros (dm-thin).
import { E, ok, SysError } from '../base/index.js';
import { close, preadAsync } from '../sys/index.js';
import { openStorage } from './storage.js';

export class External {
  private fd: number;
  private readonly size: number;

  /** SysError when it cannot be read. */
  constructor(private readonly path: string) {
    const { fd, size } = openStorage(path, 'external origin', false);
    this.fd = fd;
    this.size = size;
  }

  async read(offset: number, length: number, into: Buffer, at: number): Promise<void> {
    const there = Math.max(0, Math.min(length, this.size - offset));
    for (let done = 0; done < there; ) {
      const bytes = ok(await preadAsync(this.fd, into, at + done, there - done, offset + done), this.path);
      if (bytes === 0) throw new SysError(E.EIO, `external origin ${this.path} has become shorter`);
      done += bytes;
    }
    into.fill(0, at + there, at + length);
  }

  close(): void {
    if (this.fd >= 0) close(this.fd);
    this.fd = -1;
  }
}
