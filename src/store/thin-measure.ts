// What a layer's own content takes in a thin pool.
import { tool } from '../export/index.js';
import { deltaCounts, MetadataReader } from '../thin/index.js';
import type { LayerUsage } from './backend.js';
import { superblockOf } from './thin-base.js';
import type { ThinPool } from './thin-pool.js';

/**
 * Bytes: blocks that the volume maps otherwise than its origin does, or alone. They stay the layer's when snapshots of it share
 * them, unlike what the pool calls exclusive. Inodes: how many more its file system has in use, 0 when it has fewer.
 */
export async function measureVolume(thin: ThinPool, name: string, origin: string): Promise<LayerUsage> {
  const { pool } = thin;
  const inodes = (await inodesOf(thin, name)) - (await inodesOf(thin, origin));
  await pool.commit();
  const ids = [pool.info(origin).id, pool.info(name).id];
  const reader = MetadataReader.open(pool.dir);
  try {
    const [left, right] = ids.map(id => reader.volumes().find(volume => volume.id === id)!);
    const { different, right_only } = deltaCounts(reader, left!, right!);
    return { bytes: (different + right_only) * pool.blockSize, inodes: Math.max(0, inodes) };
  } finally {
    reader.close();
  }
}

/** A file system that is mounted knows better than its superblock on disk. */
async function inodesOf(thin: ThinPool, name: string): Promise<number> {
  const place = thin.filesystems.placeOf(name);
  if (place === null) return (await superblockOf(thin, name)).inodes;
  const [files, free] = (await tool('stat', '--file-system', '--format=%c %d', '--', place)).split(' ');
  return Number(files) - Number(free);
}
