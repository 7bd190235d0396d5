// A channel without a kernel: whoever holds it sends the bytes of requests and gets the bytes of replies, in the process.

import { type Channel, Frame, type Receiver, type RingOffer } from './channel.js';
import { allocate } from './raw.js';

export interface MemoryChannelOptions {
  /** Takes each reply and notice; the bytes are the taker's own. */
  readonly onMessage: (message: Buffer) => void;
  /** Hands out backing ids instead of a kernel; absent: no passthrough. */
  readonly backing?: { open(fd: number): number; close(id: number): void };
  /** What the session is offered beside this channel; absent: nothing. */
  readonly ring?: RingOffer;
}

export class MemoryChannel implements Channel {
  private receiver: Receiver | undefined;
  private ended: (() => void) | undefined;
  private closed = false;

  readonly ring: RingOffer | undefined;

  constructor(private readonly options: MemoryChannelOptions) {
    this.ring = options.ring;
  }

  get passthrough(): boolean {
    return this.options.backing !== undefined;
  }

  run(receiver: Receiver): Promise<void> {
    this.receiver = receiver;
    return new Promise(resolve => {
      if (this.closed) resolve();
      else this.ended = resolve;
    });
  }

  /** Delivers requests that have come together; answers that need no wait have been sent when this returns. */
  deliver(...requests: readonly Uint8Array[]): void {
    if (this.receiver === undefined || this.closed) return;
    for (const request of requests) {
      const buffer = allocate((request.length + 7) & ~7);
      buffer.set(request);
      this.receiver.request(new Frame(buffer, () => undefined), 0, request.length);
    }
    this.receiver.flush();
    if (this.receiver.behind) this.receiver.catchUp();
  }

  write(buffer: Buffer, ends: Int32Array, count: number): void {
    let from = 0;
    for (let i = 0; i < count; i++) {
      const end = ends[i]!;
      this.options.onMessage(Buffer.from(buffer.subarray(from, end)));
      from = end;
    }
  }

  async writeAside(message: Buffer): Promise<void> {
    this.options.onMessage(message);
  }

  syncAndAnswer(): undefined {
    return undefined;
  }

  kick(): void {
    // Requests are handled as they are delivered; there is nothing to look for.
  }

  backingOpen(fd: number): number {
    return this.options.backing!.open(fd);
  }

  backingClose(id: number): void {
    this.options.backing!.close(id);
  }

  close(): void {
    this.closed = true;
    this.ended?.();
  }
}
