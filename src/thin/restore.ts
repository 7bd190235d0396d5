// Makes a pool from thin_dump's XML, ours or Debian's. It is made in a directory inside its own and moved out of it at the
// end, the database last: until then there is no pool, and a restore that fails leaves nothing. Metadata only: the data is
// what the data file holds, or zeros.
import { mkdir, mkdtemp, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { E, isErrno, SysError } from '../base/index.js';
import { type Database, openDatabase, sqlite } from '../sys/index.js';
import { asSysError, createPool } from './create.js';
import type { PoolOptions } from './options.js';
import { DATABASE } from './places.js';
import { type PoolShape, RestoreSink } from './restore-sink.js';
import { APPLICATION_ID, SCHEMA_VERSION } from './schema.js';
import { xmlEvents } from './xml.js';
import { ThinXml } from './xml-thin.js';

export interface RestoreOptions {
  /** The data file or device; default: a new sparse file in the pool's directory. What it holds stays. */
  readonly data?: string;
  /** Instead of what the dump says of them, if it does. */
  readonly options?: Partial<PoolOptions>;
}

export interface RestoreSummary {
  readonly volumes: number;
  /** Mappings, in blocks. */
  readonly mapped: number;
}

/**
 * Makes the pool `dir` from XML; the directory is made if it is not there and must be empty (EEXIST, ENOTEMPTY). Volumes of
 * which no comment of ours says more are named `thin-ID` and end with their last mapped block. SysError EINVAL names the
 * line of the XML that is wrong.
 */
export async function restore(
  source: AsyncIterable<Uint8Array>,
  dir: string,
  { data, options = {} }: RestoreOptions = {},
): Promise<RestoreSummary> {
  const undo: (() => Promise<void>)[] = [];
  try {
    if (await claimDirectory(dir)) undo.push(() => rm(dir, { recursive: true, force: true }));
    const scratch = await mkdtemp(join(dir, '.restore-'));
    undo.push(() => rm(scratch, { recursive: true, force: true }));
    if (data !== undefined && !(await exists(data))) undo.push(() => rm(data, { force: true }));
    const pool = join(scratch, 'pool');
    const summary = await fill(source, options, join(pool, DATABASE), ({ blockSize, blocks }) => {
      const where = data === undefined ? {} : { data: resolve(data) };
      return createPool(pool, { ...options, ...where, size: blocks * blockSize, blockSize }, true);
    });
    const names = (await readdir(pool)).filter(name => name !== DATABASE);
    for (const name of names) {
      undo.push(() => rm(join(dir, name), { force: true }));
      await rename(join(pool, name), join(dir, name));
    }
    await syncPath(dir);
    await rename(join(pool, DATABASE), join(dir, DATABASE));
    await rm(scratch, { recursive: true });
    await syncPath(dir);
    return summary;
  } catch (error) {
    for (const step of undo.reverse()) await step();
    throw asSysError(error);
  }
}

/** Reads the XML into the tables of the pool that `create` makes. */
async function fill(
  source: AsyncIterable<Uint8Array>,
  options: Partial<PoolOptions>,
  path: string,
  create: (shape: PoolShape) => Promise<void>,
): Promise<RestoreSummary> {
  const sink = new RestoreSink(async shape => {
    await create(shape);
    return beginTables(path);
  }, options);
  const xml = new ThinXml(sink);
  try {
    for await (const events of xmlEvents(source)) {
      for (const event of events) {
        const busy = xml.take(event);
        if (busy !== undefined) await busy;
      }
    }
    // Without a superblock there is no database, and an error came before.
    if (sink.database !== null) endTables(sink.database);
  } catch (error) {
    sqlite(path, () => {
      throw error;
    });
  } finally {
    sink.database?.close();
  }
  await syncPath(path);
  return { volumes: sink.volumes, mapped: sink.mapped };
}

/** Nobody sees the new pool before it is whole, so nothing needs a journal on the way: it is synced once. */
function beginTables(path: string): Database {
  const database = openDatabase(path, {
    mode: 'write',
    applicationId: APPLICATION_ID,
    version: SCHEMA_VERSION,
  });
  database.pragma('journal_mode = OFF');
  database.pragma('synchronous = OFF');
  database.exec('BEGIN');
  return database;
}

function endTables(database: Database): void {
  database.exec('COMMIT');
  database.pragma('journal_mode = WAL');
}

/** True when the directory was made here. */
async function claimDirectory(dir: string): Promise<boolean> {
  try {
    await mkdir(dir, { mode: 0o700 });
    return true;
  } catch (error) {
    if (!isErrno(asSysError(error), E.EEXIST)) throw error;
  }
  const names = await readdir(dir);
  if (names.includes(DATABASE)) throw new SysError(E.EEXIST, `${dir} already holds a pool`);
  if (names.length > 0)
    throw new SysError(E.ENOTEMPTY, `${dir} is not empty: a pool wants a directory of its own`);
  return false;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isErrno(asSysError(error), E.ENOENT)) return false;
    throw error;
  }
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}
