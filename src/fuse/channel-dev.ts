// The /dev/fuse channel: reads requests from the nonblocking descriptor whenever it is readable, and after each answer
// looks for the next one for a few microseconds, because waking a sleeping thread costs more than the answer. Every few
// milliseconds the event loop gets its turn.
import { readFileSync } from 'node:fs';
import { E, errnoName, SysError } from '../base/index.js';
import { native, type Watch } from '../sys/index.js';
import { type Channel, Frame, type Receiver } from './channel.js';
import { IN_HEADER } from './layout.js';
import { MAX_WRITE } from './protocol.js';
import { allocate } from './raw.js';

/** The kernel refuses reads with less room than its largest WRITE: headers, data, and a page to spare. */
const ROOM = MAX_WRITE + 4096;
/** Small requests of one batch lie behind each other in what is left. */
const FRAME_BYTES = ROOM + 65536;
const BATCH = 16;
const SPARE_FRAMES = 4;
/** How long the event loop may have to wait, in rounds and milliseconds. */
const MAX_ROUNDS = 64;
const MAX_MILLISECONDS = 2;
/** After so many looks in vain the channel does without for so many wake-ups. */
const VAIN_LOOKS = 4;
const PAUSE_WAKES = 32;
/** CAP_SYS_ADMIN's bit. */
const SYS_ADMIN = 21n;

export interface DevChannelOptions {
  /** Microseconds to look for the next request before sleeping (default 40; 0: never). */
  readonly spinMicros?: number;
  /** Takes what the kernel would not accept: a defect in this room. */
  readonly onError?: (error: Error) => void;
}

export class DevChannel implements Channel {
  readonly passthrough = hasSysAdmin();
  private readonly starts = new Int32Array(BATCH + 1);
  private readonly results = new Int32Array(64);
  private readonly spare: Frame[] = [];
  private frame: Frame;
  private readonly spinMicros: number;
  private receiver: Receiver | undefined;
  private watch: Watch | undefined;
  private finish: ((error?: Error) => void) | undefined;
  private pumping = false;
  private scheduled = false;
  private closed = false;
  private vain = 0;
  private pause = 0;
  /** Writes on worker threads that still use the descriptor. */
  private aside = 0;

  /** Takes over `fd`, a mounted and nonblocking /dev/fuse descriptor. */
  constructor(
    private readonly fd: number,
    private readonly options: DevChannelOptions = {},
  ) {
    this.spinMicros = options.spinMicros ?? 40;
    this.frame = this.newFrame();
  }

  run(receiver: Receiver): Promise<void> {
    this.receiver = receiver;
    return new Promise((resolve, reject) => {
      this.finish = error => (error === undefined ? resolve() : reject(error));
      if (this.closed) resolve();
      else this.watch = native.watchReadable(this.fd, () => this.wake());
    });
  }

  write(buffer: Buffer, ends: Int32Array, count: number): void {
    if (this.closed) return;
    const rc = native.fuseWrite(this.fd, buffer, ends, count, this.results);
    for (let i = 0; i < count; i++) {
      const result = rc < 0 ? rc : this.results[i]!;
      if (result < 0) this.refused(result);
    }
  }

  async writeAside(message: Buffer): Promise<void> {
    if (this.closed) return;
    this.aside++;
    // The offset means nothing to /dev/fuse.
    const rc = await native.pwriteAsync(this.fd, message, 0, message.length, 0);
    this.aside--;
    if (rc < 0) this.refused(rc);
    if (this.closed && this.aside === 0) native.close(this.fd);
  }

  kick(): void {
    if (!this.closed && this.watch !== undefined) this.pump();
  }

  /** Does anybody still have what is mounted? The kernel has cut the connection by the time the last unmount returns. */
  connected(): boolean {
    this.kick();
    return !this.closed;
  }

  backingOpen(fd: number): number {
    return native.fuseBackingOpen(this.fd, fd);
  }

  backingClose(id: number): void {
    if (!this.closed) native.fuseBackingClose(this.fd, id);
  }

  close(): void {
    this.end();
  }

  private wake(): void {
    if (this.pause > 0) this.pause--;
    this.pump();
  }

  /** Handles requests until there are none, or the event loop must have its turn. */
  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    const receiver = this.receiver!;
    const until = performance.now() + MAX_MILLISECONDS;
    let answered = false;
    for (let round = 0; !this.closed; round++) {
      if (round === MAX_ROUNDS || ((round & 7) === 7 && performance.now() > until)) {
        this.continueSoon();
        break;
      }
      const spin = answered && this.pause === 0 && receiver.outstanding === 0 ? this.spinMicros : 0;
      const count = native.fuseRead(this.fd, this.frame.buffer, this.starts, ROOM, spin);
      if (count <= 0) {
        if (count < 0) this.readFailed(count);
        else if (spin > 0) this.lookedInVain();
        break;
      }
      if (spin > 0) this.vain = 0;
      this.deliver(receiver, count);
      answered = true;
    }
    this.pumping = false;
  }

  private deliver(receiver: Receiver, count: number): void {
    const { frame, starts } = this;
    for (let i = 0; i < count; i++) {
      const start = starts[i]!;
      const length = frame.words[(start >> 2) + IN_HEADER.len]!;
      receiver.request(frame, start, Math.min(start + length, starts[i + 1]!));
    }
    receiver.flush();
    if (frame.held) {
      frame.detach();
      this.frame = this.spare.pop() ?? this.newFrame();
    }
  }

  private lookedInVain(): void {
    this.vain++;
    if (this.vain < VAIN_LOOKS) return;
    this.vain = 0;
    this.pause = PAUSE_WAKES;
  }

  private continueSoon(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.kick();
    });
  }

  private newFrame(): Frame {
    return new Frame(allocate(FRAME_BYTES), frame => {
      if (this.spare.length < SPARE_FRAMES) this.spare.push(frame);
    });
  }

  private readFailed(rc: number): void {
    // ENODEV: unmounted. ECONNABORTED: the connection was aborted.
    const gone = rc === -E.ENODEV || rc === -E.ECONNABORTED;
    this.end(gone ? undefined : new SysError(-rc, 'read /dev/fuse'));
  }

  /** ENOENT: nobody waits for this answer any more, or the kernel does not know what a notice is about. */
  private refused(rc: number): void {
    if (rc === -E.ENOENT || rc === -E.ENODEV || rc === -E.ENOTDIR || rc === -E.ENOTEMPTY) return;
    this.options.onError?.(new Error(`the kernel refused a FUSE reply: ${errnoName(-rc)}`));
  }

  private end(error?: Error): void {
    if (this.closed) return;
    this.closed = true;
    this.watch?.stop();
    if (this.aside === 0) native.close(this.fd);
    this.finish?.(error);
  }
}

/** Only CAP_SYS_ADMIN may open backing files. */
function hasSysAdmin(): boolean {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'));
  return line !== null && ((BigInt(`0x${line[1]}`) >> SYS_ADMIN) & 1n) === 1n;
}
