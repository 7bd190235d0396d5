// The union as a FileSystem: each operation of the waist goes to the room's function for it.
import { type ByteString, DT, E, ok, type Stat, SysError } from '../base/index.js';
import type {
  Agreed,
  AttrChange,
  Caller,
  DirSink,
  FileSystem,
  FsStat,
  Opened,
  Timeouts,
} from '../fuse/index.js';
import { shareLocks, unmarkVolatile } from '../layer/index.js';
import { fstatfs, readlinkat, syncfsAsync } from '../sys/index.js';
import { setattr } from './attr.js';
import { completeCopies } from './complete.js';
import { makeDirectory, makeFile, makeLink, makeNode, makeSymlink, makeUnnamed } from './create.js';
import { getFlags, setFlags } from './fileflags.js';
import { withIds } from './idmap.js';
import * as io from './io.js';
import { lookup, readStat } from './lookup.js';
import { Dir, type Node } from './node.js';
import { openStack } from './open.js';
import { DirHandle, fsyncDir, readdir } from './readdir.js';
import { rmdir, unlink } from './remove.js';
import { rename } from './rename.js';
import type { Stack } from './stack.js';
import type { UnionConfig, Usage } from './unionconfig.js';
import { getXattr, listXattrs, removeXattr, setXattr } from './xattr.js';

const LINK_MAX = 4096;
const linkTarget = Buffer.alloc(LINK_MAX);
const statfsSlots = new Float64Array(12);

/** An open file or directory of the union. */
export type Handle = io.FileHandle | DirHandle;

export class Union implements FileSystem<Node, Handle> {
  readonly root: Node;
  readonly timeouts: Timeouts;

  private constructor(private readonly stack: Stack) {
    this.root = stack.root;
    this.timeouts = stack.config.timeouts;
  }

  /**
   * Opens the layers and makes their union ready to be served. Throws OptionError or SysError with a sentence that names
   * the layer and what is wrong with it.
   */
  static open(config: UnionConfig): Union {
    return new Union(openStack(config));
  }

  /**
   * What the upper directory holds now, as du counts it, plus unlinked files that are still open; null unless
   * `UnionConfig.usage` or a limit asks for it. O(open files). Not `exact` while the upper is being counted. After `destroy` it
   * is what it was at the end.
   */
  usage(): (Usage & { readonly exact: boolean }) | null {
    return this.stack.meter?.usage() ?? null;
  }

  /** Resolves when `usage` is exact; rejects when the upper could not be read. */
  counted(): Promise<void> {
    return this.stack.meter?.counted ?? Promise.resolve();
  }

  /**
   * Of a union that is not mounted: brings the data of the upper's metadata-only copies (metacopy) into the upper. Resolves to how
   * many there were. EROFS without an upper.
   */
  completeCopies(): Promise<number> {
    return completeCopies(this.stack);
  }

  start(agreed: Agreed<Node>): void {
    this.stack.notify = agreed.notify;
    // What the kernel writes itself can be counted, but not limited.
    this.stack.passthrough = agreed.passthrough && !(this.stack.quota?.limitsBytes ?? false);
  }

  lookup(parent: Node, name: ByteString, out: Stat): Node | null {
    const node = lookup(this.stack, directory(parent), name, out);
    if (node !== null) node.known = true;
    return node;
  }

  forget(node: Node): void {
    if (node === this.root) return;
    node.known = false;
    this.stack.shrink(node);
  }

  getattr(node: Node, _handle: Handle | null, out: Stat): void {
    readStat(this.stack, node, out);
  }

  setattr(
    caller: Caller,
    node: Node,
    _handle: Handle | null,
    change: AttrChange,
    out: Stat,
  ): void | Promise<void> {
    return setattr(this.stack, caller, node, change, out);
  }

  readlink(node: Node): ByteString {
    if (node.type !== DT.LNK) throw new SysError(E.EINVAL, node.describe());
    const length = ok(readlinkat(node.fd(), node.leaf(), linkTarget), node.describe());
    return linkTarget.toString('latin1', 0, length);
  }

  mknod(
    caller: Caller,
    parent: Node,
    name: ByteString,
    mode: number,
    major: number,
    minor: number,
    out: Stat,
  ): Node {
    return known(makeNode(this.stack, caller, directory(parent), name, mode, { major, minor }, out));
  }

  mkdir(caller: Caller, parent: Node, name: ByteString, mode: number, out: Stat): Node {
    return known(makeDirectory(this.stack, caller, directory(parent), name, mode, out));
  }

  symlink(caller: Caller, parent: Node, name: ByteString, target: ByteString, out: Stat): Node {
    return known(makeSymlink(this.stack, caller, directory(parent), name, target, out));
  }

  link(_caller: Caller, node: Node, parent: Node, name: ByteString, out: Stat): Node | Promise<Node> {
    const linked = makeLink(this.stack, node, directory(parent), name, out);
    return linked instanceof Promise ? linked.then(known) : known(linked);
  }

  unlink(parent: Node, name: ByteString): void | Promise<void> {
    return unlink(this.stack, directory(parent), name);
  }

  rmdir(parent: Node, name: ByteString): void | Promise<void> {
    return rmdir(this.stack, directory(parent), name);
  }

  rename(
    _caller: Caller,
    parent: Node,
    name: ByteString,
    newParent: Node,
    newName: ByteString,
    flags: number,
  ): void | Promise<void> {
    const from = { parent: directory(parent), name };
    return rename(this.stack, from, { parent: directory(newParent), name: newName }, flags);
  }

  open(
    _caller: Caller,
    node: Node,
    flags: number,
    killPrivileges: boolean,
  ): Opened<Handle> | Promise<Opened<Handle>> {
    return io.open(this.stack, node, flags, killPrivileges);
  }

  create(caller: Caller, parent: Node, name: ByteString, mode: number, flags: number, out: Stat) {
    const { node, fd } = makeFile(this.stack, caller, directory(parent), name, mode, flags, out);
    return { node: known(node), opened: io.openedAs(this.stack, node, flags, fd, out.mode) };
  }

  tmpfile(caller: Caller, parent: Node, mode: number, flags: number, out: Stat) {
    const { node, fd } = makeUnnamed(this.stack, caller, directory(parent), mode, flags, out);
    return { node: known(node), opened: io.openedAs(this.stack, node, flags, fd) };
  }

  read(handle: Handle, offset: number, size: number, into: Buffer, at: number): number | Promise<number> {
    return io.read(file(handle), offset, size, into, at);
  }

  write(handle: Handle, offset: number, data: Buffer, killPrivileges: boolean): number | Promise<number> {
    return io.write(this.stack, file(handle), offset, data, killPrivileges);
  }

  release(handle: Handle): void {
    io.release(this.stack, file(handle));
  }

  fsync(handle: Handle, datasync: boolean): void | Promise<void> | number {
    return io.fsync(this.stack, file(handle), datasync);
  }

  fallocate(caller: Caller, handle: Handle, mode: number, offset: number, length: number): Promise<void> {
    return io.fallocate(this.stack, caller, file(handle), mode, offset, length);
  }

  seek(handle: Handle, offset: number, whence: number): number {
    return io.seek(file(handle), offset, whence);
  }

  copyRange(
    caller: Caller,
    source: Handle,
    from: number,
    target: Handle,
    to: number,
    length: number,
  ): Promise<number> {
    return io.copyRange(this.stack, caller, file(source), from, file(target), to, length);
  }

  opendir(node: Node): Handle {
    const dir = directory(node);
    dir.opens++;
    return new DirHandle(dir);
  }

  readdir(handle: Handle, offset: number, sink: DirSink<Node>): void | Promise<void> {
    return readdir(this.stack, openDirectory(handle), offset, sink);
  }

  releasedir(handle: Handle): void {
    const { node } = openDirectory(handle);
    node.opens--;
    this.stack.shrink(node);
  }

  fsyncdir(handle: Handle, datasync: boolean): Promise<void> {
    return fsyncDir(this.stack, openDirectory(handle), datasync);
  }

  statfs(_node: Node): FsStat {
    const { upper, lowers, quota } = this.stack;
    ok(fstatfs((upper?.layer ?? lowers[0]!).rootFd, statfsSlots), 'statfs');
    const [, bsize, blocks, bfree, bavail, files, ffree, namelen, frsize] =
      statfsSlots as unknown as number[];
    const real: FsStat = {
      bsize: bsize!,
      blocks: blocks!,
      bfree: bfree!,
      bavail: bavail!,
      files: files!,
      ffree: ffree!,
      namelen: namelen!,
      frsize: frsize!,
    };
    return quota === null ? real : quota.narrow(real);
  }

  async syncfs(): Promise<void> {
    const { upper, behaviour } = this.stack;
    await this.stack.group?.settled();
    if (upper !== null && behaviour.fsync) ok(await syncfsAsync(upper.layer.rootFd), 'syncfs');
  }

  getxattr(node: Node, name: ByteString): Buffer | number {
    return getXattr(this.stack, node, name);
  }

  listxattr(caller: Caller, node: Node): Buffer | number {
    return listXattrs(this.stack, node, caller.uid === 0);
  }

  setxattr(
    _caller: Caller,
    node: Node,
    name: ByteString,
    value: Buffer,
    flags: number,
    killSgid: boolean,
  ): void | Promise<void> {
    return setXattr(this.stack, node, name, value, flags, killSgid);
  }

  removexattr(_caller: Caller, node: Node, name: ByteString): void | Promise<void> {
    return removeXattr(this.stack, node, name);
  }

  getFlags(node: Node): number {
    return getFlags(node);
  }

  setFlags(_caller: Caller, node: Node, flags: number): void | Promise<void> {
    return setFlags(this.stack, node, flags);
  }

  async destroy(): Promise<void> {
    const { upper, lowers, config, behaviour } = this.stack;
    this.stack.meter?.close();
    if (upper !== null) {
      shareLocks(upper);
      await this.stack.group?.close();
      if (config.volatile && !behaviour.readonly) {
        ok(await syncfsAsync(upper.layer.rootFd), 'syncfs');
        unmarkVolatile(upper);
      }
      upper.close();
    }
    for (const layer of lowers) layer.close();
  }
}

/** The union as its users are to see it, with the id mappings of `config`. Throws as `Union.open` does. */
export function openUnion(config: UnionConfig): FileSystem {
  return withIds(Union.open(config), config) as FileSystem;
}

function known(node: Node): Node {
  node.known = true;
  return node;
}

function directory(node: Node): Dir {
  if (!(node instanceof Dir)) throw new SysError(E.ENOTDIR, node.describe());
  return node;
}

function file(handle: Handle): io.FileHandle {
  if (handle instanceof DirHandle) throw new SysError(E.EISDIR, handle.node.describe());
  return handle;
}

function openDirectory(handle: Handle): DirHandle {
  if (!(handle instanceof DirHandle)) throw new SysError(E.ENOTDIR, handle.node.describe());
  return handle;
}
