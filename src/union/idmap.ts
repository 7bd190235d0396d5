// Owners shown otherwise than they are kept: id mappings (a layer with ids 0.. shown to a user name space as 100000..) and
// squashing. A file system around another; what is inside knows nothing of it.
import { type ByteString, E, Stat, SysError } from '../base/index.js';
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
import { mapAclIds } from './acl.js';
import type { IdRange, UnionConfig } from './unionconfig.js';

/** Shown for an id that no range has, and kept for who creates a file without one (/proc/sys/kernel/overflowuid). */
const OVERFLOW_ID = 65534;

/** Translates one kind of id, both ways. */
export class IdMap {
  constructor(
    private readonly ranges: readonly IdRange[],
    private readonly squash: number | null,
  ) {}

  get changesNothing(): boolean {
    return this.ranges.length === 0 && this.squash === null;
  }

  /** The id that users see for one that a layer holds. */
  shown(id: number): number {
    if (this.squash !== null) return this.squash;
    if (this.ranges.length === 0) return id;
    const range = this.ranges.find(one => id >= one.container && id < one.container + one.length);
    return range === undefined ? OVERFLOW_ID : range.host + (id - range.container);
  }

  /** The id to keep for one that a user named. Throws EOVERFLOW when no range has it. */
  kept(id: number): number {
    const kept = this.find(id);
    if (kept === null) throw new SysError(E.EOVERFLOW, `id ${id} is in no range of the id mapping`);
    return kept;
  }

  /**
   * The id to keep for who creates a file. An engine prepares a container's tree as the host's root, which no range has, and
   * gives what it makes to the container's root afterwards.
   */
  creator(id: number): number {
    return this.find(id) ?? OVERFLOW_ID;
  }

  private find(id: number): number | null {
    if (this.ranges.length === 0) return id;
    const range = this.ranges.find(one => id >= one.host && id < one.host + one.length);
    return range === undefined ? null : range.container + (id - range.host);
  }

  /** What chown does with an id: nothing where all owners are shown alike. */
  changed(id: number | undefined): number | undefined {
    return id === undefined || this.squash !== null ? undefined : this.kept(id);
  }
}

/** The file system as its users are to see it: itself when no option says otherwise. */
export function withIds<N extends object, H extends object>(
  inner: FileSystem<N, H>,
  config: UnionConfig,
): FileSystem<N, H> {
  const uids = new IdMap(config.uidMap, config.squashUid);
  const gids = new IdMap(config.gidMap, config.squashGid);
  return uids.changesNothing && gids.changesNothing ? inner : new IdMapped(inner, uids, gids);
}

class IdMapped<N extends object, H extends object> implements FileSystem<N, H> {
  readonly root: N;
  readonly timeouts: Timeouts;

  constructor(
    private readonly inner: FileSystem<N, H>,
    private readonly uids: IdMap,
    private readonly gids: IdMap,
  ) {
    this.root = inner.root;
    this.timeouts = inner.timeouts;
  }

  private show(out: Stat): void {
    out.uid = this.uids.shown(out.uid);
    out.gid = this.gids.shown(out.gid);
  }

  private shown<T>(result: T, out: Stat): T {
    this.show(out);
    return result;
  }

  private caller(caller: Caller): Caller {
    return { ...caller, uid: this.uids.creator(caller.uid), gid: this.gids.creator(caller.gid) };
  }

  start(agreed: Agreed<N>): void {
    this.inner.start?.(agreed);
  }

  lookup(parent: N, name: ByteString, out: Stat): N | null {
    return this.shown(this.inner.lookup(parent, name, out), out);
  }

  forget(node: N): void {
    this.inner.forget(node);
  }

  getattr(node: N, handle: H | null, out: Stat): void {
    this.inner.getattr(node, handle, out);
    this.show(out);
  }

  setattr(caller: Caller, node: N, handle: H | null, change: AttrChange, out: Stat): void | Promise<void> {
    const { uid: _uid, gid: _gid, ...rest } = change;
    const uid = this.uids.changed(change.uid);
    const gid = this.gids.changed(change.gid);
    const mapped: AttrChange = {
      ...rest,
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    };
    const nothing = Object.values(mapped).every(value => value === undefined || value === false);
    if (nothing) return this.getattr(node, handle, out);
    const changing = this.inner.setattr(caller, node, handle, mapped, out);
    if (changing === undefined) return this.show(out);
    return changing.then(() => this.show(out));
  }

  readlink(node: N): ByteString {
    return this.inner.readlink(node);
  }

  mknod(
    caller: Caller,
    parent: N,
    name: ByteString,
    mode: number,
    major: number,
    minor: number,
    out: Stat,
  ): N {
    return this.shown(this.inner.mknod(this.caller(caller), parent, name, mode, major, minor, out), out);
  }

  mkdir(caller: Caller, parent: N, name: ByteString, mode: number, out: Stat): N {
    return this.shown(this.inner.mkdir(this.caller(caller), parent, name, mode, out), out);
  }

  symlink(caller: Caller, parent: N, name: ByteString, target: ByteString, out: Stat): N {
    return this.shown(this.inner.symlink(this.caller(caller), parent, name, target, out), out);
  }

  link(caller: Caller, node: N, parent: N, name: ByteString, out: Stat): N | Promise<N> {
    const linked = this.inner.link(caller, node, parent, name, out);
    return linked instanceof Promise ? linked.then(one => this.shown(one, out)) : this.shown(linked, out);
  }

  unlink(parent: N, name: ByteString): void | Promise<void> {
    return this.inner.unlink(parent, name);
  }

  rmdir(parent: N, name: ByteString): void | Promise<void> {
    return this.inner.rmdir(parent, name);
  }

  rename(
    caller: Caller,
    parent: N,
    name: ByteString,
    newParent: N,
    newName: ByteString,
    flags: number,
  ): void | Promise<void> {
    return this.inner.rename(this.caller(caller), parent, name, newParent, newName, flags);
  }

  open(caller: Caller, node: N, flags: number, killPrivileges: boolean): Opened<H> | Promise<Opened<H>> {
    return this.inner.open(caller, node, flags, killPrivileges);
  }

  create(caller: Caller, parent: N, name: ByteString, mode: number, flags: number, out: Stat) {
    return this.shown(this.inner.create(this.caller(caller), parent, name, mode, flags, out), out);
  }

  tmpfile(caller: Caller, parent: N, mode: number, flags: number, out: Stat) {
    return this.shown(this.inner.tmpfile(this.caller(caller), parent, mode, flags, out), out);
  }

  read(handle: H, offset: number, size: number, into: Buffer, at: number): number | Promise<number> {
    return this.inner.read(handle, offset, size, into, at);
  }

  write(handle: H, offset: number, data: Buffer, killPrivileges: boolean): number | Promise<number> {
    return this.inner.write(handle, offset, data, killPrivileges);
  }

  release(handle: H): void {
    this.inner.release(handle);
  }

  fsync(handle: H, datasync: boolean): void | Promise<void> | number {
    return this.inner.fsync(handle, datasync);
  }

  fallocate(caller: Caller, handle: H, mode: number, offset: number, length: number): void | Promise<void> {
    return this.inner.fallocate(caller, handle, mode, offset, length);
  }

  seek(handle: H, offset: number, whence: number): number {
    return this.inner.seek(handle, offset, whence);
  }

  copyRange(
    caller: Caller,
    source: H,
    from: number,
    target: H,
    to: number,
    length: number,
  ): number | Promise<number> {
    return this.inner.copyRange(caller, source, from, target, to, length);
  }

  opendir(node: N): H {
    return this.inner.opendir(node);
  }

  readdir(handle: H, offset: number, sink: DirSink<N>): void | Promise<void> {
    const mapped = new Stat();
    return this.inner.readdir(handle, offset, {
      wantsNodes: sink.wantsNodes,
      entry: (name, ino, type, next) => sink.entry(name, ino, type, next),
      plus: (name, node, stat, next) => {
        mapped.copyFrom(stat);
        this.show(mapped);
        return sink.plus(name, node, mapped, next);
      },
    });
  }

  releasedir(handle: H): void {
    this.inner.releasedir(handle);
  }

  fsyncdir(handle: H, datasync: boolean): void | Promise<void> {
    return this.inner.fsyncdir(handle, datasync);
  }

  statfs(node: N): FsStat {
    return this.inner.statfs(node);
  }

  syncfs(node: N): void | Promise<void> {
    return this.inner.syncfs(node);
  }

  getxattr(node: N, name: ByteString): Buffer | number {
    const value = this.inner.getxattr(node, name);
    if (typeof value === 'number') return value;
    return mapAclIds(
      name,
      value,
      id => this.uids.shown(id),
      id => this.gids.shown(id),
    );
  }

  listxattr(caller: Caller, node: N): Buffer | number {
    return this.inner.listxattr(caller, node);
  }

  setxattr(
    caller: Caller,
    node: N,
    name: ByteString,
    value: Buffer,
    flags: number,
    killSgid: boolean,
  ): void | Promise<void> {
    const kept = mapAclIds(
      name,
      value,
      id => this.uids.kept(id),
      id => this.gids.kept(id),
    );
    return this.inner.setxattr(caller, node, name, kept, flags, killSgid);
  }

  removexattr(caller: Caller, node: N, name: ByteString): void | Promise<void> {
    return this.inner.removexattr(caller, node, name);
  }

  getFlags(node: N): number {
    return this.inner.getFlags(node);
  }

  setFlags(caller: Caller, node: N, flags: number): void | Promise<void> {
    return this.inner.setFlags(caller, node, flags);
  }

  destroy(): void | Promise<void> {
    return this.inner.destroy();
  }
}
