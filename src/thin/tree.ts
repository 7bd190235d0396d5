// The maps of all volumes: persistent radix trees that share pages. A page with more than one reference is never changed: a
// write copies it and gives each of its children one reference more, so what is shared stays as it was (design of dm-thin's
// and btrfs's trees). Only memory is touched here; a transaction takes the changes to the disk.
import { E, SysError } from '../base/index.js';
import type { RefCounts } from './counts.js';
import {
  blockAt,
  childAt,
  depthFor,
  entryOf,
  FANOUT,
  PAGE_WORDS,
  setChild,
  setMapping,
  span,
} from './entry.js';
import type { Page, PageCache } from './pages.js';

/** The part of a volume that is its map. */
export interface Root {
  root: number;
  depth: number;
  mapped: number;
}

export class MapTree {
  /** Pages without references that still hold some: page to height. */
  readonly doomed = new Map<number, number>();
  /** Roots whose reference went with an operation that is not durable yet, and may be taken back: they stay as they are. */
  readonly pinned = new Set<number>();
  /** Changes of `doomed` in the open transaction. */
  readonly doomedNow = new Set<number>();
  readonly savedNow = new Set<number>();
  /** Of the last `leaf`: is every page on its path this volume's alone, here and on the disk? */
  exclusive = false;
  private cursor = 0;

  constructor(
    private readonly pages: PageCache,
    private readonly pageCounts: RefCounts,
    private readonly dataCounts: RefCounts,
    /** A data block whose last reference has gone. */
    private readonly freed: (block: number) => void,
  ) {}

  /** The leaf for a virtual block, or null when nothing is mapped there; sets `exclusive`. */
  leaf(map: Root, index: number): Page | null {
    let id = map.root;
    this.exclusive = true;
    for (let height = map.depth; id !== 0; height--) {
      if (!this.pageCounts.isSole(id)) this.exclusive = false;
      const page = this.pages.get(id);
      if (height === 1) return page;
      id = childAt(page.words, entryOf(index, height));
    }
    return null;
  }

  /** The data block of a virtual block, or -1. */
  find(map: Root, index: number): number {
    const leaf = this.leaf(map, index);
    return leaf === null ? -1 : blockAt(leaf.words, index % FANOUT);
  }

  /** True when `block`, found in a leaf on an exclusive path, is nobody else's: it may be written in place. */
  isOwn(block: number): boolean {
    return this.exclusive && this.dataCounts.isSole(block);
  }

  /** Maps a virtual block to a data block that has no reference yet; what was mapped there loses one. */
  insert(map: Root, index: number, block: number, time: number): void {
    const leaf = this.writableLeaf(map, index);
    const slot = index % FANOUT;
    const old = blockAt(leaf.words, slot);
    this.dataCounts.increment(block);
    setMapping(leaf.words, slot, block, time);
    this.pages.change(leaf);
    if (old < 0) map.mapped++;
    else this.releaseBlock(old);
  }

  /** Unmaps the virtual blocks `from` to `to` (exclusive), which lie in one leaf. */
  unmap(map: Root, from: number, to: number): void {
    const leaf = this.leaf(map, from);
    if (leaf === null) return;
    const first = from % FANOUT;
    const last = first + (to - from);
    let inside = 0;
    let outside = 0;
    for (let slot = 0; slot < FANOUT; slot++) {
      if (blockAt(leaf.words, slot) < 0) continue;
      if (slot >= first && slot < last) inside++;
      else outside++;
    }
    if (inside === 0) return;
    map.mapped -= inside;
    // Nothing stays: the leaf's reference goes, and the leaf with it if that was the last.
    if (outside === 0) {
      this.detach(map, from);
      return;
    }
    const own = this.writableLeaf(map, from);
    for (let slot = first; slot < last; slot++) {
      const block = blockAt(own.words, slot);
      if (block < 0) continue;
      setMapping(own.words, slot, -1, 0);
      this.releaseBlock(block);
    }
    this.pages.change(own);
  }

  /** Makes the map as high as `blocks` virtual blocks need. */
  deepen(map: Root, blocks: number): void {
    for (const depth = depthFor(blocks); map.depth < depth; map.depth++) {
      if (map.root === 0) continue;
      const page = this.newPage();
      setChild(page.words, 0, map.root);
      map.root = page.id;
    }
  }

  /** The reverse, once nothing beyond is mapped. */
  flatten(map: Root, blocks: number): void {
    for (const depth = depthFor(blocks); map.depth > depth; map.depth--) {
      if (map.root === 0) continue;
      const old = this.pages.get(map.root);
      map.root = childAt(old.words, 0);
      // Who is alone stays so, and may have writes under way: the child then changes hands.
      if (this.pageCounts.isSole(old.id) && !this.pinned.has(old.id)) {
        setChild(old.words, 0, 0);
        this.pages.change(old);
      } else if (map.root !== 0) this.pageCounts.increment(map.root);
      this.release(old.id, map.depth);
    }
  }

  /** A second reference to a whole map. */
  share(map: Root): void {
    if (map.root !== 0) this.pageCounts.increment(map.root);
  }

  /** Gives back the reference to a page of this height; without references it is doomed. */
  release(page: number, height: number): void {
    if (page === 0 || this.pageCounts.decrement(page) > 0) return;
    this.doomed.set(page, height);
    this.savedNow.delete(page);
    this.doomedNow.add(page);
  }

  /** Takes back the `release` of a page that has not been taken apart. */
  unrelease(page: number): void {
    if (page === 0) return;
    this.pageCounts.increment(page);
    if (this.doomed.delete(page)) this.spared(page);
  }

  /** Takes a doomed page apart: its children lose a reference each, and its id is free. */
  dismantle(id: number, height: number): void {
    const { words } = this.pages.get(id);
    for (let slot = 0; slot < FANOUT; slot++) {
      if (height > 1) {
        const child = childAt(words, slot);
        if (child !== 0) this.release(child, height - 1);
      } else {
        const block = blockAt(words, slot);
        if (block >= 0) this.releaseBlock(block);
      }
    }
    this.doomed.delete(id);
    this.spared(id);
    this.pages.remove(id);
  }

  private spared(page: number): void {
    this.doomedNow.delete(page);
    this.savedNow.add(page);
  }

  private releaseBlock(block: number): void {
    if (this.dataCounts.decrement(block) === 0) this.freed(block);
  }

  /** The leaf for a virtual block as this map's alone: made, or copied where it or a page above it is shared. */
  private writableLeaf(map: Root, index: number): Page {
    return this.writable(map, index, 1);
  }

  private writable(map: Root, index: number, until: number): Page {
    let parent: Page | null = null;
    let id = map.root;
    for (let height = map.depth; ; height--) {
      let page: Page;
      if (id !== 0 && this.pageCounts.get(id) === 1 && !this.pinned.has(id)) page = this.pages.get(id);
      else {
        page = id === 0 ? this.newPage() : this.shadow(id, height);
        if (parent === null) map.root = page.id;
        else {
          setChild(parent.words, entryOf(index, height + 1), page.id);
          this.pages.change(parent);
        }
      }
      if (height === until) return page;
      id = childAt(page.words, entryOf(index, height));
      parent = page;
    }
  }

  private shadow(id: number, height: number): Page {
    const { words } = this.pages.get(id);
    const copy = this.newPage(words);
    for (let slot = 0; slot < FANOUT; slot++) {
      if (words[2 * slot] === 0 && words[2 * slot + 1] === 0) continue;
      if (height > 1) this.pageCounts.increment(childAt(words, slot));
      else this.dataCounts.increment(blockAt(words, slot));
    }
    this.release(id, height);
    return copy;
  }

  /** Cuts the leaf of a virtual block off, and the pages above it that become empty. */
  private detach(map: Root, index: number): void {
    let height = 1;
    while (height < map.depth) {
      const parent = this.writable(map, index, height + 1);
      const slot = entryOf(index, height + 1);
      const child = childAt(parent.words, slot);
      setChild(parent.words, slot, 0);
      this.pages.change(parent);
      this.release(child, height);
      if (!isEmpty(parent.words)) return;
      height++;
    }
    this.release(map.root, map.depth);
    map.root = 0;
  }

  private newPage(words?: Uint32Array): Page {
    const id = this.freePage();
    this.pageCounts.increment(id);
    return this.pages.create(id, words);
  }

  private freePage(): number {
    for (let looks = 0; ; looks++, this.cursor++) {
      if (this.cursor >= this.pageCounts.length && looks <= this.pageCounts.length) this.cursor = 0;
      if (this.pageCounts.freeIn(this.cursor) === 0) continue;
      const counts = this.pageCounts.countsOf(this.cursor);
      for (let slot = this.cursor === 0 ? 1 : 0; slot < PAGE_WORDS; slot++) {
        const id = this.cursor * PAGE_WORDS + slot;
        if (counts[slot] === 0 && !this.doomed.has(id)) return id;
      }
      if (this.cursor > 2 ** 40) throw new SysError(E.ENOSPC, 'no page id is free');
    }
  }

  /** The first virtual block from `index` below whose leaf's end something may be mapped: skips absent subtrees. */
  nextLeaf(map: Root, index: number): { leaf: Page | null; end: number } {
    let id = map.root;
    for (let height = map.depth; ; height--) {
      const covered = span(height) * FANOUT;
      const end = (Math.floor(index / covered) + 1) * covered;
      if (id === 0) return { leaf: null, end };
      const page = this.pages.get(id);
      if (height === 1) return { leaf: page, end };
      id = childAt(page.words, entryOf(index, height));
    }
  }
}

function isEmpty(words: Uint32Array): boolean {
  for (let i = 0; i < words.length; i++) if (words[i] !== 0) return false;
  return true;
}
