// What differs between two volumes, for programs: JSON with a line for each range, so that it can be long.
import { type DeltaRange, deltas } from './delta.js';
import type { MetadataReader } from './reader.js';
import type { VolumeRow } from './schema.js';
import { pieces } from './text.js';

/**
 * The text, in pieces of some tens of KiB: `left` and `right` (id, name), `blockSize` (bytes), and `ranges` in blocks, where
 * leftData and rightData are the data blocks of a side that maps something. SysError EUCLEAN when a map is damaged.
 */
export function deltaJson(reader: MetadataReader, left: VolumeRow, right: VolumeRow): Generator<string> {
  return pieces(lines(reader, left, right));
}

function* lines(reader: MetadataReader, left: VolumeRow, right: VolumeRow): Generator<string> {
  const side = ({ id, name }: VolumeRow): string => JSON.stringify({ id, name });
  yield `{"left":${side(left)},"right":${side(right)},"blockSize":${reader.pool.block_size},"ranges":[`;
  let between = '\n';
  for (const range of deltas(reader, left, right, true)) {
    yield between + JSON.stringify(plain(range));
    between = ',\n';
  }
  yield '\n]}\n';
}

function plain({ kind, begin, length, left, right }: DeltaRange): object {
  return {
    kind,
    begin,
    length,
    ...(left < 0 ? {} : { leftData: left }),
    ...(right < 0 ? {} : { rightData: right }),
  };
}
