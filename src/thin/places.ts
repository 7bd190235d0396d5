// What lies where in a pool's directory.
import { E, SysError } from '../base/index.js';

/** The SQLite database with all metadata. */
export const DATABASE = 'pool.db';
/** Preallocated bytes that are given up when the database's disk is full. */
export const RESERVE = 'reserve';
/** The data file, unless another one was named when the pool was made. */
export const DATA = 'data';
/** Locked (flock) by the process that has the pool open for writing; holds its pid. */
export const LOCK = 'lock';

/** A directory without a database. */
export function noPool(dir: string): SysError {
  return new SysError(E.ENOENT, `${dir} holds no pool: lamina pool create makes one`);
}
