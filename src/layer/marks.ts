// What a layer notes on a directory: opaque, redirect, impure, default ACL. One listxattr answers for nearly all of them.
import { type ByteString, E, SysError } from '../base/index.js';
import { AT, faccessat, getxattr, listxattr } from '../sys/index.js';
import type { Layer } from './layer.js';
import type { RealDir } from './realdir.js';
import { ACL, type Namespace, noteName, OPAQUE_MARK, opaqueNames, ownNoteName } from './spelling.js';

/** The notes of one real directory. */
export interface Marks {
  /** 'y': hides the same directory of the layers below. 'x': some of its empty files are whiteouts. */
  readonly opaque: '' | 'x' | 'y';
  /** Where the layers below have it: a name (beside it) or an absolute path; null: under its own name. */
  readonly redirect: ByteString | null;
  /** It may hold files that were copied up or moved here: their inode numbers come from elsewhere. */
  readonly impure: boolean;
  /** Some of its empty files stand for character devices 0/0. */
  readonly veils: boolean;
  /** New entries inherit an ACL. */
  readonly defaultAcl: boolean;
}

/** Those of a directory that says nothing. */
export const NO_MARKS: Marks = { opaque: '', redirect: null, impure: false, veils: false, defaultAcl: false };
const MARKED: Marks = { ...NO_MARKS, opaque: 'y' };

/**
 * Reads the notes of the directory `dir`, and tells it those that its listing needs. In the upper only the mount's own name space counts: there `user.overlay.*`
 * of a privileged mount is users' data. `isLast`: no layer below, so that an opaque mark says nothing.
 */
export function readMarks(dir: RealDir, namespace: Namespace, isLast: boolean): Marks {
  const marks = dir.layer.hasXattrs ? fromXattrs(dir, namespace) : NO_MARKS;
  dir.xattrWhiteouts = marks.opaque === 'x';
  dir.veils = marks.veils;
  if (isLast || marks.opaque === 'y') return marks;
  if (faccessat(dir.fd(), OPAQUE_MARK, 0, AT.SYMLINK_NOFOLLOW) < 0) return marks;
  return marks === NO_MARKS ? MARKED : { ...marks, opaque: 'y' };
}

function fromXattrs(dir: RealDir, namespace: Namespace): Marks {
  const names = listxattr(dir.fd(), '');
  if (typeof names === 'number') {
    dir.layer.xattrs(names);
    if (names === -E.EOPNOTSUPP || names === -E.EACCES) return NO_MARKS;
    throw new SysError(-names, dir.describe());
  }
  if (names.length === 0) return NO_MARKS;
  const redirect = names.includes(noteName(namespace, 'redirect'))
    ? readText(dir, noteName(namespace, 'redirect'))
    : null;
  return {
    opaque: readOpaque(dir, names, namespace),
    redirect: redirect === '' ? null : redirect,
    impure: names.includes(noteName(namespace, 'impure')),
    veils: names.includes(ownNoteName(namespace, 'veils')),
    defaultAcl: names.includes(ACL.default),
  };
}

function readOpaque(dir: RealDir, names: readonly ByteString[], namespace: Namespace): Marks['opaque'] {
  let found: Marks['opaque'] = '';
  for (const name of opaqueNames()) {
    if (!names.includes(name) || isUsersData(dir.layer, name, namespace)) continue;
    const value = readText(dir, name);
    if (value === 'y') return 'y';
    if (value === 'x') found = 'x';
  }
  return found;
}

function isUsersData(layer: Layer, name: ByteString, namespace: Namespace): boolean {
  return layer.writable && name === noteName(namespace === 'trusted' ? 'user' : 'trusted', 'opaque');
}

function readText(dir: RealDir, name: ByteString): ByteString {
  const value = getxattr(dir.fd(), '', name);
  return typeof value === 'number' ? '' : value.toString('latin1');
}
