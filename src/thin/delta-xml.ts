// thin_delta's XML (thin-provisioning-tools 0.9.0): the ranges of each kind, or with `verbose` the mappings in them.
import { type DeltaKind, type DeltaRange, deltas, merged } from './delta.js';
import { SECTOR } from './names.js';
import type { MetadataReader } from './reader.js';
import type { VolumeRow } from './schema.js';
import { pieces } from './text.js';

export interface DeltaOptions {
  /** Each mapping with its data blocks. */
  readonly verbose?: boolean;
}

/** The text, in pieces of some tens of KiB. SysError EUCLEAN when a map is damaged. */
export function deltaXml(
  reader: MetadataReader,
  left: VolumeRow,
  right: VolumeRow,
  { verbose = false }: DeltaOptions = {},
): Generator<string> {
  return pieces(lines(reader, left, right, verbose));
}

function* lines(
  reader: MetadataReader,
  left: VolumeRow,
  right: VolumeRow,
  verbose: boolean,
): Generator<string> {
  const { time, transaction_id, block_size, data_blocks } = reader.pool;
  const size = `data_block_size="${block_size / SECTOR}" nr_data_blocks="${data_blocks}"`;
  yield `<superblock uuid="" time="${time}" transaction="${transaction_id}" ${size}>\n`;
  yield `  <diff left="${left.id}" right="${right.id}">\n`;
  const ranges = deltas(reader, left, right, true);
  yield* verbose ? mappings(ranges) : plain(ranges);
  yield '  </diff>\n</superblock>\n';
}

function* plain(ranges: Iterable<DeltaRange>): Generator<string> {
  for (const { kind, begin, length } of merged(ranges)) {
    yield `    <${kind} begin="${begin}" length="${length}"/>\n`;
  }
}

function* mappings(ranges: Iterable<DeltaRange>): Generator<string> {
  let open: DeltaKind | null = null;
  for (const range of ranges) {
    if (range.kind !== open) {
      if (open !== null) yield `    </${open}>\n`;
      open = range.kind;
      yield `    <${open}>\n`;
    }
    yield `      <range begin="${range.begin}" ${dataOf(range)} length="${range.length}"/>\n`;
  }
  if (open !== null) yield `    </${open}>\n`;
}

function dataOf({ kind, left, right }: DeltaRange): string {
  if (kind === 'different') return `left_data_begin="${left}" right_data_begin="${right}"`;
  return `data_begin="${kind === 'right_only' ? right : left}"`;
}
