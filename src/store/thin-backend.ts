// Layers as snapshots of a thin pool, each with a file system in it, as Docker's devicemapper driver had them: the volume
// `layer-ID` is a snapshot of its parent's, or of the base. Removing one frees what nobody else uses, in any order.
import { E, isErrno, SysError } from '../base/index.js';
import { frozen, tool } from '../export/index.js';
import { type ApplyResult, type ByteSource, type Change, type IdMap, ownerOnDisk } from '../oci/index.js';
import type { Backend, LayerMount, LayerRef, LayerUsage } from './backend.js';
import { BASE, growVolume, MOUNT_OPTIONS, openBase } from './thin-base.js';
import { measureVolume } from './thin-measure.js';
import type { ThinFilesystem, ThinOptions } from './thin-options.js';
import type { ThinPool } from './thin-pool.js';
import { thinStatus } from './thin-status.js';
import { applyInChild, changesInChild, tarInChild } from './thin-work.js';

const PREFIX = 'layer-';
/** Sizes are whole blocks of the file systems. */
const UNIT = 4096;

function volumeOf(id: number): string {
  return PREFIX + id;
}

export interface ThinBackendHost {
  readonly thin: ThinPool;
  readonly options: ThinOptions;
  warn(message: string): void;
}

export class ThinBackend implements Backend {
  readonly name = 'thin';
  /** Volumes that go when their last user has gone. */
  private readonly doomed = new Set<string>();
  private readonly mountOptions: string;

  private constructor(
    private readonly host: ThinBackendHost,
    private readonly filesystem: ThinFilesystem,
  ) {
    const own = MOUNT_OPTIONS[filesystem];
    const { mountOptions = '' } = host.options;
    this.mountOptions = mountOptions === '' ? own : `${own},${mountOptions}`;
  }

  /** Makes the base when it is not there. SysError as openBase has them. */
  static async open(host: ThinBackendHost): Promise<ThinBackend> {
    return new ThinBackend(host, await openBase(host.thin, host.options));
  }

  async create({ id, parents, quota, shown }: LayerRef, ids: IdMap | null): Promise<void> {
    if (shown !== null) throw new SysError(E.ENOTSUP, 'a thin layer shows its ids as they are');
    const { thin } = this.host;
    const { pool } = thin;
    thin.checkRoom();
    const [parent] = parents;
    const origin = parent === undefined ? BASE : volumeOf(parent);
    const size = quota === null ? null : sizeFor(quota, pool.info(origin).size);
    const name = volumeOf(id);
    const snapshot = () => pool.snapshot([{ origin, name }]);
    if (thin.filesystems.isUsed(origin)) await this.frozen(origin, snapshot);
    else await snapshot();
    try {
      if (size !== null && size > pool.info(name).size) await growVolume(thin, name, this.filesystem, size);
      if (ids !== null && parent === undefined) await this.giveToRoot(name, ids);
    } catch (error) {
      await this.remove(name);
      throw error;
    }
  }

  async discard(id: number): Promise<void> {
    await this.remove(volumeOf(id));
  }

  async stored(): Promise<number[]> {
    const names = this.host.thin.pool.list().map(({ name }) => name);
    return names
      .filter(name => /^layer-[1-9][0-9]*$/.test(name))
      .map(name => Number(name.slice(PREFIX.length)));
  }

  directory(): null {
    return null;
  }

  async mount({ id, readOnly }: LayerRef, target: string): Promise<LayerMount> {
    return this.host.thin.filesystems.mount(volumeOf(id), target, { options: this.mountOptions, readOnly });
  }

  async apply({ id }: LayerRef, tar: ByteSource, ids: IdMap | null): Promise<ApplyResult> {
    const visit = await this.visit(volumeOf(id), false);
    try {
      return await applyInChild(visit.place, tar, ids);
    } finally {
      await visit.end();
    }
  }

  diff(layer: LayerRef, ids: IdMap | null): AsyncIterable<Buffer> {
    return this.compared(layer, (dir, parent) => tarInChild(dir, parent, ids));
  }

  changes(layer: LayerRef): AsyncIterable<Change> {
    return this.compared(layer, changesInChild);
  }

  measure({ id, parents }: LayerRef): Promise<LayerUsage> {
    const [parent] = parents;
    const origin = parent === undefined ? BASE : volumeOf(parent);
    return measureVolume(this.host.thin, volumeOf(id), origin);
  }

  describe({ id }: LayerRef, target: string): Record<string, string> {
    const { pool } = this.host.thin;
    const { id: device, name, size } = pool.info(volumeOf(id));
    return {
      Pool: pool.dir,
      DeviceId: String(device),
      DeviceName: name,
      DeviceSize: String(size),
      MergedDir: target,
    };
  }

  status(): Promise<[string, string][]> {
    return thinStatus(this.host.thin, {
      options: this.host.options,
      filesystem: this.filesystem,
      baseSize: this.host.thin.pool.info(BASE).size,
      doomed: this.doomed.size,
    });
  }

  async close(): Promise<void> {}

  /** At once, or when its last user has gone. */
  private async remove(name: string): Promise<void> {
    const { pool, filesystems } = this.host.thin;
    try {
      await pool.remove(name);
    } catch (error) {
      if (isErrno(error, E.ENOENT)) return;
      if (!isErrno(error, E.EBUSY) || !filesystems.isUsed(name)) throw error;
      this.removeLater(name);
    }
  }

  /** If this process ends before that, the next one sweeps it. */
  private removeLater(name: string): void {
    if (this.doomed.has(name)) return;
    this.doomed.add(name);
    const { filesystems } = this.host.thin;
    filesystems
      .unused(name)
      .then(() => {
        this.doomed.delete(name);
        return this.remove(name);
      })
      .catch((error: unknown) => this.host.warn(`volume ${name} cannot be removed: ${String(error)}`));
  }

  /** The root directory becomes that of a user namespace's root. */
  private async giveToRoot(name: string, ids: IdMap): Promise<void> {
    const { uid, gid } = ownerOnDisk({ uid: 0, gid: 0 }, ids, 'root');
    const visit = await this.visit(name, false);
    try {
      await tool('chown', `${uid}:${gid}`, '--', visit.place);
    } finally {
      await visit.end();
    }
  }

  /** Somebody writes to the volume: runs `body` while what was written is on it, and nothing more is. */
  private async frozen(name: string, body: () => Promise<unknown>): Promise<void> {
    const visit = await this.visit(name, true);
    try {
      await frozen([visit.place], body);
    } finally {
      await visit.end();
    }
  }

  /** Mounts the volume at a place of its own for a while. */
  private async visit(name: string, readOnly: boolean): Promise<Visit> {
    const { thin } = this.host;
    const place = thin.makePlace();
    try {
      const mounted = await thin.filesystems.mount(name, place, { options: this.mountOptions, readOnly });
      const end = async (): Promise<void> => {
        await mounted.unmount();
        thin.removePlace(place);
      };
      return { place, end };
    } catch (error) {
      thin.removePlace(place);
      throw error;
    }
  }

  private async *compared<T>(
    { id, parents }: LayerRef,
    compare: (dir: string, parent: string | null) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, undefined> {
    const [parent] = parents;
    const visits: Visit[] = [];
    try {
      const own = await this.visit(volumeOf(id), true);
      visits.push(own);
      if (parent !== undefined) visits.push(await this.visit(volumeOf(parent), true));
      yield* compare(own.place, visits[1]?.place ?? null);
    } finally {
      for (const visit of visits) await visit.end();
    }
  }
}

/** A volume that is mounted for a while. */
interface Visit {
  readonly place: string;
  end(): Promise<void>;
}

function sizeFor(quota: number, least: number): number {
  if (quota >= least) return Math.ceil(quota / UNIT) * UNIT;
  const rule = `is smaller than what is under the layer, whose file system has ${least} and cannot shrink`;
  throw new SysError(E.EINVAL, `a size of ${quota} bytes ${rule}`);
}
