// Reading directories. An offset is a name's place in the directory's order, whoever reads: so a reader may go on where
// another's listing (in the kernel's cache) has ended, and every name that is there all the time comes exactly once.
import { type ByteString, DT, ok, Stat, SysError } from '../base/index.js';
import type { DirSink } from '../fuse/index.js';
import { openForReading } from '../layer/index.js';
import { close, fsyncAsync } from '../sys/index.js';
import { entryIno, lookup } from './lookup.js';
import { complete } from './merge.js';
import { NameOrder } from './nameorder.js';
import { type Dir, type Entry, Node } from './node.js';
import type { Stack } from './stack.js';

const scratch = new Stat();

export class DirHandle {
  constructor(readonly node: Dir) {}
}

/** Seconds. What the kernel keeps for less, each listing tells it anew. */
const LONG = 3600;
/** Offsets of the two names that every directory has. */
const FIRST = 2;

export function readdir(
  stack: Stack,
  handle: DirHandle,
  offset: number,
  sink: DirSink<Node>,
): void | Promise<void> {
  const dir = handle.node;
  const listing = complete(dir);
  if (listing === undefined) return emit(stack, dir, offset, sink);
  return listing.then(() => emit(stack, dir, offset, sink));
}

function emit(stack: Stack, dir: Dir, offset: number, sink: DirSink<Node>): void {
  if (offset < 1 && !sink.entry('.', dir.ino, DT.DIR, 1)) return;
  if (offset < FIRST && !sink.entry('..', (dir.parent ?? dir).ino, DT.DIR, FIRST)) return;
  dir.order ??= new NameOrder(dir.names.keys());
  dir.order.each(Math.max(offset - FIRST, 0), (name, next) => {
    const child = dir.names.get(name);
    return child === undefined || emitOne(stack, dir, name, child, next + FIRST, sink);
  });
}

function emitOne(
  stack: Stack,
  dir: Dir,
  name: ByteString,
  child: Entry | Node,
  next: number,
  sink: DirSink<Node>,
): boolean {
  if (sink.wantsNodes && !isKept(stack, child)) {
    const node = lookupQuietly(stack, dir, name);
    if (node === null) return true;
    if (node === undefined) return sink.entry(name, rawIno(stack, child), child.type, next);
    const fits = sink.plus(name, node, scratch, next);
    if (fits) node.known = true;
    else stack.shrink(node);
    return fits;
  }
  return sink.entry(name, inoOf(stack, dir, name, child), child.type, next);
}

/** Is this a lower file, which does not change, whose attributes the kernel has and will keep? */
function isKept({ config }: Stack, child: Entry | Node): boolean {
  if (!(child instanceof Node) || !child.known || child.isUpper()) return false;
  return config.timeouts.entry >= LONG && config.timeouts.attr >= LONG;
}

/** Undefined for an entry that cannot be looked up: it is listed all the same, and whoever asks for it is told why. */
function lookupQuietly(stack: Stack, dir: Dir, name: ByteString): Node | null | undefined {
  try {
    return lookup(stack, dir, name, scratch);
  } catch (error) {
    if (error instanceof SysError) return undefined;
    throw error;
  }
}

function inoOf(stack: Stack, dir: Dir, name: ByteString, child: Entry | Node): number {
  try {
    return entryIno(stack, dir, name, child);
  } catch (error) {
    if (error instanceof SysError) return rawIno(stack, child);
    throw error;
  }
}

function rawIno(stack: Stack, child: Entry | Node): number {
  return stack.inodes.number(child.real.layer.dev, child.ino);
}

/** Makes a directory's entries durable. */
export async function fsyncDir(stack: Stack, handle: DirHandle, datasync: boolean): Promise<void> {
  if (!stack.behaviour.fsync || !handle.node.isUpper()) return;
  await stack.group?.settled();
  const fd = openForReading(handle.node.upper());
  const rc = await fsyncAsync(fd, datasync);
  close(fd);
  ok(rc, `fsync of ${handle.node.describe()}`);
}
