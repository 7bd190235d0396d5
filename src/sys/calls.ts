// The addon's functions by name, for the rooms above: `statx(dirfd, name, AT.SYMLINK_NOFOLLOW, stat.slots)`. What they take
// and return is written in native.ts. The attributes and handles have friendlier forms in xattr.ts and handle.ts.
import { native } from './native.js';

/** Descriptors and names. */
export const {
  openat2,
  close,
  dup,
  statx,
  faccessat,
  getdents,
  readlinkat,
  mkdirat,
  mknodat,
  symlinkat,
  linkat,
  unlinkat,
  renameat2,
  fchmodat,
  fchownat,
  utimensat,
  ftruncate,
  lseek,
  fallocate,
  fsync,
  uniqueMountId,
  flock,
  fstatfs,
} = native;

/** Data of open files. */
export const { pread, preadNowait, pwrite, copyFileRange, clone, copyCached } = native;

/** Extended attributes into the caller's own buffers. */
export const { getxattrat, setxattrat, listxattrat, removexattrat } = native;

/** Inode flags. */
export const { getFileFlags, setFileFlags, getFsxattr, setFsxattr } = native;

/** The process, its mounts and its sockets. */
export const {
  umask,
  setfsids,
  keepCapabilities,
  mount,
  umount,
  openTree,
  mountSetattr,
  socketpair,
  receiveFd,
} = native;

/** /dev/fuse. */
export const { fuseRead, fuseWrite, fuseBackingOpen, fuseBackingClose, watchReadable } = native;

/** On worker threads. */
export const {
  umountAsync,
  fsyncAsync,
  syncfsAsync,
  preadAsync,
  pwriteAsync,
  copyFileRangeAsync,
  fallocateAsync,
  closeAsync,
  copyFileAsync,
  getdentsAsync,
} = native;
