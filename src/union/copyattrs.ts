// What a copy-up carries over besides data: extended attributes, owner, mode and times, in the order that loses none of
// them: writing data and chown drop file capabilities, chown drops setuid too, everything moves times.
import { type ByteString, E, ok, S, type Stat, SysError } from '../base/index.js';
import { ACL, type RealDir } from '../layer/index.js';
import { fchmodat, fchownat, getxattr, listxattr, setxattr, utimensat } from '../sys/index.js';
import { keepsOwners, readOwner, realMode, writeOwner } from './owner.js';
import type { Stack } from './stack.js';

/** Gives the new file (`dirfd`, `name`) what the lower file has; `stat` are the lower file's attributes. */
export function copyAttributes(
  stack: Stack,
  lower: RealDir,
  lowerName: ByteString,
  stat: Stat,
  dirfd: number,
  name: ByteString,
): void {
  const lowerFd = lower.fd();
  if (keepsOwners(stack)) {
    readOwner(stack, lowerFd, lowerName, stat);
    writeOwner(stack, dirfd, name, stat);
  } else chown(dirfd, name, stat.uid, stat.gid);
  copyXattrs(stack, lower, lowerFd, lowerName, dirfd, name, (stat.mode & S.IFMT) === S.IFDIR);
  if ((stat.mode & S.IFMT) !== S.IFLNK)
    ok(fchmodat(dirfd, name, realMode(stack, stat.mode) & 0o7777), `mode of ${name}`);
  setTimes(dirfd, name, stat);
}

/** Access and modification times. */
export function setTimes(dirfd: number, name: ByteString, stat: Stat): void {
  ok(utimensat(dirfd, name, stat.atime, stat.atimeNsec, stat.mtime, stat.mtimeNsec), `times of ${name}`);
}

function chown(dirfd: number, name: ByteString, uid: number, gid: number): void {
  const rc = fchownat(dirfd, name, uid, gid);
  // Ids outside of the mounter's user name space cannot be kept; the kernel's word for that is EOVERFLOW.
  if (rc === -E.EINVAL) throw new SysError(E.EOVERFLOW, `owner ${uid}:${gid} of ${name}`);
  ok(rc, `owner of ${name}`);
}

function copyXattrs(
  stack: Stack,
  lower: RealDir,
  lowerFd: number,
  lowerName: ByteString,
  dirfd: number,
  name: ByteString,
  isDirectory: boolean,
): void {
  if (!lower.layer.hasXattrs) return;
  const names = listxattr(lowerFd, lowerName);
  if (typeof names === 'number') {
    if (!lower.layer.xattrs(names) && names === -E.EOPNOTSUPP) return;
    throw new SysError(-names, `xattrs of ${lower.describe()}/${lowerName}`);
  }
  for (const xattr of names) {
    if (stack.xattrNames.isPrivate(xattr) || (isDirectory && stack.xattrNames.isOpaqueNote(xattr))) continue;
    const isAcl = xattr.startsWith(ACL.prefix);
    // What ntfs-3g and others show under system.* are not attributes to copy.
    if (xattr.startsWith('system.') && !isAcl) continue;
    const value = getxattr(lowerFd, lowerName, xattr);
    if (typeof value === 'number') {
      if (value === -E.ENODATA || value === -E.EOPNOTSUPP) continue;
      throw new SysError(-value, `xattr ${xattr} of ${lower.describe()}/${lowerName}`);
    }
    const rc = setxattr(dirfd, name, xattr, value, 0);
    if (rc < 0 && !mayBeLost(xattr, isAcl, -rc))
      throw new SysError(-rc, `xattr ${xattr} of ${lower.describe()}/${lowerName}`);
  }
}

/** May this attribute be lost because the upper's file system cannot hold it? Those that guard access may not. */
function mayBeLost(xattr: ByteString, isAcl: boolean, errno: number): boolean {
  if (errno === E.EPERM && process.geteuid!() !== 0) return !isAcl;
  return errno === E.EOPNOTSUPP && !isAcl && !xattr.startsWith('security.');
}
