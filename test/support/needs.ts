// What a test file needs of its machine. In CI everything is there and nothing is skipped (`.ci/packages`); elsewhere a file
// that cannot run is skipped as a whole, and says why.
import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

/** Whether FUSE mounts are offered io_uring. */
export const RING_SWITCH = '/sys/module/fuse/parameters/enable_uring';
const PLACES = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'];

function has(command: string): boolean {
  return PLACES.some(place => existsSync(join(place, command)));
}

function canMount(): boolean {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return process.geteuid!() === 0;
  } catch {
    return false;
  }
}

/** Is FUSE over io_uring there? In CI it must be. */
export function hasRing(): boolean {
  return process.env.CI === 'true' || existsSync(RING_SWITCH);
}

/** What is not a command: whether it is there, and what it is called. */
const FACILITIES: Readonly<Record<string, readonly [there: () => boolean, name: string]>> = {
  mount: [canMount, 'root and /dev/fuse'],
  ring: [hasRing, 'a kernel with FUSE over io_uring'],
};

/**
 * Skips this test file unless the machine has these commands, with `mount` root and /dev/fuse, and with `ring` a kernel
 * that knows FUSE over io_uring.
 */
export function needs(...what: readonly ('mount' | 'ring' | (string & {}))[]): void {
  if (process.env.CI === 'true') return;
  const missing = what.filter(each => !(FACILITIES[each]?.[0]() ?? has(each)));
  if (missing.length === 0) return;
  const names = missing.map(each => FACILITIES[each]?.[1] ?? each);
  t.plan(0, `needs ${names.join(', ')}; the packages are listed in .ci/packages`);
  process.exit(0);
}

/** What nearly every test of real mounts uses. */
export function needsMounts(): void {
  needs('mount', 'setfattr', 'getfattr', 'setfacl', 'getcap', 'setcap');
  needs('rsync', 'python3', 'chattr', 'mkfs.ext4', 'fusermount3');
}
