// What a layer stores of one file, as a tar will say it: attributes, target and the xattrs that users see. Private notes
// of any mount never leave here.
import { type ByteString, E, ok, S, Stat, SysError } from '../base/index.js';
import { isVeiled, type Namespace, type Note, noteName, type RealDir } from '../layer/index.js';
import {
  AT,
  close,
  getxattr,
  listxattr,
  O,
  openChild,
  preadAsync,
  preadNowait,
  readlinkat,
  statx,
} from '../sys/index.js';
import type { Entry, EntryType } from './entry.js';
import { shownName } from './xattr-names.js';

/** An entry of a real directory; name '' is the directory itself. */
export interface Real {
  dir: RealDir;
  name: ByteString;
}

/** One file's attributes. A socket has no form in a tar. */
export interface Node extends Omit<Entry, 'path' | 'type'> {
  type: EntryType | 'socket';
  nlink: number;
  /** Names the inode: equal for hard links only. */
  key: string;
}

const TYPES = new Map<number, Node['type']>([
  [S.IFREG, 'file'],
  [S.IFDIR, 'directory'],
  [S.IFLNK, 'symlink'],
  [S.IFCHR, 'char'],
  [S.IFBLK, 'block'],
  [S.IFIFO, 'fifo'],
  [S.IFSOCK, 'socket'],
]);

const NAMESPACES: readonly Namespace[] = ['trusted', 'user'];
const CHUNK = 1 << 20;
/** Bytes that are copied from the page cache on this thread. */
const SMALL = 1 << 16;
const stat = new Stat();

export function describe(real: Real): string {
  return real.name === '' ? real.dir.describe() : `${real.dir.describe()}/${real.name}`;
}

/** Fills `stat` with the file's attributes; never follows a symlink. */
function statReal(real: Real): void {
  ok(statx(real.dir.fd(), real.name, AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH, stat.slots), describe(real));
}

/** Names the inode of a file. */
export function inodeKey(of: Stat): string {
  return `${of.dev}:${of.inoHigh}:${of.inoLow}`;
}

/** The inode's number in such a name: the same in a snapshot of its file system. */
export function inodeOf(key: string): string {
  return key.slice(key.indexOf(':'));
}

/** The file's inode and how many names it has, which is all that hard links need. */
export function readIdentity(real: Real): { key: string; nlink: number } {
  statReal(real);
  return { key: inodeKey(stat), nlink: stat.nlink };
}

/**
 * Is it the same inode in both trees, and nobody has done anything to it since one was made a snapshot of the other? Whatever
 * is done to a file, its names and attributes included, sets its ctime.
 */
export function isUntouched(now: Real, before: Real): boolean {
  statReal(now);
  const { ino, ctime, ctimeNsec, mode, size } = stat;
  statReal(before);
  const same = stat.ino === ino && stat.ctime === ctime && stat.ctimeNsec === ctimeNsec;
  return same && stat.mode === mode && stat.size === size;
}

/** All that a tar says of the file. Throws SysError naming it. */
export function readNode(real: Real): Node {
  const { key, nlink } = readIdentity(real);
  const veiled = isVeiled(real.dir, real.name, stat);
  const type = veiled ? 'char' : TYPES.get(stat.mode & S.IFMT);
  if (type === undefined) throw new SysError(E.EINVAL, `${describe(real)}: unknown file type`);
  const isDevice = type === 'char' || type === 'block';
  return {
    type,
    nlink,
    key,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    size: type === 'file' ? stat.size : 0,
    mtime: stat.mtime,
    mtimeNsec: stat.mtimeNsec,
    major: isDevice && !veiled ? stat.rdevMajor : 0,
    minor: isDevice && !veiled ? stat.rdevMinor : 0,
    target: type === 'symlink' ? readTarget(real) : '',
    xattrs: readXattrs(real),
  };
}

function readTarget(real: Real): ByteString {
  const buffer = Buffer.allocUnsafe(4096);
  const length = ok(readlinkat(real.dir.fd(), real.name, buffer), describe(real));
  return buffer.toString('latin1', 0, length);
}

function readXattrs(real: Real): Map<ByteString, Uint8Array> {
  const values = new Map<ByteString, Uint8Array>();
  const stored = listxattr(real.dir.fd(), real.name);
  if (typeof stored === 'number') {
    if (stored === -E.EOPNOTSUPP) return values;
    throw new SysError(-stored, describe(real));
  }
  for (const name of stored) {
    const shown = shownName(name, real.dir.layer.plain);
    if (shown === null) continue;
    const value = getxattr(real.dir.fd(), real.name, name);
    if (typeof value === 'number') throw new SysError(-value, `${describe(real)}: ${name}`);
    values.set(shown, value);
  }
  return values;
}

/** A private note of either name space, or null. */
export function readNote(real: Real, note: Note): Buffer | null {
  if (real.dir.layer.plain) return null;
  for (const namespace of NAMESPACES) {
    const value = getxattr(real.dir.fd(), real.name, noteName(namespace, note));
    if (typeof value !== 'number') return value;
  }
  return null;
}

function sameXattrs(a: Node['xattrs'], b: Node['xattrs']): boolean {
  if (a.size !== b.size) return false;
  for (const [name, value] of a) {
    const other = b.get(name);
    if (other === undefined || Buffer.compare(value, other) !== 0) return false;
  }
  return true;
}

const COMPARED = ['type', 'mode', 'uid', 'gid', 'major', 'minor', 'target'] as const;
const COMPARED_OF_FILES = ['size', 'mtime', 'mtimeNsec'] as const;

/** Do both say the same? A directory's times and size are not compared: they follow from what happens in it. */
export function sameNode(a: Node, b: Node): boolean {
  if (COMPARED.some(field => a[field] !== b[field])) return false;
  if (a.type !== 'directory' && COMPARED_OF_FILES.some(field => a[field] !== b[field])) return false;
  return sameXattrs(a.xattrs, b.xattrs);
}

/** Opens a regular file for reading, without a trace in its access time where that is allowed. */
export function openFile(real: Real): number {
  const dirfd = real.dir.fd();
  if (real.dir.layer.noatime) {
    const fd = openChild(dirfd, real.name, O.RDONLY | O.NOATIME, 0);
    if (fd !== -E.EPERM) return ok(fd, describe(real));
  }
  return ok(openChild(dirfd, real.name, O.RDONLY, 0), describe(real));
}

/** The data of a regular file in pieces of up to 1 MiB; a piece is valid until the next is asked for. */
export async function* readData(real: Real, size: number): AsyncGenerator<Buffer, void, undefined> {
  if (size === 0) return;
  const fd = openFile(real);
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK, size));
  try {
    for (let at = 0; at < size; ) {
      const wanted = Math.min(buffer.length, size - at);
      // What a worker thread costs, a copy from the page cache does not.
      const cached = wanted <= SMALL ? preadNowait(fd, buffer, 0, wanted, at) : 0;
      const length = cached > 0 ? cached : ok(await preadAsync(fd, buffer, 0, wanted, at), describe(real));
      if (length === 0) throw new SysError(E.EIO, `${describe(real)} became shorter while it was read`);
      yield buffer.subarray(0, length);
      at += length;
    }
  } finally {
    close(fd);
  }
}

/** Do two files of `size` bytes hold the same data? */
export async function sameData(a: Real, b: Real, size: number): Promise<boolean> {
  const others = readData(b, size);
  let other: Buffer = Buffer.alloc(0);
  try {
    for await (let piece of readData(a, size)) {
      while (piece.length > 0) {
        if (other.length === 0) other = (await others.next()).value ?? other;
        const length = Math.min(piece.length, other.length);
        if (!piece.subarray(0, length).equals(other.subarray(0, length))) return false;
        piece = piece.subarray(length);
        other = other.subarray(length);
      }
    }
    return true;
  } finally {
    await others.return();
  }
}
