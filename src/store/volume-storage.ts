// How volumes are kept, one class a kind: in a directory, or in a file system of its own size in a sparse file. Each volume has
// a directory of its own, named by its row.
import { execFile } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { E, SysError } from '../base/index.js';
import { makeImage, mountImage, unmountImage } from '../export/index.js';
import type { Places } from './places.js';
import type { VolumeRow } from './schema.js';
import type { Trash } from './trash.js';

/** What a kind of storage needs to know of a volume. */
export type VolumeRef = Pick<VolumeRow, 'id' | 'size'>;

export interface VolumeStorage {
  /**
   * Makes the storage of a volume: empty, or with what `origin`, a volume of this kind or of another that copies, holds now.
   * Nothing is left after a failure.
   */
  create(volume: VolumeRef, origin: VolumeOrigin | null): Promise<void>;
  /** Takes the storage away; absent is fine. EBUSY while it is in use. */
  discard(id: number): Promise<void>;
  /** Where its content is while it is mounted. */
  path(id: number): string;
  /** Makes the content appear; again is fine. */
  mount(volume: VolumeRef): Promise<void>;
  /** The opposite. EBUSY when it is in use; absent is fine. */
  unmount(id: number): Promise<void>;
  /** Bytes that it takes, where that is known without walking it. */
  used(id: number): Promise<number | null>;
  /** This process lets go of the volumes that are mounted. */
  close(): Promise<void>;
}

/** A volume that another begins as. */
export interface VolumeOrigin {
  readonly volume: VolumeRef;
  readonly storage: VolumeStorage;
  /** Is it mounted for somebody? */
  readonly mounted: boolean;
}

/** In a file system of its own, content is a directory below its root: no lost+found for those who want a new volume empty. */
export const CONTENT = 'data';
const MOUNT = 'mnt';
const IMAGE = 'image';
const BLOCK = 512;

/** A directory on the file system of the store: it holds what fits there. */
export class DirectoryVolumes implements VolumeStorage {
  constructor(
    private readonly places: Places,
    private readonly trash: Trash,
  ) {}

  async create({ id }: VolumeRef, origin: VolumeOrigin | null): Promise<void> {
    try {
      await mkdir(this.path(id), { recursive: true, mode: 0o755 });
      if (origin !== null) await copyFrom(origin, this.path(id));
    } catch (error) {
      await this.discard(id);
      throw error;
    }
  }

  async discard(id: number): Promise<void> {
    this.trash.take(this.places.volume(id));
  }

  path(id: number): string {
    return join(this.places.volume(id), CONTENT);
  }

  async mount(): Promise<void> {}

  async unmount(): Promise<void> {}

  async used(): Promise<null> {
    return null;
  }

  async close(): Promise<void> {}
}

/** An ext4 in a sparse file: no more than its size, on any file system, and mounted whether or not this process lives. */
export class ImageVolumes implements VolumeStorage {
  constructor(
    private readonly places: Places,
    private readonly trash: Trash,
  ) {}

  async create(volume: VolumeRef, origin: VolumeOrigin | null): Promise<void> {
    const { id, size } = volume;
    try {
      await mkdir(this.mountpoint(id), { recursive: true, mode: 0o755 });
      await makeImage(this.image(id), size!);
      await this.mount(volume);
      await mkdir(this.path(id), { mode: 0o755 });
      if (origin !== null) await copyFrom(origin, this.path(id));
      await this.unmount(id);
    } catch (error) {
      await this.discard(id);
      throw error;
    }
  }

  async discard(id: number): Promise<void> {
    await this.unmount(id);
    this.trash.take(this.places.volume(id));
  }

  path(id: number): string {
    return join(this.mountpoint(id), CONTENT);
  }

  mount({ id }: VolumeRef): Promise<void> {
    return mountImage(this.image(id), this.mountpoint(id));
  }

  unmount(id: number): Promise<void> {
    return unmountImage(this.mountpoint(id));
  }

  async used(id: number): Promise<number> {
    return statSync(this.image(id)).blocks * BLOCK;
  }

  /** They stay mounted for those who hold them, and are found again. */
  async close(): Promise<void> {}

  private mountpoint(id: number): string {
    return join(this.places.volume(id), MOUNT);
  }

  private image(id: number): string {
    return join(this.places.volume(id), IMAGE);
  }
}

/** Copies what a volume holds to the directory `to`, sharing the data where the file system can. */
export async function copyFrom({ volume, storage, mounted }: VolumeOrigin, to: string): Promise<void> {
  await storage.mount(volume);
  try {
    await copyTree(storage.path(volume.id), to);
  } finally {
    if (!mounted) await storage.unmount(volume.id);
  }
}

function copyTree(from: string, to: string): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile('cp', ['--archive', '--reflink=auto', '--', `${from}/.`, to], (error, _stdout, stderr) => {
      if (error === null) return resolve();
      // The only thing that tells is its text, in the C locale.
      const errno = /No space left on device/.test(stderr) ? E.ENOSPC : E.EIO;
      reject(new SysError(errno, stderr.trim().split('\n')[0] ?? error.message));
    });
  });
}

/** Is there anything of the volume? */
export function isStored(places: Places, id: number): boolean {
  return existsSync(places.volume(id));
}
