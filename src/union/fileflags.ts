// File flags (chattr(1)). The upper's file system keeps and enforces those of upper files. Lower files are guarded here:
// who may not change a file may not have it copied up either. Flags are carried over, but for those of directories.
import { E, ok, type Stat, SysError } from '../base/index.js';
import { close, FS_FLAG, getFileFlags, O, STATX_ATTR, setFileFlags } from '../sys/index.js';
import { copyUp } from './copyup.js';
import { openReal } from './io.js';
import type { Node } from './node.js';
import type { Stack } from './stack.js';

/** What a copy-up keeps of a regular file's flags; the kernel's list (OVL_COPY_FS_FLAGS_MASK, OVL_PROT_FS_FLAGS_MASK). */
const CARRIED = FS_FLAG.SYNC | FS_FLAG.NOATIME | FS_FLAG.APPEND | FS_FLAG.IMMUTABLE;

/** Which protected files an operation may change. */
export type Despite = 'nothing' | 'append' | 'everything';

/** Is what has these attributes immutable or append-only? */
export function isProtected(stat: Stat): boolean {
  return (stat.attributes & (STATX_ATTR.IMMUTABLE | STATX_ATTR.APPEND)) !== 0;
}

/** EPERM when the node is one of a lower layer that must not lose its name. */
export function refuseGuarded(node: Node): void {
  if (node.guarded && !node.isUpper()) throw protectedError(node);
}

/** EPERM when a lower file with these attributes must not be changed. */
export function refuseProtected(node: Node, stat: Stat, despite: Despite = 'nothing'): void {
  if (despite === 'everything') return;
  const guards = STATX_ATTR.IMMUTABLE | (despite === 'append' ? 0 : STATX_ATTR.APPEND);
  if ((stat.attributes & guards) !== 0) throw protectedError(node);
}

function protectedError(node: Node): SysError {
  return new SysError(E.EPERM, `${node.describe()} is immutable or append-only`);
}

/** The flags of an open lower file that its copy shall have. */
export function flagsToCarry(fd: number): number {
  const flags = getFileFlags(fd);
  return flags < 0 ? 0 : flags & CARRIED;
}

/** Sets them on the copy, which has its name already: an immutable file cannot get one. */
export function carryFlags(node: Node, flags: number): void {
  if (flags === 0) return;
  const fd = openReal(node, O.RDONLY | O.NONBLOCK);
  const known = getFileFlags(fd);
  const rc = known < 0 ? known : setFileFlags(fd, known | flags);
  close(fd);
  // A file system without flags (ntfs-3g answers EINVAL) loses them, as with the kernel.
  if (rc !== -E.ENOTTY && rc !== -E.EOPNOTSUPP && rc !== -E.EINVAL) ok(rc, `flags of ${node.describe()}`);
}

export function getFlags(node: Node): number {
  const fd = openReal(node, O.RDONLY | O.NONBLOCK);
  const flags = getFileFlags(fd);
  close(fd);
  return ok(flags, `flags of ${node.describe()}`);
}

export function setFlags(stack: Stack, node: Node, flags: number): void | Promise<void> {
  const set = () => {
    const fd = openReal(node, O.RDONLY | O.NONBLOCK);
    const rc = setFileFlags(fd, flags);
    close(fd);
    ok(rc, `flags of ${node.describe()}`);
  };
  const copying = copyUp(stack, node, { despite: 'everything', durable: true });
  return copying === undefined ? set() : copying.then(set);
}
