// Waist 1: what a file system is to the FUSE session. Objects go in and out: `N` is a file or directory, `H` an open
// one; node ids and file handles stay on the session's side. Names are byte strings and never contain "/", "" or NUL;
// "." and ".." never arrive. Attributes go into the `Stat` that the caller passes. Failures are thrown as SysError;
// a name that is not there is `null`, because a throw costs more than an answer.
import type { ByteString, Stat } from '../base/index.js';

/** Who asks. `umask` is 0 where the kernel has applied it. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly umask: number;
}

/** What a SETATTR changes; absent fields stay. Times are seconds and nanoseconds, or 'now'. */
export interface AttrChange {
  mode?: number;
  uid?: number;
  gid?: number;
  size?: number;
  atime?: FileTime;
  mtime?: FileTime;
  /** Drop setuid, setgid and file capabilities because of who asked (FATTR_KILL_SUIDGID). */
  killPrivileges?: boolean;
}

export type FileTime = 'now' | { readonly sec: number; readonly nsec: number };

/** An opened file. */
export interface Opened<H> {
  readonly handle: H;
  /**
   * A descriptor whose file the kernel may read and write in our stead (FUSE passthrough), for as long as the node has
   * opens; undefined when data must pass through `read` and `write`. The session uses it at once and never closes it.
   */
  readonly backing?: number;
  /** What the kernel has cached of this node's data is still right. */
  readonly keepCache: boolean;
  /**
   * The whole content of a small file, to be put into the page cache along with the answer: its reader then asks for
   * nothing more. Needs keepCache.
   */
  readonly preload?: Buffer;
  /**
   * Reads and writes of this open bypass the page cache, and writes within the file's size may come at the same time
   * (FOPEN_DIRECT_IO): for files that others write behind the kernel's back. Shared mappings: see Wishes.directMmap.
   */
  readonly direct?: boolean;
}

/** What the kernel can be told without being asked. Nodes it does not know are ignored. */
export interface Notifier<N> {
  /** Cached attributes of `node` are stale. */
  attributes(node: N): void;
  /** Cached attributes and data of `node` are stale. */
  data(node: N): void;
  /** The cached entry `name` in `parent` (present or absent) is stale. */
  entry(parent: N, name: ByteString): void;
}

/** What the session and the kernel agreed on. */
export interface Agreed<N> {
  readonly minor: number;
  readonly passthrough: boolean;
  readonly notify: Notifier<N>;
}

/** Takes directory entries; false means that this one did not fit: stop, and offer it again next time. */
export interface DirSink<N> {
  /** True when the kernel wants a node and its attributes for each entry; then `plus` is used where possible. */
  readonly wantsNodes: boolean;
  /** `next` is the offset at which reading goes on after this entry. */
  entry(name: ByteString, ino: number, type: number, next: number): boolean;
  /** As `entry`, with the node that a lookup of `name` would give. The session counts it as looked up. */
  plus(name: ByteString, node: N, stat: Stat, next: number): boolean;
}

/** Numbers for statfs(2); blocks in units of `frsize` bytes. */
export interface FsStat {
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
  bsize: number;
  namelen: number;
  frsize: number;
}

/** How long the kernel may trust what it is told, in seconds. */
export interface Timeouts {
  readonly entry: number;
  readonly attr: number;
  /** For names that are not there; 0 means that they are not remembered. */
  readonly negative: number;
}

export interface FileSystem<N extends object = object, H extends object = object> {
  readonly root: N;
  readonly timeouts: Timeouts;
  /** Once, after INIT. */
  start?(agreed: Agreed<N>): void;
  /** The node or null, with its attributes in `out`. */
  lookup(parent: N, name: ByteString, out: Stat): N | null;
  /** The kernel holds no reference to `node` any more. */
  forget(node: N): void;
  getattr(node: N, handle: H | null, out: Stat): void;
  setattr(caller: Caller, node: N, handle: H | null, change: AttrChange, out: Stat): void | Promise<void>;
  readlink(node: N): ByteString;
  /** `mode` includes the file type; device numbers only for device nodes. */
  mknod(
    caller: Caller,
    parent: N,
    name: ByteString,
    mode: number,
    major: number,
    minor: number,
    out: Stat,
  ): N;
  mkdir(caller: Caller, parent: N, name: ByteString, mode: number, out: Stat): N;
  symlink(caller: Caller, parent: N, name: ByteString, target: ByteString, out: Stat): N;
  link(caller: Caller, node: N, parent: N, name: ByteString, out: Stat): N | Promise<N>;
  unlink(parent: N, name: ByteString): void | Promise<void>;
  rmdir(parent: N, name: ByteString): void | Promise<void>;
  /** `flags` are RENAME_* of renameat2(2). */
  rename(
    caller: Caller,
    parent: N,
    name: ByteString,
    newParent: N,
    newName: ByteString,
    flags: number,
  ): void | Promise<void>;
  /** `flags` are open(2)'s, without O_CREAT, O_EXCL and O_NOCTTY; O_TRUNC is honoured. */
  open(caller: Caller, node: N, flags: number, killPrivileges: boolean): Opened<H> | Promise<Opened<H>>;
  /** The name is known not to exist, or `flags` lacks O_EXCL and an open of the existing file is wanted: EEXIST then. */
  create(
    caller: Caller,
    parent: N,
    name: ByteString,
    mode: number,
    flags: number,
    out: Stat,
  ): { node: N; opened: Opened<H> };
  tmpfile(caller: Caller, parent: N, mode: number, flags: number, out: Stat): { node: N; opened: Opened<H> };
  /** Bytes put into `into` from `at`; fewer than `size` only at the end of the file. */
  read(handle: H, offset: number, size: number, into: Buffer, at: number): number | Promise<number>;
  /** `data` is the session's buffer until the returned promise settles. `killPrivileges`: see AttrChange. */
  write(handle: H, offset: number, data: Buffer, killPrivileges: boolean): number | Promise<number>;
  release(handle: H): void;
  /** Or a descriptor, which stays open until the handle is released: to sync that is all that is to be done. */
  fsync(handle: H, datasync: boolean): void | Promise<void> | number;
  /** Takes setuid and setgid away as a write would, when the caller is not privileged. */
  fallocate(caller: Caller, handle: H, mode: number, offset: number, length: number): void | Promise<void>;
  /** SEEK_DATA or SEEK_HOLE. */
  seek(handle: H, offset: number, whence: number): number;
  /** As `fallocate`, for the target. */
  copyRange(
    caller: Caller,
    source: H,
    from: number,
    target: H,
    to: number,
    length: number,
  ): number | Promise<number>;
  opendir(node: N): H;
  /** Entries from `offset` (0, or a `next` given before). */
  readdir(handle: H, offset: number, sink: DirSink<N>): void | Promise<void>;
  releasedir(handle: H): void;
  fsyncdir(handle: H, datasync: boolean): void | Promise<void>;
  statfs(node: N): FsStat;
  syncfs(node: N): void | Promise<void>;
  /** The value, or -errno (ENODATA is common, so it is not thrown). */
  getxattr(node: N, name: ByteString): Buffer | number;
  /** Names, each ended by NUL, or -errno. Only the privileged see trusted.*: the kernel leaves that to us. */
  listxattr(caller: Caller, node: N): Buffer | number;
  /** `flags`: XATTR_CREATE, XATTR_REPLACE. `killSgid`: an ACL from somebody outside the owning group. */
  setxattr(
    caller: Caller,
    node: N,
    name: ByteString,
    value: Buffer,
    flags: number,
    killSgid: boolean,
  ): void | Promise<void>;
  removexattr(caller: Caller, node: N, name: ByteString): void | Promise<void>;
  /** access(2) when the kernel does not check permissions itself; absent: everything is allowed. */
  access?(caller: Caller, node: N, mask: number): void;
  /** FS_IOC_GETFLAGS and SETFLAGS. */
  getFlags(node: N): number;
  setFlags(caller: Caller, node: N, flags: number): void | Promise<void>;
  /** The mount is gone: release everything. */
  destroy(): void | Promise<void>;
}
