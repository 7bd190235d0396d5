// The thin backend in `docker info`: the rows that Docker's devicemapper driver had, in its words and units.
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { THIN_DEFAULTS, type ThinFilesystem, type ThinOptions } from './thin-options.js';
import type { ThinPool } from './thin-pool.js';

export interface ThinState {
  readonly options: ThinOptions;
  readonly filesystem: ThinFilesystem;
  /** Bytes. */
  readonly baseSize: number;
  /** Volumes that wait for their last user. */
  readonly doomed: number;
}

export async function thinStatus(thin: ThinPool, state: ThinState): Promise<[string, string][]> {
  const { pool } = thin;
  const { blockSize, dataBlocks, usedBlocks, metadataTotal, metadataUsed, data, mode } = pool.status();
  const dataFree = await available(data, (dataBlocks - usedBlocks) * blockSize);
  const metadataFree = await available(pool.dir, metadataTotal - metadataUsed);
  const least = state.options.minFreeSpace ?? THIN_DEFAULTS.minFreeSpace;
  return [
    ['Pool Name', pool.dir],
    ['Pool Mode', mode],
    ['Pool Blocksize', size(blockSize)],
    ['Base Device Size', size(state.baseSize)],
    ['Backing Filesystem', state.filesystem],
    ['Data file', data],
    ['Metadata file', join(pool.dir, 'pool.db')],
    ['Data Space Used', size(usedBlocks * blockSize)],
    ['Data Space Total', size(dataBlocks * blockSize)],
    ['Data Space Available', size(dataFree)],
    ['Metadata Space Used', size(metadataUsed)],
    ['Metadata Space Total', size(metadataTotal)],
    ['Metadata Space Available', size(metadataFree)],
    ['Thin Pool Minimum Free Space', size((dataBlocks * blockSize * least) / 100)],
    ['Deferred Removal Enabled', 'true'],
    ['Deferred Deletion Enabled', 'true'],
    ['Deferred Deleted Device Count', String(state.doomed)],
  ];
}

/** What is free in a sparse file is no more than what is free under it. */
async function available(path: string, free: number): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return Math.min(free, bavail * bsize);
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Bytes as Docker writes them: four digits, powers of 1000. */
function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < UNITS.length - 1; unit++) value /= 1000;
  return `${Number(value.toPrecision(4))}${UNITS[unit]}`;
}
