// The data of a copy-up: the lower file's content into a copy that has no name yet, at once where it is small and at hand, on a
// worker where it is not.
import { crashPoint, E, ok, type Stat, SysError } from '../base/index.js';
import { openForReading } from '../layer/index.js';
import { close, copyCached, copyFileAsync, fsyncAsync, O, openChild } from '../sys/index.js';
import { carryFlags, flagsToCarry } from './fileflags.js';
import { openReal } from './io.js';
import { openData } from './metacopy.js';
import type { Dir, Node } from './node.js';
import type { Quota } from './quota.js';
import type { Stack } from './stack.js';
import { abandon, type Unborn, unbornFile } from './unborn.js';

/** Data on its way: the lower file, open, and the copy. */
interface DataCopy {
  readonly source: number;
  readonly unborn: Unborn;
  /** To be carried over. */
  readonly flags: number;
  /** Can its sync wait for that of others? Not when it has several names, or cannot be changed afterwards. */
  readonly grouped: boolean;
  /** Gives the finished copy its attributes and its names. */
  readonly bear: (unborn: Unborn) => void;
}

/**
 * Copies a regular file with its data; `bear` gives the finished copy its attributes and names. Returns a promise where the data is
 * not at hand, or has to be on the disk first.
 */
export function copyData(
  stack: Stack,
  node: Node,
  stat: Stat,
  durable: boolean,
  bear: (unborn: Unborn) => void,
): void | Promise<void> {
  if (stack.quota !== null) return copyWithinQuota(stack, stack.quota, node, stat, bear);
  const copy = beginCopy(stack, node, stat, durable, bear);
  return copyAtOnce(stack, node, stat, copy) ? undefined : copyAside(stack, node, stat, copy, () => {});
}

async function copyWithinQuota(
  stack: Stack,
  quota: Quota,
  node: Node,
  stat: Stat,
  bear: (unborn: Unborn) => void,
): Promise<void> {
  const takes = Math.min(stat.blocks * 512, Math.ceil(stat.size / quota.block) * quota.block);
  const ended = await quota.fit(takes, 1, `copy-up of ${node.describe()}`);
  try {
    await copyAside(stack, node, stat, beginCopy(stack, node, stat, true, bear), ended);
  } finally {
    ended();
  }
}

function beginCopy(
  stack: Stack,
  node: Node,
  stat: Stat,
  durable: boolean,
  bear: (unborn: Unborn) => void,
): DataCopy {
  const source = openLower(node);
  try {
    const unborn = unbornFile(stack);
    const flags = flagsToCarry(source);
    const grouped = !durable && stack.group !== null && stat.nlink === 1 && flags === 0;
    return { source, unborn, flags, grouped, bear };
  } catch (error) {
    close(source);
    throw error;
  }
}

/** Copies a small file whose data is in memory and need not be on the disk yet; false, with nothing done, where it is not so. */
function copyAtOnce(stack: Stack, node: Node, stat: Stat, copy: DataCopy): boolean {
  const { syncCopies, syncAll } = stack.behaviour;
  if ((syncCopies && !copy.grouped) || syncAll || stat.blocks * 512 < stat.size) return false;
  const rc = copyCached(copy.source, copy.unborn.fd, stat.size);
  if (rc === -E.EAGAIN || (rc >= 0 && copy.grouped && !take(stack, node, copy))) return false;
  endCopy(stack, node, copy, rc, copy.grouped);
  return true;
}

function take(stack: Stack, node: Node, { unborn }: DataCopy): boolean {
  return node.parent !== null && stack.group!.take(unborn.fd);
}

/** `copied` is called when the copy is complete and about to get its name. */
async function copyAside(
  stack: Stack,
  node: Node,
  stat: Stat,
  copy: DataCopy,
  copied: () => void,
): Promise<void> {
  const { grouped } = copy;
  const { fd } = copy.unborn;
  let rc = await copyFileAsync(copy.source, fd, stat.size, stack.behaviour.syncCopies && !grouped);
  const taken = rc >= 0 && grouped && take(stack, node, copy);
  if (rc >= 0 && grouped && !taken) rc = await fsyncAsync(fd, false);
  if (rc >= 0) copied();
  endCopy(stack, node, copy, rc, taken);
  if (stack.behaviour.syncAll && node.parent !== null) await makeDurable(node, node.parent);
}

/** `rc`: what the copying came to. `taken`: its sync is a group's. */
function endCopy(stack: Stack, node: Node, copy: DataCopy, rc: number, taken: boolean): void {
  close(copy.source);
  if (rc < 0) {
    abandon(stack, copy.unborn);
    throw new SysError(-rc, `copy-up of ${node.describe()}`);
  }
  crashPoint('copyup:data');
  copy.bear(copy.unborn);
  node.data = null;
  if (taken) stack.group!.took(node);
  carryFlags(node, copy.flags);
}

/** fsync=strict: the copy's attributes and its name are on disk too before the caller goes on. */
async function makeDurable(node: Node, parent: Dir): Promise<void> {
  const fds = [openReal(node, O.RDONLY | O.NONBLOCK), openForReading(parent.upper())];
  const results = await Promise.all(fds.map(fd => fsyncAsync(fd, false)));
  for (const fd of fds) close(fd);
  for (const rc of results) ok(rc, `copy-up of ${node.describe()}`);
}

/** Opens the data of a lower file so that reading leaves no trace. */
export function openLower(node: Node): number {
  if (node.data !== null) return ok(openData(node.data, O.RDONLY | O.NONBLOCK), node.describe());
  const layer = node.real.layer;
  const fd = openChild(
    node.real.fd(),
    node.realName,
    O.RDONLY | O.NONBLOCK | (layer.noatime ? O.NOATIME : 0),
    0,
  );
  if (fd !== -E.EPERM || !layer.noatime) return ok(fd, node.describe());
  return ok(openChild(node.real.fd(), node.realName, O.RDONLY | O.NONBLOCK, 0), node.describe());
}
