// A listening unix socket that only its owner can open. A socket file that a dead server left behind is replaced; a living
// one is EADDRINUSE.
import { lstatSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { E, fromText, ok } from '../base/index.js';
import { close, flock } from './calls.js';
import { LOCK, O } from './constants.js';
import { openPath } from './fd.js';
import { connectUnix, listenUnix } from './socket.js';

const OWNER_ONLY = 0o600;

/** A socket that listens. */
export interface UnixListener {
  readonly path: string;
  /** Whoever listens on it closes it. */
  readonly fd: number;
  /** Removes the socket file, if it is still this one's. */
  unlink(): void;
}

/** Listens at `path`. SysError: EADDRINUSE, ENAMETOOLONG (107 bytes at most), ENOENT and others of its directory. */
export function listenAtPath(path: string): UnixListener {
  const fd = listenOrReplace(path);
  const ino = inodeOf(path);
  return {
    path,
    fd,
    unlink() {
      if (inodeOf(path) === ino) unlinkSync(path);
    },
  };
}

/** A lock on the directory keeps others of our kind from replacing the same dead socket file at the same time. */
function listenOrReplace(path: string): number {
  const what = `listen on '${path}'`;
  const directory = ok(openPath(fromText(dirname(path)), O.RDONLY | O.DIRECTORY), what);
  try {
    ok(flock(directory, LOCK.EX), what);
    const fd = listenUnix(fromText(path), OWNER_ONLY);
    if (fd !== -E.EADDRINUSE || !isDead(path)) return ok(fd, what);
    unlinkSync(path);
    return ok(listenUnix(fromText(path), OWNER_ONLY), what);
  } finally {
    close(directory);
  }
}

/** True for a socket file at which nobody listens. */
function isDead(path: string): boolean {
  if (inodeOf(path) < 0) return false;
  const fd = connectUnix(fromText(path));
  if (fd >= 0) close(fd);
  return fd === -E.ECONNREFUSED;
}

/** The inode of a socket file, or -1 when there is none. */
function inodeOf(path: string): number {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isSocket() === true ? found.ino : -1;
}
