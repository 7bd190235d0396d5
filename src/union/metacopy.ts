// Files whose attributes are in one layer and whose data is in one below (kernel overlayfs's metacopy): where the data is, how
// such a copy is made, and how it gets its data. Source: kernel Documentation/filesystems/overlayfs.rst ("Metadata only copy
// up"); fs/overlayfs/namei.c and copy_up.c.
import { type ByteString, crashPoint, DT, E, modeToType, ok, S, Stat, SysError } from '../base/index.js';
import { isWhiteout, noteName, type RealDir } from '../layer/index.js';
import {
  AT,
  close,
  copyFileAsync,
  fsync,
  ftruncate,
  getxattr,
  O,
  openChild,
  openPath,
  removexattr,
  setxattr,
  statx,
} from '../sys/index.js';
import { setTimes } from './copyattrs.js';
import { followRedirect } from './lowerwalk.js';
import type { DataPlace, Dir, Node } from './node.js';
import { CAPABILITY } from './privileges.js';
import type { Stack } from './stack.js';

/** Blocks of 512 bytes that a file without data may have for its extended attributes. */
const MOST_BLOCKS = 16;
const scratch = new Stat();

/**
 * Where the data of the file `name` of `parent` is, if not where the file itself is (`real`, `realName`): null otherwise. `stat` are
 * the file's own attributes. EIO when it is nowhere: showing zeros instead would be damage.
 */
export function findData(
  stack: Stack,
  parent: Dir,
  name: ByteString,
  real: RealDir,
  realName: ByteString,
  stat: Stat,
): DataPlace | null {
  if (!mayLackData(stack, parent, real, stat) || !isMetacopy(stack, real, realName)) return null;
  let position = real.layer.position;
  let at: RealDir = real;
  let itself = realName;
  let as = name;
  let bases: readonly RealDir[] = parent.reals;
  for (;;) {
    const redirect = redirectOf(stack, at, itself);
    if (redirect !== null) {
      as = redirect.slice(redirect.lastIndexOf('/') + 1);
      if (redirect.startsWith('/')) bases = directoriesAt(stack, position, redirect.slice(0, -as.length - 1));
    }
    const found = findBelow(bases, position, as);
    if (found === null) {
      throw new SysError(
        E.EIO,
        `${real.describe()}/${name} holds metadata only (metacopy), and its data is in no layer`,
      );
    }
    if (!isMetacopy(stack, found, as)) return { real: found, name: as };
    at = found;
    itself = as;
    position = found.layer.position;
  }
}

/** Such a file's directory is noted as impure; else it can be told by its blocks, which are those of its attributes at most. */
function mayLackData(stack: Stack, parent: Dir, real: RealDir, { mode, size, blocks }: Stat): boolean {
  if ((mode & S.IFMT) !== S.IFREG || size === 0) return false;
  if (blocks <= MOST_BLOCKS && (real.layer.writable || blocks * 512 < size)) return true;
  // One whose data was on its way when somebody died has blocks, and they are not to be trusted.
  return real.layer.writable ? parent.impure : isImpure(stack, real);
}

function isImpure(stack: Stack, real: RealDir): boolean {
  real.impure ??= typeof getxattr(real.fd(), '', noteName(stack.xattrNames.namespace, 'impure')) !== 'number';
  return real.impure;
}

function isMetacopy(stack: Stack, real: RealDir, name: ByteString): boolean {
  return typeof getxattr(real.fd(), name, noteName(stack.xattrNames.namespace, 'metacopy')) !== 'number';
}

function redirectOf(stack: Stack, real: RealDir, name: ByteString): ByteString | null {
  const value = getxattr(real.fd(), name, noteName(stack.xattrNames.namespace, 'redirect'));
  return typeof value === 'number' || value.length === 0 ? null : value.toString('latin1');
}

/** The directories with the absolute path `path` of the union in the layers below `position`. */
function directoriesAt(stack: Stack, position: number, path: ByteString): readonly RealDir[] {
  return path === ''
    ? stack.lowers.map(layer => layer.root)
    : followRedirect(stack, stack.root.reals, position, path);
}

/** The directory of `bases` below `position` that has a regular file `name`, unless something else hides it. */
function findBelow(bases: readonly RealDir[], position: number, name: ByteString): RealDir | null {
  for (const base of bases) {
    if (base.layer.position <= position) continue;
    if (statx(base.fd(), name, AT.SYMLINK_NOFOLLOW, scratch.slots) < 0) continue;
    return modeToType(scratch.mode) === DT.REG && !isWhiteout(base, name) ? base : null;
  }
  return null;
}

/** Makes an unnamed copy one of metadata only; false where that cannot be noted. */
export function makeMetacopy(stack: Stack, fd: number, size: number): boolean {
  return stack.upper!.setNote(fd, '', 'metacopy', Buffer.alloc(0)) && ftruncate(fd, size) >= 0;
}

/** Opens the data of a file, which is not where its attributes are, for reading. */
export function openData({ real, name }: DataPlace, flags: number): number {
  const quiet = real.layer.noatime ? O.NOATIME : 0;
  const fd = openChild(real.fd(), name, flags | quiet, 0);
  return fd === -E.EPERM && quiet !== 0 ? openChild(real.fd(), name, flags, 0) : fd;
}

/**
 * Brings a metadata-only copy's data into the upper. The note goes when the data is on the disk: until then a crash leaves what
 * there was.
 */
export async function completeData(stack: Stack, node: Node): Promise<void> {
  const what = `copy-up of the data of ${node.describe()}`;
  const source = ok(openData(node.data!, O.RDONLY | O.NONBLOCK), what);
  const target = openOwn(node, O.RDWR | O.NONBLOCK);
  try {
    await fill(stack, node, source, ok(target, what), what);
  } finally {
    close(source);
    if (target >= 0) close(target);
  }
}

async function fill(stack: Stack, node: Node, source: number, target: number, what: string): Promise<void> {
  const stat = new Stat();
  ok(statx(target, '', AT.EMPTY_PATH, stat.slots), what);
  const capability = getxattr(target, '', CAPABILITY);
  stack.meter?.watch(node);
  const ended = await stack.quota?.fit(stat.size, 0, what);
  const rc = await copyFileAsync(source, target, stat.size, stack.behaviour.syncCopies);
  ended?.();
  stack.meter?.settle(node);
  ok(rc, what);
  crashPoint('metacopy:data');
  // Writing has taken a file capability away, and moved the times (which the kernel leaves so: whoever only opens changes them).
  if (typeof capability !== 'number') ok(setxattr(target, '', CAPABILITY, capability, 0), what);
  setTimes(target, '', stat);
  forgetData(stack, node, target);
  crashPoint('metacopy:complete');
}

/** The file is about to be empty: it needs no data. */
export function dropData(stack: Stack, node: Node): void {
  const fd = ok(openOwn(node, O.WRONLY | O.NONBLOCK), node.describe());
  const rc = ftruncate(fd, 0);
  if (rc >= 0) forgetData(stack, node, fd);
  close(fd);
  ok(rc, node.describe());
}

function forgetData(stack: Stack, node: Node, fd: number): void {
  const { namespace } = stack.xattrNames;
  const notes = () => {
    for (const note of ['metacopy', 'redirect'] as const) removexattr(fd, '', noteName(namespace, note));
  };
  stack.counted(notes, node);
  node.data = null;
  stack.notify.attributes(node);
}

/** The upper file itself, though its data is elsewhere. */
export function openOwn(node: Node, flags: number): number {
  return node.detached >= 0
    ? openPath(`/proc/self/fd/${node.detached}`, flags)
    : openChild(node.real.fd(), node.realName, flags, 0);
}

/** fsync of what the upper has of the file. */
export function syncOwn(node: Node, datasync: boolean): number {
  const fd = openOwn(node, O.RDONLY | O.NONBLOCK);
  if (fd < 0) return fd;
  const rc = fsync(fd, datasync);
  close(fd);
  return rc;
}

/** Shows as many blocks as the data has, as the kernel does. */
export function showBlocks({ real, name }: DataPlace, out: Stat): void {
  if (statx(real.fd(), name, AT.SYMLINK_NOFOLLOW, scratch.slots) >= 0) out.blocks = scratch.blocks;
}
