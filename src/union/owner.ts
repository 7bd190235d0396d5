// Owners and modes kept in an extended attribute (`xattr_permissions`), for uppers whose files all belong to one user: the
// format of fuse-overlayfs and containers-storage, "uid:gid:mode" with the mode in octal.
import { type ByteString, E, ok, S, type Stat } from '../base/index.js';
import { fchmodat, fchownat, getxattr, setxattr } from '../sys/index.js';
import type { Stack } from './stack.js';

/** Are owners and modes kept in notes? */
export function keepsOwners(stack: Stack): boolean {
  return stack.xattrNames.ownerNote !== null;
}

/** Replaces owner and permissions in `out` by what the note on the file says, if there is one. */
export function readOwner(stack: Stack, dirfd: number, name: ByteString, out: Stat): void {
  const note = stack.xattrNames.ownerNote;
  if (note === null) return;
  const value = getxattr(dirfd, name, note);
  if (typeof value === 'number') return;
  const match = /^(\d+):(\d+):([0-7]+)/.exec(value.toString('latin1'));
  if (match === null) return;
  out.uid = Number(match[1]);
  out.gid = Number(match[2]);
  out.mode = (out.mode & S.IFMT) | (Number.parseInt(match[3]!, 8) & 0o7777);
}

/** An owner, and a mode with its type. */
interface Owner {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/**
 * Notes owner and permissions of a file of the upper. Where attributes are user.*, only regular files and directories have
 * them (xattr(7)); anything else gets the owner and permissions themselves, as far as the mounter may give them.
 */
export function writeOwner(stack: Stack, dirfd: number, name: ByteString, owner: Owner): void {
  const note = stack.xattrNames.ownerNote;
  if (note === null) return;
  const text = `${owner.uid}:${owner.gid}:${(owner.mode & 0o7777).toString(8)}`;
  const rc = setxattr(dirfd, name, note, Buffer.from(text), 0);
  if (rc === -E.EPERM && !isPlain(owner.mode)) giveOwner(dirfd, name, owner);
  else ok(rc, `${note} of ${name}`);
}

function giveOwner(dirfd: number, name: ByteString, { uid, gid, mode }: Owner): void {
  const rc = fchownat(dirfd, name, uid, gid);
  if (rc !== -E.EPERM && rc !== -E.EINVAL) ok(rc, `owner of ${name}`);
  if ((mode & S.IFMT) !== S.IFLNK) ok(fchmodat(dirfd, name, mode & 0o7777), `mode of ${name}`);
}

function isPlain(mode: number): boolean {
  return (mode & S.IFMT) === S.IFREG || (mode & S.IFMT) === S.IFDIR;
}

/** The mode that a real file gets: its owner, the daemon, must be able to use it. */
export function realMode(stack: Stack, mode: number): number {
  if (!keepsOwners(stack) || !isPlain(mode)) return mode;
  return (mode & ~0o7000) | ((mode & S.IFMT) === S.IFDIR ? 0o700 : 0o600);
}
