// Reads one request where it lies in its frame. Offsets `w` are words from the start of the operation's struct; nothing
// is copied or decoded until it is asked for. A request that is not what it should be throws MALFORMED.
import { type ByteString, E, SysError } from '../base/index.js';
import type { Frame } from './channel.js';
import { get64, getSigned64, IN_HEADER } from './layout.js';

/** Thrown for bytes that no kernel sends. */
export const MALFORMED = new SysError(E.EINVAL, 'malformed FUSE request');

const SLASH = 0x2f;
const DOT = 0x2e;

export class Request {
  frame!: Frame;
  private words!: Uint32Array;
  /** Word index of the header and of the operation's struct. */
  private head = 0;
  private body = 0;
  /** Byte index after the last byte of the operation. */
  private end = 0;
  /** Byte index after the name read last. */
  private cursor = 0;

  load(frame: Frame, start: number, end: number): void {
    this.frame = frame;
    this.words = frame.words;
    this.head = start >> 2;
    this.body = this.head + IN_HEADER.words;
    this.end = end - (this.words[this.head + IN_HEADER.extlen]! & 0xffff) * 8;
    this.cursor = 0;
  }

  get opcode(): number {
    return this.words[this.head + IN_HEADER.opcode]!;
  }
  get uniqueLow(): number {
    return this.words[this.head + IN_HEADER.unique]!;
  }
  get uniqueHigh(): number {
    return this.words[this.head + IN_HEADER.unique + 1]!;
  }
  get nodeid(): number {
    return get64(this.words, this.head + IN_HEADER.nodeid);
  }
  get uid(): number {
    return this.words[this.head + IN_HEADER.uid]!;
  }
  get gid(): number {
    return this.words[this.head + IN_HEADER.gid]!;
  }
  get pid(): number {
    return this.words[this.head + IN_HEADER.pid]!;
  }

  /** Words of the operation, struct and what follows it. */
  get length(): number {
    return (this.end - this.body * 4) / 4;
  }

  u32(w: number): number {
    return this.words[this.body + w]!;
  }
  u64(w: number): number {
    return get64(this.words, this.body + w);
  }
  i64(w: number): number {
    return getSigned64(this.words, this.body + w);
  }

  /** The NUL-ended string after a struct of `w` words; the next one is read by `nextText`. */
  text(w: number): ByteString {
    this.cursor = (this.body + w) * 4;
    return this.nextText();
  }

  nextText(): ByteString {
    const from = this.cursor;
    const stop = this.endOfText(from);
    this.cursor = stop + 1;
    return this.frame.buffer.latin1Slice(from, stop);
  }

  /** As `text`, but one name of a directory entry: not empty, no "/", neither "." nor "..". */
  name(w: number): ByteString {
    this.cursor = (this.body + w) * 4;
    return this.nextName();
  }

  nextName(): ByteString {
    const bytes = this.frame.buffer;
    const from = this.cursor;
    let at = from;
    let byte = 0;
    for (; at < this.end; at++) {
      byte = bytes[at]!;
      if (byte === 0) break;
      if (byte === SLASH) throw MALFORMED;
    }
    const length = at - from;
    if (at >= this.end || length === 0) throw MALFORMED;
    if (length <= 2 && bytes[from] === DOT && bytes[at - 1] === DOT) throw MALFORMED;
    this.cursor = at + 1;
    return bytes.latin1Slice(from, at);
  }

  /** `size` bytes after a struct of `w` words, in place. */
  data(w: number, size: number): Buffer {
    return this.slice((this.body + w) * 4, size);
  }

  /** `size` bytes after the string read last, in place. */
  dataAfterText(size: number): Buffer {
    return this.slice(this.cursor, size);
  }

  private slice(from: number, size: number): Buffer {
    if (from + size > this.end) throw MALFORMED;
    return this.frame.buffer.subarray(from, from + size);
  }

  private endOfText(from: number): number {
    const stop = this.frame.buffer.indexOf(0, from);
    if (stop < 0 || stop >= this.end) throw MALFORMED;
    return stop;
  }
}
