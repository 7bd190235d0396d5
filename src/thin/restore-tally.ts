// Reference counts while metadata is built: a byte for each number that is near one that is used, four where counts grow
// past that. In the end they are the rows of thin_data_count or thin_page_count.
import { CHUNK } from './entry.js';

export class Tally {
  private readonly chunks = new Map<number, Uint8Array | Uint32Array>();
  private lastId = -1;
  private last: Uint8Array | Uint32Array = new Uint8Array(0);

  /** Counts one reference more. */
  add(number: number): void {
    const id = Math.floor(number / CHUNK);
    if (id !== this.lastId) this.reach(id);
    const slot = number - id * CHUNK;
    if (this.last[slot] === 255 && this.last instanceof Uint8Array) {
      this.last = Uint32Array.from(this.last);
      this.chunks.set(id, this.last);
    }
    this.last[slot]!++;
  }

  private reach(id: number): void {
    let chunk = this.chunks.get(id);
    if (chunk === undefined) {
      chunk = new Uint8Array(CHUNK);
      this.chunks.set(id, chunk);
    }
    this.last = chunk;
    this.lastId = id;
  }

  /** The rows, ascending. Numbers from `first` to `capacity` exist; those with a count of zero are free. */
  *rows(first: number, capacity: number): Generator<{ id: number; free: number; counts: Uint32Array }> {
    for (const id of [...this.chunks.keys()].sort((a, b) => a - b)) {
      const counts = Uint32Array.from(this.chunks.get(id)!);
      const begin = Math.max(0, first - id * CHUNK);
      const end = Math.min(CHUNK, capacity - id * CHUNK);
      let free = 0;
      for (let slot = begin; slot < end; slot++) if (counts[slot] === 0) free++;
      yield { id, free, counts };
    }
  }
}
