// Mounts a pool's directory of disks and serves it in this process. All that is particular to such a mount is here: no
// ACLs, no cached listings, no passthrough; the kernel checks permissions by mode and owner.
import { realpath, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { E, fromText, isErrno, SysError } from '../base/index.js';
import { DevChannel, type FileSystem, mountFuse, type SessionOptions, serve } from '../fuse/index.js';
import { type DiskSource, type DisksOptions, poolDisks } from './disks.js';
import { findTool, tool } from './loop-tool.js';

/** The mount's type is fuse.SUBTYPE, its source the pool's directory: so loop devices are found to be a pool's. */
export const SUBTYPE = 'lamina-pool';
/** Two loop devices' worth (128 each): writes that wait for a full pool to grow must not keep reads from coming. */
const MAX_BACKGROUND = 256;
/** How long the kernel may take to let go of what has just been closed, and how often that is looked at. */
const PATIENCE = 1000;
const INTERVAL = 20;

export interface DiskMountOptions extends DisksOptions {
  /** Other users may enter; the files are the mounting user's all the same. */
  readonly allowOther?: boolean;
  /** Takes one line per request. */
  readonly trace?: (line: string) => void;
  /** Takes defects: a request was answered with EIO because of it. */
  readonly defect?: (error: unknown, operation: string) => void;
}

/** A live mount. */
export interface DiskMount {
  readonly mountpoint: string;
  /** Settles when the mount is gone, whoever ended it, and every volume has been given back. */
  readonly closed: Promise<void>;
  /** EBUSY when it is in use, unless `lazy`: then it leaves the tree, and ends with its last user. */
  unmount(options?: { readonly lazy?: boolean }): Promise<void>;
  /** Serves it no more, whoever still uses it: they get errors. */
  abandon(): void;
}

/** A pool that can be mounted: what the files need, and the directory that names it. */
export interface MountableSource extends DiskSource {
  readonly dir: string;
}

/** The pool's directory as every process names it. */
export function poolPath(pool: MountableSource): Promise<string> {
  return realpath(pool.dir);
}

/**
 * Mounts the volumes of `pool` as files below `mountpoint` (absolute); resolves once the mount is live. SysError: EINVAL
 * when the mount would cover what serving it needs, and those of mounting.
 */
export async function mountDisks(
  pool: MountableSource,
  mountpoint: string,
  options: DiskMountOptions = {},
): Promise<DiskMount> {
  const dir = await poolPath(pool);
  await checkUncovered(await directory(mountpoint), [dir]);
  const fd = await mountFuse({
    mountpoint: fromText(mountpoint),
    fsname: fromText(dir),
    subtype: SUBTYPE,
    readonly: options.readOnly === true,
    allowOther: options.allowOther === true,
    defaultPermissions: true,
    flags: ['nosuid', 'nodev', 'noexec'],
  });
  const channel = new DevChannel(fd);
  const live = await start(poolDisks(pool, options), channel, {
    acl: false,
    passthrough: false,
    cacheDirectories: false,
    directMmap: true,
    maxBackground: MAX_BACKGROUND,
    ...(options.trace === undefined ? {} : { trace: options.trace }),
    ...(options.defect === undefined ? {} : { onError: options.defect }),
  });
  return {
    mountpoint,
    closed: live.closed,
    unmount: ({ lazy } = {}) => unmountDisks(mountpoint, lazy === true),
    abandon: () => channel.close(),
  };
}

/**
 * What this process needs by its path must not be covered by what it serves: looking for it would be waiting for itself.
 * EINVAL names the first of `needed` (absolute paths) or of what every mount needs that is at or below `target`.
 */
export async function checkUncovered(target: string, needed: readonly string[]): Promise<void> {
  const umount = await findTool('umount');
  const below = target === '/' ? '/' : `${target}/`;
  for (const path of [...needed, umount, process.execPath, fileURLToPath(import.meta.url), '/proc']) {
    if (`${await realpath(path)}/`.startsWith(below)) {
      throw new SysError(E.EINVAL, `mount point ${target} would cover ${path}, which is needed to serve it`);
    }
  }
}

/** The directory at `path`, without symlinks. ENOENT, ENOTDIR and the like name it as a mount point. */
export async function directory(path: string): Promise<string> {
  const what = `mount point ${path}`;
  try {
    const real = await realpath(path);
    if (!(await stat(real)).isDirectory()) throw new SysError(E.ENOTDIR, what);
    return real;
  } catch (error) {
    const errno = error instanceof Error && 'errno' in error ? Number(error.errno) : 0;
    if (errno === -E.ENOTCONN)
      throw new SysError(E.ENOTCONN, `${what} is a mount whose process has died; unmount it first`);
    throw errno < 0 ? new SysError(-errno, what) : error;
  }
}

/** Serves; resolves at the first moment at which programs can use the mount (in an object, so as not to wait for its end). */
function start(
  fs: FileSystem,
  channel: DevChannel,
  options: SessionOptions,
): Promise<{ closed: Promise<void> }> {
  return new Promise((resolve, reject) => {
    const closed: Promise<void> = serve(fs, channel, {
      ...options,
      onReady: () => queueMicrotask(() => resolve({ closed })),
    });
    closed.then(() => reject(new Error('unmounted before it was live')), reject);
  });
}

/** Unmounts in another process, since the kernel may have to write mapped pages back to us before. */
export async function unmountDisks(mountpoint: string, lazy: boolean): Promise<void> {
  const root = process.geteuid?.() === 0;
  const command = root ? ['umount'] : ['fusermount3', '-u'];
  if (lazy) command.push(root ? '-l' : '-z');
  const [name = '', ...args] = command;
  const until = performance.now() + PATIENCE;
  for (;;) {
    try {
      await tool(name, ...args, '--', mountpoint);
      return;
    } catch (error) {
      // The kernel lets go of a mount's last users after they have gone, and says so by no event.
      if (!isErrno(error, E.EBUSY) || performance.now() > until) throw error;
    }
    await delay(INTERVAL);
  }
}
