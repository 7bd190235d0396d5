// The store: one directory with one database, layers in a backend, their mounts. Opened by one process at a time, which
// finds everything again that an earlier one has left, whichever way that ended.
import { chmodSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import { E, SysError } from '../base/index.js';
import { close, lockFile } from '../sys/index.js';
import type { Backend, BackendName } from './backend.js';
import { Catalog } from './catalog.js';
import { Layers, type Realm, refOf } from './layers.js';
import { Mounts } from './mounts.js';
import { Places } from './places.js';
import { ThinBackend } from './thin-backend.js';
import type { ThinOptions } from './thin-options.js';
import { ThinPoolOnce } from './thin-pool.js';
import { Trash } from './trash.js';
import { UnionBackend } from './union-backend.js';
import { DirectoryVolumes, ImageVolumes } from './volume-storage.js';
import { VolumeTable } from './volume-table.js';
import { ThinVolumes } from './volume-thin.js';
import { Volumes } from './volumes.js';

export interface StoreOptions {
  readonly backend: BackendName;
  /** How its thin pool is made and used. */
  readonly thin?: ThinOptions;
  /** Takes what somebody should know, a sentence each. */
  readonly warn?: (message: string) => void;
}

export class Store {
  private readonly realms = new Map<string, Layers>();
  private nextId: number;

  private constructor(
    readonly root: string,
    private readonly lock: number,
    private readonly places: Places,
    private readonly catalog: Catalog,
    private readonly backend: Backend,
    private readonly mounts: Mounts,
    private readonly trash: Trash,
    /** Named volumes. */
    readonly volumes: Volumes,
    private readonly thin: ThinPoolOnce,
  ) {
    this.nextId = catalog.nextId();
  }

  /**
   * Opens the store at `root` (absolute), which is made when it is not there. Resolves when what was mounted is mounted again.
   * SysError: EBUSY (another process has it), EINVAL (it is another backend's, or other options would be needed), EUCLEAN,
   * EMEDIUMTYPE, EPROTO (its database).
   */
  static async open(root: string, options: StoreOptions): Promise<Store> {
    const places = new Places(makeRoot(root));
    makeDirectories(places);
    const lock = lockFile(places.lock, root);
    const { thin: thinOptions = {}, warn = () => {} } = options;
    const thin = new ThinPoolOnce({ places, options: thinOptions, warn });
    let catalog: Catalog | undefined;
    try {
      catalog = await Catalog.open(places.database, options.backend, warn);
      return await Store.with(catalog, lock, places, thin, options);
    } catch (error) {
      await thin.close();
      await catalog?.close();
      close(lock);
      throw error;
    }
  }

  private static async with(
    catalog: Catalog,
    lock: number,
    places: Places,
    thin: ThinPoolOnce,
    { backend: name, thin: options = {}, warn = () => {} }: StoreOptions,
  ): Promise<Store> {
    const trash = new Trash(places.trash, warn);
    const backend =
      name === 'union'
        ? new UnionBackend(places, trash)
        : await ThinBackend.open({ thin: await thin.get(), options, warn });
    const mounts = new Mounts({
      ...{ backend, catalog, places, warn },
      ref(id) {
        const row = catalog.byId(id);
        if (row === null) throw new SysError(E.ENOENT, `layer ${id}`);
        return refOf(catalog, row);
      },
    });
    const volumes = new Volumes({
      ...{ places, warn, table: new VolumeTable(catalog) },
      storage: {
        directory: new DirectoryVolumes(places, trash),
        image: new ImageVolumes(places, trash),
        thin: new ThinVolumes(places, trash, () => thin.get()),
      },
    });
    const parts = [places, catalog, backend, mounts, trash, volumes, thin] as const;
    const store = new Store(places.root, lock, ...parts);
    await store.recover();
    return store;
  }

  /** The layers of an engine. */
  layers(realm: Realm): Layers {
    let layers = this.realms.get(realm.name);
    if (layers === undefined) {
      layers = new Layers(realm, {
        ...{ backend: this.backend, catalog: this.catalog, mounts: this.mounts, places: this.places },
        takeId: () => this.nextId++,
      });
      this.realms.set(realm.name, layers);
    }
    return layers;
  }

  get mountCount(): number {
    return this.mounts.size;
  }

  get layerCount(): number {
    return this.catalog.count();
  }

  /** What keeps the store from working, or null. */
  trouble(): string | null {
    try {
      this.catalog.count();
      return this.catalog.trouble?.message ?? null;
    } catch (error) {
      if (error instanceof SysError) return error.message;
      throw error;
    }
  }

  /** About the store, for people. */
  async status(): Promise<[string, string][]> {
    const rows = await this.backend.status();
    return [
      ['Root', this.root],
      ['Backend', this.backend.name],
      ...rows,
      ['Layers', String(this.layerCount)],
      ['Mounts', String(this.mountCount)],
    ];
  }

  /** Resolves when what was removed has been taken apart. */
  swept(): Promise<void> {
    return this.trash.idle();
  }

  /** Unmounts everything and lets go of it. What was mounted is mounted again when the store is opened next. */
  async close(): Promise<void> {
    await Promise.all([...this.realms.values()].map(layers => layers.close()));
    await this.volumes.close();
    await this.mounts.close();
    await this.backend.close();
    await this.thin.close();
    await this.trash.idle();
    await this.catalog.close();
    close(this.lock);
  }

  /** What an earlier process has left: half-made layers and storage that nobody has a name for go, mounts come back. */
  private async recover(): Promise<void> {
    const { catalog, backend } = this;
    await catalog.noteBoot();
    await catalog.change(() => {
      for (const { id } of catalog.halfMade()) if (catalog.childOf(id) === null) catalog.remove(id);
    });
    const stored = new Set(await backend.stored());
    await catalog.change(() => {
      for (const { id } of catalog.leaves()) removeLost(catalog, id, stored);
    });
    const known = catalog.ids();
    for (const id of stored) if (!known.has(id)) await backend.discard(id);
    this.trash.empty();
    await backend.recover?.();
    await this.mounts.restore();
    await this.volumes.recover();
  }
}

/** Removes a layer without storage, and those under it that then are such leaves too. */
function removeLost(catalog: Catalog, id: number, stored: ReadonlySet<number>): void {
  for (let row = catalog.byId(id); row !== null && !stored.has(row.id); ) {
    if (catalog.childOf(row.id) !== null) return;
    catalog.remove(row.id);
    row = row.parent === null ? null : catalog.byId(row.parent);
  }
}

/** Containers whose root is not root on the host must be able to walk through, and nobody to look around. */
const SEARCHABLE = 0o711;

/** The directory without symlinks, as the kernel names what is mounted below it. */
function makeRoot(root: string): string {
  mkdirSync(root, { recursive: true });
  return realpathSync(root);
}

function makeDirectories(places: Places): void {
  const found = readdirSync(places.root);
  const ours = found.length === 0 || found.includes('layers') || found.includes('lock');
  if (!ours) throw new SysError(E.EINVAL, `${places.root} is neither empty nor a store (it has ${found[0]})`);
  for (const dir of [places.root, places.layers, places.mounts, places.volumes, places.trash, places.empty]) {
    mkdirSync(dir, { recursive: true });
    chmodSync(dir, SEARCHABLE);
  }
}
