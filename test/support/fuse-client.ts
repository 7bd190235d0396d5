// A fake kernel with paths: drives any FileSystem through real FUSE bytes, without a mount. It walks paths (following
// symlinks as a kernel does), counts lookups, repeats an open once after ESTALE, and gives everything back at the end.
// It checks no permissions: with default_permissions that is the kernel's part. Paths and names are byte strings.
import { type ByteString, E, isErrno, S, SysError } from '../../src/base/index.js';
import { type FileSystem, layout, protocol } from '../../src/fuse/index.js';
import { O } from '../../src/sys/index.js';
import {
  type Attr,
  Body,
  type Dirent,
  type EntryOut,
  FuseWire,
  type SetAttr,
  u64,
  type WireOptions,
} from './fuse-wire.js';

const { OP, ROOT_ID } = protocol;
const MAX_SYMLINKS = 40;
const CHUNK = 131072;

export type { Attr, Dirent, SetAttr } from './fuse-wire.js';

export interface FsNumbers {
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
  bsize: number;
  namelen: number;
  frsize: number;
}

/** An open file, as a descriptor is. */
export class ClientFile {
  constructor(
    private readonly wire: FuseWire,
    readonly nodeid: number,
    readonly fh: number,
    /** FOPEN_* that the file system answered. */
    readonly openFlags: number,
    readonly backing: number,
  ) {}

  async read(offset: number, size: number): Promise<Buffer> {
    return Buffer.from(await this.wire.read(this.nodeid, this.fh, offset, size));
  }
  write(offset: number, data: Uint8Array, flags = 0): Promise<number> {
    return this.wire.write(this.nodeid, this.fh, offset, data, flags);
  }
  stat(): Promise<Attr> {
    return this.wire.getattr(this.nodeid, this.fh);
  }
  setattr(change: SetAttr): Promise<Attr> {
    return this.wire.setattr(this.nodeid, { ...change, fh: this.fh });
  }
  async fsync(datasync = false): Promise<void> {
    await this.wire.call(
      OP.FSYNC,
      this.nodeid,
      new Body(4)
        .set64(0, this.fh)
        .set(2, datasync ? 1 : 0)
        .done(),
    );
  }
  async fallocate(mode: number, offset: number, length: number): Promise<void> {
    const { FALLOCATE_IN: at } = layout;
    const body = new Body(at.words).set64(at.fh, this.fh).set64(at.offset, offset).set64(at.length, length);
    await this.wire.call(OP.FALLOCATE, this.nodeid, body.set(at.mode, mode).done());
  }
  async seek(offset: number, whence: number): Promise<number> {
    const { LSEEK_IN: at } = layout;
    const body = new Body(at.words).set64(at.fh, this.fh).set64(at.offset, offset).set(at.whence, whence);
    return u64(await this.wire.call(OP.LSEEK, this.nodeid, body.done()), 0);
  }
  async copyTo(from: number, target: ClientFile, to: number, length: number): Promise<number> {
    const { COPY_IN: at } = layout;
    const body = new Body(at.words)
      .set64(at.fhIn, this.fh)
      .set64(at.offIn, from)
      .set64(at.nodeidOut, target.nodeid);
    body.set64(at.fhOut, target.fh).set64(at.offOut, to).set64(at.length, length);
    return (await this.wire.call(OP.COPY_FILE_RANGE, this.nodeid, body.done())).readUInt32LE(0);
  }
  close(): Promise<void> {
    return this.wire.release(this.nodeid, this.fh);
  }
}

export class FuseClient {
  readonly wire: FuseWire;
  /** Lookups that the kernel would still hold, by node id. */
  private readonly lookups = new Map<number, number>();

  private constructor(fs: FileSystem, options: WireOptions) {
    this.wire = new FuseWire(fs, options);
  }

  /** Starts a session on `fs` and agrees on everything that it offers. */
  static async start(fs: FileSystem, options: WireOptions = {}): Promise<FuseClient> {
    const client = new FuseClient(fs, options);
    await client.wire.initialise(options.minor);
    return client;
  }

  /** The following requests come from this user. */
  as(uid: number, gid: number, umask = 0): this {
    this.wire.caller = { uid, gid, pid: 1 };
    this.wire.umask = umask;
    return this;
  }

  private counted(entry: EntryOut): EntryOut {
    if (entry.nodeid !== 0) this.lookups.set(entry.nodeid, (this.lookups.get(entry.nodeid) ?? 0) + 1);
    return entry;
  }

  private async child(parent: number, name: ByteString): Promise<EntryOut> {
    const entry = this.counted(await this.wire.lookup(parent, name));
    if (entry.nodeid === 0) throw new SysError(E.ENOENT, name);
    return entry;
  }

  /** The node at `path`; the last component is followed when `follow` says so. Throws ENOENT, ENOTDIR, ELOOP. */
  async walk(path: ByteString, follow = false): Promise<{ nodeid: number; attr: Attr }> {
    const todo = path.split('/').filter(part => part !== '' && part !== '.');
    const trail = [{ nodeid: ROOT_ID, attr: await this.wire.getattr(ROOT_ID) }];
    let links = 0;
    while (todo.length > 0) {
      const name = todo.shift()!;
      const here = trail.at(-1)!;
      if ((here.attr.mode & S.IFMT) !== S.IFDIR) throw new SysError(E.ENOTDIR, path);
      if (name === '..') {
        if (trail.length > 1) trail.pop();
        continue;
      }
      const entry = await this.child(here.nodeid, name);
      if ((entry.attr.mode & S.IFMT) !== S.IFLNK || (todo.length === 0 && !follow)) {
        trail.push(entry);
        continue;
      }
      if (++links > MAX_SYMLINKS) throw new SysError(E.ELOOP, path);
      const target = (await this.wire.call(OP.READLINK, entry.nodeid)).toString('latin1');
      if (target.startsWith('/')) trail.length = 1;
      todo.unshift(...target.split('/').filter(part => part !== '' && part !== '.'));
    }
    return trail.at(-1)!;
  }

  private async parent(path: ByteString): Promise<{ nodeid: number; name: ByteString }> {
    const trimmed = path.replace(/\/+$/, '');
    const cut = trimmed.lastIndexOf('/');
    const { nodeid } = await this.walk(trimmed.slice(0, Math.max(cut, 0)), true);
    return { nodeid, name: trimmed.slice(cut + 1) };
  }

  /** Attributes asked for afresh, not those that LOOKUP gave. */
  async lstat(path: ByteString): Promise<Attr> {
    return this.wire.getattr((await this.walk(path)).nodeid);
  }
  async stat(path: ByteString): Promise<Attr> {
    return this.wire.getattr((await this.walk(path, true)).nodeid);
  }
  async exists(path: ByteString): Promise<boolean> {
    return this.walk(path).then(
      () => true,
      error => {
        if (isErrno(error, E.ENOENT)) return false;
        throw error;
      },
    );
  }
  async setattr(path: ByteString, change: SetAttr): Promise<Attr> {
    return this.retry(async () => this.wire.setattr((await this.walk(path)).nodeid, change));
  }

  /** A kernel walks the path again, once, when the file system answers ESTALE. */
  private retry<T>(task: () => Promise<T>): Promise<T> {
    return task().catch(error => {
      if (isErrno(error, E.ESTALE)) return task();
      throw error;
    });
  }

  private async make(opcode: number, path: ByteString, body: (name: ByteString) => Body): Promise<Attr> {
    const { nodeid, name } = await this.parent(path);
    return this.counted(await this.wire.make(opcode, nodeid, body(name))).attr;
  }
  mkdir(path: ByteString, mode = 0o777): Promise<Attr> {
    return this.make(OP.MKDIR, path, name => new Body(2).set(0, mode).set(1, this.wire.umask).text(name));
  }
  mknod(path: ByteString, mode: number, major = 0, minor = 0): Promise<Attr> {
    const rdev = layout.encodeDevice(major, minor);
    return this.make(OP.MKNOD, path, name =>
      new Body(4).set(0, mode).set(1, rdev).set(2, this.wire.umask).text(name),
    );
  }
  symlink(target: ByteString, path: ByteString): Promise<Attr> {
    return this.make(OP.SYMLINK, path, name => new Body(0).text(name).text(target));
  }
  async link(existing: ByteString, path: ByteString): Promise<Attr> {
    const { nodeid } = await this.walk(existing);
    return this.make(OP.LINK, path, name => new Body(2).set64(0, nodeid).text(name));
  }
  async readlink(path: ByteString): Promise<ByteString> {
    return (await this.wire.call(OP.READLINK, (await this.walk(path)).nodeid)).toString('latin1');
  }
  async unlink(path: ByteString): Promise<void> {
    const { nodeid, name } = await this.parent(path);
    await this.wire.call(OP.UNLINK, nodeid, new Body(0).text(name).done());
  }
  async rmdir(path: ByteString): Promise<void> {
    const { nodeid, name } = await this.parent(path);
    await this.wire.call(OP.RMDIR, nodeid, new Body(0).text(name).done());
  }
  async rename(from: ByteString, to: ByteString, flags = 0): Promise<void> {
    const source = await this.parent(from);
    const target = await this.parent(to);
    const body = new Body(4).set64(0, target.nodeid).set(2, flags).text(source.name).text(target.name);
    await this.wire.call(OP.RENAME2, source.nodeid, body.done());
  }

  /** open(2): O_CREAT creates when the name is absent. */
  open(path: ByteString, flags: number, mode = 0o666): Promise<ClientFile> {
    return this.retry(() => this.openOnce(path, flags, mode));
  }
  private async openOnce(path: ByteString, flags: number, mode: number): Promise<ClientFile> {
    if ((flags & O.CREAT) !== 0 && !(await this.exists(path))) return this.create(path, flags, mode);
    if ((flags & O.CREAT) !== 0 && (flags & O.EXCL) !== 0) throw new SysError(E.EEXIST, path);
    const { nodeid } = await this.walk(path, (flags & O.NOFOLLOW) === 0);
    const out = await this.wire.open(nodeid, flags & ~(O.CREAT | O.EXCL | O.NOCTTY));
    return new ClientFile(this.wire, nodeid, out.fh, out.flags, out.backing);
  }
  /** CREATE, sent whether or not the name exists. */
  async create(path: ByteString, flags: number, mode = 0o666): Promise<ClientFile> {
    const { nodeid, name } = await this.parent(path);
    return this.created(await this.wire.create(OP.CREATE, nodeid, name, S.IFREG | mode, flags));
  }
  async tmpfile(directory: ByteString, flags: number = O.RDWR, mode = 0o600): Promise<ClientFile> {
    const { nodeid } = await this.walk(directory, true);
    return this.created(await this.wire.create(OP.TMPFILE, nodeid, '#', S.IFREG | mode, flags));
  }
  private created([entry, out]: Awaited<ReturnType<FuseWire['create']>>): ClientFile {
    return new ClientFile(this.wire, this.counted(entry).nodeid, out.fh, out.flags, out.backing);
  }
  /** Gives an open file a name, as linkat(2) with AT_EMPTY_PATH. */
  linkFile(file: ClientFile, path: ByteString): Promise<Attr> {
    return this.make(OP.LINK, path, name => new Body(2).set64(0, file.nodeid).text(name));
  }

  async readFile(path: ByteString): Promise<Buffer> {
    const file = await this.open(path, O.RDONLY);
    const chunks: Buffer[] = [];
    for (let offset = 0; ; offset += CHUNK) {
      const chunk = await file.read(offset, CHUNK);
      chunks.push(chunk);
      if (chunk.length < CHUNK) break;
    }
    await file.close();
    return Buffer.concat(chunks);
  }
  /** Creates or truncates. */
  async writeFile(path: ByteString, data: Uint8Array | string, mode = 0o666): Promise<void> {
    const file = await this.open(path, O.WRONLY | O.CREAT | O.TRUNC, mode);
    const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
    for (let at = 0; at < bytes.length; at += CHUNK) await file.write(at, bytes.subarray(at, at + CHUNK));
    await file.close();
  }

  /** All entries, with "." and ".."; `size` is the buffer of each request in bytes. */
  async readdir(path: ByteString, { plus = true, size = 4096 } = {}): Promise<Dirent[]> {
    const { nodeid } = await this.walk(path, true);
    const opened = (await this.wire.call(OP.OPENDIR, nodeid, new Body(2).done())).subarray(0, 8);
    const fh = u64(opened, 0);
    const all: Dirent[] = [];
    for (let offset = 0; ; offset = all.at(-1)!.next) {
      const some = await this.wire.readdir(nodeid, fh, offset, size, plus);
      if (some.length === 0) break;
      for (const { entry } of some) if (entry !== undefined) this.counted(entry);
      all.push(...some);
    }
    await this.wire.release(nodeid, fh, true);
    return all;
  }
  /** Names only, sorted, without "." and "..". */
  async names(path: ByteString): Promise<ByteString[]> {
    const entries = await this.readdir(path);
    return entries
      .map(entry => entry.name)
      .filter(name => name !== '.' && name !== '..')
      .sort();
  }

  async getxattr(path: ByteString, name: ByteString): Promise<Buffer> {
    return this.xattr(OP.GETXATTR, path, body => body.text(name));
  }
  async listxattr(path: ByteString): Promise<ByteString[]> {
    const names = await this.xattr(OP.LISTXATTR, path, body => body);
    return names
      .toString('latin1')
      .split('\0')
      .filter(name => name !== '');
  }
  /** Asks for the size first, as getxattr(1) does. */
  private async xattr(opcode: number, path: ByteString, fill: (body: Body) => Body): Promise<Buffer> {
    const { nodeid } = await this.walk(path);
    const size = (await this.wire.call(opcode, nodeid, fill(new Body(2)).done())).readUInt32LE(0);
    return Buffer.from(await this.wire.call(opcode, nodeid, fill(new Body(2).set(0, size + 1)).done()));
  }
  async setxattr(path: ByteString, name: ByteString, value: Uint8Array | string, flags = 0): Promise<void> {
    const { SETXATTR_IN: at } = layout;
    const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
    const body = new Body(at.words)
      .set(at.size, bytes.length)
      .set(at.flags, flags)
      .text(name)
      .bytes(bytes)
      .done();
    await this.retry(async () => this.wire.call(OP.SETXATTR, (await this.walk(path)).nodeid, body));
  }
  async removexattr(path: ByteString, name: ByteString): Promise<void> {
    const body = new Body(0).text(name).done();
    await this.retry(async () => this.wire.call(OP.REMOVEXATTR, (await this.walk(path)).nodeid, body));
  }

  async statfs(path: ByteString = '/'): Promise<FsNumbers> {
    const { STATFS_OUT: at } = layout;
    const reply = await this.wire.call(OP.STATFS, (await this.walk(path)).nodeid);
    const wide = (w: number): number => u64(reply, w * 4);
    const word = (w: number): number => reply.readUInt32LE(w * 4);
    const { blocks, bfree, bavail, files, ffree, bsize, namelen, frsize } = at;
    return {
      blocks: wide(blocks),
      bfree: wide(bfree),
      bavail: wide(bavail),
      files: wide(files),
      ffree: wide(ffree),
      bsize: word(bsize),
      namelen: word(namelen),
      frsize: word(frsize),
    };
  }

  /** Forgets every lookup, as a kernel whose caches are dropped. */
  forgetAll(): void {
    if (this.lookups.size > 0) this.wire.batchForget([...this.lookups]);
    this.lookups.clear();
  }

  async unmount(): Promise<void> {
    this.forgetAll();
    await this.wire.unmount();
  }
}
