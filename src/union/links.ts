// Hard links: all names of a file lead to one node. Links of a lower file stay links when it is copied up, through the
// index: a directory beside `work` that has the copied file under the identity of the lower one (kernel: index=on).
import { type ByteString, DT, Stat } from '../base/index.js';
import { indexName, type RealDir } from '../layer/index.js';
import { AT, statx, unlinkat } from '../sys/index.js';
import { readStat } from './lookup.js';
import { type Dir, type Entry, Node } from './node.js';
import { handleOf, type Origin } from './origin.js';
import { links, type Stack } from './stack.js';

const scratch = new Stat();

/** The node of an upper file with several links, `stat` being its real attributes. */
export function linkedUpper(
  stack: Stack,
  parent: Dir,
  name: ByteString,
  entry: Entry,
  stat: Stat,
  origin: Origin | null,
): Node {
  const inIndex = origin !== null && isIndexed(stack, indexName(origin.handle), stat);
  const ino = origin !== null && (inIndex || origin.nlink === 1) ? origin.ino : stack.inodes.of(stat);
  const known = stack.linked.get(ino);
  if (known?.isUpper() && isSameFile(known, stat)) {
    adopt(stack, known, parent, name, entry.real);
    return known;
  }
  const node = new Node(entry.type, ino, null, name, entry.real, name);
  const record = links(node);
  if (inIndex) moveToIndex(stack, node, indexName(origin.handle), stat.nlink, origin.nlink);
  else record.nlink = -1;
  stack.attach(node, parent, name);
  stack.linked.set(ino, node);
  return node;
}

/** The node of a lower file with several links, which may be copied up under another of its names already. */
export function lowerLinks(stack: Stack, parent: Dir, name: ByteString, entry: Entry, stat: Stat): Node {
  const ino = stack.inodes.of(stat);
  const known = stack.linked.get(ino);
  if (known !== undefined) {
    stack.attach(known, parent, name);
    links(known).lowerNames.push({ parent, name });
    readStat(stack, known, stat);
    return known;
  }
  const node = new Node(entry.type, ino, null, name, entry.real, name);
  const handle = handleOf(entry.real, name);
  const lowerNlink = stat.nlink;
  if (handle !== null) {
    links(node).indexName = indexName(handle);
    if (statIndex(stack, indexName(handle), stat))
      moveToIndex(stack, node, indexName(handle), stat.nlink, lowerNlink);
  }
  stack.attach(node, parent, name);
  links(node).lowerNames.push({ parent, name });
  stack.linked.set(ino, node);
  return node;
}

/** A node that had lost all its names in the upper has one again. */
function adopt(stack: Stack, node: Node, parent: Dir, name: ByteString, real: RealDir): void {
  if (node.detached >= 0) {
    node.releaseDetached();
    node.real = real;
    node.realName = name;
  }
  stack.attach(node, parent, name);
}

function isSameFile(node: Node, stat: Stat): boolean {
  const leaf = node.leaf();
  const rc = statx(node.fd(), leaf, AT.SYMLINK_NOFOLLOW | (leaf === '' ? AT.EMPTY_PATH : 0), scratch.slots);
  return rc >= 0 && scratch.inoLow === stat.inoLow && scratch.inoHigh === stat.inoHigh;
}

function statIndex(stack: Stack, name: ByteString, out: Stat): boolean {
  const index = stack.upper?.index;
  return index != null && statx(index.rootFd, name, AT.SYMLINK_NOFOLLOW, out.slots) >= 0;
}

function isIndexed(stack: Stack, name: ByteString, stat: Stat): boolean {
  return (
    statIndex(stack, name, scratch) && scratch.inoLow === stat.inoLow && scratch.inoHigh === stat.inoHigh
  );
}

/** The node's real file is the index entry `name` from now on; that name outlives all others. */
export function moveToIndex(
  stack: Stack,
  node: Node,
  name: ByteString,
  upperNlink: number,
  lowerNlink: number,
): void {
  const { root } = stack.upper!.index!;
  const record = links(node);
  record.indexName = name;
  node.real = root;
  node.realName = name;
  record.nlink = parseNlink(stack.upper!.getNote(root.fd(), name, 'nlink'), upperNlink, lowerNlink);
}

/** "U+n" is relative to the links of the upper file, "L+n" to those of the lower one (fs/overlayfs/inode.c). */
export function parseNlink(note: Buffer | null, upperNlink: number, lowerNlink: number): number {
  const match = /^([UL])([+-]\d+)$/.exec(note?.toString('latin1') ?? '');
  if (match === null) return upperNlink - 1;
  return Math.max(0, (match[1] === 'U' ? upperNlink : lowerNlink) + Number(match[2]));
}

/** Is the node's real file in the index? */
export function isInIndex(stack: Stack, node: Node): boolean {
  return stack.upper?.index != null && node.real === stack.upper.index.root;
}

/**
 * Before a name of an indexed file comes or goes: notes the union's link count relative to the upper file's, so that the
 * count stays right whether or not the change happens before a crash.
 */
export function noteNlink(stack: Stack, node: Node): void {
  if (!isInIndex(stack, node)) return;
  const { root } = stack.upper!.index!;
  if (statx(root.fd(), node.realName, AT.SYMLINK_NOFOLLOW, scratch.slots) < 0) return;
  const difference = node.links!.nlink - scratch.nlink;
  const text = `U${difference < 0 ? '' : '+'}${difference}`;
  stack.upper!.setNote(root.fd(), node.realName, 'nlink', Buffer.from(text));
}

/** After a name of the file has come (+1) or gone (-1). The last one takes the index entry with it. */
export function changeNlink(stack: Stack, node: Node, by: number): void {
  if (!isInIndex(stack, node)) return;
  node.links!.nlink += by;
  if (node.links!.nlink > 0 || node.type === DT.DIR) return;
  const { root } = stack.upper!.index!;
  unlinkat(root.fd(), node.realName, 0);
}

/** Writes the first link count of an index entry: as many as the lower file has. */
export function noteLowerNlink(stack: Stack, dirfd: number, name: ByteString): void {
  stack.upper!.setNote(dirfd, name, 'nlink', Buffer.from('L+0'));
}
