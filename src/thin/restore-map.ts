// Builds maps from mappings in ascending order, page by page from the bottom: of each level only the page at the right edge
// is in memory. Pages of equal content become one page, so what volumes shared they share again.
import { createHash } from 'node:crypto';
import { blockAt, childAt, FANOUT, PAGE_WORDS, setChild, setMapping } from './entry.js';
import type { Run } from './reader.js';
import { Tally } from './restore-tally.js';

/** All pages of a pool as they are built, and the counts that follow from them. */
export class PageStore {
  readonly pageCounts = new Tally();
  readonly dataCounts = new Tally();
  private readonly known = new Map<string, number>();

  /** `insert` keeps a new page. */
  constructor(private readonly insert: (id: number, words: Uint32Array) => void) {}

  /** The id of the page with these words. A new page refers to its children or blocks. */
  page(words: Uint32Array, leaf: boolean): number {
    const key = createHash('sha256')
      .update(leaf ? 'leaf' : 'inner')
      .update(words)
      .digest('base64');
    const same = this.known.get(key);
    if (same !== undefined) return same;
    const id = this.known.size + 1;
    this.known.set(key, id);
    this.insert(id, words);
    for (let entry = 0; entry < FANOUT; entry++) {
      const target = leaf ? blockAt(words, entry) : childAt(words, entry) - 1;
      if (target < 0) continue;
      if (leaf) this.dataCounts.add(target);
      else this.pageCounts.add(target + 1);
    }
    return id;
  }
}

interface Edge {
  /** Which page of its level this is, from the left. */
  index: number;
  readonly words: Uint32Array;
}

/** The map of one volume. */
export class MapBuilder {
  /** Mapped blocks. */
  mapped = 0;
  /** The block after the last mapped one. */
  end = 0;
  private readonly edges: Edge[] = [];

  constructor(private readonly pages: PageStore) {}

  /** Adds mappings; `run.begin` is at or behind `end`. */
  add({ begin, block, length, time }: Run): void {
    for (let done = 0; done < length; ) {
      const at = begin + done;
      const index = Math.floor(at / FANOUT);
      const { words } = this.edge(0, index);
      const first = at - index * FANOUT;
      const last = Math.min(FANOUT, first + length - done);
      for (let entry = first; entry < last; entry++) setMapping(words, entry, block + done++, time);
    }
    this.mapped += length;
    this.end = begin + length;
  }

  /** The root's page id, 0 when nothing is mapped. `depth` is high enough for `end`. */
  finish(depth: number): number {
    if (this.mapped === 0) return 0;
    for (let level = 0; level < depth - 1; level++) this.flush(level);
    const root = this.pages.page(this.edges[depth - 1]!.words, depth === 1);
    this.pages.pageCounts.add(root);
    return root;
  }

  /** The page of a level that is being filled, which is to be this one. */
  private edge(level: number, index: number): Edge {
    const edge = this.edges[level];
    if (edge === undefined) {
      const fresh = { index, words: new Uint32Array(PAGE_WORDS) };
      this.edges.push(fresh);
      return fresh;
    }
    if (edge.index !== index) {
      this.flush(level);
      edge.index = index;
      edge.words.fill(0);
    }
    return edge;
  }

  private flush(level: number): void {
    const { index, words } = this.edges[level]!;
    const id = this.pages.page(words, level === 0);
    const parent = Math.floor(index / FANOUT);
    setChild(this.edge(level + 1, parent).words, index - parent * FANOUT, id);
  }
}
