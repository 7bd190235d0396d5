// What one transaction changes, in a form that can cross to the commit worker, and its way into the database. Rows are
// whole: applying a batch twice gives the same database.
import type { Database } from '../sys/index.js';
import { CHUNK, PAGE_BYTES, PAGE_WORDS } from './entry.js';
import type { PoolRow, VolumeRow } from './schema.js';

/** Rows of 4 KiB: row i has id ids[i] and the words from i * 1024. */
export interface Records {
  readonly ids: Float64Array;
  readonly words: Uint32Array;
}

/** Chunks of reference counts; `free[i]` is -1 when all are zero, and the row goes. */
export interface CountRecords extends Records {
  readonly free: Int32Array;
}

export interface Batch {
  readonly pool: PoolRow;
  readonly volumes: readonly VolumeRow[];
  readonly removedVolumes: readonly number[];
  /** The metadata snapshot's volumes, or null when they stay as they are. */
  readonly held: readonly VolumeRow[] | null;
  readonly pages: Records;
  readonly removedPages: readonly number[];
  readonly dataCounts: CountRecords;
  readonly pageCounts: CountRecords;
  readonly doomed: readonly { readonly page: number; readonly depth: number }[];
  readonly undoomed: readonly number[];
  /** Takes from the reserve when the disk is full: it frees more than it needs. */
  readonly urgent: boolean;
}

/** Packs 4 KiB rows into one buffer, which moves to the worker in one piece. */
export function records(rows: readonly { readonly id: number; readonly words: Uint32Array }[]): Records {
  const words = new Uint32Array(rows.length * PAGE_WORDS);
  for (const [i, row] of rows.entries()) words.set(row.words, i * PAGE_WORDS);
  return { ids: Float64Array.from(rows, row => row.id), words };
}

/** Columns of thin_volume and thin_held. */
export const VOLUME_FIELDS = [
  'id',
  'name',
  'guid',
  'size',
  'depth',
  'root',
  'mapped',
  'transaction_id',
  'creation_time',
  'snap_time',
  'read_only',
  'partial',
  'origin',
  'external',
] as const satisfies readonly (keyof VolumeRow)[];

/** The statements of one database, and one transaction that applies a batch. */
export class BatchWriter {
  private readonly apply: (batch: Batch) => void;

  constructor(private readonly database: Database) {
    const apply = database.transaction((batch: Batch) => this.write(batch));
    this.apply = batch => apply.immediate(batch);
  }

  /** One transaction: all of the batch, or nothing and SQLite's error. */
  commit(batch: Batch): void {
    this.apply(batch);
  }

  private write(batch: Batch): void {
    this.writePool(batch.pool);
    this.deleteAll('DELETE FROM thin_volume WHERE id = ?', batch.removedVolumes);
    // Names are unique: those that change hands must all be gone before they come back.
    this.deleteAll(
      'DELETE FROM thin_volume WHERE id = ?',
      batch.volumes.map(volume => volume.id),
    );
    this.insertVolumes('thin_volume', batch.volumes);
    if (batch.held !== null) {
      this.database.exec('DELETE FROM thin_held');
      this.insertVolumes('thin_held', batch.held);
    }
    this.deleteAll('DELETE FROM thin_page WHERE id = ?', batch.removedPages);
    this.writePages(batch.pages);
    this.writeCounts('thin_data_count', batch.dataCounts);
    this.writeCounts('thin_page_count', batch.pageCounts);
    this.deleteAll('DELETE FROM thin_doomed WHERE page = ?', batch.undoomed);
    const doom = this.database.prepare('INSERT OR REPLACE INTO thin_doomed (page, depth) VALUES (?, ?)');
    for (const { page, depth } of batch.doomed) doom.run(page, depth);
  }

  private writePool(row: PoolRow): void {
    this.database
      .prepare(
        `INSERT OR REPLACE INTO thin_pool
         (id, uuid, block_size, data_blocks, data, time, transaction_id, held_time, held_transaction_id, needs_check, options)
         VALUES (1, @uuid, @block_size, @data_blocks, @data, @time, @transaction_id, @held_time, @held_transaction_id,
                 @needs_check, @options)`,
      )
      .run(row);
  }

  private insertVolumes(table: 'thin_volume' | 'thin_held', rows: readonly VolumeRow[]): void {
    const insert = this.database.prepare(
      `INSERT INTO ${table} (${VOLUME_FIELDS.join(', ')}) VALUES (${VOLUME_FIELDS.map(field => `@${field}`).join(', ')})`,
    );
    for (const row of rows) insert.run(row);
  }

  private writePages({ ids, words }: Records): void {
    const put = this.database.prepare(
      'INSERT INTO thin_page (id, words) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET words = excluded.words',
    );
    for (const [i, id] of ids.entries()) put.run(id, blob(words, i));
  }

  private writeCounts(
    table: 'thin_data_count' | 'thin_page_count',
    { ids, words, free }: CountRecords,
  ): void {
    const remove = this.database.prepare(`DELETE FROM ${table} WHERE id = ?`);
    const put = this.database.prepare(
      `INSERT INTO ${table} (id, free, counts) VALUES (?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET free = excluded.free, counts = excluded.counts`,
    );
    for (const [i, id] of ids.entries()) {
      if (free[i]! < 0) remove.run(id);
      else put.run(id, free[i], blob(words, i));
    }
  }

  private deleteAll(sql: string, ids: readonly number[]): void {
    const statement = this.database.prepare(sql);
    for (const id of ids) statement.run(id);
  }
}

function blob(words: Uint32Array, row: number): Buffer {
  return Buffer.from(words.buffer, words.byteOffset + row * PAGE_BYTES, CHUNK * 4);
}
