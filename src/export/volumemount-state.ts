// What other processes may know of a mounted volume: a private directory for each in /run/lamina, with the FUSE mount that
// its loop device reads, a record of what it is, and a lock that its process holds for as long as it lives.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { E, fromText, ok, SysError } from '../base/index.js';
import { close, flock, LOCK, O, openPath } from '../sys/index.js';
import { tidyDisks } from './loop-mount.js';
import { attempt } from './loop-tool.js';

export const STATE_DIR = '/run/lamina';
const PREFIX = 'volume-';
const RECORD = 'record';
const LOCK_FILE = 'lock';
const DISK = 'disk';
/** Seconds that a process may take to give its volume back. */
const PATIENCE = 60;

/** A mounted volume, as its process has noted it. */
export interface VolumeMountRecord {
  /** The pool's directory. */
  readonly pool: string;
  /** Its name when it was mounted, and its id. */
  readonly volume: string;
  readonly id: number;
  readonly mountpoint: string;
  /** /dev/loopN; empty until there is one. */
  readonly device: string;
  readonly pid: number;
  /** Does the process still live? */
  readonly alive: boolean;
}

type Noted = Omit<VolumeMountRecord, 'alive' | 'pid'>;

/** A record and its private directory. */
export interface Found extends VolumeMountRecord {
  readonly dir: string;
}

/** The private directory of one mounted volume, owned by this process. */
export class Place {
  private constructor(
    readonly dir: string,
    private readonly lock: number,
  ) {}

  /** In `stateDir`, which exists. */
  static create(stateDir: string, noted: Noted): Place {
    const dir = mkdtempSync(join(stateDir, PREFIX));
    mkdirSync(join(dir, DISK));
    const path = join(dir, LOCK_FILE);
    const lock = ok(openPath(fromText(path), O.RDWR | O.CREAT | O.EXCL, 0o600), path);
    ok(flock(lock, LOCK.EX | LOCK.NB), `lock ${path}`);
    const place = new Place(dir, lock);
    place.note(noted);
    return place;
  }

  /** Where the volume's file is mounted. */
  get disk(): string {
    return join(this.dir, DISK);
  }

  /** Writes the record; others see the old one or the new one. */
  note(noted: Noted): void {
    const path = join(this.dir, RECORD);
    writeFileSync(`${path}.new`, JSON.stringify({ ...noted, pid: process.pid }));
    renameSync(`${path}.new`, path);
  }

  /** Removes the directory and lets those go on who wait for that. */
  remove(): void {
    try {
      removeDir(this.dir);
    } finally {
      close(this.lock);
    }
  }
}

/** The volumes that processes of this host have mounted, and those whose process has died, by mount point. */
export function findMounts(stateDir: string): Found[] {
  const found: Found[] = [];
  for (const name of namesIn(stateDir)) {
    const dir = join(stateDir, name);
    const lock = openLock(dir);
    if (lock < 0) continue;
    try {
      const text = readIfThere(join(dir, RECORD));
      const alive = flock(lock, LOCK.SH | LOCK.NB) < 0;
      if (text !== null) found.push({ ...(JSON.parse(text) as Noted & { pid: number }), alive, dir });
    } finally {
      close(lock);
    }
  }
  return found.sort((a, b) => Number(a.mountpoint > b.mountpoint) - Number(a.mountpoint < b.mountpoint));
}

/** Waits until the process that has mounted this has given everything back, or has died. ETIMEDOUT after a minute. */
export async function waitFor({ dir, pid, volume }: Found): Promise<void> {
  const lock = openLock(dir);
  if (lock < 0) return;
  try {
    const { status } = await attempt('flock', ['--shared', '--wait', String(PATIENCE), '3'], lock);
    if (status !== 0) throw new SysError(E.ETIMEDOUT, `process ${pid} keeps volume ${volume}`);
  } finally {
    close(lock);
  }
}

/**
 * Undoes what a process that died has left: its file system, which answers every request with EIO, leaves the tree even
 * if somebody is in it; then the loop device, the FUSE mount and the directory.
 */
export async function tidy(found: Found): Promise<void> {
  const lock = openLock(found.dir);
  if (lock < 0) return;
  try {
    // Somebody else does it already.
    if (flock(lock, LOCK.EX | LOCK.NB) < 0) return await waitFor(found);
    await tidyDisks(join(found.dir, DISK));
    removeDir(found.dir);
  } finally {
    close(lock);
  }
}

/** A descriptor of the lock below `dir`, or -errno when there is none. */
function openLock(dir: string): number {
  return openPath(fromText(join(dir, LOCK_FILE)), O.RDWR);
}

function namesIn(stateDir: string): string[] {
  return ifThere(() => readdirSync(stateDir), []).filter(name => name.startsWith(PREFIX));
}

function readIfThere(path: string): string | null {
  return ifThere(() => readFileSync(path, 'utf8'), null);
}

function ifThere<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return otherwise;
    throw error;
  }
}

/** The lock goes last: a directory with a lock can be tidied. */
function removeDir(dir: string): void {
  for (const name of [RECORD, `${RECORD}.new`, DISK])
    rmSync(join(dir, name), { force: true, recursive: true });
  rmSync(join(dir, LOCK_FILE), { force: true });
  rmSync(dir, { recursive: true });
}
