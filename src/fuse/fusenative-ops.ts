// libfuse 2's operations by path, as fuse-native calls them, on a FileSystem: one row per operation. A row returns (or
// promises) what its callback takes after the error; read, write and the sizes of attributes take the place of the error.
import { type ByteString, E, ok, Stat, SysError } from '../base/index.js';
import { fsyncAsync } from '../sys/index.js';
import type { AttrChange, DirSink, Opened } from './filesystem.js';
import { bytesOf, type Tree, textOf } from './fusenative-tree.js';
import { deviceMajor, deviceMinor } from './layout.js';

/** Returns or promises a number for the error's place, an array of values for the callback, or anything else for nothing. */
type Row = (tree: Tree, ...args: never[]) => unknown;

const LEAVE_ID = 0xffffffff;

function statOf(stat: Stat): Record<string, number> {
  const milliseconds = (sec: number, nsec: number): number =>
    Math.max(sec * 1000 + Math.floor(nsec / 1e6), 0);
  return {
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    size: stat.size,
    nlink: stat.nlink,
    ino: stat.ino % 2 ** 32,
    rdev: (stat.rdevMinor & 0xff) | (stat.rdevMajor << 8) | ((stat.rdevMinor & ~0xff) << 12),
    blksize: stat.blksize,
    blocks: stat.blocks,
    atime: milliseconds(stat.atime, stat.atimeNsec),
    mtime: milliseconds(stat.mtime, stat.mtimeNsec),
    ctime: milliseconds(stat.ctime, stat.ctimeNsec),
  };
}

async function change(tree: Tree, path: string, fd: number | null, attrs: AttrChange): Promise<void> {
  const node = tree.walk(path);
  await tree.fs.setattr(tree.caller, node, fd === null ? null : tree.handle(fd), attrs, new Stat());
}

function time(milliseconds: number): { sec: number; nsec: number } {
  const sec = Math.floor(milliseconds / 1000);
  return { sec, nsec: (milliseconds - sec * 1000) * 1e6 };
}

/** Collects names; entries that libfuse cannot spell are left out. */
class Names implements DirSink<object> {
  readonly wantsNodes = false;
  readonly names: string[] = [];
  entry(name: ByteString): boolean {
    const text = textOf(name);
    if (text !== undefined) this.names.push(text);
    return true;
  }
  plus(name: ByteString): boolean {
    return this.entry(name);
  }
}

async function list(tree: Tree, path: string): Promise<readonly unknown[]> {
  const handle = tree.fs.opendir(tree.walk(path));
  try {
    const names = new Names();
    await tree.fs.readdir(handle, 0, names);
    return [names.names];
  } finally {
    tree.fs.releasedir(handle);
  }
}

/** Counts are 32 bits wide, so large ones are told in larger units. */
function statfs(tree: Tree, path: string): readonly unknown[] {
  const stat = tree.fs.statfs(tree.walk(path));
  let unit = 1;
  while (stat.blocks / unit >= 2 ** 32) unit *= 2;
  const scaled = (value: number): number => Math.floor(value / unit);
  const count = (value: number): number => Math.min(value, 2 ** 32 - 1);
  return [
    {
      bsize: stat.bsize,
      frsize: stat.frsize * unit,
      blocks: scaled(stat.blocks),
      bfree: scaled(stat.bfree),
      bavail: scaled(stat.bavail),
      files: count(stat.files),
      ffree: count(stat.ffree),
      favail: count(stat.ffree),
      namemax: stat.namelen,
    },
  ];
}

async function opened(
  tree: Tree,
  node: object,
  opening: Opened<object> | Promise<Opened<object>>,
): Promise<readonly unknown[]> {
  return [tree.open(node, (await opening).handle)];
}

export const rows = {
  getattr(tree: Tree, path: string) {
    tree.fs.getattr(tree.walk(path), null, tree.stat);
    return [statOf(tree.stat)];
  },
  readlink: (tree: Tree, path: string) => [textOf(tree.fs.readlink(tree.walk(path))) ?? ''],
  readdir: list,
  statfs,
  chmod: (tree: Tree, path: string, mode: number) => change(tree, path, null, { mode }),
  chown(tree: Tree, path: string, uid: number, gid: number) {
    const attrs: AttrChange = {};
    if (uid >>> 0 !== LEAVE_ID) attrs.uid = uid >>> 0;
    if (gid >>> 0 !== LEAVE_ID) attrs.gid = gid >>> 0;
    return change(tree, path, null, attrs);
  },
  truncate: (tree: Tree, path: string, size: number) => change(tree, path, null, { size }),
  ftruncate: (tree: Tree, path: string, fd: number, size: number) => change(tree, path, fd, { size }),
  utimens: (tree: Tree, path: string, atime: number, mtime: number) =>
    change(tree, path, null, { atime: time(atime), mtime: time(mtime) }),
  mknod(tree: Tree, path: string, mode: number, device: number) {
    const [parent, name] = tree.parent(path);
    tree.met(
      tree.fs.mknod(tree.caller, parent, name, mode, deviceMajor(device), deviceMinor(device), tree.stat),
    );
  },
  mkdir(tree: Tree, path: string, mode: number) {
    const [parent, name] = tree.parent(path);
    tree.met(tree.fs.mkdir(tree.caller, parent, name, mode & 0o7777, tree.stat));
  },
  symlink(tree: Tree, target: string, path: string) {
    const [parent, name] = tree.parent(path);
    tree.met(tree.fs.symlink(tree.caller, parent, name, bytesOf(target), tree.stat));
  },
  async link(tree: Tree, existing: string, path: string) {
    const [parent, name] = tree.parent(path);
    tree.met(await tree.fs.link(tree.caller, tree.walk(existing), parent, name, new Stat()));
  },
  unlink: (tree: Tree, path: string) => tree.fs.unlink(...tree.parent(path)),
  rmdir: (tree: Tree, path: string) => tree.fs.rmdir(...tree.parent(path)),
  async rename(tree: Tree, from: string, to: string) {
    await tree.fs.rename(tree.caller, ...tree.parent(from), ...tree.parent(to), 0);
  },
  open(tree: Tree, path: string, flags: number) {
    const node = tree.walk(path);
    return opened(tree, node, tree.fs.open(tree.caller, node, flags, false));
  },
  create(tree: Tree, path: string, mode: number) {
    const [parent, name] = tree.parent(path);
    const made = tree.fs.create(tree.caller, parent, name, mode & 0o7777, O_RDWR, tree.stat);
    return opened(tree, tree.met(made.node), made.opened);
  },
  read: (tree: Tree, _: string, fd: number, into: Buffer, length: number, offset: number) =>
    tree.fs.read(tree.handle(fd), offset, length, into, 0),
  write: (tree: Tree, _: string, fd: number, from: Buffer, length: number, offset: number) =>
    tree.fs.write(tree.handle(fd), offset, from.subarray(0, length), false),
  release: (tree: Tree, _: string, fd: number) => tree.fs.release(tree.close(fd)),
  async fsync(tree: Tree, _: string, datasync: number, fd: number) {
    const done = await tree.fs.fsync(tree.handle(fd), datasync !== 0);
    if (typeof done === 'number') ok(await fsyncAsync(done, datasync !== 0), 'fsync');
  },
  async setxattr(tree: Tree, path: string, name: string, value: Buffer, _: number, flags: number) {
    await tree.fs.setxattr(tree.caller, tree.walk(path), bytesOf(name), Buffer.from(value), flags, false);
  },
  getxattr: (tree: Tree, path: string, name: string) => [
    found(tree.fs.getxattr(tree.walk(path), bytesOf(name))),
  ],
  listxattr: (tree: Tree, path: string) => [found(tree.fs.listxattr(tree.caller, tree.walk(path)))],
  async removexattr(tree: Tree, path: string, name: string) {
    await tree.fs.removexattr(tree.caller, tree.walk(path), bytesOf(name));
  },
} satisfies Record<string, Row>;

const O_RDWR = 2;

function found(value: Buffer | number): Buffer {
  if (typeof value === 'number') throw new SysError(-value || E.EIO, 'xattr');
  return value;
}

type Callback = (error: number, ...values: unknown[]) => void;

/** A row as fuse-native calls it: arguments, then a callback. `report` takes what is not a SysError. */
export function bind(tree: Tree, row: Row, report: (error: unknown) => void): (...args: unknown[]) => void {
  return (...args) => {
    const done = args.pop() as Callback;
    const fail = (error: unknown): void => {
      if (!(error instanceof SysError)) report(error);
      done(-(error instanceof SysError ? error.errno : E.EIO));
    };
    const succeed = (outcome: unknown): void => {
      if (typeof outcome === 'number') done(outcome);
      else done(0, ...(Array.isArray(outcome) ? outcome : []));
    };
    try {
      const outcome = (row as (tree: Tree, ...args: unknown[]) => unknown)(tree, ...args);
      if (outcome instanceof Promise) outcome.then(succeed, fail);
      else succeed(outcome);
    } catch (error) {
      fail(error);
    }
  };
}
