// Opening what holds bytes: a regular file or a block device, and nothing else.
import { readFileSync } from 'node:fs';
import { E, fromText, ok, S, Stat, SysError } from '../base/index.js';
import { AT, close, lseek, O, openPath, SEEK, statx } from '../sys/index.js';

export interface Storage {
  readonly fd: number;
  readonly isDevice: boolean;
  /** Bytes. */
  readonly size: number;
}

/**
 * Opens `path`, which a message calls `what`. SysError EINVAL when it is neither a file nor a block device, EBUSY when it is a
 * device to write to that is mounted or that somebody has for himself.
 */
export function openStorage(path: string, what: string, writable: boolean): Storage {
  // Without O_NONBLOCK a FIFO would wait here for its other end. O_EXCL without O_CREAT is for block devices (open(2)), where it
  // keeps mounts and other owners out as long as this is open, and means nothing elsewhere.
  const access = writable ? O.RDWR | O.EXCL : O.RDONLY;
  const opened = openPath(fromText(path), access | O.NONBLOCK);
  if (opened === -E.EBUSY)
    throw new SysError(E.EBUSY, `${what} ${path} is in use: mounted, or part of something`);
  const fd = ok(opened, `${what} ${path}`);
  try {
    const stat = new Stat();
    ok(statx(fd, '', AT.EMPTY_PATH, stat.slots), path);
    const type = stat.mode & S.IFMT;
    if (type !== S.IFREG && type !== S.IFBLK) {
      throw new SysError(E.EINVAL, `${what} ${path} must be a file or a block device`);
    }
    const isDevice = type === S.IFBLK;
    if (isDevice && writable && isReadOnly(stat)) {
      throw new SysError(E.EROFS, `${what} ${path} is a read-only device`);
    }
    return { fd, isDevice, size: isDevice ? ok(lseek(fd, 0, SEEK.END), path) : stat.size };
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Linux opens a read-only device for writing, and fails every write. */
function isReadOnly(stat: Stat): boolean {
  return readFileSync(`/sys/dev/block/${stat.rdevMajor}:${stat.rdevMinor}/ro`, 'latin1').trim() === '1';
}
