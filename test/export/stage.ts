// A pool with volumes, served by this process. So nothing here waits synchronously for what may
// need an answer from it: shell commands run asynchronously, and what they left mounted is taken away asynchronously.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import root, { type Test } from 'tap';
import { type DiskMount, type DiskMountOptions, mountDisks } from '../../src/export/disks-mount.js';
import { Pool } from '../../src/thin/index.js';
import { mountsBelow, type Scratch, scratch } from '../support/cleanup.js';
import { needs } from '../support/needs.js';

needs('mount', 'losetup', 'mkfs.ext4', 'mkfs.xfs', 'xfs_repair', 'fstrim', 'fsfreeze', 'blkid', 'python3');

export const MiB = 1 << 20;

export interface Stage {
  readonly pool: Pool;
  readonly scratch: Scratch;
  /** What a bash script prints (stdout); S is the scratch directory. Rejects with all that it printed when it fails. */
  sh(script: string): Promise<string>;
  /** Mounts the pool's volumes as files in a directory of this name. */
  mount(name?: string, options?: DiskMountOptions): Promise<DiskMount>;
}

let shared: Promise<Pool> | undefined;

/** One pool for all tests of a file: the thread that commits takes long to start from TypeScript. */
function sharedPool(): Promise<Pool> {
  shared ??= (async () => {
    const dir = scratch(root, 'export-pool').path('pool');
    await Pool.create(dir, { size: 2048 * MiB });
    const pool = await Pool.open(dir);
    root.teardown(() => pool.close());
    return pool;
  })();
  return shared;
}

/** A pool with these volumes only, names to sizes in bytes; they are gone when the test has ended. */
export async function setStage(t: Test, volumes: Readonly<Record<string, number>>): Promise<Stage> {
  const pool = await sharedPool();
  const s = scratch(t, 'export');
  for (const [name, size] of Object.entries(volumes)) await pool.createVolume({ name, size });
  const sh = (script: string): Promise<string> => shell(script, { S: s.dir });
  const defects: unknown[] = [];
  const mounts: DiskMount[] = [];
  t.teardown(async () => {
    await release(s.dir, sh);
    await Promise.all(mounts.map(mount => mount.closed));
    for (const { name } of pool.list()) await pool.remove(name);
    await pool.reclaimed();
    if (defects.length > 0) throw defects[0];
  });
  return {
    pool,
    scratch: s,
    sh,
    async mount(name = 'disks', options = {}) {
      const mount = await mountDisks(pool, s.mkdir(name), {
        defect: error => defects.push(error),
        ...options,
      });
      mounts.push(mount);
      return mount;
    },
  };
}

/** Detaches loop devices on files below `dir` (those in use go with their users), and unmounts what is left, last first. */
async function release(dir: string, sh: (script: string) => Promise<string>): Promise<void> {
  const loops = await sh('losetup --list --noheadings --output NAME,BACK-FILE');
  for (const line of loops.split('\n')) {
    const [device, file] = line.trim().split(/\s+/);
    if (file?.startsWith(`${dir}/`)) await sh(`losetup -d ${device}`);
  }
  for (const point of mountsBelow(dir).reverse()) await sh(`umount "${point}" || umount -l "${point}"`);
}

/** Runs a bash script away from this process; gives its standard output. */
export async function shell(script: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const words = ['--norc', '-euo', 'pipefail', '-c', script];
  try {
    const { stdout } = await promisify(execFile)('bash', words, {
      cwd: '/',
      timeout: 60_000,
      maxBuffer: 64 * MiB,
      env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin`, LC_ALL: 'C', ...env },
    });
    return stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${script}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`, { cause: error });
  }
}

/** How each of these Python statements ends: the name of its errno, or 'ok'. `setup` runs before the first. */
export async function attempts(statements: readonly string[], setup = ''): Promise<string[]> {
  const script = `
import errno, fcntl, mmap, os, ctypes
libc = ctypes.CDLL(None, use_errno=True)
def fallocate(fd, mode, offset, length):
    if libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), 'fallocate')
${setup}
for statement in ${JSON.stringify(statements)}:
    try:
        exec(statement)
        print('ok')
    except OSError as e:
        print(errno.errorcode[e.errno])
`;
  return (await shell(`python3 - <<'END'\n${script}\nEND`)).trim().split('\n');
}
