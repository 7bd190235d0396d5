// Volumes as file systems on thin volumes of the store's pool: a snapshot is made at once, and space is taken when it is used.
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { E, isErrno } from '../base/index.js';
import { makeFilesystem, snapshotFrozen, tool } from '../export/index.js';
import type { Pool } from '../thin/index.js';
import type { Places } from './places.js';
import type { Trash } from './trash.js';
import { CONTENT, type VolumeOrigin, type VolumeRef, type VolumeStorage } from './volume-storage.js';

/** A file system of the pool that is mounted. */
interface Mounted {
  unmount(options?: { readonly lazy?: boolean }): Promise<void>;
}

/** The store's pool, and what mounts its volumes' file systems. */
export interface VolumePool {
  readonly pool: Pool;
  readonly filesystems: {
    mount(
      name: string,
      target: string,
      options: { readonly options: string; prepare?(device: string): Promise<void> },
    ): Promise<Mounted>;
  };
  /** ENOSPC when there is no room for anything new. */
  checkRoom(): void;
}

const MOUNT = 'thin';
/** What is deleted in it is free in the pool at once. */
const MOUNT_OPTIONS = 'discard';

export class ThinVolumes implements VolumeStorage {
  private readonly mounted = new Map<number, Mounted>();

  constructor(
    private readonly places: Places,
    private readonly trash: Trash,
    /** Opens the pool, or makes it: only those who want thin volumes need one. */
    private readonly open: () => Promise<VolumePool>,
  ) {}

  async create(volume: VolumeRef, origin: VolumeOrigin | null): Promise<void> {
    const { id, size } = volume;
    const thin = await this.open();
    thin.checkRoom();
    try {
      await mkdir(this.mountpoint(id), { recursive: true, mode: 0o755 });
      if (origin === null) {
        await thin.pool.createVolume({ name: nameOf(id), size: size! });
        await this.format(thin, volume);
      } else await snapshotFrozen(thin.pool, [{ origin: nameOf(origin.volume.id), name: nameOf(id) }]);
    } catch (error) {
      await this.discard(id);
      throw error;
    }
  }

  async discard(id: number): Promise<void> {
    if (!existsSync(this.mountpoint(id))) return;
    await this.unmount(id);
    const { pool } = await this.open();
    try {
      await pool.remove(nameOf(id));
    } catch (error) {
      if (!isErrno(error, E.ENOENT)) throw error;
    }
    this.trash.take(this.places.volume(id));
  }

  path(id: number): string {
    return join(this.mountpoint(id), CONTENT);
  }

  async mount({ id }: VolumeRef): Promise<void> {
    if (this.mounted.has(id)) return;
    const { filesystems } = await this.open();
    const options = { options: MOUNT_OPTIONS };
    this.mounted.set(id, await filesystems.mount(nameOf(id), this.mountpoint(id), options));
  }

  async unmount(id: number): Promise<void> {
    await this.mounted.get(id)?.unmount();
    this.mounted.delete(id);
  }

  async used(id: number): Promise<number> {
    const { pool } = await this.open();
    return pool.info(nameOf(id)).mapped * pool.blockSize;
  }

  /** Whoever is still in one of them keeps it for as long as the pool is open. */
  async close(): Promise<void> {
    for (const mounted of this.mounted.values()) await mounted.unmount({ lazy: true });
    this.mounted.clear();
  }

  private async format({ filesystems }: VolumePool, volume: VolumeRef): Promise<void> {
    const mounted = await filesystems.mount(nameOf(volume.id), this.mountpoint(volume.id), {
      options: MOUNT_OPTIONS,
      prepare: device => makeFilesystem(device, 'ext4', ['-m', '0']),
    });
    try {
      // In a process of its own: this one serves the device under it, and a thread that waits for itself would outlive a kill.
      await tool('mkdir', '-m', '755', '--', this.path(volume.id));
    } finally {
      await mounted.unmount();
    }
  }

  private mountpoint(id: number): string {
    return join(this.places.volume(id), MOUNT);
  }
}

/** What a volume is called in the pool. */
function nameOf(id: number): string {
  return `volume-${id}`;
}
