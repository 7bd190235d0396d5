// Copies whose data may not be on the disk yet: each has a note, and the work directory a mark in `incompat`, which keeps kernel
// overlayfs away as from a volatile upper. On the same mount they are whole, though the process crashed; once the file system has
// been mounted anew (machine or disk may have failed) they go, and the lower files show again. The file system has to keep the
// order of what is not data: mark, note, name; then data; then the note goes.
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { type ByteString, DT, ok, S, Stat } from '../base/index.js';
import {
  AT,
  close,
  fstatfs,
  fsync,
  getxattr,
  mkdirat,
  O,
  openChild,
  readDirents,
  removexattr,
  setxattr,
  statx,
  uniqueMountId,
  unlinkat,
  utimensat,
} from '../sys/index.js';
import type { Layer } from './layer.js';
import { openForReading, type RealDir } from './realdir.js';
import { type Namespace, ownNoteName } from './spelling.js';
import type { Upper } from './upper.js';

const INCOMPAT = 'incompat';
const PREFIX = 'lamina.';
const stat = new Stat();

/** File systems (statfs(2)'s f_type) that commit what is not data in the order in which it was done. */
const ORDERED: ReadonlySet<number> = new Set([0x58465342 /* XFS */, 0x01021994 /* tmpfs */]);
/** ext2, ext3 and ext4: those with a journal do. */
const EXT = 0xef53;

/** Can copies in this upper be named before their data is on the disk? */
export function canBeUnsynced({ layer, abilities }: Upper): boolean {
  if (abilities.namespace === null || !abilities.tmpfile || uniqueMountId(layer.rootFd) < 0) return false;
  const slots = new Float64Array(12);
  if (fstatfs(layer.rootFd, slots) < 0) return false;
  if (slots[0] !== EXT) return ORDERED.has(slots[0]!);
  ok(statx(layer.rootFd, '', AT.EMPTY_PATH, stat.slots), layer.path);
  const device = `/sys/dev/block/${stat.devMajor}:${stat.devMinor}`;
  return existsSync(device) && existsSync(`/sys/fs/ext4/${basename(readlinkSync(device))}/journal_task`);
}

/** Makes a mark that no other mount has had; `number` tells the mount's own apart. null when it cannot be made. */
export function markUnsynced({ layer, work }: Upper, number: number): string | null {
  const name = `${mountPrefix(layer)}${process.pid}.${process.hrtime.bigint().toString(36)}.${number}`;
  mkdirat(work.rootFd, INCOMPAT, 0o700);
  return inIncompat(work, dirfd => mkdirat(dirfd, name, 0o700)) < 0 ? null : name;
}

/**
 * Everything noted with the mark is on the disk. It may be gone (engines tidy up here too); one that stays does no harm: nothing
 * is noted with it.
 */
export function unmarkUnsynced({ work }: Upper, mark: string): void {
  inIncompat(work, dirfd => unlinkat(dirfd, mark, AT.REMOVEDIR));
  unlinkat(work.rootFd, INCOMPAT, AT.REMOVEDIR);
}

/** Notes the mark on a copy that has no name yet; false where it cannot be noted. */
export function noteUnsynced({ abilities }: Upper, dirfd: number, name: ByteString, mark: string): boolean {
  return setxattr(dirfd, name, noteOf(abilities.namespace!), Buffer.from(mark), 0) >= 0;
}

/** The copy's data is on the disk. */
export function clearUnsynced({ abilities }: Upper, dirfd: number, name: ByteString): void {
  removexattr(dirfd, name, noteOf(abilities.namespace!));
}

/** Is this a mark of ours in `incompat`, that `recoverUnsynced` deals with? */
export function isUnsyncedMark(name: ByteString): boolean {
  return name.startsWith(PREFIX);
}

/** Has the work directory of an upper that nobody has mounted such marks? `openUpper` makes it whole. */
export function hasUnsyncedMarks(workPath: string): boolean {
  const incompat = `${workPath}/work/${INCOMPAT}`;
  return existsSync(incompat) && readdirSync(incompat).some(isUnsyncedMark);
}

/**
 * Makes an upper whole that has `marks` in its work directory: copies made on this mount of its file system are synced, others
 * removed, so that the lower files show again. O(what the upper has). SysError when the upper cannot be read or changed.
 */
export function recoverUnsynced(upper: Layer, marks: readonly ByteString[]): void {
  const here = mountPrefix(upper);
  const visit = (dir: RealDir): void => {
    const below: RealDir[] = [];
    forEachEntry(dir, (name, type) => {
      if (type === DT.DIR) below.push(dir.child(name));
      if (type !== DT.REG) return;
      const mark = markOf(dir.fd(), name);
      if (mark === null || !marks.includes(mark)) return;
      if (mark.startsWith(here)) keep(dir, name);
      else remove(dir, name);
    });
    for (const child of below) {
      visit(child);
      child.release();
    }
  };
  visit(upper.root);
  ok(fsync(upper.rootFd, false), upper.path);
}

function forEachEntry(dir: RealDir, visit: (name: ByteString, type: number) => void): void {
  const found: [ByteString, number][] = [];
  const fd = openForReading(dir);
  const rc = readDirents(fd, (name, _, type) => found.push([name, type]));
  close(fd);
  ok(rc, dir.describe());
  for (const [name, type] of found) visit(name, type === DT.UNKNOWN ? typeOf(dir, name) : type);
}

function typeOf(dir: RealDir, name: ByteString): number {
  ok(statx(dir.fd(), name, AT.SYMLINK_NOFOLLOW, stat.slots), `${dir.describe()}/${name}`);
  // A d_type is the mode's type bits, shifted (readdir(3)).
  return (stat.mode & S.IFMT) >> 12;
}

function markOf(dirfd: number, name: ByteString): ByteString | null {
  for (const namespace of ['trusted', 'user'] as const) {
    const value = getxattr(dirfd, name, noteOf(namespace));
    if (typeof value !== 'number') return value.toString('latin1');
  }
  return null;
}

function keep(dir: RealDir, name: ByteString): void {
  const what = `${dir.describe()}/${name}`;
  const fd = ok(openChild(dir.fd(), name, O.RDONLY | O.NONBLOCK, 0), what);
  const rc = fsync(fd, false);
  close(fd);
  ok(rc, what);
  for (const namespace of ['trusted', 'user'] as const) removexattr(dir.fd(), name, noteOf(namespace));
}

/** The directory's times stay, as they did when the copy came. */
function remove(dir: RealDir, name: ByteString): void {
  const what = `${dir.describe()}/${name}`;
  ok(statx(dir.fd(), '', AT.EMPTY_PATH, stat.slots), what);
  ok(unlinkat(dir.fd(), name, 0), what);
  ok(utimensat(dir.fd(), '', stat.atime, stat.atimeNsec, stat.mtime, stat.mtimeNsec), what);
}

/** The result of `act`, or -errno. */
function inIncompat(work: Layer, act: (dirfd: number) => number): number {
  const fd = openChild(work.rootFd, INCOMPAT, O.PATH | O.DIRECTORY, 0);
  if (fd < 0) return fd;
  const rc = act(fd);
  close(fd);
  return rc;
}

function noteOf(namespace: Namespace): ByteString {
  return ownNoteName(namespace, 'unsynced');
}

/** What marks of this mount begin with. Somebody who sees the file system by another mount has another. */
function mountPrefix({ rootFd }: Layer): string {
  return `${PREFIX}${bootId()}.${uniqueMountId(rootFd)}.`;
}

let boot: string | undefined;

function bootId(): string {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  return boot;
}
