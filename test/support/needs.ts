// What a test file needs of its machine. In CI everything is there and nothing is skipped (`.ci/packages`); elsewhere a file
// that cannot run is skipped as a whole, and says why.
import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

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

/** Skips this test file unless the machine has these commands, and with `mount` root and /dev/fuse. */
export function needs(...what: readonly ('mount' | (string & {}))[]): void {
  if (process.env.CI === 'true') return;
  const missing = what.filter(each => (each === 'mount' ? !canMount() : !has(each)));
  if (missing.length === 0) return;
  const names = missing.map(each => (each === 'mount' ? 'root and /dev/fuse' : each));
  t.plan(0, `needs ${names.join(', ')}; the packages are listed in .ci/packages`);
  process.exit(0);
}

/** What nearly every test of real mounts uses. */
export function needsMounts(): void {
  needs('mount', 'setfattr', 'getfattr', 'setfacl', 'getcap', 'setcap');
  needs('rsync', 'python3', 'chattr', 'mkfs.ext4', 'fusermount3');
}
