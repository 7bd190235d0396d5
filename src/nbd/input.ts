// What comes in on one connection: messages lie in one slab and are handled where they lie. The payload of a large write is
// received straight into a slab of its own. An operation that goes on keeps the slab that its data lies in.
import { receive } from '../sys/index.js';
import type { Slab, SlabPool } from './slab.js';

/** Payloads up to this size are waited for among the other messages. */
export const SMALL_PAYLOAD = 32 * 1024;
/** What is read at once after a large payload: the next header, and little of its payload, which would have to be copied. */
const SHORT_READ = 4096;

export class Input {
  buffer: Buffer = Buffer.alloc(0);
  /** Bytes start .. end of `buffer` came and are not handled. */
  start = 0;
  end = 0;
  /** Bytes to come that nobody wants. */
  skip = 0;
  /** What messages lie in. */
  slab: Slab | null = null;
  private payload: Slab | null = null;
  private got = 0;
  private wanted = 0;
  private short = false;

  constructor(
    private readonly fd: number,
    private readonly pool: SlabPool,
  ) {}

  /** Receives once: bytes, 0 at the end, -EAGAIN when nothing came. */
  receive(spinMicros: number): number {
    if (this.payload !== null) return this.receivePayload();
    this.makeRoom();
    const room = this.short ? SHORT_READ : this.buffer.length - this.end;
    this.short = false;
    const count = receive(this.fd, this.buffer, this.end, room, spinMicros);
    if (count > 0) this.end += count;
    return count;
  }

  /** Passes over what is to be skipped; true when nothing is left to skip. */
  passOver(): boolean {
    const count = Math.min(this.skip, this.end - this.start);
    this.start += count;
    this.skip -= count;
    return this.skip === 0;
  }

  /** From now on receives a payload of this size, of which the unhandled bytes are the beginning (all of them). */
  collect(length: number): void {
    const payload = this.pool.take(length);
    this.got = Math.min(length, this.end - this.start);
    this.buffer.copy(payload.buffer, 0, this.start, this.start + this.got);
    this.start += this.got;
    this.payload = payload;
    this.wanted = length;
    this.rest();
  }

  get collecting(): boolean {
    return this.payload !== null;
  }

  /** The payload with its slab, which is the caller's from now on; null while some of it is missing. */
  collected(): { slab: Slab; data: Buffer } | null {
    if (this.payload === null || this.got < this.wanted) return null;
    const slab = this.payload;
    this.payload = null;
    this.short = this.end === this.start;
    return { slab, data: slab.buffer.subarray(0, this.wanted) };
  }

  /** An idle connection holds no memory. */
  rest(): void {
    if (this.start === this.end) this.leaveSlab();
  }

  drop(): void {
    this.payload?.release();
    this.payload = null;
    this.leaveSlab();
  }

  private leaveSlab(): void {
    this.slab?.release();
    this.slab = null;
    this.start = 0;
    this.end = 0;
  }

  private receivePayload(): number {
    const count = receive(this.fd, this.payload!.buffer, this.got, this.wanted - this.got, 0);
    if (count > 0) this.got += count;
    return count;
  }

  /** Room behind `end` for at least one message. */
  private makeRoom(): void {
    if (this.slab === null) {
      this.slab = this.pool.take(0);
      this.buffer = this.slab.buffer;
      this.start = 0;
      this.end = 0;
      return;
    }
    if (this.start === this.end && this.slab.users === 1) {
      this.start = 0;
      this.end = 0;
      return;
    }
    if (this.end + SMALL_PAYLOAD * 2 <= this.buffer.length) return;
    this.move();
  }

  /** Brings the unhandled bytes to the beginning, in another slab when somebody still uses this one. */
  private move(): void {
    const old = this.slab!;
    if (old.users > 1) {
      this.slab = this.pool.take(0);
      this.buffer = this.slab.buffer;
    }
    old.buffer.copy(this.buffer, 0, this.start, this.end);
    if (old !== this.slab) old.release();
    this.end -= this.start;
    this.start = 0;
  }
}
