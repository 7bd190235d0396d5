// thin_rmap's lines: which volumes' blocks lie in regions of the data device.
import { E, SysError } from '../base/index.js';
import { viewOf } from './dump.js';
import type { MetadataReader } from './reader.js';

/** Data blocks from `begin` up to but not including `end`. */
export interface Region {
  readonly begin: number;
  readonly end: number;
}

/** A run of a volume's mappings: its blocks from `begin` on are the data blocks from `data` on. */
export interface ReverseRun {
  readonly data: number;
  /** The volume's id. */
  readonly volume: number;
  readonly begin: number;
  /** Blocks. */
  readonly length: number;
}

type Piece = { -readonly [K in keyof ReverseRun]: ReverseRun[K] };

/** `5..45`: the blocks 5 to 44. SysError EINVAL. */
export function parseRegion(text: string): Region {
  const found = /^(\d{1,15})\.\.(\d{1,15})$/.exec(text);
  if (found === null)
    throw new SysError(E.EINVAL, `${text} is no region: BEGIN..END, in blocks, END not included`);
  const region = { begin: Number(found[1]), end: Number(found[2]) };
  if (region.begin >= region.end) throw new SysError(E.EINVAL, `region ${text} ends before it begins`);
  return region;
}

/** A line for each run of a volume's mappings into the regions, by data block. */
export function* rmap(reader: MetadataReader, regions: readonly Region[]): Generator<string> {
  for (const { data, volume, begin, length } of reverseRuns(reader, regions)) {
    yield `data ${data}..${data + length} -> thin(${volume}) ${begin}..${begin + length}\n`;
  }
}

/** The runs of mappings into the regions, by data block. */
export function reverseRuns(reader: MetadataReader, regions: readonly Region[]): ReverseRun[] {
  const wanted = union(regions);
  const found: Piece[] = [];
  for (const volume of viewOf(reader).volumes) {
    let last: Piece | null = null;
    for (const { begin, block, length } of reader.mappings(volume)) {
      for (const region of wanted) {
        const from = Math.max(block, region.begin);
        const size = Math.min(block + length, region.end) - from;
        if (size <= 0) continue;
        const at = begin + from - block;
        // Mappings of different times may still be one run.
        if (last !== null && last.data + last.length === from && last.begin + last.length === at) {
          last.length += size;
          continue;
        }
        last = { data: from, volume: volume.id, begin: at, length: size };
        found.push(last);
      }
    }
  }
  return found.sort((a, b) => a.data - b.data || a.volume - b.volume || a.begin - b.begin);
}

/** Regions that overlap or touch as one, in order. */
function union(regions: readonly Region[]): Region[] {
  const merged: { begin: number; end: number }[] = [];
  for (const { begin, end } of [...regions].sort((a, b) => a.begin - b.begin)) {
    const last = merged.at(-1);
    if (last !== undefined && begin <= last.end) last.end = Math.max(last.end, end);
    else merged.push({ begin, end });
  }
  return merged;
}
