// Waist 2: what a block device is to whoever serves or copies one: a thin volume, a plain file, a buffer. Offsets and
// lengths are bytes and need no alignment; ranges are inside the device (SysError EINVAL otherwise). An operation that
// returns nothing instead of a promise is done. Failures are SysErrors: thrown at once, or the promise's rejection.

/** Takes one piece of a device: `length` bytes that hold data, or read as zeros without taking space (`hole`). */
export type ExtentVisitor = (length: number, hole: boolean) => boolean;

export interface BlockDevice {
  /** Bytes. May grow while the device is open. */
  readonly size: number;
  /** The unit in which space is taken and given back, in bytes; a power of two or a multiple of 64 KiB. */
  readonly blockSize: number;
  readonly readOnly: boolean;
  /** Fills `into[at .. at + length]`. */
  read(offset: number, length: number, into: Buffer, at: number): void | Promise<void>;
  /** `data` is the device's until the operation has ended. EROFS on a read-only device, ENOSPC when no space is left. */
  write(offset: number, data: Buffer): void | Promise<void>;
  /** Makes a range read as zeros; with `unmap` its space is given back where whole blocks are covered. */
  zero(offset: number, length: number, unmap: boolean): void | Promise<void>;
  /** The content of the range does not matter any more: space is given back where whole blocks are covered. */
  discard(offset: number, length: number): void | Promise<void>;
  /** Everything that was answered before is durable when this resolves (through any handle of the same device). */
  flush(): Promise<void>;
  /**
   * Visits the pieces of the range in order, until `visit` returns false or the range ends; may end earlier once
   * something has been visited, since a map can be long. Neighbouring pieces may be of one kind.
   */
  extents(offset: number, length: number, visit: ExtentVisitor): void;
  /** Gives the handle back; nothing may be called after. Does not flush. */
  close(): Promise<void>;
}
