// Names that go away: unlink and rmdir. What lower layers have is hidden by a whiteout; what the upper has is removed, and
// kept by descriptor for whoever has it open.
import { type ByteString, crashPoint, E, ok, SysError } from '../base/index.js';
import { AT, O, openChild, renameat2, unlinkat } from '../sys/index.js';
import { copyUp, toChange } from './copyup.js';
import { refuseGuarded } from './fileflags.js';
import { changeNlink, isInIndex, noteNlink } from './links.js';
import { lookupExisting } from './lookup.js';
import { complete } from './merge.js';
import { Dir, type Node } from './node.js';
import type { Stack } from './stack.js';

/** Removes a name of something that is not a directory. */
export function unlink(stack: Stack, parent: Dir, name: ByteString): void | Promise<void> {
  stack.writable();
  const node = lookupExisting(stack, parent, name);
  if (node instanceof Dir) throw new SysError(E.EISDIR, node.describe());
  refuseGuarded(node);
  // The link count of the other names is kept in the index, which a file enters by copy-up.
  const copying = needsIndex(stack, node) ? copyUp(stack, node) : undefined;
  if (copying === undefined) return unlinkFreely(stack, node, parent, name);
  return copying.then(() => {
    if (parent.names.get(name) !== node) throw new SysError(E.ENOENT, `${parent.describe()}/${name}`);
    unlinkFreely(stack, node, parent, name);
  });
}

/** Must the file be in the index before one of its names goes? */
export function needsIndex(stack: Stack, node: Node): boolean {
  return (
    stack.behaviour.index &&
    node.links?.indexName != null &&
    (!node.isUpper() || node.links.lowerNames.length > 0)
  );
}

/** Deleting is never refused for want of room. */
function unlinkFreely(stack: Stack, node: Node, parent: Dir, name: ByteString): void {
  if (stack.meter === null) {
    unlinkNow(stack, node, parent, name);
    return;
  }
  const change = () => stack.counted(() => unlinkNow(stack, node, parent, name), node, parent);
  if (stack.quota === null) change();
  else stack.quota.exempt(change);
}

function unlinkNow(stack: Stack, node: Node, parent: Dir, name: ByteString): void {
  toChange(stack, parent);
  const { whiteouts } = stack.upper!;
  const inUpper = isNameInUpper(node, parent, name);
  const hides = !inUpper || parent.isCovered(name);
  noteNlink(stack, node);
  if (inUpper) keepOpen(stack, node, parent, name);
  if (!inUpper) whiteouts.hide(parent.upper(), name);
  else if (hides) whiteouts.hideOver(parent.upper(), name, false);
  else ok(unlinkat(parent.upper().fd(), name, 0), `${parent.describe()}/${name}`);
  crashPoint('unlink:done');
  if (hides) markHidden(parent, name);
  stack.detach(node, parent, name);
  changeNlink(stack, node, -1);
}

/** Does the upper have this name of the node? */
export function isNameInUpper(node: Node, parent: Dir, name: ByteString): boolean {
  if (!node.isUpper()) return false;
  return !(node.links?.lowerNames.some(one => one.parent === parent && one.name === name) ?? false);
}

/** Before the upper's entry `name` of the node goes: finds it another real name, or keeps it by descriptor. */
export function keepOpen(stack: Stack, node: Node, parent: Dir, name: ByteString): void {
  if (isInIndex(stack, node)) {
    if (node.links!.nlink <= 1) hold(node);
    return;
  }
  if (node.real !== parent.upper() || node.realName !== name) return;
  const names = [...(node.links?.aliases ?? [])];
  if (node.parent !== null) names.push({ parent: node.parent, name: node.name });
  const other = names.find(one => one.parent !== parent || one.name !== name);
  if (other === undefined) hold(node);
  else {
    node.real = other.parent.upper();
    node.realName = other.name;
  }
}

function hold(node: Node): void {
  if (node.detached < 0)
    node.detached = ok(openChild(node.real.fd(), node.realName, O.PATH, 0), node.describe());
}

/** The upper has a whiteout at `name` now. */
export function markHidden(parent: Dir, name: ByteString): void {
  parent.covered?.delete(name);
  parent.addWhiteout(name);
}

/** Removes an empty directory. */
export function rmdir(stack: Stack, parent: Dir, name: ByteString): void | Promise<void> {
  stack.writable();
  const dir = lookupExisting(stack, parent, name);
  if (!(dir instanceof Dir)) throw new SysError(E.ENOTDIR, dir.describe());
  refuseGuarded(dir);
  const listing = complete(dir);
  if (listing === undefined) return rmdirFreely(stack, dir, parent, name);
  return listing.then(() => {
    if (parent.names.get(name) !== dir) throw new SysError(E.ENOENT, `${parent.describe()}/${name}`);
    rmdirFreely(stack, dir, parent, name);
  });
}

/** ENOTEMPTY unless the merged view of the directory is empty. */
export function checkEmpty(dir: Dir): void {
  if (dir.names.size > 0) throw new SysError(E.ENOTEMPTY, dir.describe());
}

function rmdirFreely(stack: Stack, dir: Dir, parent: Dir, name: ByteString): void {
  if (stack.meter === null) {
    rmdirNow(stack, dir, parent, name);
    return;
  }
  const change = () => stack.counted(() => rmdirNow(stack, dir, parent, name), parent);
  if (stack.quota === null) change();
  else stack.quota.exempt(change);
}

function rmdirNow(stack: Stack, dir: Dir, parent: Dir, name: ByteString): void {
  checkEmpty(dir);
  toChange(stack, parent);
  const upper = stack.upper!;
  const real = parent.upper();
  const inUpper = dir.isUpper();
  const hides = !inUpper || parent.isCovered(name);
  const gone = inUpper ? stack.meter?.leaving(dir) : undefined;
  for (const one of dir.reals) one.pin();
  try {
    if (!inUpper) upper.whiteouts.hide(real, name);
    else if (hides) upper.whiteouts.hideOver(real, name, true);
    else removeUpperDir(stack, parent, name, gone);
  } catch (error) {
    for (const one of dir.reals) one.release();
    throw error;
  }
  crashPoint('rmdir:done');
  if (hides) markHidden(parent, name);
  stack.detach(dir, parent, name);
}

/** A directory that only the upper has; whiteouts may be left in it. */
function removeUpperDir(stack: Stack, parent: Dir, name: ByteString, gone?: () => void): void {
  const upper = stack.upper!;
  const dirfd = parent.upper().fd();
  const rc = unlinkat(dirfd, name, AT.REMOVEDIR);
  if (rc !== -E.ENOTEMPTY && rc !== -E.EEXIST) {
    ok(rc, `${parent.describe()}/${name}`);
    gone?.();
    return;
  }
  const temp = upper.temporaryName();
  ok(renameat2(dirfd, name, upper.work.rootFd, temp, 0), `${parent.describe()}/${name}`);
  crashPoint('rmdir:moved');
  upper.discard(temp, true);
}
