// A volume as a mounted file system: a private FUSE mount with its file, a loop device on that, the file system on it.
// The loop device goes with the file system (it is detached while in use), and its release of the file tells that
// somebody has unmounted: whoever it was, everything else is undone then.
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { E, isErrno, SysError } from '../base/index.js';
import type { Disk } from './disks.js';
import {
  checkUncovered,
  type DiskMount,
  type DiskMountOptions,
  directory,
  type MountableSource,
  mountDisks,
  poolPath,
} from './disks-mount.js';
import { isMounted, mountByLoop } from './loop-mount.js';
import { findTool, tool } from './loop-tool.js';
import { checkFormat, contentOf, makeFilesystem } from './volumemount-format.js';
import { findMounts, Place, STATE_DIR, tidy, type VolumeMountRecord, waitFor } from './volumemount-state.js';

export interface VolumeMountOptions {
  /** Make this file system first (`ext4`, `xfs`); EEXIST when the volume holds something. */
  readonly format?: string;
  /** Format all the same. */
  readonly force?: boolean;
  /** Options of mount(8), separated by commas. */
  readonly options?: string;
  /** See LoopOptions. */
  readonly directIo?: boolean;
  /** Where volumes that are mounted are noted; default /run/lamina. */
  readonly stateDir?: string;
  /** Runs when nothing uses the volume any more, before `closed` settles and before others hear of it: to close the pool. */
  readonly finished?: () => Promise<void>;
  readonly defect?: DiskMountOptions['defect'];
}

/** A mounted volume, served by this process. */
export interface VolumeMount {
  readonly mountpoint: string;
  /** /dev/loopN. */
  readonly device: string;
  /** Settles when the file system has been unmounted, by whomever, and everything is undone. */
  readonly closed: Promise<void>;
  /** Unmounts, and waits for `closed`. EBUSY when the file system is in use: then it goes on. */
  unmount(): Promise<void>;
}

/**
 * Mounts a volume of `pool` at `mountpoint` (absolute), served by this process. SysErrors: ENOENT (volume, mount point, or
 * a tool that is not installed), ENOTDIR, EINVAL and EEXIST (format), EIO with what mount(8) or mkfs said.
 */
export async function mountVolume(
  pool: MountableSource,
  name: string,
  mountpoint: string,
  options: VolumeMountOptions = {},
): Promise<VolumeMount> {
  const { id } = pool.info(name);
  if (options.format !== undefined) checkFormat(options.format);
  const dir = await poolPath(pool);
  const stateDir = options.stateDir ?? STATE_DIR;
  // Before the mount point is looked at: a file system that has died may answer even that with EIO.
  const where = await whereIs(mountpoint);
  for (const found of findMounts(stateDir)) {
    const here = found.mountpoint === where || (found.pool === dir && found.id === id);
    if (!found.alive && here) await tidy(found);
  }
  const target = await directory(mountpoint);
  await mkdir(stateDir, { recursive: true, mode: 0o755 });
  await checkUncovered(target, [dir, stateDir, await findTool('losetup')]);
  // From here to the note nothing waits, so of two callers one finds what the other has noted.
  const disk = pool.info(name);
  checkFree(findMounts(stateDir), disk, dir, target);
  const noted = { pool: dir, volume: name, id, mountpoint: target, device: '' };
  const place = Place.create(stateDir, noted);
  const mounting = new Mounting(pool, disk, place, options);
  try {
    const device = await mounting.mount(target);
    place.note({ ...noted, device });
    const closed = mounting.untilReleased();
    return { mountpoint: target, device, closed, unmount: () => end(target, () => closed) };
  } catch (error) {
    await mounting.undo().finally(() => place.remove());
    throw error;
  }
}

/** A file system may be mounted once; and a volume that somebody reads or writes otherwise is not ours to change. */
function checkFree(mounts: readonly VolumeMountRecord[], disk: Disk, pool: string, target: string): void {
  const live = mounts.filter(({ alive }) => alive);
  const same = live.find(one => one.pool === pool && one.id === disk.id);
  if (same !== undefined) throw new SysError(E.EBUSY, `volume ${disk.name} is mounted at ${same.mountpoint}`);
  if (disk.active) throw new SysError(E.EBUSY, `volume ${disk.name} is in use`);
  const there = live.find(one => one.mountpoint === target);
  if (there !== undefined) throw new SysError(E.EBUSY, `volume ${there.volume} is mounted at ${target}`);
}

/** The steps to a mounted volume, and back. */
class Mounting {
  private disks: DiskMount | undefined;
  private target: string | undefined;
  private idle: (() => void) | undefined;
  private opens = 0;

  constructor(
    private readonly pool: MountableSource,
    private readonly disk: Disk,
    private readonly place: Place,
    private readonly options: VolumeMountOptions,
  ) {}

  /** Resolves to the loop device. */
  async mount(target: string): Promise<string> {
    const { pool, disk, place, options } = this;
    const { defect, format } = options;
    this.disks = await mountDisks(pool, place.disk, {
      only: disk.id,
      opens: count => this.counted(count),
      ...(defect === undefined ? {} : { defect }),
    });
    const { readOnly } = disk;
    const { directIo = true } = options;
    const device = await mountByLoop(join(place.disk, disk.name), target, {
      readOnly,
      directIo,
      prepare: async made => {
        if (format !== undefined) await this.makeFilesystem(made, format);
        return this.mountOptions(made);
      },
    });
    this.target = target;
    return device;
  }

  /** Settles when the loop device has let go of the file and everything is undone. */
  async untilReleased(): Promise<void> {
    if (this.opens > 0) {
      await new Promise<void>(resolve => {
        this.idle = resolve;
      });
    }
    try {
      await this.undo();
      await this.options.finished?.();
    } finally {
      this.place.remove();
    }
  }

  /** Takes back what has been done so far, last things first. */
  async undo(): Promise<void> {
    if (this.target !== undefined && this.opens > 0) await tool('umount', '--lazy', '--', this.target);
    if (this.disks === undefined) return;
    // The kernel may still hold the mount for a moment, or somebody looks at it: it ends when it is free.
    await this.disks.unmount({ lazy: true });
    await this.disks.closed;
  }

  private counted(count: number): void {
    this.opens = count;
    if (count === 0) this.idle?.();
  }

  private async mountOptions(device: string): Promise<string> {
    const content = this.options.format ?? (await contentOf(device));
    if (content === null) {
      const what = `volume ${this.disk.name} holds nothing that can be mounted; a format makes a file system on it`;
      throw new SysError(E.EINVAL, what);
    }
    const wishes = this.options.options ?? '';
    // xfs mounts no uuid twice, and a snapshot has its origin's. That nobody mounts a volume twice was seen to before.
    const own = content === 'xfs' ? 'nouuid' : '';
    return [own, wishes].filter(text => text !== '').join();
  }

  private async makeFilesystem(device: string, format: string): Promise<void> {
    if (this.options.force !== true) {
      const content = await contentOf(device);
      const what = content ?? (this.disk.mapped > 0 ? 'data that blkid does not know' : null);
      if (what !== null) {
        throw new SysError(E.EEXIST, `volume ${this.disk.name} holds ${what}; only force formats it`);
      }
    }
    await makeFilesystem(device, format);
  }
}

/**
 * Unmounts a volume that some process has mounted with mountVolume, and returns when that has given it back. Takes away
 * what a process that died has left. EINVAL when no volume is mounted there, EBUSY when it is in use.
 */
export async function unmountVolume(
  mountpoint: string,
  options: { readonly stateDir?: string } = {},
): Promise<void> {
  const target = await whereIs(mountpoint);
  const found = findMounts(options.stateDir ?? STATE_DIR).filter(one => one.mountpoint === target);
  if (found.length === 0) throw new SysError(E.EINVAL, `no volume is mounted at ${mountpoint}`);
  for (const one of found) {
    if (!one.alive) await tidy(one);
    else await end(target, () => waitFor(one));
  }
}

/** The volumes that processes of this host have mounted, and what those that died have left. */
export function volumeMounts(options: { readonly stateDir?: string } = {}): VolumeMountRecord[] {
  return findMounts(options.stateDir ?? STATE_DIR);
}

async function end(target: string, ended: () => Promise<void>): Promise<void> {
  // Somebody may have unmounted it already; then the rest is on its way.
  if (isMounted(target)) await tool('umount', '--', target);
  await ended();
}

/** A mount point without symlinks. Its file system may have died: then only what leads to it can be asked. */
async function whereIs(path: string): Promise<string> {
  try {
    return await directory(path);
  } catch (error) {
    if (!isErrno(error, E.EIO) && !isErrno(error, E.ENOTCONN)) throw error;
    return join(await directory(dirname(path)), basename(path));
  }
}
