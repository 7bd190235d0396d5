// What repair writes, inside the transaction of its inspection: reference counts, counters, pages that nobody refers to.
// When a map could not be read, what is free is not known: then counts are raised and nothing is freed.
import { type Compared, type Counted, compare, isZero, zerosIn } from './check-counts.js';
import { capacityOf, type Inspection, tallyOf } from './check-inspect.js';
import type { CheckSource } from './check-source.js';
import { MAX_PAGE, Walk } from './check-walk.js';
import { CHUNK, childAt, FANOUT, setChild, wordsFrom } from './entry.js';
import type { PoolRow, VolumeRow } from './schema.js';

const TABLES = ['thin_volume', 'thin_held'] as const;

/** Data blocks `first` to `end` (exclusive) that were counted and nobody uses. */
export interface Freed {
  readonly first: number;
  readonly end: number;
}

/** Mends what can be mended; says which data blocks are free now. */
export function mend(inspection: Inspection): Freed[] {
  const { pool, source, walk, mapsWhole } = inspection;
  if (pool === undefined || source === undefined || walk === undefined) return [];
  if (!mapsWhole) {
    mendCounts(source, pool, walk, raised);
    return [];
  }
  cutEmpty(inspection, source, walk);
  // Without the pages that were to be taken apart: they are gone at once.
  const final = walkAgain(
    source,
    TABLES.flatMap(table => source.volumes(table)),
    pool,
  );
  source.database.exec('DELETE FROM thin_doomed');
  dropPages(source, final);
  correctMapped(source, final);
  const freed: Freed[] = [];
  mendCounts(source, pool, final, exact(freed));
  return freed.filter(({ first }) => first >= 0 && first < pool.data_blocks);
}

/** Another walk, of the maps only. */
function walkAgain(source: CheckSource, volumes: readonly VolumeRow[], pool: PoolRow): Walk {
  const limits = { dataBlocks: pool.data_blocks, time: pool.time };
  const quiet = (): void => {};
  const walk = new Walk(id => source.page(id), limits, quiet);
  for (const { root, depth } of volumes) for (const _ of walk.root(root, depth, ''));
  return walk;
}

/** Cuts pages that map nothing off their parents, whoever shares these. */
function cutEmpty({ counts }: Inspection, source: CheckSource, walk: Walk): void {
  if (counts['page-empty'] === undefined) return;
  const write = source.database.prepare('UPDATE thin_page SET words = ? WHERE id = ?');
  for (const id of source.pageIds()) {
    const blob = walk.heightOf(id) > 1 ? source.page(id) : undefined;
    if (blob === undefined) continue;
    const words = wordsFrom(blob);
    let cut = false;
    for (let entry = 0; entry < FANOUT; entry++) {
      if (!walk.isEmpty(childAt(words, entry))) continue;
      setChild(words, entry, 0);
      cut = true;
    }
    if (cut) write.run(Buffer.from(words.buffer), id);
  }
  for (const table of TABLES) {
    const uproot = source.database.prepare(`UPDATE ${table} SET root = 0 WHERE id = ?`);
    for (const { id, root } of source.volumes(table)) if (walk.isEmpty(root)) uproot.run(id);
  }
}

function dropPages(source: CheckSource, walk: Walk): void {
  const { database } = source;
  database.prepare('DELETE FROM thin_page WHERE id <= 0 OR id > ?').run(MAX_PAGE);
  const remove = database.prepare('DELETE FROM thin_page WHERE id = ?');
  for (const id of source.pageIds()) if (!walk.reached(id)) remove.run(id);
}

function correctMapped(source: CheckSource, walk: Walk): void {
  for (const table of TABLES) {
    const update = source.database.prepare(`UPDATE ${table} SET mapped = ? WHERE id = ?`);
    for (const { id, root, mapped } of source.volumes(table)) {
      const right = walk.below(root).mapped;
      if (mapped !== right) update.run(right, id);
    }
  }
}

/** Which counts a chunk shall have; null when its row is left alone. */
type Rule = (kind: Counted, chunk: Compared) => Uint32Array | null;

function mendCounts(source: CheckSource, pool: PoolRow, walk: Walk, rule: Rule): void {
  for (const kind of ['data', 'page'] as const) {
    const table = `thin_${kind}_count`;
    const remove = source.database.prepare(`DELETE FROM ${table} WHERE id = ?`);
    const put = source.database.prepare(
      `INSERT OR REPLACE INTO ${table} (id, free, counts) VALUES (?, ?, ?)`,
    );
    for (const chunk of compare(source.chunks(kind), tallyOf(kind, walk))) {
      const counts = rule(kind, chunk);
      if (counts === null) continue;
      const { id, row, stored } = chunk;
      const zeros = zerosIn(kind, id, counts, capacityOf(kind, pool));
      if (isZero(counts)) remove.run(id);
      else if (row?.free !== zeros || !isSame(stored, counts)) put.run(id, zeros, bytes(counts));
    }
  }
}

/** No count is lowered, and what cannot be understood stays. */
const raised: Rule = (_, { stored, right }) =>
  stored?.map((count, slot) => Math.max(count, right[slot]!)) ?? null;

/** The counts of the walk; notes the data blocks that nobody uses any more. */
function exact(freed: Freed[]): Rule {
  return (kind, { id, stored, right }) => {
    if (kind !== 'data' || stored === null) return right;
    for (let slot = 0; slot < CHUNK; slot++) {
      if (stored[slot] === 0 || right[slot] !== 0) continue;
      const first = slot;
      while (slot < CHUNK && stored[slot] !== 0 && right[slot] === 0) slot++;
      freed.push({ first: id * CHUNK + first, end: id * CHUNK + slot });
    }
    return right;
  };
}

function isSame(stored: Uint32Array | null, counts: Uint32Array): boolean {
  return stored?.every((count, slot) => count === counts[slot]) === true;
}

function bytes(counts: Uint32Array): Buffer {
  return Buffer.from(counts.buffer, counts.byteOffset, counts.byteLength);
}
