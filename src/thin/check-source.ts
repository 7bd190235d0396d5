// The rows of a pool's database as check and repair see them: nothing about them is believed but that SQLite gave them. In
// one transaction of the caller's, so that all are of one instant; no statement stays open between two calls.
import { E, SysError } from '../base/index.js';
import { type Database, type Statement, sqlite } from '../sys/index.js';
import { type PoolRow, SCHEMA, type VolumeRow } from './schema.js';

/** A row of reference counts. */
export interface ChunkRow {
  readonly id: number;
  readonly free: number;
  readonly counts: Uint8Array;
}

const BATCH = 256;

export class CheckSource {
  private readonly pageStatement: Statement;

  /** `database` is in a transaction. Fails when tables are missing: see `foreignTables`. */
  constructor(
    readonly database: Database,
    readonly path: string,
  ) {
    this.pageStatement = this.prepare('SELECT words FROM thin_page WHERE id = ?').pluck();
  }

  pool(): PoolRow | undefined {
    return this.all<PoolRow>('SELECT * FROM thin_pool WHERE id = 1')[0];
  }

  volumes(table: 'thin_volume' | 'thin_held'): VolumeRow[] {
    return this.all(`SELECT * FROM ${table} ORDER BY id`);
  }

  doomed(): { page: number; depth: number }[] {
    return this.all('SELECT page, depth FROM thin_doomed ORDER BY page');
  }

  /** The bytes of a page, of whatever length; undefined when there is no such row. */
  page(id: number): Uint8Array | undefined {
    const found = sqlite(this.path, () => this.pageStatement.get(id));
    return found === undefined ? undefined : bytesOf(found);
  }

  pageCount(): number {
    return this.all<{ n: number }>('SELECT count(*) AS n FROM thin_page')[0]!.n;
  }

  /** Ids of all pages, ascending. */
  *pageIds(): Generator<number> {
    for (const { id } of this.rows<{ id: number }>('id', 'thin_page')) yield id;
  }

  /** The rows of reference counts, ascending. */
  *chunks(kind: 'data' | 'page'): Generator<ChunkRow> {
    for (const row of this.rows<ChunkRow>('id, free, counts', `thin_${kind}_count`)) {
      yield { ...row, counts: bytesOf(row.counts) };
    }
  }

  private *rows<T extends { readonly id: number }>(columns: string, table: string): Generator<T> {
    const first = this.prepare(`SELECT ${columns} FROM ${table} ORDER BY id LIMIT ${BATCH}`);
    const next = this.prepare(`SELECT ${columns} FROM ${table} WHERE id > ? ORDER BY id LIMIT ${BATCH}`);
    let rows = sqlite(this.path, () => first.all() as T[]);
    for (let last = rows.at(-1); last !== undefined; last = rows.at(-1)) {
      yield* rows;
      // A damaged table may give ids in any order: only ascending ones end.
      const after = last.id;
      rows = sqlite(this.path, () => next.all(after) as T[]).filter(row => row.id > after);
    }
  }

  private prepare(sql: string): Statement {
    return sqlite(this.path, () => this.database.prepare(sql));
  }

  private all<T>(sql: string): T[] {
    return sqlite(this.path, () => this.database.prepare(sql).all() as T[]);
  }
}

/** A BLOB; what a damaged row has in its place counts as none. */
function bytesOf(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0);
}

const SPACE = /\s+/g;

/** Names of tables that are missing, or are not what this version makes. */
export function foreignTables(database: Database, path: string): string[] {
  const rows = sqlite(
    path,
    () =>
      database.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").all() as {
        name: string;
        sql: string;
      }[],
  );
  const found = new Map(rows.map(({ name, sql }) => [name, sql.replace(SPACE, ' ').trim()]));
  const wrong: string[] = [];
  for (const sql of SCHEMA.split(';')) {
    const wanted = sql.replace(SPACE, ' ').trim();
    const name = /^CREATE TABLE (\w+)/.exec(wanted)?.[1];
    if (name !== undefined && found.get(name) !== wanted) wrong.push(name);
  }
  return wrong;
}

/** What SQLite itself finds wrong, a line each, at most a hundred. */
export function sqliteDamage(database: Database, path: string): string[] {
  return sqlite(path, () => {
    // The quick check does not compare indexes with their tables; the tables that have one are short.
    const lines = ['quick_check(100)', 'integrity_check(thin_volume)', 'integrity_check(thin_held)'].flatMap(
      pragma => database.pragma(pragma) as Record<string, string>[],
    );
    const texts = lines.flatMap(line => Object.values(line)).filter(text => text !== 'ok');
    return [...new Set(texts)].slice(0, 100);
  });
}

/** What an error says when it means that the database is damaged; else null. Errors of SQLite that have no errno are of this kind. */
export function damageOf(error: unknown): string | null {
  if (error instanceof SysError)
    return error.errno === E.EUCLEAN || error.errno === E.EIO ? error.what : null;
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return typeof code === 'string' && code.startsWith('SQLITE_') ? (error as Error).message : null;
}
