// Layers over one another as one tree, for reading: what a name means after whiteouts, opaque marks and redirects of
// any spelling. Follows kernel overlayfs (fs/overlayfs/namei.c, ovl_lookup): a redirect is a path among the layers below.
import { type ByteString, DT } from '../base/index.js';
import {
  type Layer,
  list,
  listPlain,
  type Marks,
  NO_MARKS,
  type RealDir,
  readMarks,
} from '../layer/index.js';
import type { Real } from './node.js';

/** One real directory that is part of a merged one. */
export class Part {
  private entriesOf: Map<ByteString, number> | null = null;
  private readonly hidden = new Set<ByteString>();
  private knownMarks: Marks | null = null;

  constructor(
    readonly dir: RealDir,
    /** Index of its layer; 0 is the top. */
    readonly level: number,
  ) {}

  /** Notes are read from both name spaces: a layer does not say which mount made it. */
  get marks(): Marks {
    if (this.dir.layer.plain) return NO_MARKS;
    if (this.knownMarks === null) {
      const trusted = readMarks(this.dir, 'trusted', false);
      const user = readMarks(this.dir, 'user', false);
      this.dir.veils = trusted.veils || user.veils;
      this.knownMarks = { ...trusted, redirect: trusted.redirect ?? user.redirect };
    }
    return this.knownMarks;
  }

  /** Names with their d_type; deletions are in `whiteouts`. */
  get entries(): ReadonlyMap<ByteString, number> {
    if (this.entriesOf === null) {
      const entries = new Map<ByteString, number>();
      if (this.dir.layer.plain) listPlain(this.dir, (name, type) => entries.set(name, type));
      else this.list(entries);
      this.entriesOf = entries;
    }
    return this.entriesOf;
  }

  /** Names that this directory deletes from those below; it can have an entry of the same name as well. */
  get whiteouts(): ReadonlySet<ByteString> {
    return this.entries && this.hidden;
  }

  private list(entries: Map<ByteString, number>): void {
    // Listing needs what the marks say.
    this.knownMarks = this.marks;
    list(this.dir, {
      entry: (name, type) => entries.set(name, type),
      whiteout: name => this.hidden.add(name),
    });
  }

  isSame(other: Part): boolean {
    return this.level === other.level && this.dir.path() === other.dir.path();
  }
}

/** What a merged directory has under a name: the part that shows it, and for a directory everything it merges. */
export class Found {
  readonly real: Real;
  private merged: MergedDir | null | undefined;

  constructor(
    /** The directory that was asked, or the last one of a redirect's path. */
    readonly dir: MergedDir,
    private readonly index: number,
    readonly name: ByteString,
    readonly isDirectory: boolean,
  ) {
    this.real = { dir: this.part.dir, name };
  }

  get part(): Part {
    return this.dir.parts[this.index]!;
  }

  /** null unless it is a directory. */
  get children(): MergedDir | null {
    if (this.merged === undefined) this.merged = this.isDirectory ? this.mergeChildren() : null;
    return this.merged;
  }

  /** Is it the same real file? */
  isSame(other: Found): boolean {
    return this.name === other.name && this.part.isSame(other.part);
  }

  /** What the layers below this one have at `where`: a name in the same directory, or an absolute path. */
  below(where: ByteString): Found | null {
    return this.dir.below(this.index, where);
  }

  private mergeChildren(): MergedDir {
    const child = new Part(this.part.dir.child(this.name), this.part.level);
    const ends = child.marks.opaque === 'y' || this.part.whiteouts.has(this.name);
    const below = ends ? null : this.below(child.marks.redirect ?? this.name);
    return new MergedDir([child, ...(below?.children?.parts ?? [])], this.dir.stack);
  }
}

/** All layers of a merged tree. */
interface Stack {
  /** Where absolute redirects start. */
  roots: readonly Part[];
  /** Directories that redirects led to: nobody's walk comes past them to release them. */
  strays: Set<RealDir>;
}

/** A directory as the layers show it together. */
export class MergedDir {
  constructor(
    /** Top first. */
    readonly parts: readonly Part[],
    readonly stack: Stack,
  ) {}

  /** The root of `layers` (top first), the first of which has the index `level`. */
  static root(layers: readonly Layer[], level: number): MergedDir {
    const roots = layers.map((layer, i) => new Part(layer.root, level + i));
    const opaque = roots.findIndex(part => part.marks.opaque === 'y');
    return new MergedDir(opaque < 0 ? roots : roots.slice(0, opaque + 1), { roots, strays: new Set() });
  }

  /** All names that are there, in byte order. */
  names(): ByteString[] {
    const seen = new Set<ByteString>();
    const hidden = new Set<ByteString>();
    for (const part of this.parts) {
      for (const name of part.entries.keys()) if (!hidden.has(name)) seen.add(name);
      for (const name of part.whiteouts) hidden.add(name);
    }
    return [...seen].sort();
  }

  /** What is under `name`, or null. */
  lookup(name: ByteString): Found | null {
    return this.lookupFrom(0, name);
  }

  private lookupFrom(start: number, name: ByteString): Found | null {
    for (let i = start; i < this.parts.length; i++) {
      const part = this.parts[i]!;
      const type = part.entries.get(name);
      if (type !== undefined) return new Found(this, i, name, type === DT.DIR);
      if (part.whiteouts.has(name)) return null;
    }
    return null;
  }

  /** What the parts after `index` have under the name `where`, or their layers at that absolute path. */
  below(index: number, where: ByteString): Found | null {
    if (!where.startsWith('/')) return this.lookupFrom(index + 1, where);
    const { level } = this.parts[index]!;
    const roots = this.stack.roots.filter(root => root.level > level);
    let dir: MergedDir | null = new MergedDir(roots, this.stack);
    let found: Found | null = null;
    for (const name of where.split('/').filter(Boolean)) {
      found = dir?.lookup(name) ?? null;
      dir = found?.children ?? null;
      for (const part of dir?.parts ?? []) this.stack.strays.add(part.dir);
    }
    return found;
  }

  isSame(other: MergedDir | null): boolean {
    return other !== null && sameParts(this.parts, other.parts);
  }

  /** Is this `other` with one more part on top of it? */
  isOver(other: MergedDir | null): boolean {
    return sameParts(this.parts.slice(1), other?.parts ?? []);
  }

  /** Closes the descriptors of its parts; they open again when needed. */
  release(): void {
    for (const part of this.parts) part.dir.release();
  }

  /** At the end of a walk: closes what redirects opened. */
  releaseStrays(): void {
    for (const stray of this.stack.strays) releaseUpwards(stray);
  }
}

function sameParts(a: readonly Part[], b: readonly Part[]): boolean {
  return a.length === b.length && a.every((part, i) => part.isSame(b[i]!));
}

/** Closes the descriptors of a directory and those above it. */
export function releaseUpwards(dir: RealDir): void {
  for (let at: RealDir | null = dir; at !== null; at = at.parent) at.release();
}
