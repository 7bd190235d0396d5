// File systems on many volumes of a pool, mounted by this process through one private mount of the pool's files. A volume has
// one loop device and one superblock however often it is mounted: two on the same blocks would destroy each other's data.
import { readFile, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { E, KeyedLock, SysError } from '../base/index.js';
import { listMounts } from '../sys/index.js';
import { type DiskMount, type DiskMountOptions, type MountableSource, mountDisks } from './disks-mount.js';
import { isMounted, mountAgain, mountByLoop, tidyDisks } from './loop-mount.js';
import { attempt, tool } from './loop-tool.js';
import { numberOf } from './loop-volumes.js';

/** Milliseconds in which a volume is given back after its last mount has ended, unless somebody else has it. */
const PATIENCE = 2000;

export interface FilesystemOptions {
  /** For mount(8), with commas; must be the same for a volume as long as it is mounted anywhere, but for `ro`. */
  readonly options: string;
  readonly readOnly?: boolean;
  /** See LoopOptions. */
  readonly directIo?: boolean;
  /** Gets the loop device ready, if it is not mounted yet. */
  prepare?(device: string): Promise<unknown> | null;
}

/** One place where a volume's file system is mounted. */
export interface MountedFilesystem {
  /** /dev/loopN. */
  readonly device: string;
  /** Settles when it has been unmounted and nobody holds it, or when the volume has been given back, whoever saw to that. */
  readonly closed: Promise<void>;
  /** After `unmount`: somebody else still has it, by a bind or in another mount namespace. */
  readonly held: boolean;
  /** Settles `closed` although somebody has it. They lose it when all this is closed. */
  abandon(): void;
  /** SysError EBUSY when it is in use, unless `lazy`: then it leaves the tree, and ends with its last user. */
  unmount(options?: { readonly lazy?: boolean }): Promise<void>;
}

/** A volume whose file system is mounted somewhere. */
interface Use {
  device: string;
  /** The device's number, as in the mount table. */
  number: string;
  /** The superblock's: it cannot differ between places. */
  readOnly: boolean;
  /** It has its loop device. Before that losetup(8) may open and close the file more than once, racing for a device. */
  attached: boolean;
  /** Where we have mounted it, and not unmounted it. */
  readonly places: Set<string>;
  /** Settles when the loop device has let go of the file. */
  readonly released: Promise<void>;
  release(): void;
}

export interface FilesystemsOptions {
  readonly defect?: DiskMountOptions['defect'];
}

export class PoolFilesystems {
  private readonly uses = new Map<number, Use>();
  private readonly lock = new KeyedLock<number>();
  private disks: DiskMount | null = null;

  private constructor(
    private readonly pool: MountableSource,
    private readonly dir: string,
  ) {}

  /** Mounts the files of `pool` at the directory `dir`. What a process that died had mounted through that place is undone. */
  static async open(
    pool: MountableSource,
    dir: string,
    { defect }: FilesystemsOptions = {},
  ): Promise<PoolFilesystems> {
    const made = new PoolFilesystems(pool, await realpath(dir));
    made.disks = await mountDisks(pool, made.dir, {
      opens: (count, id) => {
        const use = made.uses.get(id);
        if (count === 0 && use?.attached) use.release();
      },
      ...(defect === undefined ? {} : { defect }),
    });
    return made;
  }

  /** The same directory, before there is a mount: undoes what a process that died has left there. */
  static async tidy(dir: string): Promise<void> {
    await tidyDisks(await realpathOfMount(dir));
  }

  /** Is the volume's file system mounted, here or by a lazy user? */
  isUsed(name: string): boolean {
    return this.uses.has(this.pool.info(name).id);
  }

  /** A place where it is mounted by us, or null. */
  placeOf(name: string): string | null {
    const [place = null] = this.uses.get(this.pool.info(name).id)?.places ?? [];
    return place;
  }

  /** Resolves when the volume's file system is mounted nowhere. */
  async unused(name: string): Promise<void> {
    await this.uses.get(this.pool.info(name).id)?.released;
  }

  /**
   * Mounts the file system of a volume at `target`, read-only if so wished. SysError: ENOENT (no such volume), EBUSY (it is
   * in use by other means than a mount of ours), and what the tools say.
   */
  mount(name: string, target: string, options: FilesystemOptions): Promise<MountedFilesystem> {
    const { id } = this.pool.info(name);
    return this.lock.run(id, async () => {
      const place = await realpathOfMount(target);
      const use =
        (await this.again(id, name, place, options)) ?? (await this.first(id, name, place, options));
      return this.mounted(use, place);
    });
  }

  /** What is still in use loses its storage. */
  async close(): Promise<void> {
    await settled(Promise.all([...this.uses.values()].map(({ released }) => released)), PATIENCE);
    if (this.disks === null) return;
    await this.disks.unmount({ lazy: true });
    // The session of a mount that others keep would keep this process.
    if (this.uses.size > 0) this.disks.abandon();
    await this.disks.closed;
  }

  private file(name: string): string {
    return join(this.dir, name);
  }

  private async first(
    id: number,
    name: string,
    target: string,
    { options, readOnly = false, directIo = true, prepare }: FilesystemOptions,
  ): Promise<Use> {
    if (this.pool.info(name).active)
      throw new SysError(E.EBUSY, `volume ${name} is in use by other means than a layer's mount`);
    const use = this.use(id, readOnly);
    try {
      use.device = await mountByLoop(this.file(name), target, {
        directIo,
        prepare: async device => {
          use.attached = true;
          use.number = (await readFile(`/sys/block/${basename(device)}/dev`, 'latin1')).trim();
          await prepare?.(device);
          return withMode(options, readOnly);
        },
      });
      return use;
    } catch (error) {
      // There may have been no loop device, and so no release of the file either.
      use.attached = true;
      if (this.pool.info(name).active) await settled(use.released, PATIENCE);
      else use.release();
      throw error;
    }
  }

  /** One more place for a file system that is mounted; null when it is not, or not any more. */
  private async again(
    id: number,
    name: string,
    target: string,
    { options, readOnly = false }: FilesystemOptions,
  ): Promise<Use | null> {
    const use = this.uses.get(id);
    if (use === undefined) return null;
    const wishes = withMode(options, use.readOnly);
    if (!(await mountAgain(use.device, this.file(name), target, wishes))) {
      await settled(use.released, PATIENCE);
      if (this.uses.get(id) !== use) return null;
      throw new SysError(
        E.EBUSY,
        `volume ${name} is in use, and its loop device ${use.device} is not its own`,
      );
    }
    if (readOnly === use.readOnly) return use;
    // The superblock becomes writable for all, the other places stay as they are; or this place alone read-only.
    await tool('mount', '--options', readOnly ? 'remount,bind,ro' : 'remount,rw', '--', target).catch(
      async (error: unknown) => {
        await tool('umount', '--lazy', '--', target);
        throw error;
      },
    );
    use.readOnly &&= readOnly;
    return use;
  }

  private use(id: number, readOnly: boolean): Use {
    let release = (): void => {};
    const released = new Promise<void>(resolve => {
      release = () => {
        this.uses.delete(id);
        resolve();
      };
    });
    const use: Use = {
      device: '',
      number: '',
      readOnly,
      attached: false,
      places: new Set(),
      released,
      release,
    };
    this.uses.set(id, use);
    return use;
  }

  private mounted(use: Use, target: string): MountedFilesystem {
    use.places.add(target);
    let ended = (): void => {};
    const closed = Promise.race([
      use.released,
      new Promise<void>(resolve => {
        ended = resolve;
      }),
    ]);
    const mounted = {
      device: use.device,
      closed,
      held: false,
      abandon: () => ended(),
      unmount: async ({ lazy = false } = {}): Promise<void> => {
        // Somebody may have unmounted it already; then what lies under it is not ours to touch.
        if (isMounted(target)) {
          // Whoever still has it may lose its storage with this process, and what it has written must not go too. A file system
          // that has failed says so to whoever writes, and goes all the same.
          await attempt('sync', ['--file-system', '--', target]);
          await tool('umount', ...(lazy ? ['--lazy'] : []), '--', target);
        }
        use.places.delete(target);
        mounted.held = lazy || (use.places.size === 0 && (await isHeld(use)));
        if (!mounted.held) ended();
      },
    };
    return mounted;
  }
}

/** Does somebody else still have it? A bind is seen at once, a copy in another mount namespace by the time that passes. */
async function isHeld(use: Use): Promise<boolean> {
  const bound = listMounts().some(mount => numberOf(mount) === use.number);
  return bound || !(await settled(use.released, PATIENCE));
}

function withMode(options: string, readOnly: boolean): string {
  return [readOnly ? 'ro' : '', options].filter(text => text !== '').join();
}

/** The directory without symlinks, as the kernel names files in it; its mount may be dead. */
async function realpathOfMount(dir: string): Promise<string> {
  return join(await realpath(join(dir, '..')), dir.slice(dir.lastIndexOf('/') + 1));
}

/** Waits for `promise`, but no longer than `patience` milliseconds; did it end? */
async function settled(promise: Promise<unknown>, patience: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<false>(resolve => {
    timer = setTimeout(resolve, patience, false);
  });
  const ended = await Promise.race([promise.then(() => true), bound]);
  clearTimeout(timer);
  return ended;
}
