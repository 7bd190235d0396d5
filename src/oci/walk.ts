// What an upper changes, in the order of a tar: a directory, its deletions, its entries, each sorted by bytes. The upper
// over the lowers is compared with the lowers alone, but only where the upper says anything.
import { type ByteString, E, SysError } from '../base/index.js';
import type { Relinked } from './hard-links.js';
import type { Found, MergedDir } from './merged.js';
import {
  describe,
  isUntouched,
  type Node,
  type Real,
  readIdentity,
  readNode,
  readNote,
  sameData,
  sameNode,
} from './node.js';

/** A change with what a tar needs to write it. */
export type Item =
  | { kind: 'D'; path: ByteString }
  | {
      kind: 'A' | 'C';
      path: ByteString;
      node: Node;
      /** Where the data of a regular file is. */
      data: Real;
      /** The directory hides what unknown layers below have in it. */
      opaque: boolean;
    };

/** Where a walk is: a directory with the upper, and the same without it. */
export interface Place {
  path: ByteString;
  now: MergedDir;
  /** null: not there, or not a directory, or the lowers are not known. */
  old: MergedDir | null;
}

/** The names in a directory that the upper may have changed. */
export function changedNames(place: Place): { entries: ByteString[]; deleted: ByteString[] } {
  const { now, old } = place;
  const top = now.parts[0]!;
  if (now.isOver(old)) {
    const deleted = [...top.whiteouts].filter(name => !top.entries.has(name));
    return { entries: [...top.entries.keys()].sort(), deleted: deleted.sort() };
  }
  const deleted = old === null ? [] : old.names().filter(name => now.lookup(name) === null);
  return { entries: now.names(), deleted };
}

/** `name` in the directory `path`. */
export function join(path: ByteString, name: ByteString): ByteString {
  return path === '' ? name : `${path}/${name}`;
}

interface Frame extends Place {
  names: Iterator<ByteString>;
  /** The directory itself, not yet told because nothing about it has changed so far. */
  pending: Item | null;
}

/** One walk over an upper. */
export class Walk {
  private readonly frames: Frame[] = [];

  constructor(
    private readonly root: Place,
    /** False: nobody has said what is below the upper. */
    private readonly lowersKnown: boolean,
    private readonly relinked: Relinked,
    /** Both trees come from one: an inode with the same ctime is the same file. */
    private readonly snapshots = false,
  ) {}

  async *items(): AsyncGenerator<Item, void, undefined> {
    try {
      const item = this.rootItem();
      if (item !== null) yield item;
      yield* this.enter(this.root, null);
      while (this.frames.length > 0) {
        const frame = this.frames.at(-1)!;
        const next = frame.names.next();
        if (next.done === true) this.leave();
        else yield* this.examine(frame, next.value);
      }
    } finally {
      while (this.frames.length > 0) this.leave();
    }
  }

  private rootItem(): Item | null {
    const { now, old } = this.root;
    const real = { dir: now.parts[0]!.dir, name: '' };
    const node = readNode(real);
    const below = old?.parts[0];
    if (below !== undefined) {
      const other = readNode({ dir: below.dir, name: '' });
      // Nothing above the root would bring its time along.
      const sameTime = node.mtime === other.mtime && node.mtimeNsec === other.mtimeNsec;
      if (sameTime && sameNode(node, other)) return null;
    }
    const opaque = !this.lowersKnown && now.parts[0]!.marks.opaque === 'y';
    return { kind: below === undefined ? 'A' : 'C', path: '', node, data: real, opaque };
  }

  private *enter(place: Place, pending: Item | null): Generator<Item, void, undefined> {
    const { entries, deleted } = changedNames(place);
    const names = new Set([...entries, ...(this.relinked.names.get(place.path) ?? [])]);
    this.frames.push({ ...place, names: [...names].sort().values(), pending });
    for (const name of deleted) {
      if (this.lowersKnown && !place.old?.lookup(name)) continue;
      yield* this.tell({ kind: 'D', path: join(place.path, name) });
    }
  }

  private leave(): void {
    const frame = this.frames.pop()!;
    frame.now.release();
    frame.old?.release();
  }

  /** Tells a change, and first of the directories above it, of which nothing was told yet. */
  private *tell(item: Item): Generator<Item, void, undefined> {
    for (const frame of this.frames) {
      if (frame.pending !== null) yield frame.pending;
      frame.pending = null;
    }
    yield item;
  }

  private async *examine(frame: Frame, name: ByteString): AsyncGenerator<Item, void, undefined> {
    const found = frame.now.lookup(name);
    if (found === null) return;
    const below = frame.old?.lookup(name) ?? null;
    const path = join(frame.path, name);
    const copy = this.relinked.indexed.get(path);
    if (copy !== undefined) yield* this.examineFile(path, copy, below);
    else if (found.isDirectory) yield* this.examineDirectory(path, found, below);
    else if (below === null || !found.isSame(below)) yield* this.examineFile(path, found, below);
  }

  private async *examineFile(
    path: ByteString,
    found: Found,
    below: Found | null,
  ): AsyncGenerator<Item, void, undefined> {
    const { real } = found;
    if (this.isUntouched(found, below)) return;
    const node = readNode(real);
    const data = node.type === 'file' ? dataOf(found) : real;
    if (data !== real) node.size = readNode(data).size;
    if (below !== null && (await this.isUnchanged(node, data, below))) return;
    yield* this.tell({ kind: this.kind(real, below), path, node, data, opaque: false });
  }

  private *examineDirectory(
    path: ByteString,
    found: Found,
    below: Found | null,
  ): Generator<Item, void, undefined> {
    const { real } = found;
    const now = found.children!;
    const { opaque, redirect } = now.parts[0]!.marks;
    const hides = opaque === 'y' || found.part.whiteouts.has(found.name);
    if (redirect !== null && !hides && !this.lowersKnown) {
      const rule = 'was renamed: its content is in the lower layers, which must be given';
      throw new SysError(E.EINVAL, `${describe(real)} ${rule}`);
    }
    const item: Item = {
      kind: this.kind(real, below),
      path,
      node: readNode(real),
      data: real,
      opaque: !this.lowersKnown && hides,
    };
    const same = below !== null && sameNode(item.node, readNode(below.real));
    if (!same) yield* this.tell(item);
    const old = below?.children ?? null;
    if (!now.isSame(old) || this.relinked.names.has(path))
      return yield* this.enter({ path, now, old }, same ? item : null);
    now.release();
    old?.release();
  }

  private kind(real: Real, below: Found | null): 'A' | 'C' {
    if (this.lowersKnown) return below === null ? 'A' : 'C';
    return readNote(real, 'origin') === null ? 'A' : 'C';
  }

  private isUntouched({ real }: Found, below: Found | null): boolean {
    if (!this.snapshots || below === null || !isUntouched(real, below.real)) return false;
    const { inodes } = this.relinked;
    return inodes.size === 0 || !inodes.has(readIdentity(real).key);
  }

  private async isUnchanged(node: Node, data: Real, below: Found): Promise<boolean> {
    if (below.isDirectory || this.relinked.inodes.has(node.key)) return false;
    if (!sameNode(node, readNode(below.real))) return false;
    return node.type !== 'file' || sameData(data, dataOf(below), node.size);
  }
}

/** The file with the data of a regular file: itself, or one further down when only its metadata were copied up. */
function dataOf(found: Found): Real {
  const { real } = found;
  if (readNote(real, 'metacopy') === null) return real;
  const below = found.below(readNote(real, 'redirect')?.toString('latin1') ?? found.name);
  if (below !== null && !below.isDirectory) return dataOf(below);
  const rule = 'holds only metadata: its data are in the lower layers, which must be given';
  throw new SysError(E.EINVAL, `${describe(real)} ${rule}`);
}
