// The walk of check: every map from its root down, each page once, however many volumes share it. Counts the references
// to pages and data blocks, and keeps for each page what its parents ask: blocks mapped below, and the last of them.

import type { Report } from './check-kinds.js';
import { Tally } from './check-tally.js';
import { blockAt, childAt, FANOUT, PAGE_BYTES, span, timeAt, wordsFrom } from './entry.js';

/** Page ids past this are no ids of ours, whatever an entry says. */
export const MAX_PAGE = 2 ** 40;
/** Heights that a map of the largest volume can have. */
export const MAX_DEPTH = 5;

/** What lies below a page. */
export interface Below {
  /** Mapped blocks, a shared one as often as it is mapped. */
  readonly mapped: number;
  /** Virtual blocks from the page's first to its last mapped one; 0 when nothing is mapped. */
  readonly end: number;
  /** Everything below could be read. */
  readonly whole: boolean;
}

const NOTHING: Below = { mapped: 0, end: 0, whole: true };
const UNKNOWN: Below = { mapped: 0, end: 0, whole: false };

export interface Limits {
  readonly dataBlocks: number;
  readonly time: number;
}

/** Pages read between two moments at which others may run. */
const PAGES_PER_TURN = 64;

export class Walk {
  /** References to each page and to each data block. */
  readonly pages = new Tally(Uint32Array);
  readonly blocks = new Tally(Uint32Array);
  /** Pages read. */
  visited = 0;
  private readonly height = new Tally(Uint8Array);
  private readonly torn = new Tally(Uint8Array);
  private readonly mapped = new Tally(Float64Array);
  private readonly end = new Tally(Float64Array);

  constructor(
    private readonly page: (id: number) => Uint8Array | undefined,
    private readonly limits: Limits,
    private readonly report: Report,
  ) {}

  /** True when the page has been reached. */
  reached(page: number): boolean {
    return this.height.get(page) !== 0;
  }

  /** What was found below a page that has been walked. */
  below(page: number): Below {
    if (page === 0) return NOTHING;
    if (page < 0 || page > MAX_PAGE) return UNKNOWN;
    return {
      mapped: this.mapped.get(page),
      end: this.end.get(page),
      whole: this.torn.get(page) === 0 && this.reached(page),
    };
  }

  /** Counts a reference from outside to the root of a map and walks it. Yields now and then, for others to run. */
  *root(page: number, height: number, from: string): Generator<void> {
    if (page === 0) return;
    if (this.reference(page, from)) yield* this.enter(page, height);
  }

  /** Walks a page that nothing refers to, and that still refers to others; it may have become empty before it goes. */
  *orphan(page: number, height: number): Generator<void> {
    yield* this.enter(page, height, true);
  }

  /** Height at which a page was reached, or 0. */
  heightOf(page: number): number {
    return this.height.get(page);
  }

  /** True when a page was read, and maps nothing. */
  isEmpty(page: number): boolean {
    return this.reached(page) && this.torn.get(page) === 0 && this.mapped.get(page) === 0;
  }

  /** Counts a reference; false when no such page can be. */
  private reference(page: number, from: string): boolean {
    if (!Number.isSafeInteger(page) || page <= 0 || page > MAX_PAGE) {
      this.report('page-missing', from, `it names page ${page}`);
      return false;
    }
    this.pages.add(page);
    return true;
  }

  private *enter(page: number, height: number, mayBeEmpty = false): Generator<void> {
    const known = this.height.get(page);
    if (known !== 0) {
      if (known === height) return;
      this.report('page-heights', `page ${page}`, `heights ${known} and ${height}`);
      this.torn.set(page, 1);
      return;
    }
    this.height.set(page, height);
    if (++this.visited % PAGES_PER_TURN === 0) yield;
    const blob = this.page(page);
    if (blob === undefined || blob.length !== PAGE_BYTES) {
      if (blob === undefined) this.report('page-missing', `page ${page}`);
      else this.report('page-length', `page ${page}`, `${blob.length} bytes`);
      this.torn.set(page, 1);
      return;
    }
    const words = wordsFrom(blob);
    if (height === 1) this.leaf(page, words);
    else yield* this.inner(page, words, height);
    if (!mayBeEmpty && this.isEmpty(page)) this.report('page-empty', `page ${page}`);
  }

  private *inner(page: number, words: Uint32Array, height: number): Generator<void> {
    let mapped = 0;
    let end = 0;
    for (let entry = 0; entry < FANOUT; entry++) {
      const child = childAt(words, entry);
      if (child === 0) continue;
      if (!this.reference(child, `page ${page}, entry ${entry}`)) {
        this.torn.set(page, 1);
        continue;
      }
      const misplaced = this.height.get(child) !== 0 && this.height.get(child) !== height - 1;
      yield* this.enter(child, height - 1);
      if (misplaced || this.torn.get(child) !== 0) this.torn.set(page, 1);
      if (misplaced) continue;
      mapped += this.mapped.get(child);
      if (this.end.get(child) > 0) end = entry * span(height) + this.end.get(child);
    }
    this.mapped.set(page, mapped);
    this.end.set(page, end);
  }

  private leaf(page: number, words: Uint32Array): void {
    const { dataBlocks, time } = this.limits;
    const later = new Entries('mapping-time', page);
    const outside = new Entries('block-range', page);
    let mapped = 0;
    let end = 0;
    for (let entry = 0; entry < FANOUT; entry++) {
      if (words[2 * entry] === 0 && words[2 * entry + 1] === 0) continue;
      const block = blockAt(words, entry);
      if (block < 0) {
        this.report('entry', `page ${page}, entry ${entry}`, 'a time and no block');
        continue;
      }
      mapped++;
      end = entry + 1;
      if (timeAt(words, entry) > time) later.add(entry);
      if (block < dataBlocks) this.blocks.add(block);
      else outside.add(entry);
    }
    later.tell(this.report);
    outside.tell(this.report);
    if (outside.count > 0) this.torn.set(page, 1);
    this.mapped.set(page, mapped);
    this.end.set(page, end);
  }
}

/** One finding for all the entries of a page that have it. */
class Entries {
  count = 0;
  private first = 0;

  constructor(
    private readonly kind: 'mapping-time' | 'block-range',
    private readonly page: number,
  ) {}

  add(entry: number): void {
    if (this.count++ === 0) this.first = entry;
  }

  tell(report: Report): void {
    if (this.count === 0) return;
    report(this.kind, `page ${this.page}`, `${this.count} entries, the first is ${this.first}`);
  }
}
