// What `pool status`, `volume status` and `volume ls` print for people, below the status lines that dm-thin has too.
import type { VolumeStatus } from '../export/index.js';
import type { PoolStatus, VolumeInfo } from '../thin/index.js';
import { columns } from './output.js';
import { sizeText } from './progress.js';

/** The rows below a pool's status line. */
export function poolStatusRows(dir: string, status: PoolStatus): string[] {
  const { blockSize, options } = status;
  const bytes = (blocks: number) => sizeText(blocks * blockSize);
  const timeout = options.noSpaceTimeout === 0 ? 'for ever' : `${options.noSpaceTimeout / 1000} s`;
  const lowWater = options.lowWater === 0 ? 'off' : `when less than ${bytes(options.lowWater)} are free`;
  const grows =
    options.growThreshold === 100 ? 'off' : `at ${options.growThreshold} %, by ${options.growPercent} %`;
  return columns([
    ['pool', `${dir} (${status.uuid})`],
    ['mode', `${status.mode}${status.needsCheck ? `; it needs a check: lamina pool check ${dir}` : ''}`],
    [
      'data',
      `${used(bytes(status.usedBlocks), bytes(status.dataBlocks), status.usedBlocks / status.dataBlocks)} in ${status.data}`,
    ],
    [
      'metadata',
      used(
        sizeText(status.metadataUsed),
        sizeText(status.metadataTotal),
        status.metadataUsed / status.metadataTotal,
      ),
    ],
    ['block size', sizeText(blockSize)],
    ['volumes', String(status.volumes)],
    [
      'transaction',
      `${status.transactionId}, time ${status.time}, metadata snapshot ${status.held ? 'held' : 'none'}`,
    ],
    ['when full', options.onFull === 'error' ? 'writes fail' : `writes wait ${timeout}`],
    ['low water', lowWater],
    ['growing', grows],
    ['discards', options.discards],
    ['zeroing', options.zeroing ? 'on' : 'off'],
    ...(status.reclaiming > 0 ? [['reclaiming', `${status.reclaiming} pages of removed volumes`]] : []),
  ]);
}

function used(part: string, whole: string, share: number): string {
  return `${part} of ${whole} used (${(share * 100).toFixed(1)} %)`;
}

export function volumeStatusRows(volume: VolumeStatus, since: string | null): string[] {
  const blocks = (count: number) => `${sizeText(count * volume.blockSize)} (${count} blocks)`;
  return columns([
    ['volume', `${volume.name} (id ${volume.id}, ${volume.guid})`],
    ['size', `${sizeText(volume.size)} (${volume.size} bytes)`],
    ['mapped', blocks(volume.mapped)],
    ['exclusive', blocks(volume.exclusive)],
    ['shared', blocks(volume.shared)],
    ...(since === null ? [] : [[`since ${since}`, blocks(volume.writtenSince ?? 0)]]),
    ['state', state(volume)],
    ...(volume.origin === null ? [] : [['snapshot of', volume.origin]]),
    ...(volume.external === null ? [] : [['external origin', volume.external]]),
    [
      'transaction',
      `${volume.transactionId}, created at time ${volume.creationTime}, snapshot at ${volume.snapTime}`,
    ],
  ]);
}

function state(volume: VolumeInfo): string {
  return `${volume.readOnly ? 'read-only' : 'writable'}, ${volume.active ? 'in use' : 'not in use'}`;
}

/** The table of `volume ls`. */
export function volumeTable(volumes: readonly VolumeInfo[], blockSize: number): string[] {
  const rows = volumes.map(volume => [
    String(volume.id),
    volume.name,
    sizeText(volume.size),
    sizeText(volume.mapped * blockSize),
    `${volume.readOnly ? 'ro' : 'rw'}${volume.active ? ',used' : ''}`,
    volume.external ?? volume.origin ?? '',
  ]);
  return columns([['ID', 'NAME', 'SIZE', 'MAPPED', 'STATE', 'ORIGIN'], ...rows]);
}
