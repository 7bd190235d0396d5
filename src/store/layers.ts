// Layers as engines use them, whatever the protocol: made on a parent, filled, mounted, finished, looked at, removed. Each call
// is one transaction; calls for one name come one after the other, others do not wait for them.
import { E, KeyedLock, SysError } from '../base/index.js';
import type { ApplyResult, ByteSource, Change, IdMap } from '../oci/index.js';
import type { Backend, LayerRef, LayerUsage, OverlayDirs } from './backend.js';
import type { Catalog } from './catalog.js';
import type { Mounts } from './mounts.js';
import type { Places } from './places.js';
import type { LayerKind, LayerRow } from './schema.js';

/** Longest name of a layer, in characters. */
const LONGEST_NAME = 4096;

export type Labels = Readonly<Record<string, string>>;

/** A layer, as its engine may know it. */
export interface LayerInfo {
  readonly name: string;
  readonly parent: string | null;
  readonly kind: LayerKind;
  readonly labels: Labels;
  /** Microseconds since 1970. */
  readonly created: number;
  readonly updated: number;
}

export interface PrepareRequest {
  readonly name: string;
  readonly parent: string | null;
  readonly kind: 'active' | 'view';
  readonly labels?: Labels;
  /** Bytes that the layer may take. */
  readonly quota?: number | null;
  /** Its mounts show the ids that it holds (`inside`) as those of a user namespace (`outside`). ENOTSUP where none can. */
  readonly shown?: IdMap | null;
  /** Its root belongs to the root of a user namespace. */
  readonly ids?: IdMap | null;
}

/** The layers of one engine. */
export interface Realm {
  readonly name: string;
  /** May only a committed layer be a parent? */
  readonly parentsAreCommitted: boolean;
}

export interface LayersHost {
  readonly backend: Backend;
  readonly catalog: Catalog;
  readonly mounts: Mounts;
  readonly places: Places;
  /** The next id, never given twice. */
  takeId(): number;
}

/**
 * The errors of all calls are SysErrors: ENOENT (no such layer or parent), EEXIST (the name is taken), EINVAL (a parent that
 * is not committed, a name that cannot be), EPERM (what this kind of layer does not do), ENOTEMPTY (it has children), EBUSY.
 */
export class Layers {
  private readonly lock = new KeyedLock<string>();
  private readonly measuring = new Map<number, Promise<LayerUsage>>();
  private behind: Promise<void> = Promise.resolve();
  private closing = false;

  constructor(
    private readonly realm: Realm,
    private readonly host: LayersHost,
  ) {}

  async prepare(request: PrepareRequest): Promise<LayerInfo> {
    const { name, kind, labels = {}, quota = null, shown = null, ids = null } = request;
    checkName(name);
    return this.lock.run(name, async () => {
      const { backend, catalog } = this.host;
      this.checkFree(name);
      const parent = request.parent === null ? null : this.parentRow(request.parent);
      const parents = parent === null ? [] : [parent.id, ...catalog.parents(parent.id)];
      const id = this.host.takeId();
      await backend.create({ id, parents, readOnly: kind === 'view', quota, shown, usage: null }, ids);
      try {
        await catalog.change(() => {
          // The parent may have gone meanwhile.
          if (parent !== null && catalog.byId(parent.id) === null) throw unknown(parent.name);
          const texts = { labels: JSON.stringify(labels), shown: shown && JSON.stringify(shown) };
          const row = { realm: this.realm.name, name, kind, quota, ...texts };
          catalog.insert(id, { ...row, parent: parent?.id ?? null });
        });
      } catch (error) {
        await backend.discard(id);
        throw error;
      }
      return this.stat(name);
    });
  }

  /** An active layer becomes a committed one, by the name `as`. It may be mounted; whoever has it so keeps it. */
  async commit(name: string, as: string, labels: Labels = {}): Promise<LayerInfo> {
    checkName(as);
    return this.lock.run(name, async () => {
      const row = this.whole(name);
      if (row.kind !== 'active')
        throw new SysError(E.EPERM, `layer ${name} is ${WORDS[row.kind]}, not active`);
      this.checkFree(as);
      await this.host.mounts.drop(row.id);
      await this.host.catalog.change(() => {
        this.checkFree(as);
        this.host.catalog.commit(row.id, as, JSON.stringify(labels));
      });
      this.measureBehind(as);
      return this.stat(as);
    });
  }

  /** Removes a layer; whoever has it mounted loses it. */
  remove(name: string): Promise<void> {
    return this.lock.run(name, async () => {
      const row = this.row(name);
      // The storage goes without a sync too; of the two, what a power cut has left is put right when the store is opened.
      this.host.catalog.note(() => {
        this.checkChildless(row);
        this.host.catalog.remove(row.id);
      });
      await this.host.mounts.drop(row.id);
      await this.host.backend.discard(row.id);
    });
  }

  exists(name: string): boolean {
    return this.find(name) !== null;
  }

  stat(name: string): LayerInfo {
    return this.info(this.row(name));
  }

  list(): LayerInfo[] {
    return this.host.catalog.list(this.realm.name).map(row => this.info(row));
  }

  /** Changes the labels; `change` gets those that are there. */
  relabel(name: string, change: (labels: Labels) => Labels): Promise<LayerInfo> {
    return this.lock.run(name, async () => {
      const { catalog } = this.host;
      const row = this.row(name);
      await catalog.change(() => catalog.relabel(row.id, JSON.stringify(change(labelsOf(row)))));
      return this.stat(name);
    });
  }

  /** What the layer's own content takes on disk, without its parents'. */
  async usage(name: string): Promise<LayerUsage> {
    const row = this.row(name);
    const live = this.host.mounts.usage(row.id);
    if (live !== null) return live;
    const noted = usageIn(row);
    if (noted !== null) return noted;
    let measuring = this.measuring.get(row.id);
    if (measuring === undefined) {
      measuring = this.measure(row.id).finally(() => this.measuring.delete(row.id));
      this.measuring.set(row.id, measuring);
    }
    return measuring;
  }

  /** Mounts the layer for one more user, who gives it back by `release`; the path where it is. */
  async acquire(name: string): Promise<string> {
    return this.lock.run(name, () => this.host.mounts.acquire(this.whole(name).id));
  }

  async release(name: string): Promise<void> {
    return this.lock.run(name, () => this.host.mounts.release(this.row(name).id));
  }

  /** Mounts the layer for as long as it is active; the path where it is. */
  async hold(name: string): Promise<string> {
    return this.lock.run(name, () => {
      const row = this.whole(name);
      if (row.kind === 'committed')
        throw new SysError(E.EPERM, `layer ${name} is committed and has no mounts`);
      return this.host.mounts.hold(row.id);
    });
  }

  /**
   * The directories of an active layer, for who fills it beside us in kernel overlayfs's format; null where that cannot be. A
   * layer whose directories somebody has is not to be held or acquired.
   */
  overlay(name: string): OverlayDirs | null {
    const { backend, catalog, mounts } = this.host;
    const row = this.whole(name);
    if (row.kind !== 'active' || mounts.has(row.id)) return null;
    return backend.overlay?.(refOf(catalog, row)) ?? null;
  }

  /** The layer for the backend: its id, and those of its parents. */
  ref(name: string): LayerRef {
    return refOf(this.host.catalog, this.row(name));
  }

  /**
   * Applies a layer tar. One that breaks off leaves a layer that cannot be used, only removed. An empty stream is no tar: it
   * is what remains of a request that an engine has sent twice. `ids`: the tar's owners are those of a user namespace.
   */
  apply(name: string, tar: ByteSource, ids: IdMap | null = null): Promise<ApplyResult> {
    return this.lock.run(name, () => {
      const { catalog, mounts, backend } = this.host;
      const { id } = this.whole(name);
      return mounts.unmounted(id, `layer ${name}`, async () => {
        // A power cut that undoes this has undone as much of what was applied; its engine was told of neither.
        catalog.note(() => catalog.setFilling(id, true));
        const result = await backend.apply(refOf(catalog, this.row(name)), nonEmpty(tar, name), ids);
        await catalog.change(() => {
          catalog.setFilling(id, false);
          catalog.setUsage(id, null);
        });
        return result;
      });
    });
  }

  /** What the layer changes over `parent`, which must be its parent, as an OCI layer tar. */
  diff(name: string, parent: string | null, ids: IdMap | null = null): AsyncIterable<Buffer> {
    return this.host.backend.diff(this.overParent(name, parent), ids);
  }

  changes(name: string, parent: string | null): AsyncIterable<Change> {
    return this.host.backend.changes(this.overParent(name, parent));
  }

  /** Bytes that the layer's files add to its parent's, as Docker counts them. */
  async changedSize(name: string, parent: string | null): Promise<number> {
    let size = 0;
    for await (const change of this.changes(name, parent)) size += change.brings;
    return size;
  }

  /** The engine has begun anew: of what it had mounted, what no container uses is unmounted. */
  forgetUnused(): Promise<void> {
    const { catalog, mounts } = this.host;
    const held = catalog.mounted().filter(({ realm }) => realm === this.realm.name);
    return mounts.forgetUnused(held.map(({ id }) => id));
  }

  /** Keeps what the engine has said, under `key`, until it says something else. */
  async remember(key: string, value: string): Promise<void> {
    const { catalog } = this.host;
    if (this.recall(key) !== value)
      await catalog.change(() => catalog.setSetting(this.realm.name, key, value));
  }

  recall(key: string): string | null {
    return this.host.catalog.setting(this.realm.name, key);
  }

  /** Where the layer is, for people. */
  describe(name: string): Record<string, string> {
    const ref = this.ref(name);
    return this.host.backend.describe(ref, this.host.places.mount(ref.id));
  }

  private overParent(name: string, parent: string | null): LayerRef {
    const { parent: own } = this.stat(name);
    if (own === parent) return this.ref(name);
    const is = own === null ? 'has no parent' : `has the parent ${own}`;
    throw new SysError(E.EINVAL, `layer ${name} ${is}, and cannot be compared with ${parent ?? 'nothing'}`);
  }

  /** Somebody will ask: what takes long then begins now, a layer at a time, and nobody waits for it. */
  private measureBehind(name: string): void {
    this.behind = this.behind.then(async () => {
      if (this.closing || !this.exists(name)) return;
      try {
        await this.usage(name);
      } catch (error) {
        // Removed meanwhile, perhaps; who asks is told.
        if (!(error instanceof SysError)) throw error;
      }
    });
  }

  /** Ends what goes on behind. */
  async close(): Promise<void> {
    this.closing = true;
    await this.behind;
    await Promise.allSettled(this.measuring.values());
  }

  private async measure(id: number): Promise<LayerUsage> {
    const { backend, catalog, mounts } = this.host;
    const row = catalog.byId(id);
    if (row === null) throw unknown(String(id));
    const usage = await backend.measure(refOf(catalog, row));
    // Who commits layers has directories of the others; and what has changed meanwhile is measured again.
    const finished = row.kind !== 'active' || !this.realm.parentsAreCommitted;
    if (finished && mounts.isQuiet(id) && catalog.byId(id)?.updated === row.updated)
      catalog.note(() => catalog.setUsage(id, usage));
    return usage;
  }

  private find(name: string): LayerRow | null {
    return this.host.catalog.find(this.realm.name, name);
  }

  private row(name: string): LayerRow {
    const row = this.find(name);
    if (row === null) throw unknown(name);
    return row;
  }

  /** The row of a layer that can be used. */
  private whole(name: string): LayerRow {
    const row = this.row(name);
    if (row.filling === 0) return row;
    throw new SysError(E.EPERM, `layer ${name} was not filled to the end, and can only be removed`);
  }

  private parentRow(name: string): LayerRow {
    const row = this.whole(name);
    if (row.kind === 'committed' || !this.realm.parentsAreCommitted) return row;
    throw new SysError(E.EINVAL, `layer ${name} is ${WORDS[row.kind]}; a parent has to be committed`);
  }

  private checkFree(name: string): void {
    if (this.exists(name)) throw new SysError(E.EEXIST, `layer ${name}`);
  }

  private checkChildless(row: LayerRow): void {
    const child = this.host.catalog.childOf(row.id);
    if (child !== null)
      throw new SysError(E.ENOTEMPTY, `cannot remove layer ${row.name}: ${child} lies on it`);
  }

  private info(row: LayerRow): LayerInfo {
    const parent = row.parent === null ? null : (this.host.catalog.byId(row.parent)?.name ?? null);
    const { name, kind, created, updated } = row;
    return { name, parent, kind, created, updated, labels: labelsOf(row) };
  }
}

const WORDS: Readonly<Record<LayerKind, string>> = {
  active: 'active',
  view: 'a view',
  committed: 'committed',
};

/** A row as the backend knows it. */
export function refOf(catalog: Catalog, row: LayerRow): LayerRef {
  const { id, kind, quota } = row;
  const shown = row.shown === null ? null : (JSON.parse(row.shown) as IdMap);
  return { id, parents: catalog.parents(id), readOnly: kind !== 'active', quota, shown, usage: usageIn(row) };
}

/** What the row says that the layer takes, or null. */
function usageIn({ bytes, inodes }: LayerRow): LayerUsage | null {
  return bytes === null || inodes === null ? null : { bytes, inodes };
}

function labelsOf(row: LayerRow): Labels {
  return JSON.parse(row.labels) as Labels;
}

function unknown(name: string): SysError {
  return new SysError(E.ENOENT, `layer ${name}`);
}

function checkName(name: string): void {
  if (name === '') throw new SysError(E.EINVAL, 'a layer needs a name');
  if (name.length > LONGEST_NAME || name.includes('\0'))
    throw new SysError(E.EINVAL, `a layer's name has at most ${LONGEST_NAME} characters and no NUL`);
}

async function* nonEmpty(tar: ByteSource, name: string): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = 0;
  for await (const chunk of tar) {
    bytes += chunk.length;
    yield chunk;
  }
  if (bytes === 0)
    throw new SysError(E.EBADMSG, `the tar for layer ${name} is empty: not even its end is there`);
}
