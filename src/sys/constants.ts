// The kernel's constants by group and name, as the addon knows them (see native/constants.cc). AT_FDCWD is `AT.FDCWD`.
import { native } from './native.js';

/** The constants `prefix` + name + `suffix`, for each name. A name that the addon lacks is a mistake in this file. */
function group<Name extends string>(
  prefix: string,
  names: readonly Name[],
  suffix = '',
): Readonly<Record<Name, number>> {
  const values = {} as Record<Name, number>;
  for (const name of names) {
    const value = native.constants[prefix + name + suffix];
    if (value === undefined) throw new Error(`the addon does not know ${prefix}${name}${suffix}`);
    values[name] = value;
  }
  return Object.freeze(values);
}

/** open(2) flags. */
export const O = group('O_', [
  'RDONLY',
  'WRONLY',
  'RDWR',
  'ACCMODE',
  'CREAT',
  'EXCL',
  'NOCTTY',
  'TRUNC',
  'APPEND',
  'NONBLOCK',
  'DSYNC',
  'SYNC',
  'DIRECT',
  'LARGEFILE',
  'DIRECTORY',
  'NOFOLLOW',
  'NOATIME',
  'CLOEXEC',
  'PATH',
  'TMPFILE',
]);

/** Flags of the *at() calls, and FDCWD. */
export const AT = group('AT_', [
  'FDCWD',
  'SYMLINK_NOFOLLOW',
  'SYMLINK_FOLLOW',
  'REMOVEDIR',
  'EACCESS',
  'EMPTY_PATH',
  'NO_AUTOMOUNT',
  'RECURSIVE',
  'STATX_SYNC_AS_STAT',
  'STATX_FORCE_SYNC',
  'STATX_DONT_SYNC',
  'HANDLE_FID',
]);

/** openat2(2): how a path may resolve. */
export const RESOLVE = group('RESOLVE_', [
  'NO_XDEV',
  'NO_MAGICLINKS',
  'NO_SYMLINKS',
  'BENEATH',
  'IN_ROOT',
  'CACHED',
]);

/** renameat2(2). */
export const RENAME = group('RENAME_', ['NOREPLACE', 'EXCHANGE', 'WHITEOUT']);

/** lseek(2). */
export const SEEK = group('SEEK_', ['SET', 'CUR', 'END', 'DATA', 'HOLE']);

/** fallocate(2): FALLOC_FL_*. */
export const FALLOC = group('FALLOC_FL_', [
  'KEEP_SIZE',
  'PUNCH_HOLE',
  'COLLAPSE_RANGE',
  'ZERO_RANGE',
  'INSERT_RANGE',
  'UNSHARE_RANGE',
  'WRITE_ZEROES',
]);

/** setxattr(2). */
export const XATTR = group('XATTR_', ['CREATE', 'REPLACE']);

/** mount(2). */
export const MS = group('MS_', [
  'RDONLY',
  'NOSUID',
  'NODEV',
  'NOEXEC',
  'SYNCHRONOUS',
  'REMOUNT',
  'MANDLOCK',
  'DIRSYNC',
  'NOSYMFOLLOW',
  'NOATIME',
  'NODIRATIME',
  'BIND',
  'MOVE',
  'REC',
  'SILENT',
  'POSIXACL',
  'UNBINDABLE',
  'PRIVATE',
  'SLAVE',
  'SHARED',
  'RELATIME',
  'STRICTATIME',
  'LAZYTIME',
]);

const unmounting = group('MNT_', ['FORCE', 'DETACH', 'EXPIRE']);
const unmountingMore = group('UMOUNT_', ['NOFOLLOW']);

/** umount2(2); `NOFOLLOW` is UMOUNT_NOFOLLOW. */
export const MNT = Object.freeze({ ...unmounting, ...unmountingMore });

/** open_tree(2). */
export const OPEN_TREE = group('OPEN_TREE_', ['CLONE', 'CLOEXEC']);

/** mount_setattr(2). */
export const MOUNT_ATTR = group('MOUNT_ATTR_', [
  'RDONLY',
  'NOSUID',
  'NODEV',
  'NOEXEC',
  '_ATIME',
  'NOATIME',
  'STRICTATIME',
  'NODIRATIME',
  'NOSYMFOLLOW',
  'IDMAP',
]);

/** utimensat(2): nanoseconds that mean something else. */
export const UTIME = group('UTIME_', ['NOW', 'OMIT']);

/** flock(2). */
export const LOCK = group('LOCK_', ['SH', 'EX', 'NB', 'UN']);

/** statx(2): STATX_ATTR_* bits of `Stat.attributes`. */
export const STATX_ATTR = group('STATX_ATTR_', [
  'COMPRESSED',
  'IMMUTABLE',
  'APPEND',
  'NODUMP',
  'ENCRYPTED',
  'AUTOMOUNT',
  'MOUNT_ROOT',
  'VERITY',
  'DAX',
]);

/** statx(2): bits of `Stat.mask`. */
export const STATX = group('STATX_', [
  'TYPE',
  'MODE',
  'NLINK',
  'UID',
  'GID',
  'ATIME',
  'MTIME',
  'CTIME',
  'INO',
  'SIZE',
  'BLOCKS',
  'BASIC_STATS',
  'BTIME',
  'MNT_ID',
]);

/** FS_IOC_FSGETXATTR: bits of fsx_xflags. */
export const FS_XFLAG = group('FS_XFLAG_', [
  'SYNC',
  'IMMUTABLE',
  'APPEND',
  'NODUMP',
  'NOATIME',
  'PROJINHERIT',
  'DAX',
  'HASATTR',
]);

/** faccessat(2): what is asked for. */
export const ACCESS = group('', ['F_OK', 'R_OK', 'W_OK', 'X_OK']);

/** FS_IOC_GETFLAGS: inode flags, FS_*_FL. */
export const FS_FLAG = group(
  'FS_',
  [
    'SECRM',
    'UNRM',
    'COMPR',
    'SYNC',
    'IMMUTABLE',
    'APPEND',
    'NODUMP',
    'NOATIME',
    'JOURNAL_DATA',
    'DIRSYNC',
    'TOPDIR',
    'EXTENT',
    'NOCOW',
    'DAX',
    'PROJINHERIT',
    'CASEFOLD',
    'VERITY',
    'ENCRYPT',
  ],
  '_FL',
);
