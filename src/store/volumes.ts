// Named volumes: directories for containers that outlive them. Made, mounted for holders that are counted by name, looked at,
// removed; calls for one name come one after the other.
import { readdirSync } from 'node:fs';
import { E, isErrno, KeyedLock, SysError } from '../base/index.js';
import type { Places } from './places.js';
import type { VolumeKind, VolumeRow } from './schema.js';
import { isStored, type VolumeOrigin, type VolumeStorage } from './volume-storage.js';
import type { VolumeTable } from './volume-table.js';

export type VolumeBackend = 'directory' | 'thin';

export interface VolumeRequest {
  readonly name: string;
  /** Default: a snapshot is what its origin is, any other a directory. */
  readonly backend?: VolumeBackend | null;
  /** Bytes that it may hold. A directory without it holds what fits; a thin volume without it DEFAULT_THIN_SIZE. */
  readonly size?: number | null;
  /** The name of a volume whose content this begins with. */
  readonly snapshotOf?: string | null;
}

export interface VolumeInfo {
  readonly name: string;
  readonly backend: VolumeBackend;
  readonly size: number | null;
  readonly snapshotOf: string | null;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly holders: number;
  /** Where its content is; null when that is nowhere to be seen until somebody mounts it. */
  readonly path: string | null;
}

export interface VolumesHost {
  readonly places: Places;
  readonly table: VolumeTable;
  readonly storage: Readonly<Record<VolumeKind, VolumeStorage>>;
  warn(message: string): void;
}

/** Of a thin volume that nobody gave a size. */
const DEFAULT_THIN_SIZE = 10 * 2 ** 30;
/** An ext4 needs this much (bytes) to be of use. */
const LEAST_SIZE = 2 ** 20;
const SECTOR = 512;
const LONGEST_NAME = 255;

/**
 * The errors of all calls are SysErrors: ENOENT (no such volume), EEXIST (the name is taken by another), EINVAL (options that
 * cannot be), EBUSY (somebody holds it), and what the tools say that make file systems.
 */
export class Volumes {
  private readonly lock = new KeyedLock<string>();
  private nextId: number;

  constructor(private readonly host: VolumesHost) {
    this.nextId = host.table.nextId();
  }

  /** Makes a volume; one that is there and was made with the same wishes is fine. */
  create(request: VolumeRequest): Promise<VolumeInfo> {
    checkName(request.name);
    const names = [request.name, ...(request.snapshotOf == null ? [] : [request.snapshotOf])];
    return this.locked(names, async () => {
      const { table, storage } = this.host;
      const origin = request.snapshotOf == null ? null : this.row(request.snapshotOf);
      const wish = wishOf(request, origin);
      const found = table.find(request.name);
      if (found !== null) return this.info(this.same(found, wish));
      const row = { ...wish, id: this.nextId++, name: request.name, created: Date.now() };
      await storage[row.kind].create(row, origin === null ? null : this.origin(origin));
      await table.change(() => table.insert(row));
      return this.info(row);
    });
  }

  remove(name: string): Promise<void> {
    return this.lock.run(name, async () => {
      const { table, storage } = this.host;
      const row = this.row(name);
      const holders = table.holders(row.id);
      if (holders > 0) throw new SysError(E.EBUSY, `volume ${name} is in use by ${holders}`);
      await storage[row.kind].unmount(row.id);
      table.note(() => table.remove(row.id));
      await storage[row.kind].discard(row.id);
    });
  }

  get(name: string): VolumeInfo {
    return this.info(this.row(name));
  }

  list(): VolumeInfo[] {
    return this.host.table.list().map(row => this.info(row));
  }

  /** Bytes that a volume takes, or null where that is not known without walking it. */
  used(name: string): Promise<number | null> {
    const { kind, id } = this.row(name);
    return this.host.storage[kind].used(id);
  }

  /** Mounts a volume for `holder`; the path of its content. The same holder again is fine. */
  mount(name: string, holder: string): Promise<string> {
    return this.lock.run(name, async () => {
      const { table, storage } = this.host;
      const row = this.row(name);
      await storage[row.kind].mount(row);
      table.note(() => table.addHolder(row.id, holder));
      return storage[row.kind].path(row.id);
    });
  }

  /** The last holder's end unmounts it. A holder that is none is fine. */
  unmount(name: string, holder: string): Promise<void> {
    return this.lock.run(name, async () => {
      const { table } = this.host;
      const row = this.row(name);
      table.note(() => table.removeHolder(row.id, holder));
      if (table.holders(row.id) === 0) await this.rest(row);
    });
  }

  /** What an earlier process has left: half-made volumes go, those that are held are mounted. */
  async recover(): Promise<void> {
    const { places, table, storage } = this.host;
    const rows = table.list();
    for (const row of rows) {
      if (isStored(places, row.id)) continue;
      this.host.warn(`volume ${row.name} has lost its storage, and is removed`);
      await table.change(() => table.remove(row.id));
    }
    const known = new Set(rows.map(({ id }) => String(id)));
    for (const name of readdirSync(places.volumes)) {
      if (known.has(name) || !/^[1-9][0-9]*$/.test(name)) continue;
      for (const kind of Object.values(storage)) await kind.discard(Number(name));
    }
    for (const row of table.list()) {
      if (table.holders(row.id) === 0) await this.rest(row);
      else
        await storage[row.kind].mount(row).catch((error: unknown) => {
          if (!(error instanceof SysError)) throw error;
          this.host.warn(`volume ${row.name} cannot be mounted again: ${error.message}`);
        });
    }
  }

  /** Lets go of all; who holds what is kept. */
  async close(): Promise<void> {
    for (const kind of Object.values(this.host.storage)) await kind.close();
  }

  /** Unmounts a volume that nobody holds. Somebody who looks at it all the same keeps it. */
  private async rest(row: VolumeRow): Promise<void> {
    try {
      await this.host.storage[row.kind].unmount(row.id);
    } catch (error) {
      if (!isErrno(error, E.EBUSY)) throw error;
      this.host.warn(`volume ${row.name} stays mounted: somebody is in ${this.host.places.volume(row.id)}`);
    }
  }

  /** Locks of several names are always taken in one order. */
  private locked<T>(names: readonly string[], body: () => Promise<T>): Promise<T> {
    const [first, ...others] = [...new Set(names)].sort();
    return this.lock.run(first!, () => (others.length === 0 ? body() : this.locked(others, body)));
  }

  private same(found: VolumeRow, wish: Wish): VolumeRow {
    const { kind, size, origin } = found;
    if (kind === wish.kind && size === wish.size && origin === wish.origin) return found;
    throw new SysError(E.EEXIST, `volume ${found.name}, made with other options`);
  }

  private origin(row: VolumeRow): VolumeOrigin {
    const { table, storage } = this.host;
    return { volume: row, storage: storage[row.kind], mounted: table.holders(row.id) > 0 };
  }

  private row(name: string): VolumeRow {
    const row = this.host.table.find(name);
    if (row === null) throw new SysError(E.ENOENT, `volume ${name}`);
    return row;
  }

  private info({ id, name, kind, size, origin, created }: VolumeRow): VolumeInfo {
    const { table, storage } = this.host;
    const holders = table.holders(id);
    return {
      ...{ name, size, created, holders, snapshotOf: origin },
      backend: kind === 'thin' ? 'thin' : 'directory',
      path: kind === 'directory' || holders > 0 ? storage[kind].path(id) : null,
    };
  }
}

type Wish = Pick<VolumeRow, 'kind' | 'size' | 'origin'>;

/** What is asked for, with everything that was left open decided. EINVAL names the option that cannot be. */
function wishOf(request: VolumeRequest, origin: VolumeRow | null): Wish {
  const own = origin === null ? 'directory' : origin.kind === 'thin' ? 'thin' : 'directory';
  const backend = request.backend ?? own;
  if (origin !== null && backend !== own)
    throw new SysError(
      E.EINVAL,
      `backend=${backend}: a snapshot of ${origin.name} is kept as that is, ${own}`,
    );
  const size = request.size ?? origin?.size ?? (backend === 'thin' ? DEFAULT_THIN_SIZE : null);
  if (size !== null && (size < LEAST_SIZE || size % SECTOR !== 0))
    throw new SysError(E.EINVAL, `size=${size}: at least ${LEAST_SIZE} bytes, in whole sectors of ${SECTOR}`);
  if (backend === 'thin' && origin !== null && size !== origin.size)
    throw new SysError(E.EINVAL, `size=${size}: a thin snapshot is as large as its origin, ${origin.size}`);
  const kind = backend === 'thin' ? 'thin' : size === null ? 'directory' : 'image';
  return { kind, size, origin: origin?.name ?? null };
}

function checkName(name: string): void {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) && name.length <= LONGEST_NAME) return;
  const rule = `a letter or digit, then letters, digits, "_", "." and "-", at most ${LONGEST_NAME}`;
  throw new SysError(E.EINVAL, `"${name}" is no name of a volume: ${rule}`);
}
