// A pool to be damaged, and an editor of its database: rows by SQL, pages and reference counts by their words, the file by
// its bytes.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, openDatabase } from '../../src/sys/index.js';
import { blockAt, childAt, wordsFrom } from '../../src/thin/entry.js';
import { Pool } from '../../src/thin/pool.js';
import { APPLICATION_ID, SCHEMA_VERSION, type VolumeRow } from '../../src/thin/schema.js';
import { pattern } from '../support/thin-pool.js';

export const BLOCK = 64 * 1024;
export const BLOCKS = 1100;

/**
 * Volume a has a map of height 3, two leaves and 44 mapped blocks; s is its snapshot, and shares all but one leaf; b has a
 * leaf alone; the metadata snapshot holds all three as they were earlier. The pool has two chunks of data counts.
 */
export async function makePool(dir: string): Promise<void> {
  await Pool.create(dir, { size: BLOCKS * BLOCK });
  const pool = await Pool.open(dir);
  await pool.createVolume({ name: 'a', size: 300_000 * BLOCK });
  await pool.createVolume({ name: 'b', size: 20 * BLOCK });
  const a = pool.volume('a');
  await a.write(0, pattern(40 * BLOCK, 1));
  await a.write(262_200 * BLOCK, pattern(4 * BLOCK, 2));
  const b = pool.volume('b');
  await b.write(3 * BLOCK, pattern(5 * BLOCK, 3));
  await pool.snapshot([{ origin: 'a', name: 's', readOnly: true }]);
  await pool.reserveMetadataSnapshot();
  await a.write(5 * BLOCK, pattern(2 * BLOCK, 4));
  await b.discard(4 * BLOCK, BLOCK);
  await pool.close();
}

/** A page in an editor. */
interface EditedPage {
  readonly id: number;
  readonly words: Uint32Array;
}

/** Opens the database of a pool to change what no pool would change. */
export class Damager {
  readonly database: Database;

  constructor(readonly dir: string) {
    this.database = openDatabase(join(dir, 'pool.db'), {
      mode: 'write',
      applicationId: APPLICATION_ID,
      version: SCHEMA_VERSION,
    });
  }

  run(sql: string, ...values: unknown[]): void {
    const { changes } = this.database.prepare(sql).run(...values);
    if (changes === 0) throw new Error(`changed nothing: ${sql}`);
  }

  volume(name: string): VolumeRow {
    return this.database.prepare('SELECT * FROM thin_volume WHERE name = ?').get(name) as VolumeRow;
  }

  /** The page of a volume at a height on the way to its first mapped block. */
  page(name: string, height: number): EditedPage {
    const row = this.volume(name);
    let id = row.root;
    for (let at = row.depth; at > height; at--) id = childAt(this.words(id), 0);
    return { id, words: this.words(id) };
  }

  words(id: number): Uint32Array {
    return wordsFrom(
      this.database.prepare('SELECT words FROM thin_page WHERE id = ?').pluck().get(id) as Buffer,
    );
  }

  put({ id, words }: EditedPage): void {
    this.run('UPDATE thin_page SET words = ? WHERE id = ?', Buffer.from(words.buffer), id);
  }

  edit(name: string, height: number, change: (words: Uint32Array, id: number) => void): void {
    const page = this.page(name, height);
    change(page.words, page.id);
    this.put(page);
  }

  /** Changes a reference count and leaves the number of free ones right. */
  count(kind: 'data' | 'page', id: number, change: (count: number) => number): void {
    const chunk = Math.floor(id / 1024);
    const table = `thin_${kind}_count`;
    const row = this.database.prepare(`SELECT free, counts FROM ${table} WHERE id = ?`).get(chunk) as
      | { free: number; counts: Buffer }
      | undefined;
    const capacity = kind === 'data' ? Math.min(1024, BLOCKS - chunk * 1024) : 1024 - (chunk === 0 ? 1 : 0);
    const counts = row === undefined ? new Uint32Array(1024) : wordsFrom(row.counts);
    const before = counts[id % 1024]!;
    counts[id % 1024] = change(before);
    const step = Number(before === 0) - Number(counts[id % 1024] === 0);
    const free = (row?.free ?? capacity) - step;
    this.run(`INSERT OR REPLACE INTO ${table} VALUES (?, ?, ?)`, chunk, free, Buffer.from(counts.buffer));
  }

  firstBlock(name: string): number {
    const { words } = this.page(name, 1);
    for (let entry = 0; entry < 512; entry++) if (blockAt(words, entry) >= 0) return blockAt(words, entry);
    throw new Error(`${name} maps nothing`);
  }

  /** Changes the bytes of the database's file; nothing can be done after. */
  raw(change: (file: Buffer) => Buffer): void {
    this.close();
    const path = join(this.dir, 'pool.db');
    const file = readFileSync(path);
    writeFileSync(path, change(file));
  }

  close(): void {
    this.database.close();
  }
}

/** A copy of the pool in `from`. */
export function copyPool(from: string, to: string): string {
  cpSync(from, to, { recursive: true });
  return to;
}
