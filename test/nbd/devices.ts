// Devices that misbehave or take their time, over a Buffer.
import type { BlockDevice } from '../../src/base/index.js';
import { type BufferDevice, bufferDevice } from '../support/block-devices.js';

/** An operation that has been asked for and is not done. */
export interface Waiting {
  readonly name: 'read' | 'write' | 'zero' | 'discard' | 'flush';
  readonly offset: number;
  /** Does it now. */
  finish(): void;
  fail(error: unknown): void;
}

export interface LaterDevice extends BlockDevice {
  readonly under: BufferDevice;
  readonly waiting: Waiting[];
  /** Finishes everything that waits. */
  finishAll(): void;
}

/** A device whose operations wait until the test finishes them. */
export function laterDevice(size: number): LaterDevice {
  const under = bufferDevice(size);
  const waiting: Waiting[] = [];
  const later = (name: Waiting['name'], offset: number, act: () => unknown): Promise<void> =>
    new Promise((resolve, reject) => {
      const forget = (): void => {
        waiting.splice(waiting.indexOf(entry), 1);
      };
      const entry: Waiting = {
        name,
        offset,
        finish() {
          forget();
          act();
          resolve();
        },
        fail(error) {
          forget();
          reject(error);
        },
      };
      waiting.push(entry);
    });
  return {
    under,
    waiting,
    finishAll() {
      for (const each of [...waiting]) each.finish();
    },
    size,
    blockSize: under.blockSize,
    readOnly: false,
    read: (offset, length, into, at) => later('read', offset, () => under.read(offset, length, into, at)),
    write: (offset, data) => later('write', offset, () => under.write(offset, data)),
    zero: (offset, length, unmap) => later('zero', offset, () => under.zero(offset, length, unmap)),
    discard: (offset, length) => later('discard', offset, () => under.discard(offset, length)),
    flush: () => later('flush', 0, () => under.flush()),
    extents: (offset, length, visit) => under.extents(offset, length, visit),
    close: () => under.close(),
  };
}

/** A device on which every operation fails with what `error` returns: at once, or (`later`) as a rejection. */
export function failingDevice(size: number, error: () => unknown, later = false): BlockDevice {
  const fail = (): Promise<void> => {
    if (later) return Promise.reject(error());
    throw error();
  };
  return {
    size,
    blockSize: 65536,
    readOnly: false,
    read: fail,
    write: fail,
    zero: fail,
    discard: fail,
    flush: () => Promise.reject(error()),
    extents: fail as () => never,
    close: () => Promise.resolve(),
  };
}
