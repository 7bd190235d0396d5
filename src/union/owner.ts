// Owners and modes kept in an extended attribute (`xattr_permissions`), for uppers whose files all belong to one user: the
// format of fuse-overlayfs and containers-storage, "uid:gid:mode" with the mode in octal.
import { type ByteString, E, ok, S, type Stat } from '../base/index.js';
import { getxattr, setxattr } from '../sys/index.js';
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

/** Notes owner and permissions of a file of the upper. Symlinks that cannot hold a note keep their real owner. */
export function writeOwner(
  stack: Stack,
  dirfd: number,
  name: ByteString,
  owner: { uid: number; gid: number; mode: number },
): void {
  const note = stack.xattrNames.ownerNote;
  if (note === null) return;
  const text = `${owner.uid}:${owner.gid}:${(owner.mode & 0o7777).toString(8)}`;
  const rc = setxattr(dirfd, name, note, Buffer.from(text), 0);
  if (rc === -E.EPERM && (owner.mode & S.IFMT) === S.IFLNK) return;
  ok(rc, `${note} of ${name}`);
}

/** The mode that a real file gets: its owner, the daemon, must be able to use it. */
export function realMode(stack: Stack, mode: number): number {
  if (!keepsOwners(stack)) return mode;
  return (mode & ~0o7000) | ((mode & S.IFMT) === S.IFDIR ? 0o700 : 0o600);
}
