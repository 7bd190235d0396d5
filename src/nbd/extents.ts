// Pieces of a device as the protocol tells of them: collected from its extents, neighbours of one kind made one. One list is
// used again for every request.
import type { BlockDevice } from '../base/index.js';

/** A map can be long: nobody waits for more than so many pieces of it at a time. */
const MAX_VISITS = 16384;

export class Extents {
  count = 0;
  /** Bytes that the pieces cover, from the offset asked for. */
  covered = 0;
  readonly lengths: Float64Array;
  readonly holes: Uint8Array;
  private limit = 0;
  private visits = 0;
  private full = false;
  /** Made once, since it is used for every request. */
  private readonly visit = (length: number, hole: boolean): boolean => this.add(length, hole);

  constructor(most: number) {
    this.lengths = new Float64Array(most);
    this.holes = new Uint8Array(most);
  }

  /** Collects the pieces of a range, at most `most`: at least one, perhaps not up to its end. */
  collect(device: BlockDevice, offset: number, length: number, most = this.lengths.length): void {
    this.count = 0;
    this.covered = 0;
    this.visits = 0;
    this.full = false;
    this.limit = Math.min(most, this.lengths.length);
    let before = -1;
    while (this.covered < length && this.covered > before && this.visits < MAX_VISITS) {
      before = this.covered;
      device.extents(offset + before, length - before, this.visit);
      if (this.full) break;
    }
    const over = this.covered - length;
    if (over > 0) {
      this.lengths[this.count - 1]! -= over;
      this.covered = length;
    }
  }

  private add(length: number, hole: boolean): boolean {
    const last = this.count - 1;
    const kind = hole ? 1 : 0;
    this.visits++;
    if (last >= 0 && this.holes[last] === kind) {
      this.lengths[last]! += length;
    } else if (this.count === this.limit) {
      this.full = true;
      return false;
    } else {
      this.lengths[this.count] = length;
      this.holes[this.count++] = kind;
    }
    this.covered += length;
    return this.visits < MAX_VISITS;
  }
}
