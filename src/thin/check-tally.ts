// Numbers by id for check, kept in typed arrays that exist only where something was counted: 4 bytes a data block for a
// full pool, and no more than what is referred to for a damaged one that claims to be huge.
import { CHUNK } from './entry.js';

/** Numbers of one width by id; all are zero at first. */
export class Tally<T extends Uint8Array | Uint32Array | Float64Array> {
  private readonly chunks = new Map<number, T>();
  private last = -1;
  private words: T | undefined;

  constructor(private readonly make: new (length: number) => T) {}

  get(id: number): number {
    const at = Math.floor(id / CHUNK);
    if (at !== this.last) {
      const words = this.chunks.get(at);
      if (words === undefined) return 0;
      this.last = at;
      this.words = words;
    }
    return this.words![id - at * CHUNK]!;
  }

  set(id: number, value: number): void {
    const at = Math.floor(id / CHUNK);
    this.open(at)[id - at * CHUNK] = value;
  }

  add(id: number): void {
    const at = Math.floor(id / CHUNK);
    this.open(at)[id - at * CHUNK]!++;
  }

  /** The numbers of the ids `chunk * CHUNK` and following, or undefined when all are zero. */
  chunk(chunk: number): T | undefined {
    return this.chunks.get(chunk);
  }

  /** Chunks in which something was set, ascending. */
  ids(): number[] {
    return [...this.chunks.keys()].sort((a, b) => a - b);
  }

  private open(at: number): T {
    if (at !== this.last) {
      let words = this.chunks.get(at);
      if (words === undefined) {
        words = new this.make(CHUNK);
        this.chunks.set(at, words);
      }
      this.last = at;
      this.words = words;
    }
    return this.words!;
  }
}
