// A pool as a directory: one regular file per volume, of the volume's size, for loop devices and whoever reads and writes
// files. Opening a file activates its volume, the last release gives it back. Nothing is cached by the kernel, because
// the same volume may be written by other ways (NBD, another mount) of the same process.
import {
  type BlockDevice,
  type ByteString,
  DT,
  E,
  fromText,
  isErrno,
  type Stat,
  SysError,
  toText,
} from '../base/index.js';
import type { AttrChange, Caller, DirSink, FileSystem, FsStat, Opened, Timeouts } from '../fuse/index.js';
import { O } from '../sys/index.js';
import { describeDisk, describeRoot, inoOf, ROOT_INO } from './disks-attr.js';
import { allocate, readAt, seek, writeAt } from './disks-data.js';
import { FixedTree } from './disks-fixed.js';

/** What is shown of a volume. Sizes in bytes, `mapped` in blocks. */
export interface Disk {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  readonly mapped: number;
  readonly readOnly: boolean;
  /** Somebody in this process has it open. */
  readonly active: boolean;
}

/** What a directory of disks needs of a Pool. Unknown names and ids are SysError ENOENT. */
export interface DiskSource {
  readonly blockSize: number;
  list(): readonly Disk[];
  info(name: string): Disk;
  nameOf(id: number): string;
  volume(name: string): BlockDevice;
  status(): { readonly dataBlocks: number; readonly usedBlocks: number };
}

export interface DisksOptions {
  /** Nothing may be written, whatever the volumes say. */
  readonly readOnly?: boolean;
  /** Show this volume alone, by id. */
  readonly only?: number;
  /** Told how often the file of a volume is open, whenever it has been opened, or closed and its volume given back. */
  readonly opens?: (count: number, id: number) => void;
}

/** A file, or the directory itself. */
export class DiskNode {
  constructor(readonly id: number) {}
  get isRoot(): boolean {
    return this.id === ROOT;
  }
}

/** An open file. */
class OpenDisk {
  constructor(
    readonly id: number,
    readonly device: BlockDevice,
    readonly writable: boolean,
    /** O_SYNC or O_DSYNC: the kernel leaves that to us when it caches nothing. */
    readonly sync: boolean,
  ) {}
}

/** An open directory, with the volumes that it had when it was read from its start. */
class OpenListing {
  disks: readonly Disk[] = [];
}

type Handle = OpenDisk | OpenListing;

const ROOT = -1;
/** Volume ids end at 2^24 (dm-thin). */
const MAX_VOLUMES = 2 ** 24;
const NAME_MAX = 255;
const FIXED = new SysError(E.EPERM, 'size and attributes of a volume are changed by `lamina volume`');
const TRUNCATES = new SysError(E.EPERM, 'O_TRUNC would destroy a volume; write to it without');
const GONE = new SysError(E.ESTALE, 'the volume was removed');
const NO_FILE = new SysError(E.EISDIR, 'not a volume');

/** The volumes of `source` as files. It stays the caller's to close, after the session's end. */
export function poolDisks(source: DiskSource, options: DisksOptions = {}): FileSystem<DiskNode, Handle> {
  return new Disks(source, options);
}

class Disks extends FixedTree<DiskNode, Handle> implements FileSystem<DiskNode, Handle> {
  readonly root = new DiskNode(ROOT);
  /** Volumes come, go and grow without a word to the kernel, so it asks each time. */
  readonly timeouts: Timeouts = { entry: 0, attr: 0, negative: 0 };
  private readonly nodes = new Map<number, DiskNode>();
  /** When each volume was last written through here (milliseconds, by id): a volume has no times of its own. */
  private readonly written = new Map<number, number>();
  private readonly started = Date.now();
  private readonly closing = new Set<Promise<void>>();
  private readonly failures: unknown[] = [];
  /** How often each is open, by id; those that are not are not in it. */
  private readonly opens = new Map<number, number>();

  constructor(
    private readonly source: DiskSource,
    private readonly options: DisksOptions,
  ) {
    super();
  }

  lookup(_parent: DiskNode, name: ByteString, out: Stat): DiskNode | null {
    const disk = this.find(name);
    if (disk === null) return null;
    this.describe(disk, out);
    return this.node(disk.id);
  }

  forget(node: DiskNode): void {
    this.nodes.delete(node.id);
  }

  getattr(node: DiskNode, _handle: Handle | null, out: Stat): void {
    if (node.isRoot) describeRoot(out, this.started);
    else this.describe(this.disk(node), out);
  }

  /** Only what changes nothing: ftruncate to the present size is what some tools do before they write. */
  setattr(_caller: Caller, node: DiskNode, handle: Handle | null, change: AttrChange, out: Stat): void {
    const { killPrivileges: _, size, mtime: _set, ...rest } = change;
    if (node.isRoot || size !== this.disk(node).size || Object.keys(rest).length > 0) throw FIXED;
    this.getattr(node, handle, out);
  }

  open(_caller: Caller, node: DiskNode, flags: number): Opened<Handle> {
    if (node.isRoot) throw NO_FILE;
    const disk = this.disk(node);
    const writable = (flags & O.ACCMODE) !== O.RDONLY;
    if (writable && (disk.readOnly || this.options.readOnly === true)) throw new SysError(E.EROFS, disk.name);
    if ((flags & O.TRUNC) !== 0) throw TRUNCATES;
    const device = this.source.volume(disk.name);
    this.count(disk.id, 1);
    const handle = new OpenDisk(disk.id, device, writable, (flags & O.DSYNC) !== 0);
    return { handle, keepCache: false, direct: true };
  }

  create(_caller: Caller, _parent: DiskNode, name: ByteString): never {
    if (this.find(name) !== null) throw new SysError(E.EEXIST, toText(name));
    throw new SysError(E.EPERM, `${toText(name)}: volumes are made by \`lamina volume create\``);
  }

  read(handle: Handle, offset: number, size: number, into: Buffer, at: number): number | Promise<number> {
    return readAt(file(handle).device, offset, size, into, at);
  }

  write(handle: Handle, offset: number, data: Buffer): number | Promise<number> {
    const open = this.toWrite(handle);
    return writeAt(open.device, offset, data, open.sync);
  }

  fallocate(
    _caller: Caller,
    handle: Handle,
    mode: number,
    offset: number,
    length: number,
  ): void | Promise<void> {
    return allocate(this.toWrite(handle).device, mode, offset, length);
  }

  seek(handle: Handle, offset: number, whence: number): number {
    return seek(file(handle).device, offset, whence);
  }

  fsync(handle: Handle): Promise<void> {
    return file(handle).device.flush();
  }

  release(handle: Handle): void {
    const { id, device } = file(handle);
    const closing = device
      .close()
      .catch((error: unknown) => this.failures.push(error))
      .then(() => {
        this.closing.delete(closing);
        this.count(id, -1);
      });
    this.closing.add(closing);
  }

  opendir(_node: DiskNode): Handle {
    return new OpenListing();
  }

  /** Offsets follow the ids, so that a listing that goes on while volumes come and go has each of the others once. */
  readdir(handle: Handle, offset: number, sink: DirSink<DiskNode>): void {
    const listing = handle as OpenListing;
    if (offset === 0) listing.disks = this.listed();
    if (offset < 1 && !sink.entry('.', ROOT_INO, DT.DIR, 1)) return;
    if (offset < 2 && !sink.entry('..', ROOT_INO, DT.DIR, 2)) return;
    for (const { id, name } of listing.disks) {
      if (id + 2 < offset) continue;
      if (!sink.entry(fromText(name), inoOf(id), DT.REG, id + 3)) return;
    }
  }

  releasedir(_handle: Handle): void {}

  statfs(_node: DiskNode): FsStat {
    const { dataBlocks, usedBlocks } = this.source.status();
    const free = dataBlocks - usedBlocks;
    const files = this.source.list().length;
    // A loop device takes the first of the two for the granularity of its discards.
    const { blockSize } = this.source;
    return {
      blocks: dataBlocks,
      bfree: free,
      bavail: free,
      files,
      ffree: MAX_VOLUMES - files,
      bsize: blockSize,
      namelen: NAME_MAX,
      frsize: blockSize,
    };
  }

  /** Every handle flushes its own volume; the kernel does not send this for an ordinary FUSE mount. */
  syncfs(_node: DiskNode): void {}

  async destroy(): Promise<void> {
    await Promise.all(this.closing);
    if (this.failures.length > 0) throw this.failures[0];
  }

  private count(id: number, step: number): void {
    const count = (this.opens.get(id) ?? 0) + step;
    if (count === 0) this.opens.delete(id);
    else this.opens.set(id, count);
    this.options.opens?.(count, id);
  }

  private node(id: number): DiskNode {
    let node = this.nodes.get(id);
    if (node === undefined) {
      node = new DiskNode(id);
      this.nodes.set(id, node);
    }
    return node;
  }

  private shows(disk: Disk): boolean {
    return this.options.only === undefined || this.options.only === disk.id;
  }

  private listed(): Disk[] {
    return this.source
      .list()
      .filter(disk => this.shows(disk))
      .sort((a, b) => a.id - b.id);
  }

  /** The volume that a name means; a name that is not UTF-8 means none. */
  private find(name: ByteString): Disk | null {
    const text = toText(name);
    if (fromText(text) !== name) return null;
    try {
      const disk = this.source.info(text);
      return this.shows(disk) ? disk : null;
    } catch (error) {
      if (isErrno(error, E.ENOENT)) return null;
      throw error;
    }
  }

  private disk(node: DiskNode): Disk {
    try {
      return this.source.info(this.source.nameOf(node.id));
    } catch (error) {
      throw isErrno(error, E.ENOENT) ? GONE : error;
    }
  }

  private toWrite(handle: Handle): OpenDisk {
    const open = file(handle);
    if (!open.writable) throw new SysError(E.EBADF, 'opened for reading only');
    this.written.set(open.id, Date.now());
    return open;
  }

  private describe(disk: Disk, out: Stat): void {
    const time = this.written.get(disk.id) ?? this.started;
    describeDisk(out, { ...disk, space: disk.mapped * this.source.blockSize, time });
  }
}

function file(handle: Handle): OpenDisk {
  if (handle instanceof OpenDisk) return handle;
  throw NO_FILE;
}
