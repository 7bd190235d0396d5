// Operations on a pool's volumes.
import { E, SysError } from '../base/index.js';
import type { Pool, SnapshotRequest, VolumeInfo } from '../thin/index.js';
import { type Fields, operation } from './control-operation.js';
import { checkElsewhere } from './control-paths.js';
import { announceSize, snapshotFrozen } from './loop-volumes.js';

const named = (fields: Fields) => ({ name: fields.text('name') });

/** A volume with what it takes, in blocks. */
export interface VolumeStatus extends VolumeInfo {
  readonly blockSize: number;
  readonly exclusive: number;
  readonly shared: number;
  /** The highest mapped block; null when nothing is mapped. */
  readonly highest: number | null;
  /** Blocks that differ from a snapshot, if one was named. */
  readonly writtenSince: number | null;
}

function snapshotRequest(fields: Fields): SnapshotRequest {
  const { origin, name } = { origin: fields.text('origin'), name: fields.text('name') };
  return { origin, name, readOnly: fields.flag('readOnly'), ...fields.optionalNumber('id') };
}

async function usageOf(pool: Pool, name: string, since: string | undefined): Promise<VolumeStatus> {
  const usage = await pool.usage(name);
  const writtenSince = since === undefined ? null : await pool.writtenSince(name, since);
  return { ...pool.info(name), ...usage, blockSize: pool.blockSize, writtenSince };
}

/** Removes volumes; none of them when one is unknown or in use. */
async function removeAll(pool: Pool, names: readonly string[]): Promise<void> {
  for (const name of names) {
    if (pool.info(name).active) throw new SysError(E.EBUSY, `volume ${name} is in use`);
  }
  for (const name of new Set(names)) await pool.remove(name);
}

/** Resolves to the size before. */
async function resize(pool: Pool, name: string, size: number, force: boolean): Promise<{ before: number }> {
  const before = pool.info(name).size;
  if (size < before && !force) {
    const rule = `shrinking volume ${name} from ${before} to ${size} bytes loses what lies beyond`;
    throw new SysError(E.EINVAL, `${rule}: shrink what is on it first, and then say --force`);
  }
  await pool.resizeVolume(name, size);
  await announceSize(pool, name);
  return { before };
}

export const VOLUME_OPERATIONS = {
  'volume.create': operation(
    fields => ({
      ...named(fields),
      size: fields.number('size'),
      readOnly: fields.flag('readOnly'),
      ...fields.optionalNumber('id'),
      ...fields.optionalText('external'),
    }),
    async (pool, params) => {
      if (params.external !== undefined) await checkElsewhere(pool, params.external);
      return pool.createVolume(params);
    },
  ),
  'volume.snapshot': operation(
    fields => ({ requests: fields.objects('requests').map(snapshotRequest) }),
    (pool, { requests }) => snapshotFrozen(pool, requests),
  ),
  'volume.remove': operation(
    fields => ({ names: fields.texts('names') }),
    (pool, { names }) => removeAll(pool, names),
    { lasting: true, reclaims: true },
  ),
  'volume.list': operation(
    () => ({}),
    pool => ({ blockSize: pool.blockSize, volumes: pool.list() }),
  ),
  'volume.status': operation(
    fields => ({ ...named(fields), ...fields.optionalText('since') }),
    (pool, { name, since }) => usageOf(pool, name, since),
    { lasting: true },
  ),
  'volume.resize': operation(
    fields => ({ ...named(fields), size: fields.number('size'), force: fields.flag('force') }),
    (pool, { name, size, force }) => resize(pool, name, size, force),
    { lasting: true, reclaims: true },
  ),
  'volume.rename': operation(
    fields => ({ ...named(fields), to: fields.text('to') }),
    (pool, { name, to }) => pool.rename(name, to),
  ),
  'volume.rollback': operation(
    fields => ({ ...named(fields), snapshot: fields.text('snapshot') }),
    (pool, { name, snapshot }) => pool.rollback(name, snapshot),
    { lasting: true, reclaims: true },
  ),
  'volume.setReadOnly': operation(
    fields => ({ ...named(fields), readOnly: fields.flag('readOnly') }),
    (pool, { name, readOnly }) => pool.setReadOnly(name, readOnly),
  ),
};
