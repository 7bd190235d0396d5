// The committed metadata of a pool, read only, for whatever looks at it as a whole: check, dump, delta, ls, rmap, send.
// One SQLite read transaction is one consistent view, also while another process commits. Pages come one at a time.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { E, SysError } from '../base/index.js';
import { type Database, openDatabase, type Statement, sqlite } from '../sys/index.js';
import { blockAt, childAt, FANOUT, PAGE_BYTES, span, timeAt, wordsFrom } from './entry.js';
import { DATABASE, noPool } from './places.js';
import { APPLICATION_ID, type PoolRow, SCHEMA_VERSION, type VolumeRow } from './schema.js';

/** Mappings of consecutive virtual blocks to consecutive data blocks, made at one time. In blocks. */
export interface Run {
  begin: number;
  block: number;
  length: number;
  time: number;
}

/** A row of counts: `counts` is empty when the row has a wrong length. */
export interface CountChunk {
  chunk: number;
  free: number;
  counts: Uint32Array;
}

/** Above this a map would have more virtual blocks than a number can name. */
const MAX_DEPTH = 5;
const BATCH = 1024;
const TABLES = [
  'thin_pool',
  'thin_volume',
  'thin_held',
  'thin_page',
  'thin_data_count',
  'thin_page_count',
  'thin_doomed',
];

export class MetadataReader {
  readonly pool: PoolRow;
  private readonly pageStatement: Statement;

  private constructor(
    private readonly database: Database,
    private readonly path: string,
  ) {
    const found = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck().all();
    for (const table of TABLES) {
      if (!found.includes(table)) throw new SysError(E.EUCLEAN, `${path} has no table ${table}`);
    }
    const pool = database.prepare('SELECT * FROM thin_pool').get() as PoolRow | undefined;
    if (pool === undefined) throw new SysError(E.EUCLEAN, `${path} has no row in thin_pool`);
    this.pool = pool;
    this.pageStatement = database.prepare('SELECT words FROM thin_page WHERE id = ?').pluck();
  }

  /**
   * Opens the metadata of the pool in `dir` as it was committed last. SysError: ENOENT, EMEDIUMTYPE (not ours), EPROTO
   * (newer), EUCLEAN (damaged).
   */
  static open(dir: string): MetadataReader {
    const path = join(dir, DATABASE);
    if (!existsSync(path)) throw noPool(dir);
    const database = openDatabase(path, {
      mode: 'read',
      applicationId: APPLICATION_ID,
      version: SCHEMA_VERSION,
    });
    try {
      return sqlite(path, () => {
        database.exec('BEGIN');
        return new MetadataReader(database, path);
      });
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** The volumes by id, also those that are being received (`partial`). */
  volumes(): VolumeRow[] {
    return this.rows('SELECT * FROM thin_volume ORDER BY id');
  }

  /** The volumes of the held metadata snapshot by id. */
  held(): VolumeRow[] {
    return this.rows('SELECT * FROM thin_held ORDER BY id');
  }

  /** Pages of removed volumes that are still to be taken apart. */
  doomed(): { page: number; depth: number }[] {
    return this.rows('SELECT page, depth FROM thin_doomed ORDER BY page');
  }

  /** The words of a page, a copy; null when there is no such row, or one of a wrong length. */
  page(id: number): Uint32Array | null {
    const blob = sqlite(this.path, () => this.pageStatement.get(id) as Uint8Array | undefined);
    return blob?.length === PAGE_BYTES ? wordsFrom(blob) : null;
  }

  /** The words of a page of a volume's map. SysError EUCLEAN when there is no such page. */
  pageOf(volume: VolumeRow, id: number): Uint32Array {
    const words = this.page(id);
    if (words === null)
      throw new SysError(E.EUCLEAN, `volume ${volume.id}: page ${id} is missing or damaged`);
    return words;
  }

  /** Ids of all pages, ascending. */
  *pageIds(): IterableIterator<number> {
    const statement = this.database.prepare(
      `SELECT id FROM thin_page WHERE id > ? ORDER BY id LIMIT ${BATCH}`,
    );
    yield* this.batches<number>(statement.pluck(), id => id);
  }

  /** The rows of reference counts, ascending; a chunk without a row is all zero. */
  *counts(kind: 'data' | 'page'): IterableIterator<CountChunk> {
    const statement = this.database.prepare(
      `SELECT id, free, counts FROM thin_${kind}_count WHERE id > ? ORDER BY id LIMIT ${BATCH / 8}`,
    );
    const rows = this.batches<{ id: number; free: number; counts: Uint8Array }>(statement, row => row.id);
    for (const { id, free, counts } of rows) {
      const whole = counts.length === PAGE_BYTES;
      yield { chunk: id, free, counts: whole ? wordsFrom(counts) : new Uint32Array(0) };
    }
  }

  /**
   * What a volume maps, in order, in runs as long as they can be. SysError EUCLEAN on a page that is missing or inside
   * itself, and on blocks beyond the volume or the data device.
   */
  *mappings(volume: VolumeRow): Generator<Run> {
    if (volume.root === 0) return;
    checkDepth(volume);
    const limit = Math.ceil(volume.size / this.pool.block_size);
    let run: Run | null = null;
    for (const { begin, words } of this.leaves(volume)) {
      for (let entry = 0; entry < FANOUT; entry++) {
        const block = blockAt(words, entry);
        if (block < 0) continue;
        const at = begin + entry;
        const time = timeAt(words, entry);
        if (at >= limit || block >= this.pool.data_blocks) {
          const which = `volume ${volume.id} maps block ${at} to data block ${block}`;
          throw new SysError(E.EUCLEAN, `${which}, of ${limit} and ${this.pool.data_blocks} that exist`);
        }
        if (run !== null && continues(run, at, block, time)) {
          run.length++;
          continue;
        }
        if (run !== null) yield run;
        run = { begin: at, block, length: 1, time };
      }
    }
    if (run !== null) yield run;
  }

  /** Ends the view. */
  close(): void {
    this.database.close();
  }

  /** The leaf pages of a volume with the virtual block of their first entry. */
  private *leaves(volume: VolumeRow): Generator<{ begin: number; words: Uint32Array }> {
    const path = [{ id: volume.root, words: this.pageOf(volume, volume.root), next: 0, begin: 0 }];
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const height = volume.depth - path.length + 1;
      if (height === 1) {
        yield { begin: top.begin, words: top.words };
        path.pop();
        continue;
      }
      while (top.next < FANOUT && childAt(top.words, top.next) === 0) top.next++;
      if (top.next === FANOUT) {
        path.pop();
        continue;
      }
      const id = childAt(top.words, top.next);
      if (path.some(page => page.id === id)) {
        throw new SysError(E.EUCLEAN, `volume ${volume.id}: page ${id} is inside itself`);
      }
      const begin = top.begin + top.next++ * span(height);
      path.push({ id, words: this.pageOf(volume, id), next: 0, begin });
    }
  }

  private rows<T>(query: string): T[] {
    return sqlite(this.path, () => this.database.prepare(query).all() as T[]);
  }

  /** Rows in batches, so that no statement stays open while the caller works. */
  private *batches<T>(statement: Statement, idOf: (row: T) => number): IterableIterator<T> {
    for (let after = Number.MIN_SAFE_INTEGER; ; ) {
      const rows = sqlite(this.path, () => statement.all(after) as T[]);
      yield* rows;
      const last = rows.at(-1);
      if (last === undefined) return;
      after = idOf(last);
    }
  }
}

function continues(run: Run, at: number, block: number, time: number): boolean {
  return at === run.begin + run.length && block === run.block + run.length && time === run.time;
}

/** SysError EUCLEAN when a map is higher than can be. */
export function checkDepth({ id, depth }: VolumeRow): void {
  if (depth < 1 || depth > MAX_DEPTH)
    throw new SysError(E.EUCLEAN, `volume ${id} has a map of height ${depth}`);
}
