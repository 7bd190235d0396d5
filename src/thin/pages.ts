// Pages of the map in memory. Clean pages may be dropped and read again; changed ones stay until the transaction that
// holds them has been committed. Eviction gives each page a second chance (the CLOCK algorithm over insertion order).
import { PAGE_WORDS } from './entry.js';

export class Page {
  touched = true;
  /** Changed since it was last put into a batch. */
  dirty = false;
  /** Batches on their way to the disk that contain it. */
  travelling = 0;

  constructor(
    readonly id: number,
    readonly words: Uint32Array,
  ) {}
}

export class PageCache {
  private readonly pages = new Map<number, Page>();
  /** Changed pages of the open transaction. */
  readonly changed = new Set<Page>();
  /** Rows that the open transaction deletes. */
  readonly removed = new Set<number>();

  private evictAt: number;

  /** `limit`: clean pages kept. `load`: a page's words from the database; throws when it is not there. */
  constructor(
    private readonly limit: number,
    private readonly load: (id: number) => Uint32Array,
  ) {
    this.evictAt = limit;
  }

  get(id: number): Page {
    const known = this.pages.get(id);
    if (known !== undefined) {
      known.touched = true;
      return known;
    }
    const page = new Page(id, this.load(id));
    this.insert(page);
    return page;
  }

  /** A new page, empty or with a copy of `words`. */
  create(id: number, words?: Uint32Array): Page {
    const page = new Page(id, words === undefined ? new Uint32Array(PAGE_WORDS) : words.slice());
    this.removed.delete(id);
    this.insert(page);
    this.change(page);
    return page;
  }

  change(page: Page): void {
    if (page.dirty) return;
    // It may have been dropped while whoever changes it looked at other pages.
    this.pages.set(page.id, page);
    page.dirty = true;
    this.changed.add(page);
  }

  remove(id: number): void {
    const page = this.pages.get(id);
    if (page !== undefined) {
      this.pages.delete(id);
      this.changed.delete(page);
    }
    this.removed.add(id);
  }

  /** Is this still the page of its id? */
  has(page: Page): boolean {
    return this.pages.get(page.id) === page;
  }

  /** Has the open transaction a page of this id to write? */
  isNew(id: number): boolean {
    return this.pages.get(id)?.dirty === true;
  }

  private insert(page: Page): void {
    if (this.pages.size >= this.evictAt) this.evict();
    this.pages.set(page.id, page);
  }

  /** Frees up to a sixteenth of the places: of clean pages that were not used since they were last looked at. */
  private evict(): void {
    // What is changed cannot go: no second look before as many have come again.
    this.evictAt = Math.max(this.limit, this.pages.size + this.limit / 16);
    let wanted = Math.ceil(this.limit / 16);
    let looks = this.pages.size;
    for (const [id, page] of this.pages) {
      if (wanted === 0 || looks-- === 0) return;
      this.pages.delete(id);
      if (page.dirty || page.travelling > 0 || page.touched) {
        page.touched = false;
        this.pages.set(id, page);
      } else wanted--;
    }
  }
}
