// Replies under construction, one after the other in one buffer, sent together. The body of the reply at hand is written
// from `body` (words) or `at` (bytes); finish() puts the header before it. An answer that takes long keeps the buffer it
// has begun to fill (detach), and another takes its place.

import { OUT_HEADER, put64, wordsOf } from './layout.js';
import { MAX_WRITE } from './protocol.js';
import { allocate, type RawBuffer } from './raw.js';

const HEADER = OUT_HEADER.words * 4;
const CAPACITY = MAX_WRITE + 65536;
const MAX_MESSAGES = 64;
/** Enough for every reply of fixed length, and its header. */
const SMALL = 512;
const SPARE_BUFFERS = 4;

/** A buffer that an unfinished answer keeps; its message starts at byte `start`. */
export interface Detached {
  readonly space: Space;
  readonly start: number;
}

class Space {
  readonly buffer = allocate(CAPACITY);
  readonly words = wordsOf(this.buffer);
}

export class Reply {
  private space = new Space();
  private readonly spare: Space[] = [];
  private readonly ends = new Int32Array(MAX_MESSAGES);
  private count = 0;
  /** Byte offsets of the first message and of the one at hand. */
  private first = 0;
  private start = 0;

  constructor(private readonly send: (buffer: Buffer, ends: Int32Array, count: number) => void) {}

  get buffer(): RawBuffer {
    return this.space.buffer;
  }
  get words(): Uint32Array {
    return this.space.words;
  }
  /** Where the body starts, in words. */
  get body(): number {
    return (this.start >> 2) + OUT_HEADER.words;
  }
  /** Where the body starts, in bytes. */
  get at(): number {
    return this.start + HEADER;
  }

  /** Makes place for a body of `bytes`; call before anything of the body is written. False when no body is that long. */
  reserve(bytes: number): boolean {
    if (this.start + HEADER + bytes <= CAPACITY) return true;
    if (HEADER + bytes > CAPACITY) return false;
    this.flush();
    return true;
  }

  /** Sets `words` words of the body to zero. */
  clear(words: number): void {
    this.space.words.fill(0, this.body, this.body + words);
  }

  /** Ends the message at hand: a body of `result` bytes, or an error when it is negative. */
  finish(uniqueLow: number, uniqueHigh: number, result: number): void {
    const length = Math.max(result, 0);
    const words = this.space.words;
    const head = this.start >> 2;
    words[head] = HEADER + length;
    words[head + OUT_HEADER.error] = Math.min(result, 0);
    words[head + OUT_HEADER.unique] = uniqueLow;
    words[head + OUT_HEADER.unique + 1] = uniqueHigh;
    this.advance(HEADER + length);
  }

  /** Ends an unasked message: `code` is one of NOTIFY. */
  finishNotice(code: number, length: number): void {
    const words = this.space.words;
    const head = this.start >> 2;
    words[head] = HEADER + length;
    words[head + OUT_HEADER.error] = code;
    put64(words, head + OUT_HEADER.unique, 0);
    this.advance(HEADER + length);
  }

  /** Sends the finished messages; false when there are none. */
  flush(): boolean {
    const count = this.count;
    if (count === 0) return false;
    const { first, space } = this;
    this.count = 0;
    this.first = 0;
    this.start = 0;
    this.send(first === 0 ? space.buffer : space.buffer.subarray(first), this.ends, count);
    return true;
  }

  /** The answer at hand goes on filling this buffer while others are sent. */
  detach(): Detached {
    const detached = { space: this.space, start: this.start };
    this.flush();
    this.space = this.spare.pop() ?? new Space();
    this.first = 0;
    this.start = 0;
    return detached;
  }

  /** Makes a detached buffer the message at hand again; its body is complete. */
  adopt(detached: Detached): void {
    this.flush();
    this.recycle(this.space);
    this.space = detached.space;
    this.first = detached.start;
    this.start = detached.start;
  }

  /** Gives back a detached buffer whose answer has no body. */
  discard(detached: Detached): void {
    this.recycle(detached.space);
  }

  private recycle(space: Space): void {
    if (this.spare.length < SPARE_BUFFERS) this.spare.push(space);
  }

  private advance(length: number): void {
    this.start += length;
    this.ends[this.count++] = this.start - this.first;
    // A message must start on a word for `words` to reach it, and the next one needs room.
    if ((length & 3) !== 0 || this.count === MAX_MESSAGES || this.start + SMALL > CAPACITY) this.flush();
  }
}
