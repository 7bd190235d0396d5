// Reference counts as they are stored against what the walk has counted, chunk by chunk. Check tells the differences;
// repair writes the chunks that this says should be there.

import type { FindingKind, Report } from './check-kinds.js';
import type { ChunkRow } from './check-source.js';
import type { Tally } from './check-tally.js';
import { CHUNK, PAGE_BYTES, wordsFrom } from './entry.js';

export type Counted = 'data' | 'page';

/** A chunk of stored counts beside the right ones. */
export interface Compared {
  readonly id: number;
  /** What the row says, null when there is none; `free` is what it says is zero. */
  readonly row: ChunkRow | null;
  /** The row's counts; zeros when there is no row, null when it has a wrong length. */
  readonly stored: Uint32Array | null;
  readonly right: Uint32Array;
}

const ZEROS = new Uint32Array(CHUNK);

/** All chunks that have a row or should have one, the stored ones first. */
export function* compare(rows: Iterable<ChunkRow>, tally: Tally<Uint32Array>): Generator<Compared> {
  const seen = new Set<number>();
  for (const row of rows) {
    seen.add(row.id);
    const stored = row.counts.length === PAGE_BYTES ? wordsFrom(row.counts) : null;
    yield { id: row.id, row, stored, right: tally.chunk(row.id) ?? ZEROS };
  }
  for (const id of tally.ids()) {
    if (!seen.has(id)) yield { id, row: null, stored: ZEROS, right: tally.chunk(id)! };
  }
}

/** How many counts of a chunk are zero; `capacity` (of numbers) ends the last chunk, and page 0 is no page. */
export function zerosIn(kind: Counted, id: number, counts: Uint32Array, capacity: number): number {
  const begin = kind === 'page' && id === 0 ? 1 : 0;
  const end = Math.max(0, Math.min(CHUNK, capacity - id * CHUNK));
  let zeros = 0;
  for (let slot = begin; slot < end; slot++) if (counts[slot] === 0) zeros++;
  return zeros;
}

export function isZero(counts: Uint32Array): boolean {
  return counts.every(count => count === 0);
}

/** Reports what is wrong with a chunk. `leaked`: an id whose count is too high is reported as something else. */
export function tellChunk(
  kind: Counted,
  { id, row, stored, right }: Compared,
  capacity: number,
  report: Report,
  leaked: (id: number) => boolean = () => false,
): void {
  const place = `chunk ${id} of ${kind} counts`;
  if (row !== null && (!Number.isSafeInteger(id) || id < 0 || id * CHUNK >= capacity)) {
    report('chunk-id', place);
    return;
  }
  if (stored === null) {
    report('chunk-length', place, `${row?.counts.length} bytes`);
    return;
  }
  if (row !== null) {
    const zeros = zerosIn(kind, id, stored, capacity);
    if (row.free !== zeros) report('chunk-free', place, `${row.free} instead of ${zeros}`);
    if (isZero(stored)) report('chunk-zeros', place);
  }
  tellCounts(kind, id, stored, right, report, leaked);
}

/** Differences of counts, neighbours that differ alike in one finding. */
function tellCounts(
  kind: Counted,
  id: number,
  stored: Uint32Array,
  right: Uint32Array,
  report: Report,
  leaked: (id: number) => boolean,
): void {
  for (let slot = 0; slot < CHUNK; ) {
    const first = slot;
    const is = stored[slot]!;
    const should = right[slot]!;
    const base = id * CHUNK;
    slot++;
    if (is === should || (is > should && leaked(base + first))) continue;
    while (slot < CHUNK && stored[slot] === is && right[slot] === should) {
      if (is > should && leaked(base + slot)) break;
      slot++;
    }
    const high: FindingKind = kind === 'data' ? 'data-count-high' : 'page-count-high';
    const low: FindingKind = kind === 'data' ? 'data-count-low' : 'page-count-low';
    report(
      is > should ? high : low,
      placeOf(kind, base + first, base + slot - 1),
      `${is} instead of ${should}`,
    );
  }
}

function placeOf(kind: Counted, first: number, last: number): string {
  const noun = kind === 'data' ? 'data block' : 'page';
  return first === last ? `${noun} ${first}` : `${noun}s ${first}..${last}`;
}
