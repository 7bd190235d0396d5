// Makes a volume out of what comes from elsewhere. Nobody sees it before it is complete, and what is not written reads
// as zeros: also where the pool does not zero new blocks (`zeroing` off) and a write covers a part of one.
import type { BlockDevice } from '../base/index.js';
import type { PartialRequest, PartialVolume } from './partial.js';
import type { Pool, VolumeInfo } from './pool.js';
import type { Range } from './send-source.js';

/** A new volume with what `fill` writes; when `fill` throws there is none, and its space is free again. */
export async function makeVolume(
  pool: Pool,
  request: PartialRequest,
  readOnly: boolean,
  fill: (volume: PartialVolume) => Promise<void>,
): Promise<VolumeInfo> {
  const volume = await pool.partialVolume(request);
  try {
    await fill(volume);
  } catch (error) {
    await volume.abandon();
    throw error;
  }
  return volume.finish({ readOnly });
}

export class NewWriter {
  readonly #volume: BlockDevice;
  readonly #zeroing: boolean;
  readonly #zeros: Buffer;

  /** `granule`: bytes that `writeSparse` leaves out when they are all zero. */
  constructor(pool: Pool, volume: BlockDevice, granule = 0) {
    this.#volume = volume;
    this.#zeroing = pool.status().options.zeroing;
    this.#zeros = Buffer.alloc(granule);
  }

  async write(offset: number, data: Buffer): Promise<void> {
    const edges = this.#zeroing ? [] : this.#freshEdges(offset, data.length);
    await this.#volume.write(offset, data);
    for (const edge of edges) await this.#volume.zero(edge.offset, edge.length, false);
  }

  /** Writes the granules of `data` that are not all zero; the others must be holes and stay it. */
  async writeSparse(offset: number, data: Buffer): Promise<void> {
    const granule = this.#zeros.length;
    let begun = -1;
    for (let at = 0; at < data.length; at += granule) {
      const piece = data.subarray(at, at + granule);
      if (!piece.equals(this.#zeros.subarray(0, piece.length))) {
        if (begun < 0) begun = at;
      } else if (begun >= 0) {
        await this.write(offset + begun, data.subarray(begun, at));
        begun = -1;
      }
    }
    if (begun >= 0) await this.write(offset + begun, data.subarray(begun));
  }

  /** What a write leaves of the first and the last block that it touches, where nothing has been written yet. */
  #freshEdges(offset: number, length: number): Range[] {
    const { blockSize, size } = this.#volume;
    const end = offset + length;
    const first = Math.floor(offset / blockSize) * blockSize;
    const last = Math.floor((end - 1) / blockSize) * blockSize;
    const after = Math.min(last + blockSize, size);
    const edges: Range[] = [];
    if (first < offset && this.#isHole(first)) edges.push({ offset: first, length: offset - first });
    if (end < after && this.#isHole(last)) edges.push({ offset: end, length: after - end });
    return edges;
  }

  #isHole(offset: number): boolean {
    let hole = false;
    this.#volume.extents(offset, 1, (_length, empty) => {
      hole = empty;
      return false;
    });
    return hole;
  }
}
