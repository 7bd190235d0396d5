// New names: files, directories, symlinks, devices, hard links. Where the upper has nothing they are made in place; over
// a whiteout they are made in work and moved, so that nothing of the layers below shows through for a moment.
import { type ByteString, crashPoint, DT, E, modeToType, ok, S, Stat, SysError } from '../base/index.js';
import type { Caller } from '../fuse/index.js';
import { isReservedName, isVeiled, removeEntry } from '../layer/index.js';
import {
  AT,
  close,
  fchmodat,
  fchownat,
  linkat,
  mkdirat,
  mknodat,
  O,
  openChild,
  openPath,
  setfsids,
  statx,
  symlinkat,
} from '../sys/index.js';
import { type Inherited, inherit, setInherited } from './acl.js';
import { copyUp, markImpure, toChange } from './copyup.js';
import { changeNlink, isInIndex, noteNlink } from './links.js';
import { readStat, show } from './lookup.js';
import { find } from './merge.js';
import { Dir, Node } from './node.js';
import { keepsOwners, realMode, writeOwner } from './owner.js';
import { links, type Stack } from './stack.js';

const parentStat = new Stat();
const daemonUid = process.geteuid!();
const daemonGid = process.getegid!();

/** Makes one object under a name; >= 0 or -errno. */
type Make = (dirfd: number, name: ByteString, mode: number) => number;

/** Does `make` with the caller as owner of what it makes. */
function asCaller(stack: Stack, caller: Caller, make: () => number): number {
  if (daemonUid !== 0 || keepsOwners(stack) || (caller.uid === daemonUid && caller.gid === daemonGid))
    return make();
  setfsids(caller.uid, caller.gid);
  try {
    return make();
  } finally {
    setfsids(daemonUid, daemonGid);
  }
}

/** May `name` be made in `parent`? EEXIST, and EPERM for names that layers read as deletions. */
function checkNew(parent: Dir, name: ByteString): void {
  if (parent.isUnlinked() && parent.name !== '') throw new SysError(E.ENOENT, parent.describe());
  if (isReservedName(name)) {
    throw new SysError(
      E.EPERM,
      `${parent.describe()}/${name}: a name of this form would mean a deleted file`,
    );
  }
  if (find(parent, name) !== undefined) throw new SysError(E.EEXIST, `${parent.describe()}/${name}`);
}

/** Makes something new and returns what `make` returned last (0, or a descriptor). */
function makeNew(
  stack: Stack,
  caller: Caller,
  parent: Dir,
  name: ByteString,
  mode: number,
  make: Make,
): number {
  stack.writable();
  checkNew(parent, name);
  stack.quota?.admitName(`${parent.describe()}/${name}`);
  toChange(stack, parent);
  stack.meter?.watch(parent);
  const isDirectory = (mode & S.IFMT) === S.IFDIR;
  const what = `${parent.describe()}/${name}`;
  if (parent.hasWhiteout(name)) return makeOverWhiteout(stack, caller, parent, name, mode, make);
  const masked = parent.defaultAcl ? mode : mode & ~caller.umask;
  const rc = ok(
    asCaller(stack, caller, () => make(parent.upper().fd(), name, realMode(stack, masked))),
    what,
  );
  try {
    writeOwner(stack, parent.upper().fd(), name, { ...caller, mode: masked });
    crashPoint('create:made');
    // Lower layers have no such name; saying so spares the kernel (and us) the search.
    if (isDirectory && parent.isMerged()) stack.upper!.setOpaque(parent.upper().fd(), name);
    admit(stack, parent.upper().fd(), name);
  } catch (error) {
    if (rc > 0) close(rc);
    stack.upper!.remove(parent.upper().fd(), name);
    throw error;
  }
  return rc;
}

function makeOverWhiteout(
  stack: Stack,
  caller: Caller,
  parent: Dir,
  name: ByteString,
  mode: number,
  make: Make,
): number {
  const upper = stack.writable();
  const work = upper.work.rootFd;
  const temp = upper.temporaryName();
  const isDirectory = (mode & S.IFMT) === S.IFDIR;
  const isLink = (mode & S.IFMT) === S.IFLNK;
  const inherited = parent.defaultAcl && !isLink ? inherit(parent.upper().fd(), mode) : null;
  const wanted = inherited?.mode ?? mode & ~caller.umask;
  const rc = ok(make(work, temp, realMode(stack, wanted)), `${parent.describe()}/${name}`);
  try {
    crashPoint('create:made');
    giveAway(stack, caller, parent, temp, wanted, inherited, isDirectory, isLink);
    if (isDirectory) upper.setOpaque(work, temp);
    admit(stack, work, temp);
    crashPoint('create:prepared');
    upper.whiteouts.replace(temp, parent.upper(), name, isDirectory);
  } catch (error) {
    if (rc > 0) close(rc);
    upper.discard(temp);
    throw error;
  }
  crashPoint('create:moved');
  parent.whiteouts!.delete(name);
  parent.cover(name);
  return rc;
}

/** ENOSPC when what has been made is more than the limits leave. */
function admit(stack: Stack, dirfd: number, name: ByteString): void {
  if (stack.quota === null) return;
  ok(statx(dirfd, name, AT.SYMLINK_NOFOLLOW, parentStat.slots), name);
  stack.quota.admit(parentStat, name);
}

/** Owner, set-group-id inheritance and ACLs, as if the object had been made in its directory by the caller. */
function giveAway(
  stack: Stack,
  caller: Caller,
  parent: Dir,
  temp: ByteString,
  mode: number,
  inherited: Inherited | null,
  isDirectory: boolean,
  isLink: boolean,
): void {
  const work = stack.upper!.work.rootFd;
  ok(statx(parent.upper().fd(), '', AT.EMPTY_PATH, parentStat.slots), parent.describe());
  const takesGroup = (parentStat.mode & S.ISGID) !== 0;
  const gid = takesGroup ? parentStat.gid : caller.gid;
  writeOwner(stack, work, temp, { uid: caller.uid, gid, mode });
  if (daemonUid === 0 && !keepsOwners(stack)) ok(fchownat(work, temp, caller.uid, gid), temp);
  if (inherited !== null) setInherited(work, temp, inherited, isDirectory);
  if (!isLink)
    ok(
      fchmodat(work, temp, (realMode(stack, mode) & 0o7777) | (takesGroup && isDirectory ? S.ISGID : 0)),
      temp,
    );
}

/** The node of what has just been made; its attributes in `out`. */
function born(stack: Stack, parent: Dir, name: ByteString, out: Stat): Node {
  const real = parent.upper();
  ok(statx(real.fd(), name, AT.SYMLINK_NOFOLLOW, out.slots), `${parent.describe()}/${name}`);
  stack.meter?.came(out);
  stack.meter?.settle(parent);
  const ino = stack.inodes.of(out);
  const type = isVeiled(real, name, out) ? DT.CHR : modeToType(out.mode);
  let node: Node;
  if (type === DT.DIR) {
    const dir = new Dir(ino, null, name, [real.child(name)]);
    dir.complete = true;
    dir.defaultAcl = parent.defaultAcl;
    node = dir;
  } else node = new Node(type, ino, null, name, real, name);
  stack.attach(node, parent, name);
  show(stack, node, out);
  return node;
}

export function makeDirectory(
  stack: Stack,
  caller: Caller,
  parent: Dir,
  name: ByteString,
  mode: number,
  out: Stat,
): Node {
  makeNew(stack, caller, parent, name, S.IFDIR | (mode & 0o7777), (dirfd, as, masked) =>
    mkdirat(dirfd, as, masked & 0o7777),
  );
  return born(stack, parent, name, out);
}

export function makeNode(
  stack: Stack,
  caller: Caller,
  parent: Dir,
  name: ByteString,
  mode: number,
  device: { major: number; minor: number },
  out: Stat,
): Node {
  if ((mode & S.IFMT) === S.IFCHR && device.major === 0 && device.minor === 0) {
    return makeVeiled(stack, caller, parent, name, mode, out);
  }
  makeNew(stack, caller, parent, name, mode, (dirfd, as, masked) =>
    mknodat(dirfd, as, masked, device.major, device.minor),
  );
  return born(stack, parent, name, out);
}

/**
 * A character device 0/0 is how an overlay writes a deletion; ours would read it as one. An overlay that somebody mounts
 * with its upper in here gets an empty file that looks like the device.
 */
export function makeVeiled(
  stack: Stack,
  caller: Caller,
  parent: Dir,
  name: ByteString,
  mode: number,
  out: Stat,
): Node {
  const upper = stack.writable();
  makeNew(stack, caller, parent, name, S.IFREG | (mode & 0o7777), (dirfd, as, masked) => {
    upper.markVeils(parent.upper());
    const rc = mknodat(dirfd, as, masked, 0, 0);
    if (rc < 0) return rc;
    try {
      upper.veil(parent.upper(), dirfd, as);
    } catch (error) {
      removeEntry(dirfd, as);
      throw error;
    }
    return rc;
  });
  return born(stack, parent, name, out);
}

export function makeSymlink(
  stack: Stack,
  caller: Caller,
  parent: Dir,
  name: ByteString,
  target: ByteString,
  out: Stat,
): Node {
  makeNew(stack, caller, parent, name, S.IFLNK | 0o777, (dirfd, as) => symlinkat(target, dirfd, as));
  return born(stack, parent, name, out);
}

/** Makes a regular file and opens it; the descriptor is the caller's. */
export function makeFile(
  stack: Stack,
  caller: Caller,
  parent: Dir,
  name: ByteString,
  mode: number,
  flags: number,
  out: Stat,
): { node: Node; fd: number } {
  const openFlags = flags | O.CREAT | O.EXCL;
  const fd = makeNew(stack, caller, parent, name, S.IFREG | (mode & 0o7777), (dirfd, as, masked) =>
    openChild(dirfd, as, openFlags, masked & 0o7777),
  );
  return { node: born(stack, parent, name, out), fd };
}

/** A file without a name (O_TMPFILE); `makeLink` may give it one. */
export function makeUnnamed(
  stack: Stack,
  caller: Caller,
  parent: Dir,
  mode: number,
  flags: number,
  out: Stat,
): { node: Node; fd: number } {
  const upper = stack.writable();
  if (!upper.abilities.tmpfile) throw new SysError(E.EOPNOTSUPP, 'O_TMPFILE on this upper directory');
  if (parent.isUnlinked() && parent !== stack.root) throw new SysError(E.ENOENT, parent.describe());
  stack.quota?.admitName(parent.describe());
  toChange(stack, parent);
  const masked = S.IFREG | ((parent.defaultAcl ? mode : mode & ~caller.umask) & 0o7777);
  const real = realMode(stack, masked) & 0o7777;
  const openFlags = (flags & ~(O.CREAT | O.EXCL)) | O.TMPFILE;
  const fd = ok(
    asCaller(stack, caller, () => openChild(parent.upper().fd(), '.', openFlags, real)),
    parent.describe(),
  );
  ok(statx(fd, '', AT.EMPTY_PATH, out.slots), parent.describe());
  writeOwner(stack, fd, '', { ...caller, mode: masked });
  const node = new Node(DT.REG, stack.inodes.of(out), null, '', upper.work.root, '');
  node.detached = ok(openPath(`/proc/self/fd/${fd}`, O.PATH), parent.describe());
  show(stack, node, out);
  return { node, fd };
}

/** One more name for a file. */
export function makeLink(
  stack: Stack,
  node: Node,
  parent: Dir,
  name: ByteString,
  out: Stat,
): Node | Promise<Node> {
  stack.writable();
  checkNew(parent, name);
  const copying = copyUp(stack, node, { durable: true });
  const link = () => stack.counted(() => linkNow(stack, node, parent, name, out), node, parent);
  return copying === undefined ? link() : copying.then(link);
}

function linkNow(stack: Stack, node: Node, parent: Dir, name: ByteString, out: Stat): Node {
  checkNew(parent, name);
  toChange(stack, parent);
  const upper = stack.upper!;
  markImpure(stack, parent);
  if (node.type === DT.CHR) upper.markVeils(parent.upper());
  noteNlink(stack, node);
  const over = parent.hasWhiteout(name);
  const temp = upper.temporaryName();
  const dirfd = over ? upper.work.rootFd : parent.upper().fd();
  ok(linkReal(node, dirfd, over ? temp : name), `${parent.describe()}/${name}`);
  if (over) {
    crashPoint('link:prepared');
    upper.whiteouts.replace(temp, parent.upper(), name, false);
    parent.whiteouts!.delete(name);
    parent.cover(name);
  }
  crashPoint('link:made');
  changeNlink(stack, node, 1);
  if (node.detached >= 0 && !isInIndex(stack, node)) {
    node.releaseDetached();
    node.real = parent.upper();
    node.realName = name;
  }
  links(node);
  stack.attach(node, parent, name);
  stack.linked.set(node.ino, node);
  readStat(stack, node, out);
  return node;
}

function linkReal(node: Node, dirfd: number, name: ByteString): number {
  if (node.detached >= 0)
    return linkat(AT.FDCWD, `/proc/self/fd/${node.detached}`, dirfd, name, AT.SYMLINK_FOLLOW);
  return linkat(node.fd(), node.leaf(), dirfd, name, 0);
}
