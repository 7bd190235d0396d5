// The store's database: rows in, rows out. Every change is one transaction; those that an engine has been told of are
// durable, notes for the time after a crash of this process need not outlive one of the machine.
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { E, SysError } from '../base/index.js';
import { openDatabase, sqlite } from '../sys/index.js';
import type { BackendName, LayerUsage } from './backend.js';
import { Rows } from './rows.js';
import { APPLICATION_ID, type LayerKind, type LayerRow, SCHEMA, SCHEMA_VERSION } from './schema.js';

/** A layer to be. */
export interface NewLayer {
  readonly realm: string;
  readonly name: string;
  readonly parent: number | null;
  readonly kind: LayerKind;
  readonly labels: string;
  readonly quota: number | null;
  readonly shown: string | null;
}

const IDENTITY = { applicationId: APPLICATION_ID, version: SCHEMA_VERSION };

export class Catalog extends Rows {
  /** Opens the database at `path`; makes it for `backend` when it is not there. EINVAL when it is another backend's. */
  static async open(path: string, backend: BackendName, warn: (message: string) => void): Promise<Catalog> {
    if (!existsSync(path)) create(path, backend);
    const catalog = new Catalog(path, openDatabase(path, { mode: 'write', ...IDENTITY }), warn);
    try {
      const found = catalog.one<{ backend: string }>('SELECT backend FROM store').backend;
      if (found === backend) return catalog;
      throw new SysError(E.EINVAL, `${path} is a store of the ${found} backend, not of ${backend}`);
    } catch (error) {
      await catalog.close();
      throw error;
    }
  }

  /** Forgets who had mounted what before the machine started, if that was since. */
  async noteBoot(): Promise<void> {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    if (this.one<{ boot: string }>('SELECT boot FROM store').boot === boot) return;
    await this.change(() => {
      this.run('UPDATE layer SET mounts = 0 WHERE mounts > 0');
      this.run('DELETE FROM volume_holder');
      this.run('UPDATE store SET boot = ?', boot);
    });
  }

  /** What an engine has been told to keep, by the name `name`; null when there is nothing. */
  setting(realm: string, name: string): string | null {
    const found = this.get<{ value: string }>(
      'SELECT value FROM setting WHERE realm = ? AND name = ?',
      ...[realm, name],
    );
    return found?.value ?? null;
  }

  setSetting(realm: string, name: string, value: string): void {
    this.run('INSERT OR REPLACE INTO setting (realm, name, value) VALUES (?, ?, ?)', realm, name, value);
  }

  find(realm: string, name: string): LayerRow | null {
    return this.get<LayerRow>('SELECT * FROM layer WHERE realm = ? AND name = ?', realm, name);
  }

  byId(id: number): LayerRow | null {
    return this.get<LayerRow>('SELECT * FROM layer WHERE id = ?', id);
  }

  /** In the order in which they were made. */
  list(realm: string): LayerRow[] {
    return this.all<LayerRow>('SELECT * FROM layer WHERE realm = ? ORDER BY id', realm);
  }

  /** Layers of all realms. */
  count(): number {
    return this.one<{ layers: number }>('SELECT count(*) AS layers FROM layer').layers;
  }

  ids(): Set<number> {
    return new Set(this.all<{ id: number }>('SELECT id FROM layer').map(({ id }) => id));
  }

  mounted(): LayerRow[] {
    return this.all<LayerRow>('SELECT * FROM layer WHERE mounts > 0 ORDER BY id');
  }

  /** Layers that were being filled when the process died. */
  halfMade(): LayerRow[] {
    return this.all<LayerRow>('SELECT * FROM layer WHERE filling = 1 ORDER BY id DESC');
  }

  /** Ids of the layers under a layer, the nearest first. */
  parents(id: number): number[] {
    const rows = this.all<{ parent: number }>(
      `WITH RECURSIVE up(parent, depth) AS (
         SELECT parent, 0 FROM layer WHERE id = ?
         UNION ALL SELECT layer.parent, depth + 1 FROM layer JOIN up ON layer.id = up.parent
       ) SELECT parent FROM up WHERE parent IS NOT NULL ORDER BY depth`,
      id,
    );
    return rows.map(({ parent }) => parent);
  }

  /** Layers that are nobody's parent. */
  leaves(): { id: number }[] {
    return this.all(
      'SELECT id FROM layer WHERE id NOT IN (SELECT parent FROM layer WHERE parent IS NOT NULL)',
    );
  }

  /** The name of a layer that has this one as its parent, or null. */
  childOf(id: number): string | null {
    return this.get<{ name: string }>('SELECT name FROM layer WHERE parent = ? LIMIT 1', id)?.name ?? null;
  }

  /** The id that the next layer gets. */
  nextId(): number {
    const last = this.get<{ seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'layer'");
    return (last?.seq ?? 0) + 1;
  }

  insert(id: number, layer: NewLayer): void {
    const { realm, name, parent, kind, labels, quota, shown } = layer;
    const now = microseconds();
    this.run(
      `INSERT INTO layer (id, realm, name, parent, kind, labels, created, updated, quota, shown)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[id, realm, name, parent, kind, labels, now, now, quota, shown],
    );
  }

  /** An active layer becomes a committed one with another name, as if it had been made now. */
  commit(id: number, name: string, labels: string): void {
    const now = microseconds();
    this.run(
      "UPDATE layer SET name = ?, kind = 'committed', labels = ?, created = ?, updated = ? WHERE id = ?",
      ...[name, labels, now, now, id],
    );
  }

  relabel(id: number, labels: string): void {
    this.run('UPDATE layer SET labels = ?, updated = ? WHERE id = ?', labels, microseconds(), id);
  }

  setUsage(id: number, usage: LayerUsage | null): void {
    this.run(
      'UPDATE layer SET bytes = ?, inodes = ? WHERE id = ?',
      ...[usage?.bytes ?? null, usage?.inodes ?? null, id],
    );
  }

  setMounts(id: number, mounts: number): void {
    this.run('UPDATE layer SET mounts = ? WHERE id = ?', mounts, id);
  }

  setFilling(id: number, filling: boolean): void {
    this.run('UPDATE layer SET filling = ? WHERE id = ?', Number(filling), id);
  }

  remove(id: number): void {
    this.run('DELETE FROM layer WHERE id = ?', id);
  }
}

/** Makes the database aside, so that one that is there is whole. */
function create(path: string, backend: BackendName): void {
  const aside = `${path}.new`;
  for (const name of [aside, `${aside}-wal`, `${aside}-shm`]) rmSync(name, { force: true });
  const database = openDatabase(aside, { mode: 'create', ...IDENTITY });
  sqlite(aside, () => {
    database.exec(SCHEMA);
    database.prepare("INSERT INTO store (id, backend, boot) VALUES (1, ?, '')").run(backend);
  });
  database.close();
  renameSync(aside, path);
}

/** Now, in microseconds since 1970: engines compare these times with clocks finer than milliseconds. */
function microseconds(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}
