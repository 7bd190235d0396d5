// Mounts and unmounts: mount(2) as root, fusermount3 for everybody else, and a mountpoint /dev/fd/N that mount.fuse3 has
// opened and mounted already. The result is a descriptor of /dev/fuse for a DevChannel.
import { spawn } from 'node:child_process';
import { type ByteString, E, ok, SysError, toText } from '../base/index.js';
import { MNT, MS, native, O, openPath } from '../sys/index.js';

export interface MountOptions {
  /** Directory, or /dev/fd/N. */
  readonly mountpoint: ByteString;
  /** First column of /proc/self/mounts. */
  readonly fsname: ByteString;
  /** The type becomes fuse.SUBTYPE. */
  readonly subtype: ByteString;
  readonly readonly?: boolean;
  /** Others than the mounting user may enter; an ordinary user needs user_allow_other in /etc/fuse.conf. */
  readonly allowOther?: boolean;
  /** The kernel checks permissions by mode (and ACL); without it every access is asked or allowed. */
  readonly defaultPermissions?: boolean;
  /** Any of MOUNT_FLAGS' names; nosuid and nodev are set for ordinary users whether they are named or not. */
  readonly flags?: readonly MountFlag[];
  /** More elements of mount(2)'s data, verbatim: what a security module takes (`context="..."`). */
  readonly data?: readonly ByteString[];
}

/** What mount(8) calls a flag, and its bit. */
export const MOUNT_FLAGS = Object.freeze({
  nosuid: MS.NOSUID,
  nodev: MS.NODEV,
  noexec: MS.NOEXEC,
  noatime: MS.NOATIME,
  nodiratime: MS.NODIRATIME,
  nosymfollow: MS.NOSYMFOLLOW,
  relatime: MS.RELATIME,
  strictatime: MS.STRICTATIME,
  sync: MS.SYNCHRONOUS,
  dirsync: MS.DIRSYNC,
});
export type MountFlag = keyof typeof MOUNT_FLAGS;

const OPENED = /^\/dev\/fd\/(\d+)$/;
const UNMOUNT_PATIENCE = 1000;
const LONGEST_INTERVAL = 20;

/** Mounts; returns the descriptor of /dev/fuse. Throws SysError; what fusermount3 said is in `what`. */
export async function mountFuse(options: MountOptions): Promise<number> {
  const opened = OPENED.exec(options.mountpoint);
  if (opened !== null) return Number(opened[1]);
  if (process.geteuid?.() === 0) {
    const fd = mountAsRoot(options);
    if (fd !== undefined) return fd;
  }
  return mountByHelper(options);
}

/** mount(2). Undefined where that is not permitted (root of a user namespace without /dev/fuse): then the helper may know how. */
function mountAsRoot(options: MountOptions): number | undefined {
  const fd = openPath('/dev/fuse', O.RDWR | O.NONBLOCK);
  if (fd < 0) throw new SysError(-fd, 'open /dev/fuse');
  const data = [
    `fd=${fd}`,
    'rootmode=40000',
    `user_id=${process.getuid!()}`,
    `group_id=${process.getgid!()}`,
  ];
  if (options.allowOther === true) data.push('allow_other');
  if (options.defaultPermissions === true) data.push('default_permissions');
  data.push(...(options.data ?? []));
  let flags = options.readonly === true ? MS.RDONLY : 0;
  for (const flag of options.flags ?? []) flags |= MOUNT_FLAGS[flag];
  const { fsname, mountpoint, subtype } = options;
  const rc = native.mount(fsname, mountpoint, `fuse.${subtype}`, flags, data.join());
  if (rc >= 0) return fd;
  native.close(fd);
  if (rc === -E.EPERM) return undefined;
  throw new SysError(-rc, `mount ${toText(mountpoint)}`);
}

/** fusermount3 -o OPTS -- MNT, which mounts and sends the descriptor through the socket named by _FUSE_COMMFD. */
async function mountByHelper(options: MountOptions): Promise<number> {
  const pair = new Int32Array(2);
  ok(native.socketpair(pair), 'socketpair');
  const ours = pair[0]!;
  const theirs = pair[1]!;
  try {
    const said = await fusermount(['-o', helperOptions(options), '--', toText(options.mountpoint)], theirs);
    if (said !== undefined) throw new SysError(E.EPERM, said);
    return ok(native.receiveFd(ours), 'receive the descriptor from fusermount3');
  } finally {
    native.close(ours);
    native.close(theirs);
  }
}

function helperOptions(options: MountOptions): string {
  const list = [`fsname=${escapeOption(toText(options.fsname))}`, `subtype=${toText(options.subtype)}`];
  list.push(options.readonly === true ? 'ro' : 'rw');
  if (options.allowOther === true) list.push('allow_other');
  if (options.defaultPermissions === true) list.push('default_permissions');
  return [...list, ...(options.flags ?? []), ...(options.data ?? []).map(toText)].join();
}

function escapeOption(text: string): string {
  return text.replace(/[\\,]/g, '\\$&');
}

/** Runs fusermount3; `socket` becomes its descriptor 3. Resolves to its complaint, or undefined when all went well. */
function fusermount(args: readonly string[], socket?: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn('fusermount3', args, {
      stdio: ['ignore', 'ignore', 'pipe', ...(socket === undefined ? [] : [socket])],
      env: { ...process.env, LC_ALL: 'C', ...(socket === undefined ? {} : { _FUSE_COMMFD: '3' }) },
    });
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    child.on('error', cause => {
      const absent = 'code' in cause && cause.code === 'ENOENT';
      reject(absent ? new SysError(E.ENOENT, 'fusermount3 (install the fuse3 package)') : cause);
    });
    child.on('close', status =>
      resolve(status === 0 ? undefined : said.trim() || `fusermount3: status ${status}`),
    );
  });
}

export interface UnmountOptions {
  /** Take the mount out of the tree now and let open files finish. */
  readonly lazy?: boolean;
}

/**
 * Unmounts, on another thread: umount(2) may wait for whoever serves the mount (dirty pages of mapped files are written back
 * first), and that may be this thread. EBUSY is tried again for a second: the kernel lets go of the last users of a mount (a
 * loop device, a process that has just ended) after they have gone, and says so by no event. Throws SysError.
 */
export async function unmount(mountpoint: ByteString, options: UnmountOptions = {}): Promise<void> {
  const until = performance.now() + UNMOUNT_PATIENCE;
  for (let interval = 1; ; interval = Math.min(interval * 2, LONGEST_INTERVAL)) {
    const error = await unmountOnce(mountpoint, options.lazy === true);
    if (error === undefined) return;
    if (error.errno !== E.EBUSY || performance.now() > until) throw error;
    await new Promise(resolve => setTimeout(resolve, interval));
  }
}

async function unmountOnce(mountpoint: ByteString, lazy: boolean): Promise<SysError | undefined> {
  const rc = await native.umountAsync(mountpoint, MNT.NOFOLLOW | (lazy ? native.constants.MNT_DETACH! : 0));
  if (rc >= 0) return undefined;
  if (rc !== -E.EPERM) return new SysError(-rc, `unmount ${toText(mountpoint)}`);
  const said = await fusermount(['-u', ...(lazy ? ['-z'] : []), '--', toText(mountpoint)]);
  if (said === undefined) return undefined;
  // The helper says why only in words; its "Device or resource busy" is strerror in the C locale.
  return new SysError(said.includes('busy') ? E.EBUSY : E.EPERM, said);
}
