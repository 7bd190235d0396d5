// Requests that nobody waits for (RELEASE, FORGET), put off until nobody waits: a caller who has closed a file has gone on, and
// its next request is answered first where that changes nothing (table.ts says which may come first).
import { Frame } from './channel.js';
import { allocate } from './raw.js';

/** Room for some hundred requests. */
const BYTES = 16384;

export class LateRequests {
  private frame = new Frame(allocate(BYTES), () => {});
  private readonly bounds: number[] = [0];

  get waiting(): boolean {
    return this.bounds.length > 1;
  }

  /** Keeps a copy of the request at `start` .. `end` of the frame; false when there is no room. */
  keep(from: Frame, start: number, end: number): boolean {
    const at = this.bounds[this.bounds.length - 1]!;
    const to = (at + end - start + 7) & ~7;
    if (to > BYTES) return false;
    const words = (end - start + 3) >> 2;
    for (let w = 0; w < words; w++) this.frame.words[(at >> 2) + w] = from.words[(start >> 2) + w]!;
    this.bounds.push(to);
    return true;
  }

  /** Hands all of them out, in the order in which they came. */
  take(handle: (frame: Frame, start: number, end: number) => void): void {
    const { bounds } = this;
    for (let i = 1; i < bounds.length; i++) handle(this.frame, bounds[i - 1]!, bounds[i]!);
    bounds.length = 1;
  }
}
