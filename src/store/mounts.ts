// Which layers are mounted, by how many, and where. Counts are noted in the database, so that after a crash of this process
// an engine's mounts are there again and what it gives back is counted from where it was.
import { mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { E, fromText, isErrno, KeyedLock, SysError } from '../base/index.js';
import { listMounts, MNT, mountedElsewhere, umountAsync } from '../sys/index.js';
import type { Backend, LayerMount, LayerRef, LayerUsage } from './backend.js';
import type { Catalog } from './catalog.js';
import type { Places } from './places.js';

interface Live {
  readonly mount: LayerMount;
  readonly path: string;
  /** Has it ended by itself? */
  gone: boolean;
}

export interface MountsHost {
  readonly backend: Backend;
  readonly catalog: Catalog;
  readonly places: Places;
  ref(id: number): LayerRef;
  warn(message: string): void;
}

export class Mounts {
  private readonly live = new Map<number, Live>();
  /** Mounts that have left the tree and that somebody still has, and their layers. */
  private readonly lingering = new Map<LayerMount, number>();
  private readonly lock = new KeyedLock<number>();

  constructor(private readonly host: MountsHost) {}

  /** Mounts a layer, or counts one more who has it; the path where it is. Every call needs a `release`. */
  acquire(id: number): Promise<string> {
    return this.lock.run(id, async () => {
      const path = await this.show(id);
      this.setCount(id, this.count(id) + 1);
      return path;
    });
  }

  /** Mounts a layer for as long as it exists, however often it is asked for; the path where it is. */
  hold(id: number): Promise<string> {
    return this.lock.run(id, async () => {
      const path = await this.show(id);
      if (this.count(id) === 0) this.setCount(id, 1);
      return path;
    });
  }

  /** One fewer has it; the last unmounts it. More releases than there were acquires are fine. */
  release(id: number): Promise<void> {
    return this.lock.run(id, async () => {
      const count = this.count(id);
      if (count > 1) return this.setCount(id, count - 1);
      await this.end(id);
    });
  }

  /** Unmounts a layer, whoever has it. */
  drop(id: number): Promise<void> {
    return this.lock.run(id, () => this.end(id));
  }

  /**
   * For when an engine begins anew, and has nothing in its hands but containers that run: those of the layers `ids` that it
   * had mounted for anything else are unmounted, for nobody will give them back.
   */
  async forgetUnused(ids: readonly number[]): Promise<void> {
    const elsewhere = mountedElsewhere();
    const devices = new Map(
      listMounts().map(mount => [mount.mountpoint, `${mount.devMajor}:${mount.devMinor}`]),
    );
    await Promise.all(
      ids.map(id =>
        this.lock.run(id, async () => {
          const live = this.live.get(id);
          const device = live && devices.get(fromText(live.path));
          if (device === undefined || !elsewhere.has(device)) await this.end(id);
        }),
      ),
    );
  }

  /** Runs `body` while the layer cannot be mounted. EBUSY when it is. */
  unmounted<T>(id: number, what: string, body: () => Promise<T>): Promise<T> {
    return this.lock.run(id, async () => {
      if (this.live.has(id) || this.count(id) > 0) throw new SysError(E.EBUSY, `${what} is mounted`);
      return body();
    });
  }

  has(id: number): boolean {
    return this.live.has(id);
  }

  /** Does nobody have the layer, in whichever way? */
  isQuiet(id: number): boolean {
    return this.count(id) === 0 && !this.live.has(id) && ![...this.lingering.values()].includes(id);
  }

  /** Bytes and inodes of a layer that is mounted, or null. */
  usage(id: number): LayerUsage | null {
    return usageOf(this.live.get(id)?.mount);
  }

  get size(): number {
    return this.live.size;
  }

  /** Mounts again what was mounted when an earlier process died, and clears the remains of its mounts away. */
  async restore(): Promise<void> {
    const { places, catalog } = this.host;
    const below = `${Buffer.from(places.mounts).toString('latin1')}/`;
    const dead = listMounts().filter(({ mountpoint }) => mountpoint.startsWith(below));
    for (const { mountpoint } of dead.reverse()) await umountAsync(mountpoint, MNT.DETACH | MNT.NOFOLLOW);
    for (const name of readdirSync(places.mounts)) rmdirSync(join(places.mounts, name));
    await Promise.all(
      catalog.mounted().map(({ id, name }) =>
        this.lock.run(id, async () => {
          try {
            await this.show(id);
          } catch (error) {
            if (!(error instanceof SysError)) throw error;
            this.host.warn(`layer ${name} cannot be mounted again: ${error.message}`);
            this.setCount(id, 0);
          }
        }),
      ),
    );
  }

  /** Unmounts everything, whoever has it, and keeps the counts: the next process mounts it again. */
  async close(): Promise<void> {
    await Promise.all([...this.live.keys()].map(id => this.lock.run(id, () => this.unmount(id))));
    const lingering = [...this.lingering.keys()];
    for (const mount of lingering) mount.abandon?.();
    await Promise.all(lingering.map(mount => mount.closed.catch(() => {})));
  }

  private count(id: number): number {
    return this.host.catalog.byId(id)?.mounts ?? 0;
  }

  private setCount(id: number, count: number): void {
    this.host.catalog.note(() => this.host.catalog.setMounts(id, count));
  }

  /** Where the layer is to be seen; mounts it if need be. */
  private async show(id: number): Promise<string> {
    const { backend, places } = this.host;
    const found = this.live.get(id);
    if (found !== undefined && !found.gone) return found.path;
    if (found !== undefined) await this.unmount(id);
    const ref = this.host.ref(id);
    const plain = backend.directory(ref);
    if (plain !== null) return plain;
    const path = places.mount(id);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    // If this process dies, nobody knows any more.
    if (!ref.readOnly && ref.usage !== null) this.noteUsage(id, null);
    const live: Live = { mount: await backend.mount(ref, path), path, gone: false };
    this.live.set(id, live);
    const ended = (): void => {
      live.gone = true;
    };
    live.mount.closed.then(ended, (error: unknown) => {
      ended();
      this.host.warn(`mount ${path} was given up: ${String(error)}`);
    });
    return path;
  }

  private async end(id: number): Promise<void> {
    await this.unmount(id);
    if (this.count(id) > 0) this.setCount(id, 0);
  }

  /** What the layer takes is noted when its mount has ended: only then all is written. */
  private async unmount(id: number): Promise<void> {
    const live = this.live.get(id);
    if (live === undefined) return;
    const lazy = !live.gone && !(await this.unmountNow(live));
    this.live.delete(id);
    rmdirSync(live.path);
    const ended = live.mount.closed.catch(() => {});
    // Who still uses it keeps it, and may write to it; nobody else finds it.
    if (lazy || live.mount.held === true) {
      this.noteUsage(id, null);
      this.lingering.set(live.mount, id);
      void ended.then(() => this.lingering.delete(live.mount));
      return;
    }
    await ended;
    this.noteUsage(id, usageOf(live.mount));
  }

  private noteUsage(id: number, usage: LayerUsage | null): void {
    const { catalog } = this.host;
    if (catalog.byId(id) !== null) catalog.note(() => catalog.setUsage(id, usage));
  }

  /** False when it is in use, and has only left the tree. */
  private async unmountNow({ mount, path }: Live): Promise<boolean> {
    try {
      await mount.unmount();
      return true;
    } catch (error) {
      if (!isErrno(error, E.EBUSY)) throw error;
      this.host.warn(`mount ${path} is in use; it ends with its last user`);
      await mount.unmount({ lazy: true });
      return false;
    }
  }
}

function usageOf(mount: LayerMount | undefined): LayerUsage | null {
  const usage = mount?.usage?.() ?? null;
  return usage?.exact === true ? { bytes: usage.bytes, inodes: usage.inodes } : null;
}
