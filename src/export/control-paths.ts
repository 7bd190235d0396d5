// Files that an operation may open: none that this process itself serves. Opening one would wait for the answer of the thread
// that waits, and with it everybody who uses the pool.
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { E, fromText, SysError } from '../base/index.js';
import { listMounts } from '../sys/index.js';
import type { Pool } from '../thin/index.js';
import { SUBTYPE } from './disks-mount.js';
import { mountpointsOf } from './loop-volumes.js';

/** Major number of loop devices (Documentation/admin-guide/devices.txt). */
const LOOP_MAJOR = 7;

/**
 * Refuses a path (absolute) on a mount of the pool, or on a file system on one of its volumes.
 * @throws SysError EINVAL; ENOENT when its directory is not there.
 */
export async function checkElsewhere(pool: Pool, path: string): Promise<void> {
  const device = await deviceOf(path);
  const number = `${major(device)}:${minor(device)}`;
  const source = fromText(pool.dir);
  const own = listMounts().some(
    mount =>
      mount.type === `fuse.${SUBTYPE}` &&
      mount.source === source &&
      `${mount.devMajor}:${mount.devMinor}` === number,
  );
  if (own || (major(device) === LOOP_MAJOR && (await isOnVolume(pool, device)))) {
    throw new SysError(E.EINVAL, `${path} lies in the pool ${pool.dir} itself, which would wait for itself`);
  }
}

async function isOnVolume(pool: Pool, device: number): Promise<boolean> {
  for (const { name, active } of pool.list()) {
    if (!active) continue;
    for (const place of await mountpointsOf(pool, name)) if ((await stat(place)).dev === device) return true;
  }
  return false;
}

/** The device that holds a file, or will hold it. */
async function deviceOf(path: string): Promise<number> {
  try {
    return (await stat(path)).dev;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      throw asSysError(error, path);
  }
  return stat(dirname(path)).then(
    found => found.dev,
    (error: unknown) => {
      throw asSysError(error, path);
    },
  );
}

function asSysError(error: unknown, path: string): unknown {
  const errno = error instanceof Error && 'errno' in error ? Number(error.errno) : Number.NaN;
  return Number.isInteger(errno) ? new SysError(-errno, path) : error;
}

/** As glibc's major(3) and minor(3) do for the numbers that Linux has. */
function major(device: number): number {
  return Math.floor(device / 256) % 4096;
}

function minor(device: number): number {
  return (device % 256) + Math.floor(device / 2 ** 20) * 256;
}
