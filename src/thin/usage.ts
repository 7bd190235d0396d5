// How much of what a volume maps is its alone, and how much differs from another: counted over the committed maps, some
// pages at a time, so that nobody waits for it.
import { setImmediate } from 'node:timers/promises';
import { E, SysError } from '../base/index.js';
import { deltas } from './delta.js';
import { blockAt, CHUNK, childAt, FANOUT, span } from './entry.js';
import { MetadataReader } from './reader.js';
import type { VolumeRow } from './schema.js';

/** In blocks. */
export interface Usage {
  readonly mapped: number;
  /** Mapped by this volume alone: what removing it would free. */
  readonly exclusive: number;
  readonly shared: number;
  /** The highest mapped virtual block, or null. */
  readonly highest: number | null;
}

const PAGES_AT_ONCE = 64;

type Counts = Map<number, Uint32Array>;

/** Of the volume with this id, as it was committed last. */
export function usageOf(dir: string, id: number): Promise<Usage> {
  return reading(dir, async reader => {
    const volume = rowOf(reader, id);
    const walk = new Walk(reader, await load(reader, 'page'), await load(reader, 'data'));
    await walk.page(volume.root, volume.depth, 0, true);
    return {
      mapped: walk.mapped,
      exclusive: walk.exclusive,
      shared: walk.mapped - walk.exclusive,
      highest: walk.highest,
    };
  });
}

/** Blocks that are mapped differently in two volumes. */
export function differing(dir: string, left: number, right: number): Promise<number> {
  return reading(dir, async reader => {
    let blocks = 0;
    let ranges = 0;
    for (const { length } of deltas(reader, rowOf(reader, left), rowOf(reader, right))) {
      blocks += length;
      if (++ranges % (PAGES_AT_ONCE * FANOUT) === 0) await setImmediate();
    }
    return blocks;
  });
}

async function reading<T>(dir: string, body: (reader: MetadataReader) => Promise<T>): Promise<T> {
  const reader = MetadataReader.open(dir);
  try {
    return await body(reader);
  } finally {
    reader.close();
  }
}

function rowOf(reader: MetadataReader, id: number): VolumeRow {
  const row = reader.volumes().find(volume => volume.id === id);
  if (row === undefined) throw new SysError(E.ENOENT, `the volume ${id} has been removed`);
  return row;
}

async function load(reader: MetadataReader, kind: 'data' | 'page'): Promise<Counts> {
  const all: Counts = new Map();
  for (const { chunk, counts } of reader.counts(kind)) {
    all.set(chunk, counts);
    if (all.size % PAGES_AT_ONCE === 0) await setImmediate();
  }
  return all;
}

class Walk {
  mapped = 0;
  exclusive = 0;
  highest: number | null = null;
  private pages = 0;

  constructor(
    private readonly reader: MetadataReader,
    private readonly pageCounts: Counts,
    private readonly dataCounts: Counts,
  ) {}

  async page(id: number, height: number, begin: number, own: boolean): Promise<void> {
    if (id === 0) return;
    const words = this.reader.page(id);
    if (words === null) throw new SysError(E.EUCLEAN, `page ${id} is referred to and not there`);
    if (++this.pages % PAGES_AT_ONCE === 0) await setImmediate();
    const alone = own && countOf(this.pageCounts, id) === 1;
    if (height === 1) {
      this.leaf(words, begin, alone);
      return;
    }
    for (let slot = 0; slot < FANOUT; slot++) {
      const child = childAt(words, slot);
      if (child !== 0) await this.page(child, height - 1, begin + slot * span(height), alone);
    }
  }

  private leaf(words: Uint32Array, begin: number, alone: boolean): void {
    for (let slot = 0; slot < FANOUT; slot++) {
      const block = blockAt(words, slot);
      if (block < 0) continue;
      this.mapped++;
      this.highest = begin + slot;
      if (alone && countOf(this.dataCounts, block) === 1) this.exclusive++;
    }
  }
}

function countOf(counts: Counts, number: number): number {
  return counts.get(Math.floor(number / CHUNK))?.[number % CHUNK] ?? 0;
}
