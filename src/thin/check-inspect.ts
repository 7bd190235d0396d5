// One inspection of a pool's metadata inside one transaction: finds, and keeps what repair needs to mend. A generator, so
// that it can be run in turns or at once; what it yields is how far it is.
import { join, resolve } from 'node:path';
import { fromText, S, Stat } from '../base/index.js';
import { AT, close, type Database, lseek, O, openPath, SEEK, statx } from '../sys/index.js';
import { type Counted, compare, tellChunk } from './check-counts.js';
import { type Finding, type FindingKind, findingOf, kindOf, type Report } from './check-kinds.js';
import {
  checkHeld,
  checkNames,
  checkPoolRow,
  checkVolumeMap,
  checkVolumeRow,
  placeOf,
} from './check-rows.js';
import { CheckSource, damageOf, foreignTables, sqliteDamage } from './check-source.js';
import { MAX_DEPTH, MAX_PAGE, Walk } from './check-walk.js';
import { DATABASE } from './places.js';
import type { PoolRow, VolumeRow } from './schema.js';

/** Findings that are kept; the rest are counted. */
const KEPT = 1000;

/** How far an inspection is: pages read, and pages that there are. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

export class Inspection {
  /** The first thousand. */
  readonly findings: Finding[] = [];
  readonly counts: Partial<Record<FindingKind, number>> = {};
  total = 0;
  /** Every map of a volume, and of the metadata snapshot, could be read: what they do not refer to is free. */
  mapsWhole = false;
  private whole = true;
  pool: PoolRow | undefined;
  volumes: VolumeRow[] = [];
  held: VolumeRow[] = [];
  walk: Walk | undefined;
  source: CheckSource | undefined;

  constructor(
    /** The pool's directory. */
    readonly dir: string,
    readonly database: Database,
    private readonly tell: (finding: Finding) => void = () => {},
  ) {}

  readonly report: Report = (kind, place, detail) => {
    const finding = findingOf(kind, place, detail);
    if (kindOf(kind).hides) this.whole = false;
    this.total++;
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
    if (this.findings.length < KEPT) this.findings.push(finding);
    this.tell(finding);
  };

  get path(): string {
    return join(this.dir, DATABASE);
  }

  /** Everything. Damage of the database itself is a finding, too; other errors are thrown. */
  *run(): Generator<Progress> {
    try {
      for (const text of sqliteDamage(this.database, this.path)) this.report('database', DATABASE, text);
      for (const table of foreignTables(this.database, this.path)) this.report('tables', table);
      if (this.counts.tables !== undefined) return;
      yield* this.inspect(new CheckSource(this.database, this.path));
    } catch (error) {
      const damage = damageOf(error);
      if (damage === null) throw error;
      this.report('database', DATABASE, damage);
    }
  }

  private *inspect(source: CheckSource): Generator<Progress> {
    this.source = source;
    const pool = source.pool();
    if (pool === undefined) return this.report('pool', 'pool', 'there is none');
    this.pool = pool;
    if (!checkPoolRow(pool, this.report)) return;
    if (pool.needs_check === 1) this.report('needs-check', 'pool');
    this.checkData(pool);
    this.volumes = source.volumes('thin_volume');
    this.held = source.volumes('thin_held');
    checkNames(this.volumes, this.report);
    checkHeld(pool, this.held, this.report);
    const walk = new Walk(
      id => source.page(id),
      { dataBlocks: pool.data_blocks, time: pool.time },
      this.report,
    );
    this.walk = walk;
    yield* this.walkAll(source, pool, walk);
    this.checkPages(source, walk);
    this.checkCounts(source, pool, walk);
  }

  private *walkAll(source: CheckSource, pool: PoolRow, walk: Walk): Generator<Progress> {
    const total = source.pageCount();
    for (const held of [false, true]) {
      for (const volume of held ? this.held : this.volumes) {
        const place = placeOf(volume, held);
        if (!checkVolumeRow(volume, pool, place, this.report)) continue;
        for (const _ of walk.root(volume.root, volume.depth, place)) yield { done: walk.visited, total };
        checkVolumeMap(volume, walk, pool.block_size, place, this.report);
      }
    }
    this.mapsWhole = this.whole;
    const doomed = source.doomed().filter(({ page, depth }) => this.isDoomable(source, page, depth));
    for (const { page, depth } of doomed) {
      if (walk.reached(page)) continue;
      for (const _ of walk.orphan(page, depth)) yield { done: walk.visited, total };
    }
    for (const { page } of doomed) {
      if (walk.pages.get(page) > 0) this.report('doomed', `page ${page}`, 'something refers to the page');
    }
    yield { done: total, total };
  }

  private isDoomable(source: CheckSource, page: number, depth: number): boolean {
    const exists = isPage(page) && source.page(page) !== undefined;
    const fits = Number.isSafeInteger(depth) && depth >= 1 && depth <= MAX_DEPTH;
    if (!exists) this.report('doomed', `page ${page}`, 'there is no such page');
    else if (!fits) this.report('doomed', `page ${page}`, `its height is ${depth}`);
    return exists && fits;
  }

  private checkPages(source: CheckSource, walk: Walk): void {
    for (const id of source.pageIds()) {
      if (!isPage(id) || !walk.reached(id)) this.report('page-leaked', `page ${id}`);
    }
  }

  private checkCounts(source: CheckSource, pool: PoolRow, walk: Walk): void {
    const leaked = (id: number): boolean => !walk.reached(id) && source.page(id) !== undefined;
    for (const kind of ['page', 'data'] as const) {
      const capacity = capacityOf(kind, pool);
      for (const chunk of compare(source.chunks(kind), tallyOf(kind, walk))) {
        tellChunk(kind, chunk, capacity, this.report, kind === 'page' ? leaked : undefined);
      }
    }
  }

  private checkData(pool: PoolRow): void {
    const path = resolve(this.dir, pool.data);
    const size = sizeOf(path);
    const wanted = pool.data_blocks * pool.block_size;
    if (size === null) this.report('data-file', path, 'it cannot be opened');
    else if (size < wanted) this.report('data-file', path, `${size} bytes instead of ${wanted}`);
  }
}

function isPage(id: number): boolean {
  return Number.isSafeInteger(id) && id > 0 && id <= MAX_PAGE;
}

/** Bytes of a file or device; null when it cannot be opened or is neither. */
function sizeOf(path: string): number | null {
  const fd = openPath(fromText(path), O.RDONLY | O.NONBLOCK);
  if (fd < 0) return null;
  const stat = new Stat();
  const known = statx(fd, '', AT.EMPTY_PATH, stat.slots) === 0;
  const type = stat.mode & S.IFMT;
  const size = type === S.IFBLK ? lseek(fd, 0, SEEK.END) : stat.size;
  close(fd);
  return known && size >= 0 && (type === S.IFREG || type === S.IFBLK) ? size : null;
}

/** Numbers that counts of a kind can be about. */
export function capacityOf(kind: Counted, pool: PoolRow): number {
  return kind === 'data' ? pool.data_blocks : MAX_PAGE;
}

export function tallyOf(kind: Counted, walk: Walk): Walk['pages'] {
  return kind === 'data' ? walk.blocks : walk.pages;
}
