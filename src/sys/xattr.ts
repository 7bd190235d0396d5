// Extended attributes of the file `path` under `dirfd`, never through a final symlink; path "" is the descriptor itself.
import type { ByteString } from '../base/index.js';
import { native } from './native.js';

// XATTR_SIZE_MAX and XATTR_LIST_MAX (linux/limits.h) are 64 KiB: nothing larger comes.
const scratch = Buffer.allocUnsafeSlow(65536);

/** The attribute's value, in a Buffer of its own, or -errno (-ENODATA when there is none of that name). */
export function getxattr(dirfd: number, path: ByteString, name: ByteString): Buffer | number {
  const length = native.getxattrat(dirfd, path, name, scratch);
  return length < 0 ? length : Buffer.from(scratch.subarray(0, length));
}

/** The names of all attributes that the caller may see, or -errno. */
export function listxattr(dirfd: number, path: ByteString): ByteString[] | number {
  const length = native.listxattrat(dirfd, path, scratch);
  if (length <= 0) return length < 0 ? length : [];
  return scratch.toString('latin1', 0, length - 1).split('\0');
}

/** Sets an attribute; `flags` are XATTR.CREATE, XATTR.REPLACE or 0. Returns 0 or -errno. */
export function setxattr(
  dirfd: number,
  path: ByteString,
  name: ByteString,
  value: Uint8Array,
  flags = 0,
): number {
  return native.setxattrat(dirfd, path, name, value, flags);
}

/** Removes an attribute. Returns 0 or -errno (-ENODATA when there is none of that name). */
export function removexattr(dirfd: number, path: ByteString, name: ByteString): number {
  return native.removexattrat(dirfd, path, name);
}
