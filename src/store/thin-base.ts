// The base volume: an empty file system that the layers without a parent are snapshots of. Made once, aside, so that one that
// has its name is whole.
import { E, SysError } from '../base/index.js';
import { growExt4, growXfs, makeFilesystem, tool } from '../export/index.js';
import { THIN_DEFAULTS, type ThinFilesystem, type ThinOptions } from './thin-options.js';
import type { ThinPool } from './thin-pool.js';
import { readSuperblock, type Superblock } from './thin-superblock.js';

export const BASE = 'base';
const NEW = 'base.new';

/**
 * mkfs writes all of its tables at once, which costs nothing on fresh space; the kernel would do it behind, in every
 * snapshot again.
 */
const MKFS_ARGS: Readonly<Record<ThinFilesystem, readonly string[]>> = {
  ext4: ['-E', 'nodiscard,lazy_itable_init=0,lazy_journal_init=0'],
  xfs: ['-K'],
};

/**
 * Makes the base when it is not there, and resolves to the file system on it. SysError EINVAL when what is there is not what
 * the options ask for.
 */
export async function openBase(thin: ThinPool, options: ThinOptions): Promise<ThinFilesystem> {
  const { pool } = thin;
  const names = new Set(pool.list().map(({ name }) => name));
  if (names.has(NEW)) await pool.remove(NEW);
  if (!names.has(BASE)) await makeBase(thin, options);
  const { type } = await superblockOf(thin, BASE);
  if (options.filesystem !== undefined && options.filesystem !== type)
    throw new SysError(E.EINVAL, `the base of ${pool.dir} has ${type}; another store can have another`);
  const { size } = pool.info(BASE);
  const { baseSize = size } = options;
  if (baseSize < size) {
    const rule = `is smaller than the base of ${pool.dir}, which has ${size} and cannot shrink`;
    throw new SysError(E.EINVAL, `a base size of ${baseSize} bytes ${rule}`);
  }
  if (baseSize > size) await growBase(thin, type, baseSize);
  return type;
}

/** What the file system on a volume says of itself. EUCLEAN when there is none. */
export async function superblockOf(thin: ThinPool, name: string): Promise<Superblock> {
  const volume = thin.pool.volume(name);
  try {
    const found = await readSuperblock(volume);
    if (found !== null) return found;
    throw new SysError(E.EUCLEAN, `volume ${name} of ${thin.pool.dir} holds neither ext4 nor xfs`);
  } finally {
    await volume.close();
  }
}

/** Aside, so that a crash in the middle does no harm. */
async function growBase(thin: ThinPool, filesystem: ThinFilesystem, size: number): Promise<void> {
  const { pool } = thin;
  await pool.snapshot([{ origin: BASE, name: NEW }]);
  await undone(thin, () => growVolume(thin, NEW, filesystem, size));
  await pool.remove(BASE);
  await pool.rename(NEW, BASE);
}

async function makeBase(thin: ThinPool, options: ThinOptions): Promise<void> {
  const { baseSize, filesystem, mkfsArgs = [] } = { ...THIN_DEFAULTS, ...options };
  await thin.pool.createVolume({ name: NEW, size: baseSize });
  await undone(thin, () =>
    mountedOnce(thin, NEW, filesystem, {
      prepare: device => makeFilesystem(device, filesystem, [...MKFS_ARGS[filesystem], ...mkfsArgs]),
      // Nobody's file: e2fsck makes another when it needs one.
      run: place => (filesystem === 'ext4' ? tool('rmdir', '--', `${place}/lost+found`) : null),
    }),
  );
  await thin.pool.rename(NEW, BASE);
}

/** Makes a volume and the file system on it larger. It is nobody's yet: after a crash in the middle it must not be used. */
export async function growVolume(
  thin: ThinPool,
  name: string,
  filesystem: ThinFilesystem,
  size: number,
): Promise<void> {
  await thin.pool.resizeVolume(name, size);
  await mountedOnce(thin, name, filesystem, {
    prepare: device => (filesystem === 'ext4' ? growExt4(device) : null),
    run: place => (filesystem === 'xfs' ? growXfs(place) : null),
  });
}

/** Runs `body`; what is new goes when that fails. */
async function undone(thin: ThinPool, body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    // If that fails too, the next to open the pool removes it.
    await thin.pool.remove(NEW).catch(() => {});
    throw error;
  }
}

interface Steps {
  /** Gets the device ready before it is mounted. */
  prepare(device: string): Promise<unknown> | null;
  run(place: string): Promise<unknown> | null;
}

async function mountedOnce(
  thin: ThinPool,
  name: string,
  filesystem: ThinFilesystem,
  { prepare, run }: Steps,
): Promise<void> {
  const place = thin.makePlace();
  try {
    const options = MOUNT_OPTIONS[filesystem];
    const mounted = await thin.filesystems.mount(name, place, { options, prepare });
    try {
      await run(place);
    } finally {
      await mounted.unmount();
    }
    await thin.filesystems.unused(name);
  } finally {
    thin.removePlace(place);
  }
}

/**
 * Of every layer. No access times, which would copy a block of inodes for each file that is read; deleted files give their
 * space back; xfs mounts no uuid twice, and a snapshot has its origin's.
 */
export const MOUNT_OPTIONS: Readonly<Record<ThinFilesystem, string>> = {
  ext4: 'noatime,discard',
  xfs: 'nouuid,noatime,discard',
};
