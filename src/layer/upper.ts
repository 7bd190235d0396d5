// The writable layer: the upper directory, its work directory on the same mount, and what their file system can hold.
// Everything that must appear at once is made in the work directory under a temporary name and moved into place.
import { type ByteString, E, ok, S, Stat, SysError } from '../base/index.js';
import {
  AT,
  close,
  flock,
  getxattr,
  LOCK,
  linkat,
  mkdirat,
  mknodat,
  O,
  openChild,
  RENAME,
  readDirents,
  removexattr,
  renameat2,
  setxattr,
  statx,
  unlinkat,
} from '../sys/index.js';
import { Layer } from './layer.js';
import type { RealDir } from './realdir.js';
import { removeEntry } from './removal.js';
import { type Namespace, type Note, noteName, OPAQUE_MARK, ownNoteName } from './spelling.js';
import type { Tally } from './tally.js';
import { isUnsyncedMark, recoverUnsynced } from './unsynced.js';
import { CharWhiteouts, DotWhiteouts, type WhiteoutWriter } from './whiteouts.js';

/** What the file system of the upper was seen to do. */
export interface UpperAbilities {
  /** Private notes can be kept as xattrs of this name space; null: it has no xattrs for us. */
  readonly namespace: Namespace | null;
  /** Character devices 0/0 with RENAME_WHITEOUT and RENAME_EXCHANGE. */
  readonly charWhiteouts: boolean;
  readonly exchange: boolean;
  readonly tmpfile: boolean;
}

const scratch = new Stat();

export class Upper {
  readonly whiteouts: WhiteoutWriter;
  private counter = 0;

  /** The directory `index` in the work directory; null without the index. */
  index: Layer | null = null;

  /** Who counts; null: nobody does. */
  tally: Tally | null = null;

  constructor(
    readonly layer: Layer,
    /** The work directory itself, open for its lock. */
    readonly base: Layer,
    /** The directory `work` in it: temporary names only. */
    readonly work: Layer,
    readonly abilities: UpperAbilities,
    /** The name space of notes, also where they cannot be written. */
    readonly namespace: Namespace,
  ) {
    this.whiteouts = abilities.charWhiteouts ? new CharWhiteouts(this) : new DotWhiteouts(this);
  }

  /** A name in `work` that nobody else uses. The kernel's own are spelled alike, and cleaned alike. */
  temporaryName(): ByteString {
    return `#${(++this.counter).toString(16)}`;
  }

  /** Writes a private note; false where the file system cannot hold it. */
  setNote(dirfd: number, name: ByteString, note: Note, value: Uint8Array): boolean {
    if (this.abilities.namespace === null) return false;
    const rc = setxattr(dirfd, name, noteName(this.namespace, note), value, 0);
    if (rc === -E.EOPNOTSUPP || rc === -E.EPERM) return false;
    ok(rc, `${this.layer.path}: note ${note} on ${name}`);
    return true;
  }

  /** Makes an empty file stand for a character device 0/0 that users see. EPERM where that cannot be noted. */
  veil(dir: RealDir, dirfd: number, name: ByteString): void {
    if (this.abilities.namespace === null)
      throw new SysError(E.EPERM, `${name}: this upper cannot hold a device 0/0`);
    this.markVeils(dir);
    ok(setxattr(dirfd, name, ownNoteName(this.namespace, 'veil'), Buffer.from('c0:0'), 0), name);
  }

  /** Notes on a directory of the upper that it gets such a file. */
  markVeils(dir: RealDir): void {
    if (dir.veils || this.abilities.namespace === null) return;
    ok(setxattr(dir.fd(), '', ownNoteName(this.namespace, 'veils'), Buffer.from('y'), 0), dir.describe());
    dir.veils = true;
  }

  getNote(dirfd: number, name: ByteString, note: Note): Buffer | null {
    if (this.abilities.namespace === null) return null;
    const value = getxattr(dirfd, name, noteName(this.namespace, note));
    return typeof value === 'number' ? null : value;
  }

  removeNote(dirfd: number, name: ByteString, note: Note): void {
    if (this.abilities.namespace !== null) removexattr(dirfd, name, noteName(this.namespace, note));
  }

  /** Makes a directory hide what the layers below have in it. */
  setOpaque(dirfd: number, name: ByteString): void {
    if (this.setNote(dirfd, name, 'opaque', Buffer.from('y'))) return;
    const dir = ok(openChild(dirfd, name === '' ? '.' : name, O.PATH | O.DIRECTORY, 0), name);
    const rc = mknodat(dir, OPAQUE_MARK, S.IFREG | 0o444, 0, 0);
    if (rc >= 0) this.came(dir, OPAQUE_MARK);
    close(dir);
    if (rc !== -E.EEXIST) ok(rc, `${this.layer.path}: opaque mark in ${name}`);
  }

  /** Removes a thing of `work`, with what is in it. `counted`: it was in the upper until now, and the tally has it. */
  discard(name: ByteString, counted = false): void {
    this.remove(this.work.rootFd, name, counted);
  }

  /** The same for a thing in any directory of the upper. */
  remove(dirfd: number, name: ByteString, counted = false): void {
    if (this.tally === null) removeEntry(dirfd, name);
    else removeEntry(dirfd, name, counted ? this.removing : this.removingMarks);
  }

  /** Tells the tally of a new inode of the upper. */
  came(dirfd: number, name: ByteString): void {
    if (this.tally === null) return;
    ok(statx(dirfd, name, AT.SYMLINK_NOFOLLOW, scratch.slots), name);
    this.tally.came(scratch);
  }

  private readonly removing = (dirfd: number, name: ByteString): void => {
    if (statx(dirfd, name, AT.SYMLINK_NOFOLLOW, scratch.slots) < 0) return;
    if ((scratch.mode & S.IFMT) === S.IFDIR || this.whiteouts.isLast(scratch)) this.tally?.went(scratch);
  };

  /** Of what has not been in the upper yet, only opaque marks are counted: at once when they are made. */
  private readonly removingMarks = (dirfd: number, name: ByteString): void => {
    if (name === OPAQUE_MARK) this.removing(dirfd, name);
  };

  close(): void {
    this.whiteouts.close();
    this.index?.close();
    this.work.close();
    this.base.close();
    this.layer.close();
  }
}

/**
 * Takes the upper directory and the work directory, so that no second mount of ours does, and looks at what they can
 * do. `wanted` is the name space to keep notes in; null: trusted if that can be written, else user.
 */
export function openUpper(upperPath: ByteString, workPath: ByteString, wanted: Namespace | null): Upper {
  const opened: Layer[] = [];
  const open = (path: ByteString) => {
    const layer = Layer.open(path, true);
    opened.push(layer);
    return layer;
  };
  try {
    const layer = open(upperPath);
    lock(layer, 'upperdir');
    const base = open(workPath);
    lock(base, 'workdir');
    const made = mkdirat(base.rootFd, WORK, 0o700);
    if (made !== -E.EEXIST) ok(made, `${workPath}/${WORK}`);
    const unsynced = refuseIncompatible(base);
    if (unsynced.length > 0) recoverUnsynced(layer, unsynced);
    const work = open(`${workPath}/${WORK}`);
    emptyDirectory(work);
    const namespace = probeNamespace(work, wanted);
    return new Upper(layer, base, work, probe(work, namespace), namespace ?? wanted ?? 'user');
  } catch (error) {
    for (const layer of opened) layer.close();
    throw error;
  }
}

const WORK = 'work';
const INDEX = 'index';

/** Opens (or makes) the index directory beside `work`. */
export function openIndex(upper: Upper): Layer {
  const { base } = upper;
  const made = mkdirat(base.rootFd, INDEX, 0o700);
  if (made !== -E.EEXIST) ok(made, `${base.path}/${INDEX}`);
  upper.index = Layer.open(`${base.path}/${INDEX}`, true);
  return upper.index;
}

/** Marks the work directory: its upper is not to be trusted until a clean end (the kernel's format). */
export function markVolatile(upper: Upper): void {
  let dir: RealDir = upper.work.root;
  for (const name of ['incompat', 'volatile', 'dirty']) {
    ok(mkdirat(dir.fd(), name, 0o700), `${upper.work.path}/${name}`);
    dir = dir.child(name);
  }
}

/** The mount ended cleanly and everything is on disk. */
export function unmarkVolatile(upper: Upper): void {
  upper.discard('incompat');
}

/** The mount is gone and its upper will be free: who wants it next may wait for that (cli/upperlock.ts). */
export function shareLocks(upper: Upper): void {
  for (const layer of [upper.layer, upper.base])
    ok(flock(layer.rootFd, LOCK.SH | LOCK.NB), `lock ${layer.path}`);
}

function lock(layer: Layer, what: string): void {
  if (flock(layer.rootFd, LOCK.EX | LOCK.NB) < 0) {
    throw new SysError(E.EBUSY, `${what} ${layer.path} is in use by another mount`);
  }
}

/**
 * The marks are what is in `incompat`: containers-storage removes them, and leaves the directory. Returns those that say which
 * copies are not synced.
 */
function refuseIncompatible(base: Layer): ByteString[] {
  const work = base.root.child(WORK);
  const fd = openChild(work.fd(), 'incompat', O.RDONLY | O.DIRECTORY, 0);
  work.release();
  if (fd < 0) return [];
  const marks: ByteString[] = [];
  readDirents(fd, name => marks.push(name));
  close(fd);
  if (marks.every(isUnsyncedMark)) return marks;
  throw new SysError(
    E.EINVAL,
    `workdir ${base.path} belongs to a volatile mount that did not end cleanly: its upper may be damaged; ` +
      'remove both, or only work/incompat if you trust it',
  );
}

/** What a crash left in `work` is rubbish: nothing there was ever visible. */
function emptyDirectory(work: Layer): void {
  for (const name of work.root.names()) removeEntry(work.rootFd, name);
}

function probeNamespace(work: Layer, wanted: Namespace | null): Namespace | null {
  for (const namespace of wanted === null ? (['trusted', 'user'] as const) : [wanted]) {
    const name = noteName(namespace, 'opaque');
    if (setxattr(work.rootFd, '', name, Buffer.from('0'), 0) < 0) continue;
    removexattr(work.rootFd, '', name);
    return namespace;
  }
  return null;
}

function probe(work: Layer, namespace: Namespace | null): UpperAbilities {
  const fd = work.rootFd;
  const file = (name: ByteString) => mknodat(fd, name, S.IFREG | 0o600, 0, 0);
  ok(file('#a'), work.path);
  ok(file('#b'), work.path);
  const exchange = renameat2(fd, '#a', fd, '#b', RENAME.EXCHANGE) >= 0;
  const device = mknodat(fd, '#c', S.IFCHR, 0, 0) >= 0;
  const linked = device && linkat(fd, '#c', fd, '#d', 0) >= 0;
  const leaves = linked && renameat2(fd, '#a', fd, '#e', RENAME.WHITEOUT) >= 0;
  for (const name of ['#a', '#b', '#c', '#d', '#e']) unlinkat(fd, name, 0);
  const temporary = openChild(fd, '.', O.TMPFILE | O.RDWR, 0o600);
  let tmpfile = false;
  if (temporary >= 0) {
    tmpfile = linkat(AT.FDCWD, `/proc/self/fd/${temporary}`, fd, '#f', AT.SYMLINK_FOLLOW) >= 0;
    close(temporary);
    unlinkat(fd, '#f', 0);
  }
  return { namespace, charWhiteouts: leaves && exchange, exchange, tmpfile };
}
