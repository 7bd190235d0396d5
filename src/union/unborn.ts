// A copy on its way into the upper, out of sight: made, given up, or put under its name.
import { type ByteString, DT, ok, S, type Stat } from '../base/index.js';
import { AT, close, linkat, mknodat, O, openChild, readlinkat, renameat2, symlinkat } from '../sys/index.js';
import type { Node } from './node.js';
import type { Stack } from './stack.js';

const linkTarget = Buffer.alloc(4096);

/** A copy that has no name yet: an O_TMPFILE descriptor, or a temporary name in work. */
export interface Unborn {
  readonly fd: number;
  readonly temp: ByteString | null;
}

export function unbornFile(stack: Stack): Unborn {
  const upper = stack.writable();
  if (upper.abilities.tmpfile) {
    return {
      fd: ok(openChild(upper.work.rootFd, '.', O.TMPFILE | O.RDWR, 0o600), upper.work.path),
      temp: null,
    };
  }
  const temp = upper.temporaryName();
  const flags = O.RDWR | O.CREAT | O.EXCL;
  return { fd: ok(openChild(upper.work.rootFd, temp, flags, 0o600), upper.work.path), temp };
}

export function unbornSpecial(stack: Stack, node: Node, stat: Stat): Unborn {
  const upper = stack.writable();
  const work = upper.work.rootFd;
  const temp = upper.temporaryName();
  if (node.type === DT.LNK) {
    const length = ok(readlinkat(node.fd(), node.leaf(), linkTarget), node.describe());
    ok(symlinkat(linkTarget.toString('latin1', 0, length), work, temp), node.describe());
  } else {
    const mode = (stat.mode & S.IFMT) | 0o600;
    ok(mknodat(work, temp, mode, stat.rdevMajor, stat.rdevMinor), node.describe());
  }
  return { fd: -1, temp };
}

export function abandon(stack: Stack, unborn: Unborn): void {
  if (unborn.fd >= 0) close(unborn.fd);
  if (unborn.temp !== null) stack.upper!.discard(unborn.temp);
}

/** Puts the copy under a name: by a link where it has none, else by a rename. */
export function name(stack: Stack, unborn: Unborn, dirfd: number, as: ByteString): number {
  if (unborn.temp !== null) return renameat2(stack.upper!.work.rootFd, unborn.temp, dirfd, as, 0);
  return linkat(AT.FDCWD, `/proc/self/fd/${unborn.fd}`, dirfd, as, AT.SYMLINK_FOLLOW);
}
