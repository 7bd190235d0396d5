// What a write takes from a file when the writer has no CAP_FSETID: setuid, setgid of a group-executable file, and file
// capabilities. The daemon writes as root, so the kernel does not do it for us.
import { type ByteString, ok, S, Stat } from '../base/index.js';
import { AT, fchmodat, getxattr, removexattr, statx } from '../sys/index.js';
import type { Node } from './node.js';

/** Where a file's capabilities are (capabilities(7)). */
export const CAPABILITY = 'security.capability';
const scratch = new Stat();

/** Takes them from the real file of a node. */
export function dropPrivileges(node: Node): void {
  dropPrivilegesAt(node.fd(), node.leaf(), node.describe());
}

/** Takes them from the file `name` under `dirfd`; "" is the descriptor itself. */
export function dropPrivilegesAt(dirfd: number, name: ByteString, what: string): void {
  const flags = AT.SYMLINK_NOFOLLOW | (name === '' ? AT.EMPTY_PATH : 0);
  ok(statx(dirfd, name, flags, scratch.slots), what);
  const drops = dropped(scratch.mode);
  if (drops !== 0) ok(fchmodat(dirfd, name, scratch.mode & 0o7777 & ~drops), `mode of ${what}`);
  if (typeof getxattr(dirfd, name, CAPABILITY) === 'number') return;
  ok(removexattr(dirfd, name, CAPABILITY), `${CAPABILITY} of ${what}`);
}

/** The bits of a mode that a write takes. */
export function dropped(mode: number): number {
  return (mode & S.ISUID) | ((mode & 0o010) !== 0 ? mode & S.ISGID : 0);
}
