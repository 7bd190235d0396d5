// A pool's metadata in memory: its rows, maps and counts, and which of them the open transaction has changed. `freeze` makes
// a batch of the changes; `thaw` takes a batch that could not be committed back into the open transaction.
import type { SysError } from '../base/index.js';
import type { Batch, CountRecords } from './batch.js';
import { records } from './batch.js';
import { type Chunk, RefCounts } from './counts.js';
import type { MetadataStore } from './metadata.js';
import { type Page, PageCache } from './pages.js';
import type { PoolRow, VolumeRow } from './schema.js';
import { MapTree } from './tree.js';

/** Clean pages and chunks that stay in memory: 64 MiB of each kind of page, 16 MiB of each kind of counts. */
const PAGES = 16_384;
const CHUNKS = 4096;

/** What a batch was made of. */
export interface Frozen {
  readonly batch: Batch;
  readonly pages: readonly Page[];
  readonly dataChunks: readonly Chunk[];
  readonly pageChunks: readonly Chunk[];
  readonly volumes: readonly VolumeRow[];
}

export class State {
  readonly pool: PoolRow;
  readonly volumes = new Map<number, VolumeRow>();
  readonly dataCounts: RefCounts;
  readonly pageCounts: RefCounts;
  readonly pages: PageCache;
  readonly tree: MapTree;
  private held: VolumeRow[];
  /** The pool's row as it is in the database. */
  private committed: PoolRow;
  private poolChanged = false;
  private heldChanged = false;
  private readonly volumesChanged = new Set<VolumeRow>();
  private readonly volumesRemoved = new Set<number>();

  /**
   * `freed`: a data block lost its last reference. `touched`: the open transaction is not empty any more (called more
   * often than needed). `damaged`: reference counts contradict the maps.
   */
  constructor(
    store: MetadataStore,
    freed: (block: number) => void,
    private readonly touched: () => void,
    damaged: (error: SysError) => void,
  ) {
    const opening = store.opening();
    this.pool = { ...opening.pool };
    this.committed = opening.pool;
    this.held = [...opening.held];
    for (const row of opening.volumes) this.volumes.set(row.id, { ...row });
    const data = (chunk: number): Uint32Array => store.counts('data', chunk);
    const page = (chunk: number): Uint32Array => store.counts('page', chunk);
    this.dataCounts = new RefCounts(CHUNKS, this.pool.data_blocks, 0, opening.dataFree, data, damaged);
    this.pageCounts = new RefCounts(CHUNKS, Number.POSITIVE_INFINITY, 1, opening.pageFree, page, damaged);
    this.pages = new PageCache(PAGES, id => store.page(id));
    this.tree = new MapTree(this.pages, this.pageCounts, this.dataCounts, freed);
    for (const { page, depth } of opening.doomed) this.tree.doomed.set(page, depth);
  }

  get heldVolumes(): readonly VolumeRow[] {
    return this.held;
  }

  changePool(): void {
    this.poolChanged = true;
    this.touched();
  }

  /** `row` is new or has changed; also to be called when its map has. */
  changeVolume(row: VolumeRow): void {
    this.volumes.set(row.id, row);
    this.volumesChanged.add(row);
    this.volumesRemoved.delete(row.id);
    this.touched();
  }

  removeVolume(row: VolumeRow): void {
    this.volumes.delete(row.id);
    this.volumesChanged.delete(row);
    this.volumesRemoved.add(row.id);
    this.touched();
  }

  setHeld(rows: VolumeRow[]): void {
    this.held = rows;
    this.heldChanged = true;
    this.touched();
  }

  /** What the open transaction weighs, in pages of memory. */
  get weight(): number {
    const lowered = this.dataCounts.loweredCount / 64;
    const chunks = this.dataCounts.changed.size + this.pageCounts.changed.size;
    return this.pages.changed.size + this.pages.removed.size + chunks + lowered;
  }

  get changed(): boolean {
    return (
      this.poolChanged ||
      this.heldChanged ||
      this.volumesChanged.size > 0 ||
      this.volumesRemoved.size > 0 ||
      this.weight > 0 ||
      this.dataCounts.changed.size > 0 ||
      this.pageCounts.changed.size > 0 ||
      this.tree.doomedNow.size > 0 ||
      this.tree.savedNow.size > 0
    );
  }

  /** The changes so far as a batch; a new transaction is open. */
  freeze(urgent: boolean): Frozen {
    const pages = take(this.pages.changed);
    const dataChunks = take(this.dataCounts.changed);
    const pageChunks = take(this.pageCounts.changed);
    const volumes = [...this.volumesChanged];
    const { tree } = this;
    const batch: Batch = {
      pool: { ...this.pool },
      volumes: volumes.map(row => ({ ...row })),
      removedVolumes: [...this.volumesRemoved],
      held: this.heldChanged ? this.held : null,
      pages: records(pages),
      removedPages: [...this.pages.removed],
      dataCounts: countRecords(dataChunks, this.dataCounts),
      pageCounts: countRecords(pageChunks, this.pageCounts),
      doomed: [...tree.doomedNow].map(page => ({ page, depth: tree.doomed.get(page)! })),
      undoomed: [...tree.savedNow],
      urgent,
    };
    this.poolChanged = this.heldChanged = false;
    for (const set of [this.volumesChanged, this.volumesRemoved, this.pages.removed]) set.clear();
    tree.doomedNow.clear();
    tree.savedNow.clear();
    this.dataCounts.freeze();
    this.pageCounts.freeze();
    return { batch, pages, dataChunks, pageChunks, volumes };
  }

  /** A batch that changes nothing but the mark that the pool needs a check. */
  damagedBatch(): Batch {
    const none = { ...records([]), free: new Int32Array(0) };
    return {
      pool: { ...this.committed, needs_check: 1 },
      volumes: [],
      removedVolumes: [],
      held: null,
      pages: records([]),
      removedPages: [],
      dataCounts: none,
      pageCounts: { ...records([]), free: new Int32Array(0) },
      doomed: [],
      undoomed: [],
      urgent: true,
    };
  }

  /** The batch is durable. */
  arrived(frozen: Frozen): void {
    this.committed = frozen.batch.pool;
    this.land(frozen, true);
  }

  private land({ pages, dataChunks, pageChunks }: Frozen, arrived: boolean): void {
    for (const each of [...pages, ...dataChunks, ...pageChunks]) each.travelling--;
    this.dataCounts.thaw(arrived);
    this.pageCounts.thaw(arrived);
  }

  /** The batch is not in the database: its changes belong to the open transaction again, under those made since. */
  thaw(frozen: Frozen): void {
    this.land(frozen, false);
    const { batch } = frozen;
    this.poolChanged = true;
    if (batch.held !== null) this.heldChanged = true;
    for (const row of frozen.volumes) if (this.volumes.get(row.id) === row) this.volumesChanged.add(row);
    for (const id of batch.removedVolumes) if (!this.volumes.has(id)) this.volumesRemoved.add(id);
    for (const page of frozen.pages) if (this.pages.has(page)) this.pages.change(page);
    for (const id of batch.removedPages) if (!this.pages.isNew(id)) this.pages.removed.add(id);
    for (const chunk of frozen.dataChunks) this.dataCounts.change(chunk);
    for (const chunk of frozen.pageChunks) this.pageCounts.change(chunk);
    for (const { page } of batch.doomed) if (this.tree.doomed.has(page)) this.tree.doomedNow.add(page);
    for (const page of batch.undoomed) if (!this.tree.doomed.has(page)) this.tree.savedNow.add(page);
    this.touched();
  }
}

function take<T extends { dirty: boolean; travelling: number }>(changed: Set<T>): T[] {
  const all = [...changed];
  changed.clear();
  for (const each of all) {
    each.dirty = false;
    each.travelling++;
  }
  return all;
}

function countRecords(chunks: readonly Chunk[], counts: RefCounts): CountRecords {
  const rows = chunks.map(chunk => ({ id: chunk.id, words: chunk.counts }));
  const free = Int32Array.from(chunks, chunk =>
    chunk.counts.every(count => count === 0) ? -1 : counts.freeIn(chunk.id),
  );
  return { ...records(rows), free };
}
