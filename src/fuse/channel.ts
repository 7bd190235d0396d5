// How requests come in and replies go out: the only thing a transport has to offer. /dev/fuse, io_uring and the memory
// channel stand behind it; a session knows nothing else of its transport.
import { wordsOf } from './layout.js';
import type { RawBuffer } from './raw.js';

/** A buffer that requests arrive in. Whoever needs its bytes after the request was handled holds it. */
export class Frame {
  readonly words: Uint32Array;
  private holds = 0;
  private detached = false;

  /** `free` is called once the frame, having been detached, is held by nobody. */
  constructor(
    readonly buffer: RawBuffer,
    private readonly free: (frame: Frame) => void,
  ) {
    this.words = wordsOf(buffer);
  }

  get held(): boolean {
    return this.holds > 0;
  }

  hold(): void {
    this.holds++;
  }

  release(): void {
    this.holds--;
    if (this.holds === 0 && this.detached) {
      this.detached = false;
      this.free(this);
    }
  }

  /** The channel goes on with another frame; this one comes back through `free`. */
  detach(): void {
    this.detached = true;
  }
}

/** The session, as its channel sees it. */
export interface Receiver {
  /** Handles the request at `start` .. `end` (8-aligned start) of the frame; never throws. */
  request(frame: Frame, start: number, end: number): void;
  /** Sends what has been answered. Called after each batch. */
  flush(): void;
  /** Answers that are still being worked on. */
  readonly outstanding: number;
  /** Has something been put off that nobody waits for? A channel with nothing else to deliver calls `catchUp`. */
  readonly behind: boolean;
  /** Does what has been put off, and sends its answers. */
  catchUp(): void;
}

/** A way around /dev/fuse that INIT can agree on. */
export interface RingOffer {
  /** Makes it ready; false where that is not possible. Called when the kernel offers it, before it is agreed. */
  open(): boolean;
  /** The largest READ and WRITE in bytes, a multiple of the page size. */
  readonly maxWrite: number;
  /** It is agreed: to be used once the answer to INIT, which is next, has been sent. */
  accept(): void;
}

export interface Channel {
  /** Can requests come over io_uring? */
  readonly ring?: RingOffer | undefined;
  /** Can the kernel take backing descriptors through this channel? */
  readonly passthrough: boolean;
  /** Delivers requests until the other side has gone; rejects when the transport itself fails. */
  run(receiver: Receiver): Promise<void>;
  /** Sends the messages buffer[0 .. ends[0]], buffer[ends[0] .. ends[1]] and so on, before it returns. */
  write(buffer: Buffer, ends: Int32Array, count: number): void;
  /** Sends one message that may wait for locks that a caller of ours holds: never on this thread. */
  writeAside(message: Buffer): Promise<void>;
  /**
   * Syncs a descriptor and answers the request with what that came to, without this thread in between; resolves to 0 or -errno once
   * it is done. undefined: not by this channel.
   */
  syncAndAnswer(
    fd: number,
    datasync: boolean,
    uniqueLow: number,
    uniqueHigh: number,
  ): Promise<number> | undefined;
  /** Something was answered outside a request: a good moment to look for the next one. */
  kick(): void;
  /** A backing id (> 0) for a descriptor, or -errno. */
  backingOpen(fd: number): number;
  backingClose(id: number): void;
  /** Stops delivering and closes the transport; `run` resolves. */
  close(): void;
}
