// File handles (name_to_handle_at(2)) and file system uuids: what identifies a file across mounts and remounts.
import type { ByteString } from '../base/index.js';
import { AT } from './constants.js';
import { native } from './native.js';

/** A file handle: bytes that mean something to one file system only. */
export interface FileHandle {
  readonly type: number;
  readonly bytes: Buffer;
  /** The mount it was asked through, as in /proc/self/mountinfo. */
  readonly mountId: number;
}

const HEADER = 8;
const MAX_HANDLE = 128;
const scratch = Buffer.alloc(HEADER + MAX_HANDLE);

/**
 * The handle of `path` under `dirfd`, never through a final symlink; path "" is the descriptor itself. -errno otherwise,
 * -EOPNOTSUPP from file systems that have none.
 */
export function fileHandle(dirfd: number, path: ByteString): FileHandle | number {
  const length = native.nameToHandleAt(dirfd, path, scratch, path === '' ? AT.EMPTY_PATH : 0);
  if (length < 0) return length;
  return {
    type: scratch.readInt32LE(0),
    bytes: Buffer.from(scratch.subarray(HEADER, HEADER + length)),
    mountId: scratch.readInt32LE(4),
  };
}

/**
 * Opens the file of a handle; `mountFd` is any descriptor on its file system. Needs CAP_DAC_READ_SEARCH. Returns a descriptor
 * (close-on-exec) or -errno: -ESTALE when the file is gone.
 */
export function openHandle(
  mountFd: number,
  handle: Pick<FileHandle, 'type' | 'bytes'>,
  flags: number,
): number {
  return native.openByHandleAt(mountFd, handle.bytes, handle.type, flags);
}

/** The uuid of the file system that holds `fd` (FS_IOC_GETFSUUID, Linux 6.9), or null where it has or tells none. */
export function fsUuid(fd: number): Buffer | null {
  const out = Buffer.alloc(16);
  const length = native.fsUuid(fd, out);
  return length > 0 && out.some(byte => byte !== 0) ? out.subarray(0, length) : null;
}
