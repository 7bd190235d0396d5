// Which bytes of a volume may differ from another one: what an incremental send has to say something about. From the
// maps alone; both volumes are read-only, so what is committed is what they are.
import { setImmediate as others } from 'node:timers/promises';
import { E, SysError } from '../base/index.js';
import { deltaRanges } from './delta.js';
import type { Pool, VolumeInfo } from './pool.js';
import { MetadataReader } from './reader.js';
import type { VolumeRow } from './schema.js';
import type { Range } from './send-source.js';

/** Ranges in order, two numbers each: a map in pieces has millions. Neighbours are one. */
class Ranges implements Iterable<Range> {
  readonly #bounds: number[] = [];

  /** The range must not begin before the last one does. */
  add(begin: number, end: number): void {
    const last = this.#bounds.length - 1;
    if (begin >= end) return;
    if (last > 0 && begin <= this.#bounds[last]!) this.#bounds[last] = Math.max(end, this.#bounds[last]!);
    else this.#bounds.push(begin, end);
  }

  *[Symbol.iterator](): Generator<Range> {
    for (let i = 0; i < this.#bounds.length; i += 2) {
      yield { offset: this.#bounds[i]!, length: this.#bounds[i + 1]! - this.#bounds[i]! };
    }
  }
}

const PORTION = 1024;

/**
 * The ranges of `volume` in bytes that are not known to be as in `base`, in order. Where the base ended inside a block, the rest
 * of that block is among them. SysError ENOENT when one of them has been removed.
 */
export async function changedRanges(
  pool: Pool,
  base: VolumeInfo,
  volume: VolumeInfo,
): Promise<Iterable<Range>> {
  await pool.commit();
  const { blockSize } = pool;
  const tailEnd = Math.min(volume.size, Math.ceil(base.size / blockSize) * blockSize);
  let tail = base.size < tailEnd;
  const ranges = new Ranges();
  const reader = MetadataReader.open(pool.dir);
  try {
    const rows = reader.volumes();
    let found = 0;
    for (const { begin, length } of deltaRanges(reader, rowOf(rows, base), rowOf(rows, volume))) {
      const offset = begin * blockSize;
      if (tail && base.size <= offset) {
        ranges.add(base.size, tailEnd);
        tail = false;
      }
      ranges.add(offset, Math.min((begin + length) * blockSize, volume.size));
      if (++found % PORTION === 0) await others();
    }
  } finally {
    reader.close();
  }
  if (tail) ranges.add(base.size, tailEnd);
  return ranges;
}

function rowOf(rows: readonly VolumeRow[], { id, name, guid }: VolumeInfo): VolumeRow {
  const row = rows.find(row => row.id === id && row.guid === guid);
  if (row === undefined) throw new SysError(E.ENOENT, `volume ${name} has been removed`);
  return row;
}
