// What differs between the maps of two volumes, as thin_delta says it: subtrees that both share are the same by their page
// id and need not be read. Two volumes differ at a block when they map it to different data blocks, or only one maps it.
import { blockAt, childAt, FANOUT, span } from './entry.js';
import { checkDepth, type MetadataReader } from './reader.js';
import type { VolumeRow } from './schema.js';

export type DeltaKind = 'same' | 'different' | 'left_only' | 'right_only';

/** Blocks of one kind; both sides' data blocks are consecutive. A side that maps nothing there has -1. */
export interface DeltaRange {
  kind: DeltaKind;
  begin: number;
  length: number;
  left: number;
  right: number;
}

/** The same without data blocks: neighbours of one kind are one range. */
export interface PlainRange {
  kind: DeltaKind;
  begin: number;
  length: number;
}

export type DeltaCounts = Record<DeltaKind, number>;

/**
 * The ranges in order, as long as they can be; those that are the same only with `same`, which costs reading what both
 * share. SysError EUCLEAN when a map is damaged.
 */
export function* deltas(
  reader: MetadataReader,
  left: VolumeRow,
  right: VolumeRow,
  same = false,
): Generator<DeltaRange> {
  let range: DeltaRange | null = null;
  for (const pair of leafPairs(reader, left, right, same)) {
    for (let entry = 0; entry < FANOUT; entry++) {
      const from = pair.left === null ? -1 : blockAt(pair.left, entry);
      const to = pair.right === null ? -1 : blockAt(pair.right, entry);
      if (from === to && (from < 0 || !same)) continue;
      const at = pair.begin + entry;
      const kind = kindOf(from, to);
      if (range !== null && goesOn(range, kind, at, from, to)) {
        range.length++;
        continue;
      }
      if (range !== null) yield range;
      range = { kind, begin: at, length: 1, left: from, right: to };
    }
  }
  if (range !== null) yield range;
}

/** Where the volumes differ, in order: what an incremental stream has to tell. */
export function* deltaRanges(
  reader: MetadataReader,
  left: VolumeRow,
  right: VolumeRow,
): Generator<PlainRange & { kind: Exclude<DeltaKind, 'same'> }> {
  // Without `same` there is none of that kind.
  yield* merged(deltas(reader, left, right)) as Generator<PlainRange & { kind: Exclude<DeltaKind, 'same'> }>;
}

/** Ranges that touch and are of one kind become one. */
export function* merged(ranges: Iterable<DeltaRange>): Generator<PlainRange> {
  let range: PlainRange | null = null;
  for (const { kind, begin, length } of ranges) {
    if (range !== null && range.kind === kind && range.begin + range.length === begin) {
      range.length += length;
      continue;
    }
    if (range !== null) yield range;
    range = { kind, begin, length };
  }
  if (range !== null) yield range;
}

/** How many blocks there are of each kind. What both share is not read: the rows say how much is mapped. */
export function deltaCounts(reader: MetadataReader, left: VolumeRow, right: VolumeRow): DeltaCounts {
  const counts: DeltaCounts = { same: 0, different: 0, left_only: 0, right_only: 0 };
  for (const { kind, length } of deltas(reader, left, right)) counts[kind] += length;
  counts.same = left.mapped - counts.different - counts.left_only;
  return counts;
}

function kindOf(left: number, right: number): DeltaKind {
  if (left === right) return 'same';
  if (right < 0) return 'left_only';
  return left < 0 ? 'right_only' : 'different';
}

function goesOn(range: DeltaRange, kind: DeltaKind, at: number, left: number, right: number): boolean {
  const { length } = range;
  return (
    range.kind === kind &&
    at === range.begin + length &&
    (left < 0 || left === range.left + length) &&
    (right < 0 || right === range.right + length)
  );
}

interface LeafPair {
  readonly begin: number;
  readonly left: Uint32Array | null;
  readonly right: Uint32Array | null;
}

/** The leaf pages of both volumes side by side; without `same` not those that are one page. */
function* leafPairs(
  reader: MetadataReader,
  left: VolumeRow,
  right: VolumeRow,
  same: boolean,
): Generator<LeafPair> {
  const sides = [new Side(reader, left), new Side(reader, right)] as const;

  function* below(a: number, b: number, height: number, begin: number): Generator<LeafPair> {
    // Pages belong to one height: equal ids are one place in both maps.
    if (a === b && (a === 0 || !same)) return;
    const pages = [sides[0].read(a, height), sides[1].read(b, height)] as const;
    if (height === 1) {
      yield { begin, left: pages[0], right: pages[1] };
      return;
    }
    for (let entry = 0; entry < FANOUT; entry++) {
      const first = sides[0].child(a, pages[0], height, entry);
      const second = sides[1].child(b, pages[1], height, entry);
      yield* below(first, second, height - 1, begin + entry * span(height));
    }
  }
  yield* below(left.root, right.root, Math.max(left.depth, right.depth), 0);
}

/** One volume's map as part of a map that may be higher: above its root there is nothing beside it. */
class Side {
  constructor(
    private readonly reader: MetadataReader,
    private readonly volume: VolumeRow,
  ) {
    checkDepth(volume);
  }

  read(page: number, height: number): Uint32Array | null {
    return page === 0 || height > this.volume.depth ? null : this.reader.pageOf(this.volume, page);
  }

  child(page: number, words: Uint32Array | null, height: number, entry: number): number {
    if (words !== null) return childAt(words, entry);
    return height > this.volume.depth && entry === 0 ? page : 0;
  }
}
