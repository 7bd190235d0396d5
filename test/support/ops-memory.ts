// Operations without a kernel: the methods of ops-names.ts and ops-files.ts over a FUSE client, with what a kernel would
// have decided before it sent the request (names that exist, types that do not fit, renames that mean nothing).
import { E, isErrno, S, Stat, SysError } from '../../src/base/index.js';
import { O, RENAME, UTIME } from '../../src/sys/index.js';
import type { Attr, ClientFile, FuseClient, SetAttr } from './fuse-client.js';
import { shown } from './ops-files.js';
import { describe } from './ops-names.js';
import { fillStat } from './subject-memory.js';

type Time = NonNullable<SetAttr['atime']>;

export class MemoryCalls {
  private readonly slots = new Map<string, ClientFile>();
  private readonly stat = new Stat();

  constructor(
    private readonly client: FuseClient,
    private readonly root: string,
  ) {}

  private at(path: string): string {
    return path === '.' ? this.root || '/' : `${this.root}/${path}`;
  }

  private file(slot: string): ClientFile {
    const file = this.slots.get(slot);
    if (file === undefined) throw new SysError(E.EBADF, slot);
    return file;
  }

  async closeAll(): Promise<void> {
    for (const slot of [...this.slots.keys()]) await this.close(slot);
  }

  private described(attr: Attr): string {
    fillStat(this.stat, attr);
    return describe(this.stat);
  }

  private async isDir(path: string): Promise<boolean> {
    return ((await this.client.lstat(this.at(path))).mode & S.IFMT) === S.IFDIR;
  }

  private async absent(path: string): Promise<string> {
    if (path.slice(path.lastIndexOf('/') + 1).length > 255) throw new SysError(E.ENAMETOOLONG, path);
    if (await this.client.exists(this.at(path))) throw new SysError(E.EEXIST, path);
    return this.at(path);
  }

  async mkdir(path: string, mode = 0o755): Promise<void> {
    await this.client.mkdir(await this.absent(path), mode);
  }

  async mknod(path: string, mode: number, major = 0, minor = 0): Promise<void> {
    await this.client.mknod(await this.absent(path), mode, major, minor);
  }

  async symlink(path: string, target: string): Promise<void> {
    await this.client.symlink(target, await this.absent(path));
  }

  async link(from: string, to: string): Promise<void> {
    await this.client.link(this.at(from), await this.absent(to));
  }

  async unlink(path: string): Promise<void> {
    if (await this.isDir(path)) throw new SysError(E.EISDIR, path);
    await this.client.unlink(this.at(path));
  }

  async rmdir(path: string): Promise<void> {
    if (!(await this.isDir(path))) throw new SysError(E.ENOTDIR, path);
    await this.client.rmdir(this.at(path));
  }

  async rmtree(path: string): Promise<void> {
    for (const name of await this.client.names(this.at(path))) {
      const below = `${path}/${name}`;
      if (await this.isDir(below)) await this.rmtree(below);
      else await this.unlink(below);
    }
    await this.rmdir(path);
  }

  async recreate(path: string): Promise<void> {
    await this.rmtree(path);
    await this.mkdir(path);
  }

  async rename(from: string, to: string, flags = 0): Promise<void> {
    if ((flags & RENAME.EXCHANGE) !== 0 && (flags & (RENAME.NOREPLACE | RENAME.WHITEOUT)) !== 0) {
      throw new SysError(E.EINVAL, from);
    }
    const source = await this.client.lstat(this.at(from));
    const target = await this.client.lstat(this.at(to)).catch((error: unknown) => {
      if (isErrno(error, E.ENOENT)) return null;
      throw error;
    });
    if (target === null && (flags & RENAME.EXCHANGE) !== 0) throw new SysError(E.ENOENT, to);
    if (target !== null && (flags & RENAME.NOREPLACE) !== 0) throw new SysError(E.EEXIST, to);
    if (`${to}/`.startsWith(`${from}/`) && to !== from) throw new SysError(E.EINVAL, to);
    if ((flags & RENAME.EXCHANGE) !== 0 && `${from}/`.startsWith(`${to}/`))
      throw new SysError(E.EINVAL, from);
    if (target !== null && target.ino === source.ino) return;
    await this.client.rename(this.at(from), this.at(to), flags);
  }

  private async change(path: string, change: SetAttr): Promise<void> {
    await this.client.setattr(this.at(path), change);
  }

  chmod(path: string, mode: number): Promise<void> {
    return this.change(path, { mode });
  }

  chown(path: string, uid: number, gid: number): Promise<void> {
    const ids = { ...(uid < 0 ? {} : { uid }), ...(gid < 0 ? {} : { gid }) };
    return this.change(path, { ...ids, kill: true });
  }

  utimes(path: string, atime: number, mtime: number, nsec = 0): Promise<void> {
    if (nsec === UTIME.OMIT) return Promise.resolve();
    return this.change(path, { atime: { sec: atime, nsec }, mtime: { sec: mtime, nsec } });
  }

  async setxattr(path: string, name: string, value: string, flags = 0): Promise<void> {
    await this.client.setxattr(this.at(path), name, value, flags);
  }

  async removexattr(path: string, name: string): Promise<void> {
    await this.client.removexattr(this.at(path), name);
  }

  async getxattr(path: string, name: string): Promise<string> {
    return (await this.client.getxattr(this.at(path), name)).toString('latin1');
  }

  async listxattr(path: string): Promise<string> {
    return (await this.client.listxattr(this.at(path))).sort().join(' ');
  }

  readlink(path: string): Promise<string> {
    return this.client.readlink(this.at(path));
  }

  async lstat(path: string): Promise<string> {
    return this.described(await this.client.lstat(this.at(path)));
  }

  async links(path: string): Promise<string> {
    return String((await this.client.lstat(this.at(path))).nlink);
  }

  async times(path: string, both = 0): Promise<string> {
    const { atime, atimeNsec, mtime, mtimeNsec } = await this.client.lstat(this.at(path));
    return both ? `${atime}.${atimeNsec} ${mtime}.${mtimeNsec}` : `${mtime}.${mtimeNsec}`;
  }

  async same(a: string, b: string): Promise<string> {
    const [first, second] = [await this.client.lstat(this.at(a)), await this.client.lstat(this.at(b))];
    return first.ino === second.ino ? 'same' : 'different';
  }

  async readdir(path: string): Promise<string> {
    const entries = await this.client.readdir(this.at(path));
    const seen = entries.filter(({ name }) => name !== '.' && name !== '..');
    return seen
      .map(({ name, type }) => `${name}:${type}`)
      .sort()
      .join(' ');
  }

  async open(slot: string, path: string, flags: number, mode = 0o644): Promise<void> {
    await this.take(slot, await this.opened(path, flags, mode));
  }

  /** A kernel opens fifos, sockets and devices itself. */
  private async opened(path: string, flags: number, mode = 0o644): Promise<ClientFile> {
    const found = await this.client.stat(this.at(path)).catch((error: unknown) => {
      if (isErrno(error, E.ENOENT)) return null;
      throw error;
    });
    const type = found === null ? S.IFREG : found.mode & S.IFMT;
    if (type === S.IFDIR && (flags & O.ACCMODE) !== O.RDONLY) throw new SysError(E.EISDIR, path);
    if (type !== S.IFREG && type !== S.IFDIR) throw new SysError(E.ENXIO, path);
    return this.client.open(this.at(path), flags, mode);
  }

  private async take(slot: string, file: ClientFile): Promise<void> {
    const before = this.slots.get(slot);
    this.slots.set(slot, file);
    await before?.close();
  }

  async close(slot: string): Promise<void> {
    const file = this.file(slot);
    this.slots.delete(slot);
    await file.close();
  }

  async tmpfile(slot: string, directory: string, mode = 0o644): Promise<void> {
    await this.take(slot, await this.client.tmpfile(this.at(directory), O.RDWR, mode));
  }

  async linkSlot(slot: string, to: string): Promise<void> {
    await this.client.linkFile(this.file(slot), await this.absent(to));
  }

  async read(slot: string, offset: number, length: number): Promise<string> {
    return shown(await this.file(slot).read(offset, length));
  }

  async write(slot: string, offset: number, data: string): Promise<string> {
    return `${await this.file(slot).write(offset, Buffer.from(data, 'latin1'))} bytes`;
  }

  async fstat(slot: string): Promise<string> {
    return this.described(await this.file(slot).stat());
  }

  private async fchange(slot: string, change: SetAttr): Promise<void> {
    await this.file(slot).setattr(change);
  }

  ftruncate(slot: string, size: number): Promise<void> {
    return this.fchange(slot, { size });
  }

  fchmod(slot: string, mode: number): Promise<void> {
    return this.fchange(slot, { mode });
  }

  fchown(slot: string, uid: number, gid: number): Promise<void> {
    return this.fchange(slot, { uid, gid, kill: true });
  }

  futimes(slot: string, atime: number, mtime: number): Promise<void> {
    const time = (sec: number): Time => ({ sec, nsec: 0 });
    return this.fchange(slot, { atime: time(atime), mtime: time(mtime) });
  }

  fallocate(slot: string, mode: number, offset: number, length: number): Promise<void> {
    return this.file(slot).fallocate(mode, offset, length);
  }

  async seek(slot: string, offset: number, whence: number): Promise<string> {
    return `at ${await this.file(slot).seek(offset, whence)}`;
  }

  async copyRange(from: string, at: number, to: string, toAt: number, length: number): Promise<string> {
    return `${await this.file(from).copyTo(at, this.file(to), toAt, length)} bytes`;
  }

  fsync(slot: string, datasync = 0): Promise<void> {
    return this.file(slot).fsync(datasync !== 0);
  }

  async create(path: string, data: string, mode = 0o644): Promise<void> {
    await this.absent(path);
    await this.whole(path, O.WRONLY | O.CREAT | O.EXCL, data, mode);
  }

  put(path: string, data: string, mode = 0o644): Promise<void> {
    return this.whole(path, O.WRONLY | O.CREAT | O.TRUNC, data, mode);
  }

  async append(path: string, data: string): Promise<void> {
    const { size } = await this.client.stat(this.at(path));
    await this.whole(path, O.WRONLY | O.APPEND, data, 0, size);
  }

  patch(path: string, offset: number, data: string): Promise<void> {
    return this.whole(path, O.WRONLY, data, 0, offset);
  }

  private async whole(path: string, flags: number, data: string, mode: number, offset = 0): Promise<void> {
    const file = await this.opened(path, flags, mode);
    if (data !== '') await file.write(offset, Buffer.from(data, 'latin1'));
    await file.close();
  }

  async cat(path: string): Promise<string> {
    await (await this.opened(path, O.RDONLY)).close();
    return shown(await this.client.readFile(this.at(path)));
  }

  async truncate(path: string, size: number): Promise<void> {
    const file = await this.opened(path, O.WRONLY);
    await file.setattr({ size });
    await file.close();
  }
}
