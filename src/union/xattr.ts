// Extended attributes: those of the real file, without the private notes, and with one more escape for the notes of an
// overlay that somebody mounts inside.
import { type ByteString, E, ok, S, SysError } from '../base/index.js';
import { ACL, readMarks } from '../layer/index.js';
import { fchmodat, getxattr, listxattr, removexattr, setxattr, XATTR } from '../sys/index.js';
import { copyUp } from './copyup.js';
import { readStat } from './lookup.js';
import { Dir, type Node } from './node.js';
import { CAPABILITY } from './privileges.js';
import { noSpace } from './quota.js';
import type { Stack } from './stack.js';

/** errno with which a name is refused before anything is looked at; 0: it is not. */
function refusal(stack: Stack, name: ByteString): number {
  if (!stack.behaviour.xattrs) return E.EOPNOTSUPP;
  if (!stack.behaviour.acl && name.startsWith(ACL.prefix)) return E.EOPNOTSUPP;
  return stack.xattrNames.refusal(name);
}

/** The value, or -errno. */
export function getXattr(stack: Stack, node: Node, name: ByteString): Buffer | number {
  if (name === CAPABILITY) return capabilities(stack, node);
  return read(stack, node, name);
}

function capabilities(stack: Stack, node: Node): Buffer | number {
  if (node.incapable) return -E.ENODATA;
  const value = read(stack, node, CAPABILITY);
  if (value === -E.ENODATA) node.incapable = true;
  return value;
}

function read(stack: Stack, node: Node, name: ByteString): Buffer | number {
  const refused = refusal(stack, name);
  if (refused !== 0) return refused === E.EPERM ? -E.ENODATA : -refused;
  return getxattr(node.fd(), node.leaf(), stack.xattrNames.stored(name));
}

/** The names that users see, each ended by NUL, or -errno. `privileged`: trusted.* is shown. */
export function listXattrs(stack: Stack, node: Node, privileged: boolean): Buffer | number {
  if (!stack.behaviour.xattrs) return -E.EOPNOTSUPP;
  const names = listxattr(node.fd(), node.leaf());
  if (typeof names === 'number') return names === -E.EOPNOTSUPP ? Buffer.alloc(0) : names;
  const shown: ByteString[] = [];
  for (const stored of names) {
    const name = stack.xattrNames.shown(stored);
    if (name === null || (!privileged && name.startsWith('trusted.'))) continue;
    if (!stack.behaviour.acl && name.startsWith(ACL.prefix)) continue;
    shown.push(`${name}\0`);
  }
  return Buffer.from(shown.join(''), 'latin1');
}

export function setXattr(
  stack: Stack,
  node: Node,
  name: ByteString,
  value: Buffer,
  flags: number,
  killSgid: boolean,
): void | Promise<void> {
  stack.writable();
  const refused = refusal(stack, name);
  if (refused !== 0) throw new SysError(refused, name);
  const stored = stack.xattrNames.stored(name);
  const known = flags === 0 ? 0 : getxattr(node.fd(), node.leaf(), stored);
  if (known === -E.ENODATA && (flags & XATTR.REPLACE) !== 0) throw new SysError(E.ENODATA, name);
  if (typeof known !== 'number' && (flags & XATTR.CREATE) !== 0) throw new SysError(E.EEXIST, name);
  const set = () => {
    if (name === CAPABILITY) node.incapable = false;
    ok(setxattr(node.fd(), node.leaf(), stored, value, flags), `xattr ${name} of ${node.describe()}`);
    if (killSgid) dropSgid(stack, node);
    changed(stack, node, name);
  };
  const copying = copyUp(stack, node, { metadataOnly: true });
  const counted = () => setWithin(stack, node, stored, set);
  if (copying === undefined) return counted();
  return copying.then(counted);
}

/** Does `set` unless it takes a block that the limit does not leave: then the old value comes back. */
function setWithin(stack: Stack, node: Node, stored: ByteString, set: () => void): void {
  const { quota } = stack;
  if (!quota?.limitsBytes) {
    stack.counted(set, node);
    return;
  }
  const before = getxattr(node.fd(), node.leaf(), stored);
  const room = quota.room();
  stack.counted(set, node);
  if (quota.room() >= Math.min(0, room)) return;
  const undo = () =>
    typeof before === 'number'
      ? removexattr(node.fd(), node.leaf(), stored)
      : setxattr(node.fd(), node.leaf(), stored, before, 0);
  ok(stack.counted(undo, node), node.describe());
  throw noSpace(node.describe());
}

export function removeXattr(stack: Stack, node: Node, name: ByteString): void | Promise<void> {
  stack.writable();
  const refused = refusal(stack, name);
  if (refused !== 0) throw new SysError(refused, name);
  const stored = stack.xattrNames.stored(name);
  const known = getxattr(node.fd(), node.leaf(), stored);
  if (typeof known === 'number') {
    // Removing an ACL that is not there is a success, and copies nothing up.
    if (known === -E.ENODATA && name.startsWith(ACL.prefix)) return;
    throw new SysError(-known, name);
  }
  const remove = () => {
    ok(removexattr(node.fd(), node.leaf(), stored), `xattr ${name} of ${node.describe()}`);
    changed(stack, node, name);
  };
  const copying = copyUp(stack, node, { metadataOnly: true });
  const counted = () => stack.counted(remove, node);
  if (copying === undefined) return counted();
  return copying.then(counted);
}

/** Who sets an ACL from outside the owning group takes setgid away. */
function dropSgid(stack: Stack, node: Node): void {
  readStat(stack, node, stack.scratch);
  const mode = stack.scratch.mode & 0o7777;
  if ((mode & S.ISGID) !== 0)
    ok(fchmodat(node.fd(), node.leaf(), mode & ~S.ISGID), `mode of ${node.describe()}`);
}

/** A default ACL decides what new entries of the directory look like. */
function changed(stack: Stack, node: Node, name: ByteString): void {
  if (node instanceof Dir && name.startsWith(ACL.prefix)) {
    node.defaultAcl = readMarks(node.upper(), stack.xattrNames.namespace, true).defaultAcl;
  }
}
