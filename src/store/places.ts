// Where things are below the store's root. Directories are named by row ids: names that engines give never become paths.
import { join } from 'node:path';

export const DATABASE = 'store.db';
export const LOCK = 'lock';

export class Places {
  constructor(readonly root: string) {}

  get database(): string {
    return join(this.root, DATABASE);
  }

  get lock(): string {
    return join(this.root, LOCK);
  }

  /** A directory for each layer that has one. */
  get layers(): string {
    return join(this.root, 'layers');
  }

  /** An empty directory. */
  get empty(): string {
    return join(this.root, 'empty');
  }

  /** A mount point for each layer that is mounted. */
  get mounts(): string {
    return join(this.root, 'mounts');
  }

  /** A directory for each volume. */
  get volumes(): string {
    return join(this.root, 'volumes');
  }

  /** What is on its way out. */
  get trash(): string {
    return join(this.root, 'trash');
  }

  /** The thin pool. */
  get pool(): string {
    return join(this.root, 'pool');
  }

  /** Where the pool's volumes are files. */
  get disks(): string {
    return join(this.root, 'disks');
  }

  /** Mount points for a moment. */
  get scratch(): string {
    return join(this.root, 'scratch');
  }

  layer(id: number): string {
    return join(this.layers, String(id));
  }

  volume(id: number): string {
    return join(this.volumes, String(id));
  }

  mount(id: number): string {
    return join(this.mounts, String(id));
  }
}
