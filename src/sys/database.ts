// SQLite by better-sqlite3, loaded when the first database is opened: a plain mount never pays for it. Errors of SQLite
// become SysErrors by one table; the databases are in WAL mode with synchronous=FULL, so a commit that returned is durable.
import { createRequire } from 'node:module';
import type BetterSqlite3 from 'better-sqlite3';
import { E, SysError } from '../base/index.js';

export type Database = BetterSqlite3.Database;
export type Statement = BetterSqlite3.Statement;

export interface DatabaseOptions {
  /** `create`: must not exist; `write`: must exist; `read`: must exist, and is not changed. */
  readonly mode: 'create' | 'write' | 'read';
  readonly applicationId: number;
  /** Version of the tables (`PRAGMA user_version`). A newer one is refused (EPROTO), as is another application's (EMEDIUMTYPE). */
  readonly version: number;
}

let load: typeof BetterSqlite3 | undefined;

/**
 * Opens a database. SysError: ENOENT, EEXIST, EUCLEAN (not a database, or damaged), EMEDIUMTYPE, EPROTO, EACCES.
 * Statements of it throw better-sqlite3's own errors: wrap them in `sqlite`.
 */
export function openDatabase(path: string, options: DatabaseOptions): Database {
  load ??= createRequire(import.meta.url)('better-sqlite3') as typeof BetterSqlite3;
  const Driver = load;
  return sqlite(path, () => {
    const database = new Driver(path, {
      readonly: options.mode === 'read',
      fileMustExist: options.mode !== 'create',
    });
    try {
      prepare(database, path, options);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  });
}

function prepare(database: Database, path: string, { mode, applicationId, version }: DatabaseOptions): void {
  if (mode === 'create') {
    if (database.pragma('page_count', { simple: true }) !== 0) throw new SysError(E.EEXIST, path);
    database.pragma(`application_id = ${applicationId}`);
    database.pragma(`user_version = ${version}`);
  }
  if (database.pragma('application_id', { simple: true }) !== applicationId) {
    throw new SysError(E.EMEDIUMTYPE, `${path} is no database of laminafs`);
  }
  const found = database.pragma('user_version', { simple: true });
  if (found !== version) {
    throw new SysError(E.EPROTO, `${path} has version ${String(found)}, and this lamina knows ${version}`);
  }
  if (mode === 'read') return;
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
}

const ERRNO: Readonly<Record<string, number>> = {
  FULL: E.ENOSPC,
  IOERR: E.EIO,
  BUSY: E.EBUSY,
  LOCKED: E.EBUSY,
  READONLY: E.EROFS,
  PERM: E.EACCES,
  AUTH: E.EACCES,
  CANTOPEN: E.ENOENT,
  // A table or column that is not there: the statements are ours, so the database is not.
  ERROR: E.EUCLEAN,
  CORRUPT: E.EUCLEAN,
  NOTADB: E.EUCLEAN,
  NOMEM: E.ENOMEM,
  TOOBIG: E.E2BIG,
};

/** Runs `body`; what SQLite throws there becomes a SysError that names `what`. */
export function sqlite<T>(what: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    const errno = sqliteErrno(error);
    if (errno === null) throw error;
    throw new SysError(errno, `${what} (${(error as Error).message})`);
  }
}

/** The errno of an error of SQLite, or null when it is not one. Constraint and misuse errors are bugs and stay what they are. */
function sqliteErrno(error: unknown): number | null {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return null;
  // The shared memory file of the write-ahead log could not grow.
  if (error.code === 'SQLITE_IOERR_SHMSIZE') return E.ENOSPC;
  const kind = /^SQLITE_([A-Z]+)/.exec(error.code)?.[1];
  return kind === undefined ? null : (ERRNO[kind] ?? null);
}
