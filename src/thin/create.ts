// Makes a pool: a directory with a data file (unless one is named) and a database. The database appears last and whole, so
// that a directory either holds a pool or does not; what was made is removed when something fails.
import { randomUUID } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { access, mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { join, parse, resolve } from 'node:path';
import { E, isErrno, SysError } from '../base/index.js';
import { type Database, openDatabase, sqlite } from '../sys/index.js';
import { FileData } from './datafile.js';
import { checkBlockSize, poolBlocks } from './names.js';
import { DEFAULTS, type PoolOptions, withOptions } from './options.js';
import { DATA, DATABASE, noPool } from './places.js';
import { APPLICATION_ID, SCHEMA, SCHEMA_VERSION } from './schema.js';

export interface CreateOptions extends Partial<PoolOptions> {
  /** Bytes of data that the pool can hold; rounded down to whole blocks. */
  readonly size: number;
  /** Bytes; 64 KiB unless given. */
  readonly blockSize?: number;
  /** The data file or block device; made when it is not there. A file in the pool's directory unless given. */
  readonly data?: string;
  readonly uuid?: string;
}

const DEFAULT_BLOCK = 64 * 1024;

/**
 * Makes a pool in `dir`, which is made if it is not there and must be empty. `keeps`: what is in the data file is meant, whosever
 * it is. SysError; then nothing is left.
 */
export async function createPool(dir: string, options: CreateOptions, keeps = false): Promise<void> {
  const { size, blockSize = DEFAULT_BLOCK, data, uuid = randomUUID(), ...settings } = options;
  checkBlockSize(blockSize);
  const blocks = poolBlocks(size, blockSize);
  const chosen = withOptions(DEFAULTS, settings);
  const undo: (() => Promise<void>)[] = [];
  try {
    if (await makeDirectory(dir)) undo.push(() => rm(dir, { recursive: true, force: true }));
    const dataPath = data === undefined ? join(dir, DATA) : resolve(data);
    if (!keeps) await checkOwner(dataPath);
    if (await makeData(dataPath, blocks * blockSize)) undo.push(() => rm(dataPath, { force: true }));
    const path = join(dir, DATABASE);
    undo.push(
      () => removeDatabase(`${path}.new`),
      () => removeDatabase(path),
    );
    await writeDatabase(path, database => {
      database
        .prepare(
          `INSERT INTO thin_pool (id, uuid, block_size, data_blocks, data, time, transaction_id, needs_check, options)
           VALUES (1, ?, ?, ?, ?, 0, 0, 0, ?)`,
        )
        .run(uuid, blockSize, blocks, data === undefined ? DATA : dataPath, JSON.stringify(chosen));
    });
  } catch (error) {
    for (const step of undo.reverse()) await step();
    throw asSysError(error);
  }
}

/** A new database with the pool's tables, filled by `fill` in one transaction; it gets its name when it is whole. */
export async function writeDatabase(path: string, fill: (database: Database) => void): Promise<void> {
  const partial = `${path}.new`;
  await removeDatabase(partial);
  const database = openDatabase(partial, {
    mode: 'create',
    applicationId: APPLICATION_ID,
    version: SCHEMA_VERSION,
  });
  try {
    sqlite(path, () =>
      database.transaction(() => {
        database.exec(SCHEMA);
        fill(database);
      })(),
    );
  } finally {
    database.close();
  }
  await rename(partial, path);
  await syncDirectory(resolve(path, '..'));
}

async function removeDatabase(path: string): Promise<void> {
  for (const ending of ['', '-wal', '-shm']) await rm(path + ending, { force: true });
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  await handle.sync().finally(() => handle.close());
}

/** True when the directory was made here. */
async function makeDirectory(dir: string): Promise<boolean> {
  if (existsSync(dir)) {
    const names = await readdir(dir);
    if (names.includes(DATABASE)) throw new SysError(E.EEXIST, `${dir} already holds a pool`);
    if (names.length > 0)
      throw new SysError(E.ENOTEMPTY, `${dir} is not empty: a pool wants a directory of its own`);
    await access(dir, constants.W_OK);
    return false;
  }
  await mkdir(dir, { mode: 0o700 });
  return true;
}

/** Refuses what a pool has in its own directory: a new pool would give its blocks to others. */
async function checkOwner(data: string): Promise<void> {
  if (!existsSync(data)) return;
  const { dir, base } = parse(await realpath(data));
  if (base === DATA && existsSync(join(dir, DATABASE)))
    throw new SysError(E.EEXIST, `${data} is the data of the pool in ${dir}`);
}

/** True when the file was made here. One that is there must be large enough, and in nobody's use. */
async function makeData(path: string, size: number): Promise<boolean> {
  if (existsSync(path)) {
    const file = new FileData(path);
    const { size: found } = file;
    file.close();
    if (found >= size) return false;
    throw new SysError(E.EINVAL, `${path} has ${found} bytes, and a pool of ${size} is wanted`);
  }
  const handle = await open(path, 'wx', 0o600);
  try {
    await handle.truncate(size);
    await handle.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  return true;
}

/** What node:fs throws, as ours. */
export function asSysError(error: unknown): unknown {
  if (!(error instanceof Error) || !('errno' in error) || error instanceof SysError) return error;
  return typeof error.errno === 'number' ? new SysError(-error.errno, error.message) : error;
}

/** Refuses a directory without a pool, with what to do about it. */
export async function checkPoolDirectory(dir: string): Promise<void> {
  try {
    const found = await stat(join(dir, DATABASE));
    if (!found.isFile())
      throw new SysError(
        found.isDirectory() ? E.EISDIR : E.EINVAL,
        `${join(dir, DATABASE)} must be a file, and is none`,
      );
    if (found.size === 0)
      throw new SysError(E.EUCLEAN, `${join(dir, DATABASE)} is empty: it is no pool's database`);
  } catch (error) {
    const known = asSysError(error);
    if (!isErrno(known, E.ENOENT) && !isErrno(known, E.ENOTDIR)) throw known;
    throw noPool(dir);
  }
}
