// Changing attributes. Everything but nothing copies the file up; a change of size needs its data too.
import { ok, S, Stat } from '../base/index.js';
import type { AttrChange, Caller, FileTime } from '../fuse/index.js';
import { close, fchmodat, fchownat, ftruncate, O, UTIME, utimensat } from '../sys/index.js';
import { copyUp } from './copyup.js';
import { openReal } from './io.js';
import { readStat } from './lookup.js';
import type { Node } from './node.js';
import { keepsOwners, writeOwner } from './owner.js';
import { dropPrivileges } from './privileges.js';
import type { Stack } from './stack.js';

const before = new Stat();

export function setattr(
  stack: Stack,
  _caller: Caller,
  node: Node,
  change: AttrChange,
  out: Stat,
): void | Promise<void> {
  const copying = copyUp(stack, node, {
    empty: change.size === 0,
    killPrivileges: change.killPrivileges ?? false,
    metadataOnly: change.size === undefined,
  });
  if (copying === undefined) return apply(stack, node, change, out);
  return copying.then(() => apply(stack, node, change, out));
}

function apply(stack: Stack, node: Node, change: AttrChange, out: Stat): void {
  const { size } = change;
  if (size !== undefined) {
    stack.meter?.watch(node);
    truncate(node, size, change.killPrivileges ?? false);
    stack.meter?.settle(node);
  }
  const what = node.describe();
  if (keepsOwners(stack)) stack.counted(() => noteOwner(stack, node, change), node);
  else if (change.uid !== undefined || change.gid !== undefined) {
    ok(fchownat(node.fd(), node.leaf(), change.uid ?? -1, change.gid ?? -1), `owner of ${what}`);
  }
  if (change.mode !== undefined && !keepsOwners(stack))
    ok(fchmodat(node.fd(), node.leaf(), change.mode & 0o7777), `mode of ${what}`);
  if (change.atime !== undefined || change.mtime !== undefined) setTimes(node, change.atime, change.mtime);
  readStat(stack, node, out);
}

function noteOwner(stack: Stack, node: Node, change: AttrChange): void {
  const { uid, gid, mode } = change;
  if (uid === undefined && gid === undefined && mode === undefined) return;
  readStat(stack, node, before);
  const type = before.mode & S.IFMT;
  // A new owner takes setuid and setgid away, as chown(2) does.
  const kept = uid === undefined && gid === undefined ? before.mode : before.mode & ~(S.ISUID | S.ISGID);
  const permissions = mode ?? (type === S.IFDIR ? before.mode : kept);
  writeOwner(stack, node.fd(), node.leaf(), {
    uid: uid ?? before.uid,
    gid: gid ?? before.gid,
    mode: type | (permissions & 0o7777),
  });
}

function truncate(node: Node, size: number, killPrivileges: boolean): void {
  const fd = openReal(node, O.WRONLY | O.NONBLOCK);
  const rc = ftruncate(fd, size);
  close(fd);
  ok(rc, `size of ${node.describe()}`);
  if (killPrivileges) dropPrivileges(node);
}

function setTimes(node: Node, atime: FileTime | undefined, mtime: FileTime | undefined): void {
  const nsec = (time: FileTime | undefined) =>
    time === undefined ? UTIME.OMIT : time === 'now' ? UTIME.NOW : time.nsec;
  const sec = (time: FileTime | undefined) => (typeof time === 'object' ? time.sec : 0);
  const rc = utimensat(node.fd(), node.leaf(), sec(atime), nsec(atime), sec(mtime), nsec(mtime));
  ok(rc, `times of ${node.describe()}`);
}
