// A FileSystem that shows a directory as it is, by paths below one descriptor: what the tests of fuse/ mount. Options offer
// backing files for passthrough and make answers asynchronous.
import { type ByteString, DT, E, ok, Stat, SysError } from '../../src/base/index.js';
import type {
  Agreed,
  AttrChange,
  Caller,
  DirSink,
  FileSystem,
  FsStat,
  Notifier,
  Opened,
} from '../../src/fuse/index.js';
import { AT, getxattr, listxattr, native, O, openPath, readDirents } from '../../src/sys/index.js';
import { MirrorHandle, MirrorNode, time } from './mirror-node.js';

export interface MirrorOptions {
  /** Offer each opened file to the kernel. */
  readonly passthrough?: boolean;
  /** Data and fsync on worker threads. */
  readonly async?: boolean;
  readonly keepCache?: boolean;
  readonly timeout?: number;
}

export class Mirror implements FileSystem<MirrorNode, MirrorHandle> {
  readonly root = new MirrorNode(undefined, '');
  readonly timeouts;
  readonly rootFd: number;
  agreed: Agreed<MirrorNode> | undefined;
  notify: Notifier<MirrorNode> | undefined;
  /** Calls that carried data, and nodes and handles that have not been given back. */
  reads = 0;
  writes = 0;
  forgotten = 0;
  readonly handles = new Set<MirrorHandle>();
  destroyed = false;
  private readonly scratch = new Stat();

  constructor(
    directory: string,
    private readonly options: MirrorOptions = {},
  ) {
    this.rootFd = ok(openPath(directory, O.RDONLY | O.DIRECTORY), directory);
    const timeout = options.timeout ?? 60;
    this.timeouts = { entry: timeout, attr: timeout, negative: timeout };
  }

  start(agreed: Agreed<MirrorNode>): void {
    this.agreed = agreed;
    this.notify = agreed.notify;
  }

  lookup(parent: MirrorNode, name: ByteString, out: Stat): MirrorNode | null {
    const path = parent.parent === undefined ? name : `${parent.path}/${name}`;
    const rc = native.statx(this.rootFd, path, AT.SYMLINK_NOFOLLOW, out.slots);
    if (rc === -E.ENOENT) return null;
    ok(rc, 'lookup');
    return parent.child(name);
  }

  forget(node: MirrorNode): void {
    this.forgotten++;
    if (node.children.size === 0 && node.parent?.children.get(node.name) === node)
      node.parent.children.delete(node.name);
  }

  getattr(node: MirrorNode, handle: MirrorHandle | null, out: Stat): void {
    ok(
      handle !== null
        ? native.statx(handle.fd, '', AT.EMPTY_PATH, out.slots)
        : native.statx(this.rootFd, node.path, AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH, out.slots),
      'getattr',
    );
  }

  setattr(_: Caller, node: MirrorNode, handle: MirrorHandle | null, change: AttrChange, out: Stat): void {
    const at = handle?.fd ?? this.rootFd;
    const path = handle === null ? node.path : '';
    if (change.uid !== undefined || change.gid !== undefined)
      ok(native.fchownat(at, path, change.uid ?? -1, change.gid ?? -1), 'chown');
    if (change.mode !== undefined) ok(native.fchmodat(at, path, change.mode & 0o7777), 'chmod');
    if (change.size !== undefined) this.truncate(node, handle, change.size);
    if (change.atime !== undefined || change.mtime !== undefined) {
      const [atime, atimeNsec] = time(change.atime);
      const [mtime, mtimeNsec] = time(change.mtime);
      ok(native.utimensat(at, path, atime, atimeNsec, mtime, mtimeNsec), 'utimens');
    }
    this.getattr(node, handle, out);
  }

  private truncate(node: MirrorNode, handle: MirrorHandle | null, size: number): void {
    const fd = handle?.fd ?? ok(native.openat2(this.rootFd, node.path, O.WRONLY, 0, 0), 'truncate');
    const rc = native.ftruncate(fd, size);
    if (handle === null) native.close(fd);
    ok(rc, 'truncate');
  }

  readlink(node: MirrorNode): ByteString {
    const buffer = Buffer.alloc(4096);
    return buffer.toString('latin1', 0, ok(native.readlinkat(this.rootFd, node.path, buffer), 'readlink'));
  }

  private made(parent: MirrorNode, name: ByteString, rc: number, out: Stat, caller: Caller): MirrorNode {
    ok(rc, 'make');
    const node = parent.child(name);
    ok(native.fchownat(this.rootFd, node.path, caller.uid, caller.gid), 'chown');
    this.getattr(node, null, out);
    return node;
  }

  private path(parent: MirrorNode, name: ByteString): ByteString {
    return parent.parent === undefined ? name : `${parent.path}/${name}`;
  }

  mknod(
    who: Caller,
    parent: MirrorNode,
    name: ByteString,
    mode: number,
    major: number,
    minor: number,
    out: Stat,
  ): MirrorNode {
    const rc = native.mknodat(this.rootFd, this.path(parent, name), mode & ~who.umask, major, minor);
    return this.made(parent, name, rc, out, who);
  }

  mkdir(who: Caller, parent: MirrorNode, name: ByteString, mode: number, out: Stat): MirrorNode {
    return this.made(
      parent,
      name,
      native.mkdirat(this.rootFd, this.path(parent, name), mode & ~who.umask),
      out,
      who,
    );
  }

  symlink(who: Caller, parent: MirrorNode, name: ByteString, target: ByteString, out: Stat): MirrorNode {
    return this.made(parent, name, native.symlinkat(target, this.rootFd, this.path(parent, name)), out, who);
  }

  link(_: Caller, node: MirrorNode, parent: MirrorNode, name: ByteString, out: Stat): MirrorNode {
    ok(native.linkat(this.rootFd, node.path, this.rootFd, this.path(parent, name), 0), 'link');
    const linked = parent.child(name);
    this.getattr(linked, null, out);
    return linked;
  }

  unlink(parent: MirrorNode, name: ByteString): void {
    ok(native.unlinkat(this.rootFd, this.path(parent, name), 0), 'unlink');
    parent.children.delete(name);
  }

  rmdir(parent: MirrorNode, name: ByteString): void {
    ok(native.unlinkat(this.rootFd, this.path(parent, name), AT.REMOVEDIR), 'rmdir');
    parent.children.delete(name);
  }

  rename(
    _: Caller,
    from: MirrorNode,
    name: ByteString,
    to: MirrorNode,
    newName: ByteString,
    flags: number,
  ): void {
    const rc = native.renameat2(
      this.rootFd,
      this.path(from, name),
      this.rootFd,
      this.path(to, newName),
      flags,
    );
    ok(rc, 'rename');
    const moved = from.children.get(name);
    const other = to.children.get(newName);
    from.children.delete(name);
    to.children.delete(newName);
    if (moved !== undefined) this.place(moved, to, newName);
    if (other !== undefined && (flags & 2) !== 0) this.place(other, from, name);
  }

  private place(node: MirrorNode, parent: MirrorNode, name: ByteString): void {
    node.parent = parent;
    node.name = name;
    parent.children.set(name, node);
  }

  private opened(node: MirrorNode, fd: number): Opened<MirrorHandle> {
    const handle = new MirrorHandle(node, fd);
    this.handles.add(handle);
    const keepCache = this.options.keepCache ?? true;
    return this.options.passthrough === true ? { handle, keepCache, backing: fd } : { handle, keepCache };
  }

  open(_: Caller, node: MirrorNode, flags: number): Opened<MirrorHandle> | Promise<Opened<MirrorHandle>> {
    // A writer through the page cache needs to read what it does not overwrite.
    const wanted = (flags & O.ACCMODE) === O.WRONLY ? (flags & ~O.ACCMODE) | O.RDWR : flags;
    const opened = this.opened(
      node,
      ok(native.openat2(this.rootFd, node.path, wanted & ~O.APPEND, 0, 0), 'open'),
    );
    return this.options.async === true ? Promise.resolve(opened) : opened;
  }

  create(
    who: Caller,
    parent: MirrorNode,
    name: ByteString,
    mode: number,
    flags: number,
    out: Stat,
  ): { node: MirrorNode; opened: Opened<MirrorHandle> } {
    const wanted = (flags & ~(O.ACCMODE | O.APPEND)) | O.RDWR | O.CREAT | O.EXCL;
    const fd = native.openat2(this.rootFd, this.path(parent, name), wanted, mode & ~who.umask, 0);
    const node = this.made(parent, name, fd, out, who);
    return { node, opened: this.opened(node, fd) };
  }

  tmpfile(
    _: Caller,
    parent: MirrorNode,
    mode: number,
    _flags: number,
    out: Stat,
  ): { node: MirrorNode; opened: Opened<MirrorHandle> } {
    const fd = ok(native.openat2(this.rootFd, parent.path || '.', O.RDWR | O.TMPFILE, mode, 0), 'tmpfile');
    const node = new MirrorNode(parent, `(tmpfile ${fd})`);
    const opened = this.opened(node, fd);
    this.getattr(node, opened.handle, out);
    return { node, opened };
  }

  read(
    handle: MirrorHandle,
    offset: number,
    size: number,
    into: Buffer,
    at: number,
  ): number | Promise<number> {
    this.reads++;
    if (this.options.async === true)
      return native.preadAsync(handle.fd, into, at, size, offset).then(rc => ok(rc, 'read'));
    return ok(native.pread(handle.fd, into, at, size, offset), 'read');
  }

  write(handle: MirrorHandle, offset: number, data: Buffer): number | Promise<number> {
    this.writes++;
    if (this.options.async !== true)
      return ok(native.pwrite(handle.fd, data, 0, data.length, offset), 'write');
    return native.pwriteAsync(handle.fd, data, 0, data.length, offset).then(rc => ok(rc, 'write'));
  }

  release(handle: MirrorHandle): void {
    this.handles.delete(handle);
    native.close(handle.fd);
  }

  async fsync(handle: MirrorHandle, datasync: boolean): Promise<void> {
    ok(await native.fsyncAsync(handle.fd, datasync), 'fsync');
  }

  fallocate(_caller: Caller, handle: MirrorHandle, mode: number, offset: number, length: number): void {
    ok(native.fallocate(handle.fd, mode, offset, length), 'fallocate');
  }

  seek(handle: MirrorHandle, offset: number, whence: number): number {
    return ok(native.lseek(handle.fd, offset, whence), 'seek');
  }

  copyRange(
    _caller: Caller,
    source: MirrorHandle,
    from: number,
    target: MirrorHandle,
    to: number,
    length: number,
  ): Promise<number> {
    return native.copyFileRangeAsync(source.fd, from, target.fd, to, length).then(rc => ok(rc, 'copy'));
  }

  opendir(node: MirrorNode): MirrorHandle {
    const handle = new MirrorHandle(
      node,
      ok(native.openat2(this.rootFd, node.path || '.', O.RDONLY | O.DIRECTORY, 0, 0), 'opendir'),
    );
    this.handles.add(handle);
    return handle;
  }

  readdir(handle: MirrorHandle, offset: number, sink: DirSink<MirrorNode>): void | Promise<void> {
    if (offset === 0 || handle.entries === undefined) handle.entries = this.load(handle);
    if (this.options.async === true) return Promise.resolve().then(() => this.list(handle, offset, sink));
    this.list(handle, offset, sink);
  }

  private load(handle: MirrorHandle): { name: ByteString; ino: number; type: number }[] {
    const entries = [
      { name: '.', ino: 1, type: DT.DIR as number },
      { name: '..', ino: 1, type: DT.DIR as number },
    ];
    readDirents(handle.fd, (name, ino, type) => entries.push({ name, ino, type }));
    return entries;
  }

  private list(handle: MirrorHandle, offset: number, sink: DirSink<MirrorNode>): void {
    const entries = handle.entries!;
    for (let i = offset; i < entries.length; i++) {
      const { name, ino, type } = entries[i]!;
      if (i < 2 || !sink.wantsNodes) {
        if (!sink.entry(name, ino, type, i + 1)) return;
        continue;
      }
      const rc = native.statx(handle.fd, name, AT.SYMLINK_NOFOLLOW, this.scratch.slots);
      if (rc === -E.ENOENT) continue;
      ok(rc, 'readdir');
      if (!sink.plus(name, handle.node.child(name), this.scratch, i + 1)) return;
    }
  }

  releasedir(handle: MirrorHandle): void {
    this.release(handle);
  }

  fsyncdir(handle: MirrorHandle, datasync: boolean): Promise<void> {
    return this.fsync(handle, datasync);
  }

  statfs(): FsStat {
    const out = new Float64Array(13);
    ok(native.fstatfs(this.rootFd, out), 'statfs');
    const [, bsize, blocks, bfree, bavail, files, ffree, namelen, frsize] = out;
    return {
      blocks: blocks!,
      bfree: bfree!,
      bavail: bavail!,
      files: files!,
      ffree: ffree!,
      bsize: bsize!,
      namelen: namelen!,
      frsize: frsize!,
    };
  }

  async syncfs(): Promise<void> {
    ok(await native.syncfsAsync(this.rootFd), 'syncfs');
  }

  getxattr(node: MirrorNode, name: ByteString): Buffer | number {
    return getxattr(this.rootFd, node.path, name);
  }

  listxattr(_caller: Caller, node: MirrorNode): Buffer | number {
    const names = listxattr(this.rootFd, node.path);
    return typeof names === 'number' ? names : Buffer.from(names.map(name => `${name}\0`).join(''), 'latin1');
  }

  setxattr(_: Caller, node: MirrorNode, name: ByteString, value: Buffer, flags: number): void {
    ok(native.setxattrat(this.rootFd, node.path, name, value, flags), 'setxattr');
  }

  removexattr(_: Caller, node: MirrorNode, name: ByteString): void {
    ok(native.removexattrat(this.rootFd, node.path, name), 'removexattr');
  }

  getFlags(node: MirrorNode): number {
    return this.withFile(node, fd => native.getFileFlags(fd));
  }

  setFlags(_: Caller, node: MirrorNode, flags: number): void {
    this.withFile(node, fd => native.setFileFlags(fd, flags));
  }

  private withFile(node: MirrorNode, call: (fd: number) => number): number {
    const fd = ok(native.openat2(this.rootFd, node.path || '.', O.RDONLY | O.NONBLOCK, 0, 0), 'flags');
    const rc = call(fd);
    native.close(fd);
    return ok(rc, 'flags');
  }

  destroy(): void {
    if (this.destroyed) throw new SysError(E.EINVAL, 'destroyed twice');
    this.destroyed = true;
    native.close(this.rootFd);
  }
}
