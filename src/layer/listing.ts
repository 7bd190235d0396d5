// The entries of one real directory, with its deletions told apart from its files, in every spelling.
import { type ByteString, DT, modeToType, S, Stat } from '../base/index.js';
import { AT, close, decodeDirents, getdentsAsync, getxattr, readDirents, statx } from '../sys/index.js';
import { openForReading, type RealDir } from './realdir.js';
import { nameKind, ownNoteName, whitedOutName, xattrWhiteoutNames } from './spelling.js';

/** Takes what a directory of a layer says. */
export interface Listing {
  /** `ino` is as getdents gives it. */
  entry(name: ByteString, type: number, ino: number): void;
  /** The layers below have `name` no more. The same layer may have an entry of that name (`.wh.` spelling). */
  whiteout(name: ByteString): void;
}

const scratch = new Stat();

/** Lists `dir` at once. Its marks have been read before. */
export function list(dir: RealDir, into: Listing): void {
  const fd = openForReading(dir);
  try {
    readDirents(fd, (name, ino, type) => classify(dir, into, name, ino, type));
  } finally {
    close(fd);
  }
}

/** As `list`, reading on a worker thread; `into` is called in slices, so that a big directory holds up nobody. */
export async function listSlowly(dir: RealDir, into: Listing): Promise<void> {
  const fd = openForReading(dir);
  let entries: Buffer | number;
  try {
    entries = await getdentsAsync(fd);
  } finally {
    close(fd);
  }
  if (typeof entries === 'number') return list(dir, into);
  const slice = 256 * 1024;
  let start = 0;
  while (start < entries.length) {
    const end = sliceEnd(entries, start, slice);
    decodeDirents(entries.subarray(start, end), end - start, (name, ino, type) =>
      classify(dir, into, name, ino, type),
    );
    start = end;
    if (start < entries.length) await new Promise(setImmediate);
  }
}

/** The end of the last whole entry within `limit` bytes; d_reclen is at offset 16 of an entry (getdents64(2)). */
function sliceEnd(entries: Buffer, start: number, limit: number): number {
  let end = start;
  while (end < entries.length && end - start < limit) end += entries.readUInt16LE(end + 16);
  return end;
}

/** Lists `dir` of a tree that is no layer: every name is an entry. */
export function listPlain(dir: RealDir, entry: (name: ByteString, type: number) => void): void {
  const fd = openForReading(dir);
  try {
    readDirents(fd, (name, _ino, type) => {
      if (type !== DT.UNKNOWN) return entry(name, type);
      if (statx(fd, name, AT.SYMLINK_NOFOLLOW, scratch.slots) >= 0) entry(name, modeToType(scratch.mode));
    });
  } finally {
    close(fd);
  }
}

function classify(dir: RealDir, into: Listing, name: ByteString, ino: number, type: number): void {
  const kind = nameKind(name);
  if (kind === 'whiteout') into.whiteout(whitedOutName(name));
  if (kind !== 'plain') return;
  let known = type;
  if (type === DT.UNKNOWN) {
    if (statx(dir.fd(), name, AT.SYMLINK_NOFOLLOW, scratch.slots) < 0) return;
    known = modeToType(scratch.mode);
  }
  if (known === DT.CHR || (known === DT.REG && dir.xattrWhiteouts)) {
    if (isWhiteout(dir, name)) {
      into.whiteout(name);
      return;
    }
  }
  if (known === DT.REG && dir.veils && statx(dir.fd(), name, AT.SYMLINK_NOFOLLOW, scratch.slots) >= 0) {
    if (isVeiled(dir, name, scratch)) known = DT.CHR;
  }
  into.entry(name, known, ino);
}

/** Is the entry `name` itself a whiteout: a character device 0/0, or an empty file marked by xattr? */
export function isWhiteout(dir: RealDir, name: ByteString): boolean {
  const rc = statx(dir.fd(), name, AT.SYMLINK_NOFOLLOW, scratch.slots);
  return rc >= 0 && statIsWhiteout(dir, name, scratch);
}

/** As `isWhiteout`, for an entry whose attributes are known. */
export function statIsWhiteout(dir: RealDir, name: ByteString, stat: Stat): boolean {
  const type = stat.mode & S.IFMT;
  if (type === S.IFCHR) return stat.rdevMajor === 0 && stat.rdevMinor === 0;
  if (!dir.xattrWhiteouts || type !== S.IFREG || stat.size !== 0) return false;
  return hasOne(dir, name, xattrWhiteoutNames());
}

/** Does the entry with these attributes stand for a character device 0/0 that users see? */
export function isVeiled(dir: RealDir, name: ByteString, stat: Stat): boolean {
  return dir.veils && (stat.mode & S.IFMT) === S.IFREG && stat.size === 0 && hasOne(dir, name, VEILS);
}

const VEILS = [ownNoteName('trusted', 'veil'), ownNoteName('user', 'veil')];

function hasOne(dir: RealDir, name: ByteString, notes: readonly ByteString[]): boolean {
  return notes.some(note => typeof getxattr(dir.fd(), name, note) !== 'number');
}
