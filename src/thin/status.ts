// A pool's state for people and programs: one object, and dm-thin's status line (Documentation/admin-guide/device-mapper/
// thin-provisioning.rst) made of it.
import type { PoolOptions } from './options.js';

export type PoolMode = 'rw' | 'ro' | 'out_of_data_space' | 'out_of_metadata_space' | 'fail';

export interface PoolStatus {
  readonly uuid: string;
  readonly transactionId: number;
  readonly time: number;
  /** Bytes of a block. */
  readonly blockSize: number;
  readonly dataBlocks: number;
  readonly usedBlocks: number;
  /** Bytes of the database, and bytes that it may have. */
  readonly metadataUsed: number;
  readonly metadataTotal: number;
  /** Is there a metadata snapshot? */
  readonly held: boolean;
  readonly mode: PoolMode;
  readonly options: PoolOptions;
  readonly needsCheck: boolean;
  readonly volumes: number;
  /** The data file or device. */
  readonly data: string;
  /** Pages of removed volumes that are still to be taken apart. */
  readonly reclaiming: number;
}

const METADATA_BLOCK = 4096;
const DISCARDS = {
  ignore: 'ignore_discard',
  nopassdown: 'no_discard_passdown',
  passdown: 'discard_passdown',
};

/** dm-thin's status line of the pool. A metadata block is 4 KiB; a held root shows as 1, since it has no place of its own. */
export function statusLine(status: PoolStatus): string {
  if (status.mode === 'fail') return 'Fail';
  const blocks = (bytes: number): number => Math.ceil(bytes / METADATA_BLOCK);
  const { options } = status;
  return [
    status.transactionId,
    `${blocks(status.metadataUsed)}/${blocks(status.metadataTotal)}`,
    `${status.usedBlocks}/${status.dataBlocks}`,
    status.held ? '1' : '-',
    status.mode === 'out_of_metadata_space' ? 'ro' : status.mode,
    DISCARDS[options.discards],
    options.onFull === 'error' ? 'error_if_no_space' : 'queue_if_no_space',
    status.needsCheck ? 'needs_check' : '-',
    Math.floor(blocks(status.metadataTotal) / 4),
  ].join(' ');
}

/** dm-thin's status line of a thin device: mapped sectors, and the highest mapped sector or "-". */
export function thinStatusLine(mapped: number, highest: number | null, blockSize: number): string {
  const sectors = blockSize / 512;
  return `${mapped * sectors} ${highest === null ? '-' : (highest + 1) * sectors - 1}`;
}
