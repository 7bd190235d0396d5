// The `fuse-native` transport: libfuse 2 in a thread of its own calls operations by path. It offers less than the kernel
// protocol (see LIMITS) and is slower; it is there for comparison and for hosts where nothing else can mount.
import { realpathSync } from 'node:fs';
import { type ByteString, E, fromText, toText } from '../base/index.js';
import { listMounts } from '../sys/index.js';
import type { FileSystem, Notifier } from './filesystem.js';
import { bind, rows } from './fusenative-ops.js';
import { Tree } from './fusenative-tree.js';
import { type MountOptions, unmount } from './mount.js';

/** What cannot be had through fuse-native, one line each; contract tests declare rows by these keys. */
export const FUSE_NATIVE_LIMITS = Object.freeze({
  caller: 'who asks is not known: what is created belongs to the user of the daemon',
  rename2: 'renameat2 flags (NOREPLACE, EXCHANGE, WHITEOUT) are EINVAL',
  tmpfile: 'O_TMPFILE is EOPNOTSUPP',
  fallocate: 'fallocate is EOPNOTSUPP',
  seek: 'SEEK_DATA and SEEK_HOLE see no holes',
  copyRange: 'copy_file_range copies through the caller; nothing is reflinked',
  readdirPlus: 'each name read from a directory costs a lookup',
  statx:
    'no birth time; times are whole milliseconds and not before 1970, and utimens sets both times to the first',
  ioctl: 'file flags (lsattr, chattr) are ENOTTY',
  passthrough: 'data of open files passes through the daemon',
  acl: 'POSIX ACLs are stored but not enforced',
  inode: 'inode numbers are the low 32 bits; a file with no link left shows one',
  unlinked: 'an open file that is unlinked is renamed to .fuse_hidden* until it is closed',
  bytes: 'names, symlink targets and attribute names that are not UTF-8 are not seen',
  caching: 'nothing is cached in the kernel beyond one operation',
  killPrivileges: 'writing does not drop setuid, setgid and file capabilities',
} as const);

export interface FuseNativeOptions extends MountOptions {
  readonly onError?: (error: unknown, operation: string) => void;
  readonly onReady?: () => void;
}

/** The part of fuse-native 2.2 that is used; members with an underscore are its own business, and pinned by that version. */
interface Fuse {
  mount(done: (error?: Error | null) => void): void;
  close(done: (error?: Error | null) => void): void;
  _fuseOptions(): string;
  _op_getxattr(signal: Signal, path: string, name: string, into: Buffer, position: number): void;
  _op_listxattr(signal: Signal, path: string, into: Buffer): void;
}
type Signal = (result: number, buffer: ArrayBufferLike) => void;
interface FuseClass {
  new (mountpoint: string, ops: object, options: { timeout: false; force: boolean }): Fuse;
  unmount(mountpoint: string, done: (error: Error | null) => void): void;
}

/** How often to look whether the mount is still there: libfuse 2 does not say when it has gone. Milliseconds. */
const LOOK_INTERVAL = 100;

/** Mounts and serves `fs`; resolves when the mount is gone. Rejects when fuse-native is not installed or cannot mount. */
export async function serveFuseNative(fs: FileSystem, options: FuseNativeOptions): Promise<void> {
  const Fuse = await load();
  const tree = new Tree(fs);
  fs.start?.({ minor: 0, passthrough: false, notify: deaf });
  // Before the mount: afterwards this thread would wait for itself.
  const mountpoint = realpathSync(Buffer.from(options.mountpoint, 'latin1'), 'latin1');
  const fuse = create(Fuse, tree, { ...options, mountpoint });
  try {
    await settle(done => fuse.mount(done));
    options.onReady?.();
    await gone(mountpoint);
    await settle(done => fuse.close(done));
  } finally {
    tree.clear();
    await fs.destroy();
  }
}

async function load(): Promise<FuseClass> {
  try {
    const module = (await import('fuse-native' as string)) as { default: FuseClass };
    // Its own way runs a shell and libfuse 2's fusermount, and fails when the mount has gone already.
    module.default.unmount = (mountpoint, done) => {
      const point = fromText(mountpoint);
      if (isMounted(point)) unmount(point, { lazy: true }).then(() => done(null), done);
      else done(null);
    };
    return module.default;
  } catch (cause) {
    throw new Error("the transport fuse-native needs the package: run 'npm install fuse-native'", { cause });
  }
}

function create(Fuse: FuseClass, tree: Tree, options: FuseNativeOptions): Fuse {
  const ops: Record<string, unknown> = {};
  const report = options.onError ?? ((error, name) => process.emitWarning(`${name}: ${String(error)}`));
  for (const [name, row] of Object.entries(rows)) ops[name] = bind(tree, row, error => report(error, name));
  const fuse = new Fuse(toText(options.mountpoint), ops, { timeout: false, force: false });
  fuse._fuseOptions = () => `-o${mountOptions(options)}`;
  // Its own versions answer more bytes than the caller has room for, and libfuse then reads past the buffer.
  fuse._op_getxattr = (signal, path, name, into) =>
    fill(
      bind(tree, rows.getxattr, error => report(error, 'getxattr')),
      [path, name],
      into,
      signal,
    );
  fuse._op_listxattr = (signal, path, into) =>
    fill(
      bind(tree, rows.listxattr, error => report(error, 'listxattr')),
      [path],
      into,
      signal,
    );
  return fuse;
}

function fill(op: (...args: unknown[]) => void, args: readonly string[], into: Buffer, signal: Signal): void {
  op(...args, (error: number, value?: Buffer) => {
    if (value === undefined) signal(error, into.buffer);
    else if (into.length === 0) signal(value.length, into.buffer);
    else if (value.length > into.length) signal(-E.ERANGE, into.buffer);
    else signal(value.copy(into), into.buffer);
  });
}

function mountOptions(options: FuseNativeOptions): string {
  const list = [
    `fsname=${toText(options.fsname).replace(/[\\,]/g, '\\$&')}`,
    `subtype=${toText(options.subtype)}`,
  ];
  list.push('use_ino', 'attr_timeout=0', 'entry_timeout=0', 'big_writes');
  if (options.readonly === true) list.push('ro');
  if (options.allowOther === true) list.push('allow_other');
  if (options.defaultPermissions === true) list.push('default_permissions');
  return [...list, ...(options.flags ?? [])].join();
}

function settle(call: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => call(error => (error ? reject(error) : resolve())));
}

function gone(mountpoint: ByteString): Promise<void> {
  return new Promise(resolve => {
    const timer = setInterval(() => {
      if (isMounted(mountpoint)) return;
      clearInterval(timer);
      resolve();
    }, LOOK_INTERVAL);
  });
}

function isMounted(mountpoint: ByteString): boolean {
  return listMounts().some(mount => mount.mountpoint === mountpoint);
}

/** Nothing is cached, so nobody need be told. */
const deaf: Notifier<object> = {
  attributes: () => undefined,
  data: () => undefined,
  entry: () => undefined,
};
