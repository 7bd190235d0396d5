// Opening files under a directory descriptor so that no symlink in a layer can lead out of it (openat2(2)).
import type { ByteString } from '../base/index.js';
import { AT, O, RESOLVE } from './constants.js';
import { native } from './native.js';

const IN_ROOT = RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS;
const ONE_NAME = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS;

/** Opens a path that a person gave (a layer, a mount point), as open(2) does; close-on-exec. Descriptor or -errno. */
export function openPath(path: ByteString, flags: number, mode = 0): number {
  return native.openat2(AT.FDCWD, path, flags | O.CLOEXEC, mode, 0);
}

/**
 * Opens `path` as if `dirfd` were the root directory: symlinks on the way are followed, absolute ones and `..` stay inside,
 * and an absolute `path` begins at `dirfd`. Close-on-exec. Returns the descriptor or -errno.
 */
export function openBeneath(dirfd: number, path: ByteString, flags: number, mode = 0): number {
  return native.openat2(dirfd, path, flags | O.CLOEXEC, mode, IN_ROOT);
}

/**
 * Opens the single component `name` in `dirfd`, never through a symlink: -ELOOP when it is one, except that with O_PATH
 * the descriptor is the symlink's own. Close-on-exec. Returns the descriptor or -errno.
 */
export function openChild(dirfd: number, name: ByteString, flags: number, mode = 0): number {
  return native.openat2(dirfd, name, flags | O.NOFOLLOW | O.CLOEXEC, mode, ONE_NAME);
}
