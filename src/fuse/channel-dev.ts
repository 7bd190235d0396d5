// The /dev/fuse channel: reads requests from the nonblocking descriptor whenever it is readable (pump.ts says how long).
import { readFileSync } from 'node:fs';
import { E, errnoName, SysError } from '../base/index.js';
import { native, type Watch } from '../sys/index.js';
import { type Channel, Frame, type Receiver } from './channel.js';
import { IN_HEADER } from './layout.js';
import { MAX_WRITE } from './protocol.js';
import { Pump } from './pump.js';
import { allocate } from './raw.js';

/** The kernel refuses reads with less room than its largest WRITE: headers, data, and a page to spare. */
const ROOM = MAX_WRITE + 4096;
/** Small requests of one batch lie behind each other in what is left. */
const FRAME_BYTES = ROOM + 65536;
const BATCH = 16;
const SPARE_FRAMES = 4;
/** How long to look for the next request. */
export const SPIN_MICROS = 40;
/** How long what nobody waits for may wait. */
const SECONDARY_MILLISECONDS = 10;
/** What Watch.want takes. */
const NEVER = 0;
const READABLE = 1;
/** CAP_SYS_ADMIN's bit. */
const SYS_ADMIN = 21n;

export interface DevChannelOptions {
  /** Microseconds to look for the next request before sleeping (default SPIN_MICROS; 0: never). */
  readonly spinMicros?: number;
  /** Takes what the kernel would not accept: a defect in this room. */
  readonly onError?: (error: Error) => void;
  /** Called when the connection has ended, before its descriptor is closed. */
  readonly onEnd?: () => void;
}

export class DevChannel implements Channel {
  readonly passthrough = hasSysAdmin();
  private readonly starts = new Int32Array(BATCH + 1);
  private readonly results = new Int32Array(64);
  private readonly spare: Frame[] = [];
  private frame: Frame;
  private readonly pump: Pump;
  private receiver: Receiver | undefined;
  private watch: Watch | undefined;
  private finish: ((error?: Error) => void) | undefined;
  private closed = false;
  /** Writes on worker threads that still use the descriptor. */
  private aside = 0;
  private secondary = false;
  private readonly spinMicros: number;

  /** Takes over `fd`, a mounted and nonblocking /dev/fuse descriptor. */
  constructor(
    private readonly fd: number,
    private readonly options: DevChannelOptions = {},
  ) {
    this.spinMicros = options.spinMicros ?? SPIN_MICROS;
    this.pump = new Pump(
      {
        take: spin => this.take(spin),
        deliver: count => this.deliver(count),
        behind: () => this.receiver!.behind,
        catchUp: () => this.receiver!.catchUp(),
      },
      this.spinMicros,
    );
    this.frame = this.newFrame();
  }

  /** While `secondary`, nobody waits for answers to what comes here: it is taken every few milliseconds, all at once. */
  setSecondary(secondary: boolean): void {
    this.secondary = secondary;
    this.pump.spinMicros = secondary ? 0 : this.spinMicros;
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
    // The offset means nothing to /dev/fuse.
    const rc = await this.usedAside(native.pwriteAsync(this.fd, message, 0, message.length, 0));
    if (rc < 0) this.refused(rc);
  }

  syncAndAnswer(
    fd: number,
    datasync: boolean,
    uniqueLow: number,
    uniqueHigh: number,
  ): Promise<number> | undefined {
    if (this.closed) return undefined;
    return this.usedAside(native.fuseSyncAsync(this.fd, fd, datasync, uniqueLow, uniqueHigh));
  }

  /** The descriptor stays open for as long as a worker uses it. */
  private async usedAside(work: Promise<number>): Promise<number> {
    this.aside++;
    const rc = await work;
    this.aside--;
    if (this.closed && this.aside === 0) native.close(this.fd);
    return rc;
  }

  kick(): void {
    // Whoever waited for what was answered may soon ask again.
    if (this.watch !== undefined) this.pump.run(this.receiver!.outstanding === 0);
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
    if (this.secondary) {
      this.watch!.want(NEVER);
      setTimeout(() => this.watch!.want(READABLE), SECONDARY_MILLISECONDS);
    }
    this.pump.wake();
  }

  private take(spinMicros: number): number {
    const count = native.fuseRead(this.fd, this.frame.buffer, this.starts, ROOM, spinMicros);
    if (count < 0) this.readFailed(count);
    return count;
  }

  private deliver(count: number): boolean {
    const { frame, starts } = this;
    const receiver = this.receiver!;
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
    return receiver.outstanding === 0;
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
    this.pump.stop();
    this.watch?.stop();
    this.options.onEnd?.();
    if (this.aside === 0) native.close(this.fd);
    this.finish?.(error);
  }
}

/** Only CAP_SYS_ADMIN may open backing files. */
function hasSysAdmin(): boolean {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'));
  return line !== null && ((BigInt(`0x${line[1]}`) >> SYS_ADMIN) & 1n) === 1n;
}
