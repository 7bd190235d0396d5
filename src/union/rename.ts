// rename(2) in the merged view, with all flags: what moves is copied up first, what lower layers have at the old name gets
// a whiteout in the same step, and a directory with lower content takes a note of where that is (redirect).
import { type ByteString, crashPoint, DT, E, ok, S, Stat, SysError } from '../base/index.js';
import type { Caller } from '../fuse/index.js';
import { isReservedName } from '../layer/index.js';
import { AT, mkdirat, RENAME, renameat2, statx } from '../sys/index.js';
import { copyAttributes } from './copyattrs.js';
import { copyUp, markImpure, toChange } from './copyup.js';
import { makeVeiled } from './create.js';
import { refuseGuarded } from './fileflags.js';
import { changeNlink, noteNlink } from './links.js';
import { lookupExisting, lookupNode } from './lookup.js';
import { complete } from './merge.js';
import { Dir, type Node } from './node.js';
import { checkEmpty, isNameInUpper, keepOpen, markHidden, needsIndex } from './remove.js';
import type { Stack } from './stack.js';

const scratch = new Stat();
/** Longest path that a redirect note holds; a longer one is EXDEV, as with the kernel. */
const MAX_REDIRECT = 4095;

/** One side of a rename. */
interface Place {
  readonly parent: Dir;
  readonly name: ByteString;
}

const KNOWN_FLAGS = RENAME.NOREPLACE | RENAME.EXCHANGE | RENAME.WHITEOUT;
const ROOT: Caller = { uid: 0, gid: 0, pid: 0, umask: 0 };

/**
 * rename(2) and renameat2(2). RENAME_WHITEOUT is two steps here: the rename, then a device 0/0 that users see at the old
 * name. It is for an overlay whose upper is in here.
 */
export function rename(stack: Stack, from: Place, to: Place, flags: number): void | Promise<void> {
  const renaming = renameWith(stack, from, to, flags);
  if ((flags & RENAME.WHITEOUT) === 0) return renaming;
  const leaveDevice = () => {
    stack.shrink(makeVeiled(stack, ROOT, from.parent, from.name, S.IFCHR, scratch));
  };
  return renaming === undefined ? leaveDevice() : renaming.then(leaveDevice);
}

function renameWith(stack: Stack, from: Place, to: Place, flags: number): void | Promise<void> {
  stack.writable();
  const exchange = (flags & RENAME.EXCHANGE) !== 0;
  if ((flags & ~KNOWN_FLAGS) !== 0 || (exchange && flags !== RENAME.EXCHANGE)) {
    throw new SysError(E.EINVAL, `rename of ${from.name} with flags ${flags}`);
  }
  const source = lookupExisting(stack, from.parent, from.name);
  const target = lookupNode(stack, to.parent, to.name);
  if (isReservedName(to.name))
    throw new SysError(E.EPERM, `${to.name}: a name of this form would mean a deleted file`);
  if (to.parent.isUnlinked() && to.parent !== stack.root) throw new SysError(E.ENOENT, to.parent.describe());
  if (target !== null && (flags & RENAME.NOREPLACE) !== 0) throw new SysError(E.EEXIST, target.describe());
  if (target === null && exchange) throw new SysError(E.ENOENT, to.name);
  if (target === source) return;
  if (target !== null) refuseGuarded(target);
  checkKinds(source, to.parent, target, exchange);
  checkMovable(stack, source);
  if (exchange) checkMovable(stack, target!);
  if (target instanceof Dir && !exchange) {
    const listing = complete(target);
    if (listing !== undefined) return listing.then(() => renameWith(stack, from, to, flags));
    checkEmpty(target);
  }
  const waits = prepare(stack, source, target, exchange);
  if (waits.length === 0) return renameNow(stack, from, to, source, target, exchange);
  return Promise.all(waits).then(() => {
    // Somebody else may have been faster; then the whole question is asked again.
    if (from.parent.names.get(from.name) === source && (to.parent.names.get(to.name) ?? null) === target) {
      return renameNow(stack, from, to, source, target, exchange);
    }
    return renameWith(stack, from, to, flags);
  });
}

function checkKinds(source: Node, newParent: Dir, target: Node | null, exchange: boolean): void {
  if (source instanceof Dir && isInside(newParent, source)) throw new SysError(E.EINVAL, source.describe());
  if (target === null || exchange) return;
  if (source instanceof Dir && !(target instanceof Dir)) throw new SysError(E.ENOTDIR, target.describe());
  if (!(source instanceof Dir) && target instanceof Dir) throw new SysError(E.EISDIR, target.describe());
}

function isInside(dir: Dir, ancestor: Dir): boolean {
  for (let one: Dir | null = dir; one !== null; one = one.parent) if (one === ancestor) return true;
  return false;
}

/** A directory with lower content moves only by redirect. */
function checkMovable(stack: Stack, node: Node): void {
  if (!(node instanceof Dir) || !node.hasLower() || stack.behaviour.writeRedirects) return;
  throw new SysError(E.EXDEV, `${node.describe()} has lower content, and redirect_dir is off`);
}

/** What must be done before, and may take long. */
function prepare(stack: Stack, source: Node, target: Node | null, exchange: boolean): Promise<void>[] {
  const steps = [copyUp(stack, source, { durable: true })];
  if (target !== null && (exchange || needsIndex(stack, target)))
    steps.push(copyUp(stack, target, { durable: true }));
  return steps.filter(step => step !== undefined);
}

function renameNow(
  stack: Stack,
  from: Place,
  to: Place,
  source: Node,
  target: Node | null,
  exchange: boolean,
): void {
  if (stack.meter === null) {
    renameReally(stack, from, to, source, target, exchange);
    return;
  }
  const replaced = target instanceof Dir && !exchange ? null : target;
  const change = () => renameReally(stack, from, to, source, target, exchange);
  stack.counted(change, from.parent, to.parent, source, replaced);
}

function renameReally(
  stack: Stack,
  from: Place,
  to: Place,
  source: Node,
  target: Node | null,
  exchange: boolean,
): void {
  if (target instanceof Dir && !exchange) checkEmpty(target);
  toChange(stack, from.parent);
  toChange(stack, to.parent);
  copyUp(stack, source);
  markImpure(stack, to.parent);
  if (source.type === DT.CHR) stack.upper!.markVeils(to.parent.upper());
  prepareDirectory(stack, source, from, to);
  if (exchange) {
    exchangeNow(stack, from, to, source, target!);
    return;
  }
  const leave = from.parent.isCovered(from.name);
  let targetInUpper = false;
  if (target !== null) {
    noteNlink(stack, target);
    targetInUpper = clearTarget(stack, target, to);
  }
  const gone = target instanceof Dir && targetInUpper ? stack.meter?.leaving(target) : undefined;
  const over = to.parent.hasWhiteout(to.name);
  crashPoint('rename:prepared');
  const how = { isDirectory: source instanceof Dir, leave, over };
  try {
    stack.upper!.whiteouts.rename(from.parent.upper(), from.name, to.parent.upper(), to.name, how);
  } catch (error) {
    if (target instanceof Dir) {
      for (const real of target.reals) real.release();
      // Its place was taken by a whiteout to make room.
      if (over && target.isUpper()) stack.detach(target, to.parent, to.name);
    }
    throw error;
  }
  crashPoint('rename:done');
  gone?.();
  if (target !== null) {
    stack.detach(target, to.parent, to.name);
    changeNlink(stack, target, -1);
  }
  if (over) to.parent.whiteouts!.delete(to.name);
  if (over || (target !== null && !targetInUpper)) to.parent.cover(to.name);
  move(stack, source, from, to);
  if (leave) markHidden(from.parent, from.name);
}

/** Readies what is replaced; true when the upper has an entry of it. */
function clearTarget(stack: Stack, target: Node, to: Place): boolean {
  if (!(target instanceof Dir)) {
    const inUpper = isNameInUpper(target, to.parent, to.name);
    if (inUpper) keepOpen(stack, target, to.parent, to.name);
    return inUpper;
  }
  const inUpper = target.isUpper();
  // What is counted of it is what it holds now.
  if (inUpper) stack.meter?.leaving(target);
  const emptied = inUpper && replaceByEmpty(stack, target, to);
  for (const real of target.reals) real.pin();
  return inUpper && emptied !== 'hidden';
}

/**
 * An empty directory may hold whiteouts: a really empty, opaque one takes its place so that it can be renamed over. Where an
 * opaque directory cannot be empty, or not take its place, a whiteout does.
 */
function replaceByEmpty(stack: Stack, dir: Dir, at: Place): 'clean' | 'hidden' | 'replaced' {
  const upper = stack.upper!;
  const real = dir.reals[0]!;
  if (real.names().length === 0) return 'clean';
  if (upper.abilities.namespace === null || !upper.abilities.exchange) {
    for (const one of dir.reals) one.pin();
    upper.whiteouts.hideOver(at.parent.upper(), at.name, true);
    markHidden(at.parent, at.name);
    return 'hidden';
  }
  const work = upper.work.rootFd;
  const temp = upper.temporaryName();
  ok(statx(real.fd(), '', AT.EMPTY_PATH, scratch.slots), dir.describe());
  ok(mkdirat(work, temp, 0o700), dir.describe());
  let counted = false;
  try {
    copyAttributes(stack, real, '', scratch, work, temp);
    upper.setOpaque(work, temp);
    crashPoint('rename:emptied');
    ok(renameat2(work, temp, at.parent.upper().fd(), at.name, RENAME.EXCHANGE), dir.describe());
    // The directory is another one now, and has nothing below it.
    real.release();
    dir.reals.length = 1;
    dir.whiteouts = dir.covered = null;
    counted = true;
    stack.meter?.cameDir(dir);
  } finally {
    upper.discard(temp, counted);
  }
  return 'replaced';
}

function exchangeNow(stack: Stack, from: Place, to: Place, source: Node, target: Node): void {
  copyUp(stack, target);
  markImpure(stack, from.parent);
  if (target.type === DT.CHR) stack.upper!.markVeils(from.parent.upper());
  prepareDirectory(stack, target, to, from);
  crashPoint('rename:prepared');
  const rc = renameat2(from.parent.upper().fd(), from.name, to.parent.upper().fd(), to.name, RENAME.EXCHANGE);
  ok(rc, `${from.name} and ${to.name}`);
  crashPoint('rename:done');
  move(stack, source, from, to);
  move(stack, target, to, from);
}

/** Gives the node its new name in memory. */
function move(stack: Stack, node: Node, from: Place, to: Place): void {
  if (node instanceof Dir) {
    node.reals[0]!.parent = to.parent.upper();
    node.reals[0]!.name = to.name;
    stack.meter?.moved(node);
  } else if (node.real === from.parent.upper() && node.realName === from.name) {
    node.real = to.parent.upper();
    node.realName = to.name;
  }
  if (from.parent.names.get(from.name) === node) from.parent.drop(from.name);
  from.parent.version++;
  to.parent.version++;
  to.parent.put(to.name, node);
  const alias = node.links?.aliases.find(one => one.parent === from.parent && one.name === from.name);
  if (alias !== undefined && !(node.parent === from.parent && node.name === from.name)) {
    alias.parent = to.parent;
    alias.name = to.name;
  } else {
    node.parent = to.parent;
    node.name = to.name;
  }
  stack.moved(from.parent, to.parent);
}

/** Notes on a directory, before it moves, that and where it has lower content, or that it has none. */
function prepareDirectory(stack: Stack, node: Node, from: Place, to: Place): void {
  if (!(node instanceof Dir)) return;
  if (node.hasLower()) setRedirect(stack, node, from.parent !== to.parent);
  else if (to.parent.isMerged()) stack.upper!.setOpaque(node.fd(), '');
}

function setRedirect(stack: Stack, dir: Dir, absolute: boolean): void {
  if (dir.redirect !== null && (!absolute || dir.redirect.startsWith('/'))) return;
  const redirect = absolute ? unionPath(dir) : dir.name;
  if (redirect.length > MAX_REDIRECT)
    throw new SysError(E.EXDEV, `redirect of ${dir.describe()} is too long`);
  if (!stack.upper!.setNote(dir.fd(), '', 'redirect', Buffer.from(redirect, 'latin1'))) {
    throw new SysError(E.EXDEV, `${dir.describe()}: the upper cannot hold a redirect`);
  }
  dir.redirect = redirect;
  crashPoint('rename:redirected');
}

/** Where the layers below the upper have a directory: its path, with the redirects of those above it. */
function unionPath(dir: Dir): ByteString {
  let path = '';
  for (let one = dir; one.parent !== null; one = one.parent) {
    const part = one.redirect ?? one.name;
    if (part.startsWith('/')) return part + path;
    path = `/${part}${path}`;
  }
  return path;
}
