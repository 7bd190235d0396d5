// From names to nodes: what a name of a merged directory is, where its real files are, which inode number it has.
import { type ByteString, DT, E, S, Stat, SysError } from '../base/index.js';
import { type RealDir, readMarks } from '../layer/index.js';
import { AT, statx } from '../sys/index.js';
import { showChangeTime } from './changetime.js';
import { isProtected } from './fileflags.js';
import { linkedUpper, lowerLinks } from './links.js';
import { followRedirect } from './lowerwalk.js';
import { find } from './merge.js';
import { findData, showBlocks } from './metacopy.js';
import { type DataPlace, Dir, type Entry, Node } from './node.js';
import { originIno } from './origin.js';
import { keepsOwners, readOwner } from './owner.js';
import type { Stack } from './stack.js';

/** Longest name of any Linux file system (linux/limits.h); the kernel lets FUSE have longer ones. */
const NAME_MAX = 255;
const lowerStat = new Stat();

/** The node called `name` in `parent`, or null. Its attributes are in `out`. */
export function lookup(stack: Stack, parent: Dir, name: ByteString, out: Stat): Node | null {
  if (name.length > NAME_MAX) throw new SysError(E.ENAMETOOLONG, `${parent.describe()}/${name}`);
  const child = find(parent, name);
  if (child === undefined) return null;
  if (child instanceof Node) {
    readStat(stack, child, out);
    return child;
  }
  return child.type === DT.DIR
    ? openDir(stack, parent, name, child, out)
    : openFile(stack, parent, name, child, out);
}

/** As `lookup`, without attributes: a node that is known is asked nothing. */
export function lookupNode(stack: Stack, parent: Dir, name: ByteString): Node | null {
  const known = parent.names.get(name);
  return known instanceof Node ? known : lookup(stack, parent, name, stack.scratch);
}

/** As `lookupNode`, for a name that must be there: ENOENT. */
export function lookupExisting(stack: Stack, parent: Dir, name: ByteString): Node {
  const node = lookupNode(stack, parent, name);
  if (node === null) throw new SysError(E.ENOENT, `${parent.describe()}/${name}`);
  return node;
}

/** Fills `out` with a node's attributes as the union shows them. */
export function readStat(stack: Stack, node: Node, out: Stat): void {
  const leaf = node.leaf();
  const flags = leaf === '' ? AT.EMPTY_PATH | AT.SYMLINK_NOFOLLOW : AT.SYMLINK_NOFOLLOW;
  const rc = statx(node.fd(), leaf, flags, out.slots);
  // A layer was changed behind the mount: the kernel shall look the name up again.
  if (rc < 0) throw new SysError(rc === -E.ENOENT ? E.ESTALE : -rc, node.describe());
  show(stack, node, out);
}

/** Turns the real file's attributes into the node's. */
export function show(stack: Stack, node: Node, out: Stat): void {
  out.ino = node.ino;
  if (!node.isUpper()) node.guarded = isProtected(out);
  if (keepsOwners(stack)) readOwner(stack, node.fd(), node.leaf(), out);
  // Veiled: see layer/spelling.ts.
  if (node.type === DT.CHR && (out.mode & S.IFMT) !== S.IFCHR) out.mode = S.IFCHR | (out.mode & 0o7777);
  if (node instanceof Dir) {
    showChangeTime(node, out);
    if (node.isUnlinked() && node !== stack.root) out.nlink = 0;
    else if (node.isMerged() || stack.behaviour.staticNlink) out.nlink = 1;
  } else if (node.links !== null && node.links.nlink >= 0) out.nlink = node.links.nlink;
  else if (node.isUnlinked() && !node.isUpper()) out.nlink = 0;
  if (node.data !== null) showBlocks(node.data, out);
}

function openFile(stack: Stack, parent: Dir, name: ByteString, entry: Entry, out: Stat): Node | null {
  if (statx(entry.real.fd(), name, AT.SYMLINK_NOFOLLOW, out.slots) < 0) {
    parent.drop(name);
    return null;
  }
  if (entry.real.layer.writable) {
    const data = findData(stack, parent, name, entry.real, name, out);
    const origin = originIno(stack, entry.real, name);
    if (out.nlink > 1) {
      const node = linkedUpper(stack, parent, name, entry, out, origin);
      // One that was known knows better: its data may have come meanwhile.
      if (node.aliasCount() === 0) node.data = data;
      show(stack, node, out);
      return node;
    }
    return attachNew(stack, parent, name, entry, out, origin?.ino ?? stack.inodes.of(out), data);
  }
  if (out.nlink > 1 && stack.behaviour.index) {
    const node = lowerLinks(stack, parent, name, entry, out);
    if (node.aliasCount() === 0) node.data = findData(stack, parent, name, node.real, node.realName, out);
    show(stack, node, out);
    return node;
  }
  const data = findData(stack, parent, name, entry.real, name, out);
  return attachNew(stack, parent, name, entry, out, stack.inodes.of(out), data);
}

function attachNew(
  stack: Stack,
  parent: Dir,
  name: ByteString,
  entry: Entry,
  out: Stat,
  ino: number,
  data: DataPlace | null,
): Node {
  const node = new Node(entry.type, ino, null, name, entry.real, name);
  node.data = data;
  stack.attach(node, parent, name);
  show(stack, node, out);
  return node;
}

function openDir(stack: Stack, parent: Dir, name: ByteString, entry: Entry, out: Stat): Dir | null {
  if (statx(entry.real.fd(), name, AT.SYMLINK_NOFOLLOW, out.slots) < 0) {
    parent.drop(name);
    return null;
  }
  const reals: RealDir[] = [];
  const top = entry.real.child(name);
  reals.push(top);
  const topMarks = stack.isBottom(top.layer) ? null : addBelow(stack, parent, entry, top, reals);
  const inoOf = top.layer.writable && reals.length > 1 ? lowerIno(stack, reals[1]!) : stack.inodes.of(out);
  const dir = new Dir(inoOf, null, name, reals);
  if (top.layer.writable && topMarks !== null) {
    dir.redirect = topMarks.redirect;
    dir.impure = topMarks.impure;
    dir.defaultAcl = topMarks.defaultAcl;
  }
  stack.attach(dir, parent, name);
  show(stack, dir, out);
  return dir;
}

/** Collects the lower parts of the directory `top` into `reals`; returns the marks of the top. */
function addBelow(stack: Stack, parent: Dir, entry: Entry, top: RealDir, reals: RealDir[]) {
  const containers = entry.more ?? [];
  let real = top;
  let topMarks = null;
  for (let i = 0; ; i++) {
    const marks = readMarks(real, stack.xattrNames.namespace, stack.isBottom(real.layer));
    topMarks ??= marks;
    // An absolute redirect counts even in an opaque directory (xfstests overlay/057).
    if (marks.opaque === 'y' && !marks.redirect?.startsWith('/')) break;
    if (marks.redirect !== null && !stack.isBottom(real.layer)) {
      reals.push(...followRedirect(stack, parent.reals, real.layer.position, marks.redirect));
      break;
    }
    const next = containers[i];
    if (next === undefined) break;
    real = next.child(top.name);
    reals.push(real);
  }
  return topMarks;
}

function lowerIno(stack: Stack, real: RealDir): number {
  if (statx(real.fd(), '', AT.EMPTY_PATH, lowerStat.slots) < 0) {
    throw new SysError(E.ESTALE, real.describe());
  }
  return stack.inodes.of(lowerStat);
}

/** The inode number that `readdir` gives for a name: the one that stat gives. */
export function entryIno(stack: Stack, dir: Dir, name: ByteString, child: Entry | Node): number {
  if (child instanceof Node) return child.ino;
  const plain = child.real.layer.writable ? !dir.impure && child.more === null : true;
  if (plain && child.ino !== 0) return stack.inodes.number(child.real.layer.dev, child.ino);
  const node = lookup(stack, dir, name, stack.scratch);
  if (node === null) return 0;
  const { ino } = node;
  stack.shrink(node);
  return ino;
}
