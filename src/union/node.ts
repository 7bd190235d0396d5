// Files and directories of the merged view. A node is where its data and attributes are (one real file), its names, and
// its inode number; it lives while the kernel or an open file knows it, and then shrinks to an entry of its directory.
import { type ByteString, DT } from '../base/index.js';
import { SESSION_SLOT } from '../fuse/index.js';
import type { RealDir } from '../layer/index.js';
import { close } from '../sys/index.js';
import type { KeptChangeTime } from './changetime.js';
import type { NameOrder } from './nameorder.js';

/** A name of a merged directory that nobody has asked for yet. */
export class Entry {
  constructor(
    /** The directory that has it, of the topmost layer that does. */
    readonly real: RealDir,
    readonly type: number,
    /** As getdents gave it. */
    readonly ino: number,
    /** For a directory: the directories of lower layers that have it too. */
    readonly more: readonly RealDir[] | null,
  ) {}
}

/** What only a file with several names, or with a record in the index, needs. */
export interface Links {
  /** Its names besides the node's own. */
  aliases: { parent: Dir; name: ByteString }[];
  /** Those of its names (the node's own may be among them) that the upper has no entry of. */
  lowerNames: { parent: Dir; name: ByteString }[];
  /** Link count of the union, kept in the index; -1: the real file's count is right. */
  nlink: number;
  /** The file is (or will be, after copy-up) in the index under this name; null: no index. */
  indexName: ByteString | null;
}

/** A file of a lower layer that has another's data. */
export interface DataPlace {
  readonly real: RealDir;
  readonly name: ByteString;
}

/** What few nodes have: a million others must not pay for it. */
interface Rare {
  data: DataPlace | null;
  detached: number;
  opens: number;
  links: Links | null;
  copying: Promise<void> | null;
  /** null: the real file has the node's own name. */
  realName: ByteString | null;
}

const KNOWN = 0x100;
const PRELOADED = 0x200;
const UNSYNCED = 0x400;
const INCAPABLE = 0x800;
const GUARDED = 0x1000;

/** A file that is not a directory. */
export class Node {
  /** The session keeps its number here; room for it is made with the object. */
  [SESSION_SLOT] = 0;
  private ownName: ByteString;
  /** The d_type, and the bits above. */
  private bits: number;
  private rare: Rare | null = null;

  constructor(
    type: number,
    public ino: number,
    /** null: it has no name any more. */
    public parent: Dir | null,
    name: ByteString,
    /** The real directory with the real file; for a directory see Dir.reals. */
    public real: RealDir,
    realName: ByteString,
  ) {
    this.ownName = name;
    this.bits = type;
    if (realName !== name) this.realName = realName;
  }

  get type(): number {
    return this.bits & 0xff;
  }

  /** The kernel holds a reference. */
  get known(): boolean {
    return (this.bits & KNOWN) !== 0;
  }
  set known(value: boolean) {
    this.bits = value ? this.bits | KNOWN : this.bits & ~KNOWN;
  }

  /** The kernel has had the file's content since it was first read, or opened. */
  get preloaded(): boolean {
    return (this.bits & PRELOADED) !== 0;
  }
  set preloaded(value: boolean) {
    this.bits = value ? this.bits | PRELOADED : this.bits & ~PRELOADED;
  }

  /** A copy whose data may not be on the disk yet (groupsync.ts). */
  get unsynced(): boolean {
    return (this.bits & UNSYNCED) !== 0;
  }
  set unsynced(value: boolean) {
    this.bits = value ? this.bits | UNSYNCED : this.bits & ~UNSYNCED;
  }

  /** Known to have no file capabilities: the kernel asks before the first write after each change of attributes. */
  get incapable(): boolean {
    return (this.bits & INCAPABLE) !== 0;
  }
  set incapable(value: boolean) {
    this.bits = value ? this.bits | INCAPABLE : this.bits & ~INCAPABLE;
  }

  /** Immutable or append-only in a lower layer. */
  get guarded(): boolean {
    return (this.bits & GUARDED) !== 0;
  }
  set guarded(value: boolean) {
    this.bits = value ? this.bits | GUARDED : this.bits & ~GUARDED;
  }

  get name(): ByteString {
    return this.ownName;
  }
  set name(value: ByteString) {
    const { realName } = this;
    this.ownName = value;
    this.realName = realName;
  }

  /** The real file's name in `real`. */
  get realName(): ByteString {
    return this.rare?.realName ?? this.ownName;
  }
  set realName(value: ByteString) {
    if (this.rare !== null || value !== this.ownName)
      this.more().realName = value === this.ownName ? null : value;
  }

  /** The real file when it has no name in the upper (any more); -1 otherwise. */
  get detached(): number {
    return this.rare === null ? -1 : this.rare.detached;
  }
  set detached(fd: number) {
    if (fd !== this.detached) this.more().detached = fd;
  }

  /** Open handles. */
  get opens(): number {
    return this.rare === null ? 0 : this.rare.opens;
  }
  set opens(count: number) {
    this.more().opens = count;
  }

  get links(): Links | null {
    return this.rare === null ? null : this.rare.links;
  }
  set links(links: Links | null) {
    this.more().links = links;
  }

  /** Where the file's data is when its real file has only its attributes (metacopy.ts). */
  get data(): DataPlace | null {
    return this.rare === null ? null : this.rare.data;
  }
  set data(data: DataPlace | null) {
    if (data !== this.data) this.more().data = data;
  }

  /** A copy-up is on its way. */
  get copying(): Promise<void> | null {
    return this.rare === null ? null : this.rare.copying;
  }
  set copying(copying: Promise<void> | null) {
    this.more().copying = copying;
  }

  private more(): Rare {
    this.rare ??= { data: null, detached: -1, opens: 0, links: null, copying: null, realName: null };
    return this.rare;
  }

  /** With `leaf`: where system calls find the real file. Good for the next call only (see RealDir.fd). */
  fd(): number {
    return this.detached >= 0 ? this.detached : this.real.fd();
  }

  leaf(): ByteString {
    return this.detached >= 0 ? '' : this.realName;
  }

  isUpper(): boolean {
    return this.real.layer.writable;
  }

  /** Is the file's data in the upper? */
  hasUpperData(): boolean {
    return this.isUpper() && this.data === null;
  }

  /** Names besides its own that the node is known by. */
  aliasCount(): number {
    return this.links === null ? 0 : this.links.aliases.length;
  }

  isUnlinked(): boolean {
    return this.parent === null;
  }

  /** For messages. */
  describe(): string {
    return this.parent === null ? `(deleted) ${this.name}` : `${this.parent.describe()}/${this.name}`;
  }

  releaseDetached(): void {
    if (this.detached >= 0) close(this.detached);
    this.detached = -1;
  }
}

/** A directory: one real directory, or several merged. */
export class Dir extends Node {
  /** What is known of its names; all of them when `complete`. Changed by `put`, `drop` and `replaceAll` only. */
  readonly names = new Map<ByteString, Entry | Node>();
  /** The names in the order of readdir offsets, once somebody has read the directory. */
  order: NameOrder | null = null;
  complete = false;
  /** Names of the upper that lower layers have too: deleting them needs a whiteout. */
  covered: Set<ByteString> | null = null;
  /** Names that the upper says are deleted. */
  whiteouts: Set<ByteString> | null = null;
  /** Counts changes of names, for who reads the directory in several turns. */
  version = 0;
  /** Nodes whose parent this is. */
  children = 0;
  /** Where the layers below the upper have it, when not under its own name (see Marks.redirect). */
  redirect: ByteString | null = null;
  /** The upper directory may hold files whose inode numbers come from elsewhere. */
  impure = false;
  defaultAcl = false;
  /** Of a directory that nobody has changed since it last got a copied-up entry. */
  keptChangeTime: KeptChangeTime | null = null;
  /** A listing on a worker is on its way. */
  listing: Promise<void> | null = null;

  constructor(
    ino: number,
    parent: Dir | null,
    name: ByteString,
    /** The real directories, topmost first; never empty. */
    readonly reals: RealDir[],
  ) {
    super(DT.DIR, ino, parent, name, reals[0]!, name);
  }

  override fd(): number {
    return this.reals[0]!.fd();
  }

  override leaf(): ByteString {
    return '';
  }

  override isUpper(): boolean {
    return this.reals[0]!.layer.writable;
  }

  /** The directory in the upper. Only after copy-up. */
  upper(): RealDir {
    return this.reals[0]!;
  }

  /** Is there more than one real directory? Its link count is 1 then, as with the kernel. */
  isMerged(): boolean {
    return this.reals.length > 1;
  }

  /** Do lower layers have a part in it? */
  hasLower(): boolean {
    return this.reals.length > 1 || !this.isUpper();
  }

  override describe(): string {
    return this.parent === null && this.name === '' ? '' : super.describe();
  }

  override releaseDetached(): void {
    for (const real of this.reals) real.release();
  }

  put(name: ByteString, child: Entry | Node): void {
    if (this.order !== null && !this.names.has(name)) this.order.add(name);
    this.names.set(name, child);
  }

  drop(name: ByteString): void {
    if (this.names.delete(name)) this.order?.remove(name);
  }

  /** Takes a whole new map, keeping offsets. */
  replaceAll(names: Iterable<[ByteString, Entry | Node]>): void {
    this.names.clear();
    for (const [name, child] of names) this.names.set(name, child);
    this.order?.replace(this.names);
  }

  cover(name: ByteString): void {
    this.covered ??= new Set();
    this.covered.add(name);
  }

  addWhiteout(name: ByteString): void {
    this.whiteouts ??= new Set();
    this.whiteouts.add(name);
  }

  hasWhiteout(name: ByteString): boolean {
    return this.whiteouts?.has(name) ?? false;
  }

  isCovered(name: ByteString): boolean {
    return this.covered?.has(name) ?? false;
  }
}
