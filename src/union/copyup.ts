// Copy-up: the lower file becomes an upper file, at once and whole. The copy is made out of sight (O_TMPFILE, or a
// temporary name in work), gets its attributes, and then its name; a crash leaves the lower file or the upper one.
import { type ByteString, crashPoint, DT, E, ok, S, Stat, SysError } from '../base/index.js';
import { openForReading, type RealDir, readMarks } from '../layer/index.js';
import {
  AT,
  close,
  fsync,
  linkat,
  mkdirat,
  O,
  openChild,
  openPath,
  renameat2,
  statx,
  UTIME,
  unlinkat,
  utimensat,
} from '../sys/index.js';
import { keepChangeTime } from './changetime.js';
import { copyAttributes, setTimes } from './copyattrs.js';
import { copyData, openLower } from './copydata.js';
import { type Despite, flagsToCarry, refuseProtected } from './fileflags.js';
import { isInIndex, moveToIndex, noteLowerNlink, noteNlink } from './links.js';
import { completeData, dropData, makeMetacopy } from './metacopy.js';
import { Dir, type Node } from './node.js';
import { handleOf, writeOrigin } from './origin.js';
import { dropPrivilegesAt } from './privileges.js';
import type { Quota } from './quota.js';
import type { Stack } from './stack.js';
import { abandon, name, type Unborn, unbornFile, unbornSpecial } from './unborn.js';

const parentStat = new Stat();
const placedStat = new Stat();

export interface CopyHow {
  /** The caller truncates the file anyway: no data is copied. */
  readonly empty?: boolean;
  /** With `empty`: who truncates takes setuid and file capabilities away. */
  readonly killPrivileges?: boolean;
  /** Which protected files may be copied (default: none). */
  readonly despite?: Despite;
  /** The caller does not need the file's data in the upper. */
  readonly metadataOnly?: boolean;
  /** The file gets another name, or is written durably: its data has to be on the disk first. */
  readonly durable?: boolean;
}

/**
 * Makes sure that the node's file is in the upper. Throws ENOSPC and the like with nothing changed, and EPERM for files
 * that are immutable or append-only.
 */
export function copyUp(stack: Stack, node: Node, how: CopyHow = {}): void | Promise<void> {
  stack.writable();
  if (node instanceof Dir) return toChange(stack, node);
  if (node.isUpper()) {
    // Its data is on its way; what it is then is asked again.
    if (node.copying !== null) return node.copying.then(() => copyUp(stack, node, how));
    if (node.data !== null && how.metadataOnly !== true) return bringData(stack, node, how);
    if (how.durable === true && node.unsynced) return stack.group!.settle(node);
    if (node.links !== null && node.links.lowerNames.length > 0) {
      const link = () => {
        if (linkLowerNames(stack, node)) noteNlink(stack, node);
      };
      stack.counted(link, node);
    }
    return;
  }
  if (node.copying !== null)
    return how.durable === true ? node.copying.then(() => copyUp(stack, node, how)) : node.copying;
  const stat = new Stat();
  ok(statx(node.fd(), node.leaf(), AT.SYMLINK_NOFOLLOW, stat.slots), node.describe());
  refuseProtected(node, stat, how.despite);
  if (node.type !== DT.REG || how.empty === true || stat.size === 0) {
    const unborn = node.type === DT.REG ? unbornFile(stack) : unbornSpecial(stack, node, stat);
    bear(stack, node, stat, unborn, how);
    node.data = null;
    return;
  }
  if (how.metadataOnly === true && copyMetadata(stack, node, stat)) return;
  const copying = copyData(stack, node, stat, how.durable === true, unborn => {
    bear(stack, node, stat, unborn);
  });
  if (copying === undefined) return;
  node.copying = copying.finally(() => {
    node.copying = null;
    stack.shrink(node);
  });
  return node.copying;
}

/** The upper has the file without its data; a caller who truncates it needs none. */
function bringData(stack: Stack, node: Node, how: CopyHow): void | Promise<void> {
  if (how.empty === true) {
    dropData(stack, node);
    return;
  }
  node.copying = completeData(stack, node).finally(() => {
    node.copying = null;
    stack.shrink(node);
  });
  return node.copying;
}

/** Copies a regular file without its data, if that is wished for and can be; false otherwise. */
function copyMetadata(stack: Stack, node: Node, stat: Stat): boolean {
  if (!stack.behaviour.metacopy || stat.nlink > 1 || node.parent === null) return false;
  const data = node.data ?? { real: node.real, name: node.realName };
  const source = openLower(node);
  const flags = flagsToCarry(source);
  close(source);
  const unborn = unbornFile(stack);
  if (flags !== 0 || unborn.temp !== null || !makeMetacopy(stack, unborn.fd, stat.size)) {
    abandon(stack, unborn);
    return false;
  }
  bear(stack, node, stat, unborn);
  node.data = data;
  return true;
}

/** Makes sure that the directory is in the upper, for a change that users make of it. */
export function toChange(stack: Stack, dir: Dir): void {
  copyUpDir(stack, dir);
  dir.keptChangeTime = null;
}

/** Copies a directory (and those above it) without its entries. */
function copyUpDir(stack: Stack, dir: Dir): void {
  if (dir.isUpper()) return;
  const upper = stack.writable();
  const parent = dir.parent;
  if (parent === null) throw new SysError(E.ENOENT, dir.describe());
  copyUpDir(stack, parent);
  const stat = new Stat();
  ok(statx(dir.fd(), '', AT.EMPTY_PATH, stat.slots), dir.describe());
  const lower = dir.reals[0]!;
  const work = upper.work.rootFd;
  const temp = upper.temporaryName();
  ok(mkdirat(work, temp, 0o700), `copy-up of ${dir.describe()}`);
  try {
    crashPoint('copyup-dir:made');
    writeOrigin(stack, work, temp, { layer: lower.layer, handle: handleOf(lower, '') });
    copyAttributes(stack, lower, '', stat, work, temp);
    if (stack.behaviour.syncAll) syncDirectory(upper.work.root.child(temp));
    crashPoint('copyup-dir:attributes');
    if (stack.quota !== null) admit(stack.quota, work, temp);
    place(stack, parent, dirfd => renameat2(work, temp, dirfd, dir.name, 0), dir.name);
  } catch (error) {
    upper.discard(temp);
    throw error;
  }
  crashPoint('copyup-dir:moved');
  const real = parent.upper().child(dir.name);
  dir.reals.unshift(real);
  dir.version++;
  dir.defaultAcl = readMarks(real, stack.xattrNames.namespace, true).defaultAcl;
  dir.impure = false;
  dir.redirect = null;
  ok(statx(real.fd(), '', AT.EMPTY_PATH, placedStat.slots), dir.describe());
  keepChangeTime(dir, stat, placedStat);
  stack.meter?.cameDir(dir);
  stack.notify.attributes(dir);
}

/** ENOSPC when the finished copy is more than the limits leave. */
function admit(quota: Quota, dirfd: number, name: ByteString): void {
  const flags = AT.SYMLINK_NOFOLLOW | (name === '' ? AT.EMPTY_PATH : 0);
  ok(statx(dirfd, name, flags, parentStat.slots), name);
  quota.admit(parentStat, name);
}

function syncDirectory(dir: RealDir): void {
  const fd = openForReading(dir);
  const rc = fsync(fd, false);
  close(fd);
  dir.release();
  ok(rc, dir.describe());
}

/** Gives the finished copy its attributes and its names. Not interrupted by anything. */
function bear(stack: Stack, node: Node, stat: Stat, unborn: Unborn, how: CopyHow = {}): void {
  stack.counted(() => bearNow(stack, node, stat, unborn, how), node);
}

function bearNow(stack: Stack, node: Node, stat: Stat, unborn: Unborn, how: CopyHow): void {
  try {
    const upper = stack.writable();
    const { real, realName } = node;
    const dirfd = unborn.temp === null ? unborn.fd : upper.work.rootFd;
    const name = unborn.temp ?? '';
    const handle = handleOf(real, realName);
    const indexed = stat.nlink > 1 && node.links?.indexName != null;
    if (stat.nlink === 1 || indexed) writeOrigin(stack, dirfd, name, { layer: real.layer, handle });
    copyAttributes(stack, real, realName, stat, dirfd, name);
    if (how.empty === true) truncated(dirfd, name, how);
    if (node.type === DT.CHR && node.parent !== null && (stat.mode & S.IFMT) === S.IFREG) {
      copyUpDir(stack, node.parent);
      upper.veil(node.parent.upper(), dirfd, name);
    }
    crashPoint('copyup:attributes');
    if (stack.quota !== null) admit(stack.quota, dirfd, name);
    if (node.parent === null) keepDetached(stack, node, unborn);
    else if (indexed) nameThroughIndex(stack, node, stat, unborn, node.links!.indexName!);
    else nameDirectly(stack, node, node.parent, stat, unborn);
  } catch (error) {
    abandon(stack, unborn);
    throw error;
  }
  if (unborn.fd >= 0) close(unborn.fd);
  stack.notify.attributes(node);
}

/** The copy without data is what the caller's truncation makes of the file, so that no crash can show half of it. */
function truncated(dirfd: number, name: ByteString, how: CopyHow): void {
  ok(utimensat(dirfd, name, 0, UTIME.OMIT, 0, UTIME.NOW), `times of ${name}`);
  if (how.killPrivileges === true) dropPrivilegesAt(dirfd, name, name);
}

/** The file was deleted while it was copied: whoever has it open goes on with a copy without a name. */
function keepDetached(stack: Stack, node: Node, unborn: Unborn): void {
  const { work } = stack.upper!;
  const fd =
    unborn.temp === null
      ? openPath(`/proc/self/fd/${unborn.fd}`, O.PATH)
      : openChild(work.rootFd, unborn.temp, O.PATH, 0);
  node.detached = ok(fd, node.describe());
  node.real = work.root;
  if (unborn.temp !== null) unlinkat(work.rootFd, unborn.temp, 0);
}

function nameDirectly(stack: Stack, node: Node, parent: Dir, stat: Stat, unborn: Unborn): void {
  copyUpDir(stack, parent);
  place(stack, parent, dirfd => name(stack, unborn, dirfd, node.name), node.name);
  crashPoint('copyup:named');
  node.real = parent.upper();
  node.realName = node.name;
  if (stat.nlink === 1) return;
  // One name of several leaves its lower siblings behind, and is a file of its own from now on.
  ok(statx(node.fd(), node.leaf(), AT.SYMLINK_NOFOLLOW, parentStat.slots), node.describe());
  node.ino = stack.inodes.of(parentStat);
  // The kernel's copy of the directory's listing has the old number.
  stack.notify.data(parent);
}

function nameThroughIndex(stack: Stack, node: Node, stat: Stat, unborn: Unborn, indexName: ByteString): void {
  const index = stack.upper!.index!;
  noteLowerNlink(stack, unborn.temp === null ? unborn.fd : stack.upper!.work.rootFd, unborn.temp ?? '');
  ok(name(stack, unborn, index.rootFd, indexName), `index entry of ${node.describe()}`);
  crashPoint('copyup:indexed');
  moveToIndex(stack, node, indexName, 1, stat.nlink);
  linkLowerNames(stack, node);
}

/**
 * Gives an indexed file its known names in the upper, so that they show it to those who do not read the index too.
 * True when there was something to do.
 */
function linkLowerNames(stack: Stack, node: Node): boolean {
  if (node.links === null || node.links.lowerNames.length === 0 || !isInIndex(stack, node)) return false;
  const { root } = stack.upper!.index!;
  const { lowerNames } = node.links;
  for (let alias = lowerNames.at(-1); alias !== undefined; alias = lowerNames.at(-1)) {
    const { parent, name: as } = alias;
    copyUpDir(stack, parent);
    place(stack, parent, dirfd => linkat(root.fd(), node.realName, dirfd, as, 0), as);
    lowerNames.pop();
    crashPoint('copyup:linked');
  }
  return true;
}

/** Adds an entry to an upper directory as copy-up does: the directory keeps its times, and is impure from then on. */
function place(stack: Stack, parent: Dir, add: (dirfd: number) => number, as: ByteString): void {
  stack.meter?.watch(parent);
  const real: RealDir = parent.upper();
  ok(statx(real.fd(), '', AT.EMPTY_PATH, parentStat.slots), parent.describe());
  markImpure(stack, parent);
  ok(add(real.fd()), `copy-up to ${parent.describe()}/${as}`);
  setTimes(real.fd(), '', parentStat);
  ok(statx(real.fd(), '', AT.EMPTY_PATH, placedStat.slots), parent.describe());
  keepChangeTime(parent, parentStat, placedStat);
  // What else may be new.
  if (placedStat.size !== parentStat.size || placedStat.nlink !== parentStat.nlink)
    stack.notify.attributes(parent);
  stack.meter?.settle(parent);
  parent.cover(as);
  parent.version++;
}

/** Notes that an upper directory has files whose inode numbers come from elsewhere. */
export function markImpure(stack: Stack, dir: Dir): void {
  if (dir.impure) return;
  stack.upper!.setNote(dir.upper().fd(), '', 'impure', Buffer.from('y'));
  dir.impure = true;
}
