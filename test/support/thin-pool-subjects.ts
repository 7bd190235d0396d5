// What the BlockDevice contract is run over: each gives an empty device and knows how to reopen it, to let it grow and to
// open it read-only. `verify` looks, when a row has ended, whether anything else was harmed.
import { truncateSync } from 'node:fs';
import type { Test } from 'tap';
import { type BlockDevice, E } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import { bufferDevice, fileDevice } from './block-devices.js';
import { scratch } from './cleanup.js';
import { BLOCK, contentOf, MIB, type Piece, type PoolStage, piecesOf, poolStage } from './thin-pool.js';

/** A BlockDevice whose map may come later: a client over a socket cannot tell it at once. */
export type Device = Omit<BlockDevice, 'extents'>;

export interface Stage {
  device: Device;
  /** The pieces of a range of `device`, merged. */
  map(offset: number, length: number): Promise<Piece[]>;
  /** Closes the device, and what it lies in, and opens both again. */
  reopen(): Promise<void>;
  /** Makes it longer while it is open. Absent where the client cannot learn of it. */
  grow?: (size: number) => Promise<void>;
  /** The same content through a read-only device. */
  readOnly(): Promise<Device>;
  /** Rejects when something other than the device was changed, or its store is not sound. The device is closed then. */
  verify(): Promise<void>;
}

export interface Subject {
  readonly name: string;
  /** Are blocks that were never written holes? In a deep snapshot they are an ancestor's. */
  readonly fresh: 'hole' | 'mixed';
  /** How a write is refused on a read-only device, and beyond the end. */
  readonly errors: { readonly readOnly: number; readonly beyond: number };
  stage(t: Test, size: number): Promise<Stage>;
}

const LOCAL = { readOnly: E.EROFS, beyond: E.EINVAL };

const buffer: Subject = {
  name: 'a buffer',
  fresh: 'hole',
  errors: LOCAL,
  async stage(_, size) {
    const device = bufferDevice(size, BLOCK);
    return {
      device,
      map: async (offset, length) => piecesOf(device, offset, length),
      reopen: () => device.close(),
      grow: async to => device.grow(to),
      async readOnly() {
        const copy = bufferDevice(device.size, { readOnly: true });
        device.content.copy(copy.content);
        return copy;
      },
      verify: () => device.close(),
    };
  },
};

const file: Subject = {
  name: 'a sparse file',
  fresh: 'hole',
  errors: LOCAL,
  async stage(t, size) {
    const path = scratch(t, 'device').write('file', '');
    truncateSync(path, size);
    let device = fileDevice(path);
    return {
      get device() {
        return device;
      },
      map: async (offset, length) => piecesOf(device, offset, length),
      async reopen() {
        await device.close();
        device = fileDevice(path);
      },
      grow: async to => device.grow(to),
      readOnly: async () => fileDevice(path, { readOnly: true }),
      verify: () => device.close(),
    };
  },
};

/** A stage over one volume of a pool; `verify` checks the pool when everything is closed. */
function volumeStage(place: PoolStage, name: string, untouched: () => Promise<void>): Stage {
  let device = place.pool.volume(name);
  let view: BlockDevice | null = null;
  return {
    get device() {
      return device;
    },
    map: async (offset, length) => piecesOf(device, offset, length),
    async reopen() {
      await device.close();
      await place.reopen();
      device = place.pool.volume(name);
    },
    grow: to => place.pool.resizeVolume(name, to),
    async readOnly() {
      await place.pool.snapshot([{ origin: name, name: 'view', readOnly: true }]);
      const opened = place.pool.volume('view');
      view = opened;
      return opened;
    },
    async verify() {
      await view?.close();
      await device.close();
      await untouched();
      await place.close();
      const report = await checkPool(place.dir);
      if (!report.clean) throw new Error(JSON.stringify(report.findings));
    },
  };
}

const volume: Subject = {
  name: 'a volume',
  fresh: 'hole',
  errors: LOCAL,
  async stage(t, size) {
    const place = await poolStage(t);
    await place.pool.createVolume({ name: 'v', size });
    return volumeStage(place, 'v', async () => {});
  },
};

const DEPTH = 20;

const snapshot: Subject = {
  name: 'a snapshot 20 deep',
  fresh: 'mixed',
  errors: LOCAL,
  async stage(t, size) {
    const place = await poolStage(t);
    const { pool } = place;
    await pool.createVolume({ name: 's0', size });
    // Every level writes zeros to some blocks, so that nearly all are shared with one ancestor or another.
    for (let level = 0; level < DEPTH; level++) {
      const device = pool.volume(`s${level}`);
      for (let block = level; block * BLOCK < size; block += DEPTH - 1) {
        await device.write(block * BLOCK, Buffer.alloc(Math.min(BLOCK, size - block * BLOCK)));
      }
      await device.close();
      await pool.snapshot([{ origin: `s${level}`, name: `s${level + 1}` }]);
    }
    return volumeStage(place, `s${DEPTH}`, () => allZero(place, DEPTH));
  },
};

/** Rejects unless the volumes s0 to s(count - 1) read as zeros. */
async function allZero(place: PoolStage, count: number): Promise<void> {
  for (let level = 0; level < count; level++) {
    const device = place.pool.volume(`s${level}`);
    const content = await contentOf(device, 0, Math.min(device.size, 4 * MIB));
    await device.close();
    if (content.some(byte => byte !== 0)) throw new Error(`s${level}, an ancestor, was written to`);
  }
}

export const LOCAL_SUBJECTS: readonly Subject[] = [buffer, file, volume, snapshot];
