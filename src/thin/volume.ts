// A handle on a thin volume: the BlockDevice that everybody sees. Several handles of one volume share one device; while any
// is open the volume is active, and cannot be removed, rolled back or shrunk.
import { type BlockDevice, E, type ExtentVisitor, SysError } from '../base/index.js';
import type { ThinDevice } from './device.js';

/** What a handle needs of its pool. */
export interface VolumeHost {
  readonly blockSize: number;
  /** A reason why nothing may be written now, or null. */
  refusal(): SysError | null;
  /** Has the pool been closed under the handle? */
  isClosed(): boolean;
  commit(): Promise<void>;
  /** A handle was closed. */
  closed(device: ThinDevice): void;
}

export class Volume implements BlockDevice {
  private isClosed = false;
  /** Operations of this handle that are under way. */
  private pending = 0;
  private idle: () => void = () => {};
  private closing: Promise<void> | null = null;

  constructor(
    protected readonly host: VolumeHost,
    protected readonly device: ThinDevice,
  ) {}

  get name(): string {
    return this.device.row.name;
  }

  get id(): number {
    return this.device.row.id;
  }

  get size(): number {
    return this.device.size;
  }

  get blockSize(): number {
    return this.host.blockSize;
  }

  get readOnly(): boolean {
    return this.device.row.read_only === 1 || this.host.refusal() !== null;
  }

  read(offset: number, length: number, into: Buffer, at: number): void | Promise<void> {
    this.check(offset, length);
    return this.follow(this.device.read(offset, length, into, at));
  }

  write(offset: number, data: Buffer): void | Promise<void> {
    this.check(offset, data.length);
    this.checkWritable();
    return this.follow(this.device.write(offset, data));
  }

  zero(offset: number, length: number, unmap: boolean): void | Promise<void> {
    this.check(offset, length);
    this.checkWritable();
    return this.follow(this.device.zero(offset, length, unmap));
  }

  discard(offset: number, length: number): void | Promise<void> {
    this.check(offset, length);
    this.checkWritable();
    return this.follow(this.device.discard(offset, length));
  }

  flush(): Promise<void> {
    this.check(0, 0);
    return this.host.commit();
  }

  extents(offset: number, length: number, visit: ExtentVisitor): void {
    this.check(offset, length);
    this.device.extents(offset, length, visit);
  }

  /** What is under way ends first: a later handle must not meet it. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    this.isClosed = true;
    if (this.pending > 0)
      await new Promise<void>(resolve => {
        this.idle = resolve;
      });
    this.host.closed(this.device);
  }

  private follow(operation: void | Promise<void>): void | Promise<void> {
    if (operation === undefined) return;
    this.pending++;
    return operation.finally(() => {
      if (--this.pending === 0) this.idle();
    });
  }

  protected check(offset: number, length: number): void {
    if (this.isClosed || this.host.isClosed())
      throw new SysError(E.EBADF, `this handle of ${this.name} is closed`);
    this.device.checkRange(offset, length);
  }

  private checkWritable(): void {
    const refusal = this.host.refusal();
    if (refusal !== null) throw refusal;
    if (this.device.row.read_only === 1) throw new SysError(E.EROFS, `${this.name} is read-only`);
  }
}
