// What goes out on one connection: replies are written where they leave from. Those that are ready lie behind each other in
// one slab and leave in one call; room can be set aside for a reply that is not ready yet, which joins the queue later.
import { E } from '../base/index.js';
import { send } from '../sys/index.js';
import type { Slab, SlabPool } from './slab.js';

/** A part of a slab that belongs to one reply until it is queued or dropped. */
export interface Piece {
  readonly slab: Slab;
  readonly start: number;
  end: number;
}

export class Output {
  /** Bytes that are queued and not sent. */
  bytes = 0;
  /** Where `reserve` found room: replies are written here, from `at` on. */
  buffer: Buffer = Buffer.alloc(0);
  at = 0;
  private slab: Slab | null = null;
  /** The open run: bytes start .. at of `slab` are ready. */
  private start = 0;
  private readonly queue: Piece[] = [];

  constructor(
    private readonly fd: number,
    private readonly pool: SlabPool,
  ) {}

  /** Makes room for `bytes` at `buffer[at ..]`; they are not part of anything before `commit` or `detach`. */
  reserve(bytes: number): void {
    if (this.slab !== null && this.at + bytes <= this.buffer.length) return;
    this.closeRun();
    this.slab?.release();
    this.slab = this.pool.take(bytes);
    this.buffer = this.slab.buffer;
    this.start = 0;
    this.at = 0;
  }

  /** The first `bytes` of the reserved room are ready to leave. */
  commit(bytes: number): void {
    this.at += bytes;
    this.bytes += bytes;
  }

  /** Sets the first `bytes` of the reserved room aside. */
  detach(bytes: number): Piece {
    this.closeRun();
    const start = this.at;
    this.at += bytes;
    this.start = this.at;
    this.slab!.users++;
    return { slab: this.slab!, start, end: this.at };
  }

  /** What was set aside is ready to leave. */
  attach(piece: Piece): void {
    this.bytes += piece.end - piece.start;
    this.closeRun();
    this.enqueue(piece);
  }

  append(message: Buffer): void {
    this.reserve(message.length);
    message.copy(this.buffer, this.at);
    this.commit(message.length);
  }

  /** Sends what it can: 0 when all has left, -EAGAIN when the client must read first, or another -errno. */
  flush(): number {
    while (this.queue.length > 0) {
      const piece = this.queue[0]!;
      const sent = send(this.fd, piece.slab.buffer, piece.start, piece.end - piece.start);
      if (sent < 0) return sent;
      this.bytes -= sent;
      if (!this.advance(piece, sent)) return -E.EAGAIN;
    }
    if (this.at === this.start) return 0;
    const sent = send(this.fd, this.buffer, this.start, this.at - this.start);
    if (sent < 0) return sent;
    this.bytes -= sent;
    this.start += sent;
    if (this.start < this.at) return -E.EAGAIN;
    this.leaveSlab();
    return 0;
  }

  /** Forgets everything that is queued. */
  drop(): void {
    for (const piece of this.queue.splice(0)) piece.slab.release();
    this.leaveSlab();
    this.bytes = 0;
  }

  /** An idle connection holds no memory. */
  private leaveSlab(): void {
    this.slab?.release();
    this.slab = null;
    this.start = 0;
    this.at = 0;
  }

  /** False when a part of the piece is still to be sent. */
  private advance(piece: Piece, sent: number): boolean {
    const start = piece.start + sent;
    if (start < piece.end) {
      this.queue[0] = { slab: piece.slab, start, end: piece.end };
      return false;
    }
    this.queue.shift();
    piece.slab.release();
    return true;
  }

  private closeRun(): void {
    if (this.slab === null || this.at === this.start) return;
    this.slab.users++;
    this.enqueue({ slab: this.slab, start: this.start, end: this.at });
    this.start = this.at;
  }

  /** Neighbours in one slab leave in one call. */
  private enqueue(piece: Piece): void {
    const last = this.queue.at(-1);
    if (last === undefined || last.slab !== piece.slab || last.end !== piece.start) {
      this.queue.push(piece);
      return;
    }
    last.end = piece.end;
    piece.slab.release();
  }
}
