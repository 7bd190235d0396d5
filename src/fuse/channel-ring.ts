// The io_uring channel: /dev/fuse until INIT has agreed on the ring, then the ring for what callers ask, and /dev/fuse still
// for FORGET, INTERRUPT and notices. What fails before the first request leaves the mount on /dev/fuse.
import { E, errnoName, SysError } from '../base/index.js';
import { native, type Ring, type Watch } from '../sys/index.js';
import type { Channel, Receiver, RingOffer } from './channel.js';
import { DevChannel, type DevChannelOptions, SPIN_MICROS } from './channel-dev.js';
import { Pump } from './pump.js';
import { RingEntries } from './ring-entries.js';

/** Largest READ and WRITE in bytes over the ring: the payload of an entry. */
const MAX_WRITE = 256 * 1024;
/** Requests and answers of one batch. */
const BATCH = 64;
/** Why an entry is no more when the mount is not. */
const ENDS: readonly number[] = [E.ENOTCONN, E.ECONNABORTED, E.ECANCELED, E.ENODEV];

export interface RingChannelOptions extends DevChannelOptions {
  /** Bytes of an entry's payload (default: as much as a WRITE can have). With less the kernel refuses the ring. */
  readonly payload?: number;
}

export class RingChannel implements Channel {
  readonly ring: RingOffer = {
    maxWrite: MAX_WRITE,
    open: () => this.open(),
    accept: () => {
      this.accepted = true;
    },
  };
  private readonly dev: DevChannel;
  private readonly pump: Pump;
  private readonly taken = new Int32Array(3 * BATCH);
  private readonly results = new Int32Array(BATCH);
  private receiver!: Receiver;
  private accepted = false;
  private uring: Ring | undefined;
  private entries!: RingEntries;
  /** Watched while requests come over the ring. */
  private watch: Watch | undefined;
  private failure: SysError | undefined;

  /** Takes over `fd`, a mounted and nonblocking /dev/fuse descriptor. */
  constructor(
    private readonly fd: number,
    private readonly options: RingChannelOptions = {},
  ) {
    // What is still answered must not go to whatever file gets the number of the descriptor next.
    this.dev = new DevChannel(fd, { ...options, onEnd: () => this.shut() });
    this.pump = new Pump(
      {
        take: spin => this.take(spin),
        deliver: count => this.deliver(count),
        behind: () => this.receiver.behind,
        catchUp: () => this.receiver.catchUp(),
        leave: () => this.submit(),
      },
      options.spinMicros ?? SPIN_MICROS,
    );
  }

  get passthrough(): boolean {
    return this.dev.passthrough;
  }

  /** Do requests come over the ring? */
  get overRing(): boolean {
    return this.watch !== undefined;
  }

  async run(receiver: Receiver): Promise<void> {
    this.receiver = receiver;
    const flush = (): void => {
      receiver.flush();
      if (this.accepted) this.start();
    };
    await this.dev.run({
      request: (frame, start, end) => receiver.request(frame, start, end),
      flush,
      get outstanding() {
        return receiver.outstanding;
      },
      get behind() {
        return receiver.behind;
      },
      catchUp: () => receiver.catchUp(),
    });
    if (this.failure !== undefined) throw this.failure;
  }

  write(buffer: Buffer, ends: Int32Array, count: number): void {
    if (!this.overRing) {
      this.dev.write(buffer, ends, count);
      return;
    }
    const { results } = this;
    const rc = native.ringReply(this.uring!, buffer, ends, count, results);
    if (rc < 0) {
      this.fail(rc);
      return;
    }
    for (let i = 0; i < count; i++) {
      const block = results[i]!;
      if (block >= 0) this.entries.release(block);
      else this.writeToDevice(buffer.subarray(i === 0 ? 0 : ends[i - 1]!, ends[i]!));
    }
    // In the loop the next look sends them.
    if (!this.pump.running) this.submit();
  }

  writeAside(message: Buffer): Promise<void> {
    return this.dev.writeAside(message);
  }

  syncAndAnswer(...sync: Parameters<Channel['syncAndAnswer']>): Promise<number> | undefined {
    return this.overRing ? undefined : this.dev.syncAndAnswer(...sync);
  }

  kick(): void {
    if (this.overRing) this.pump.run(this.receiver.outstanding === 0);
    else this.dev.kick();
  }

  /** As DevChannel's. */
  connected(): boolean {
    return this.dev.connected();
  }

  backingOpen(fd: number): number {
    return this.dev.backingOpen(fd);
  }

  backingClose(id: number): void {
    this.dev.backingClose(id);
  }

  close(): void {
    this.dev.close();
  }

  /** The kernel offers the ring: makes one, so that nothing is left to fail once it is agreed but the kernel's own consent. */
  private open(): boolean {
    const ring = native.ringOpen(BATCH);
    if (typeof ring === 'number') return false;
    this.uring = ring;
    try {
      this.entries = new RingEntries(ring, this.fd, this.options.payload ?? MAX_WRITE);
    } catch (error) {
      this.shut();
      if (error instanceof RangeError || error instanceof SysError) return false;
      throw error;
    }
    return true;
  }

  /** The answer to INIT has been sent, and the kernel holds requests back until every CPU has an entry, or one is refused. */
  private start(): void {
    this.accepted = false;
    const rc = this.entries.register();
    if (rc < 0) {
      this.fail(rc);
      return;
    }
    this.dev.setSecondary(true);
    this.watch = native.watchReadable(native.ringBell(this.uring!), () => this.pump.wake());
    // A refusal is known by now.
    this.pump.run();
    if (this.overRing && !this.entries.complete) this.withdraw();
  }

  /** A CPU without an entry: the kernel has gone back to /dev/fuse for good. */
  private withdraw(): void {
    this.shut();
    this.dev.setSecondary(false);
  }

  private take(spinMicros: number): number {
    const count = native.ringTake(this.uring!, this.taken, spinMicros);
    if (count < 0) this.fail(count);
    return count;
  }

  private deliver(count: number): boolean {
    const { taken, receiver } = this;
    for (let i = 0; i < 3 * count; i += 3) {
      const block = taken[i]!;
      if (block < 0) this.lost(-1 - block, taken[i + 1]!, taken[i + 2] === 1);
      else receiver.request(this.entries.hold(block), taken[i + 1]!, taken[i + 2]!);
    }
    receiver.flush();
    if (receiver.outstanding === 0) return true;
    const rc = this.overRing ? this.entries.grow() : 0;
    if (rc < 0) this.fail(rc);
    return false;
  }

  /** An entry is no more. That fewer can be had than were asked for is no failure. */
  private lost(block: number, errno: number, registering: boolean): void {
    this.entries.lost(block);
    if (registering) return;
    if (ENDS.includes(errno)) this.dev.kick();
    else
      this.options.onError?.(
        new Error(`the kernel took an entry of the FUSE ring away: ${errnoName(errno)}`),
      );
  }

  /** A notice, or the answer to what came over /dev/fuse; it must not overtake answers that were given before. */
  private writeToDevice(message: Buffer): void {
    this.submit();
    this.dev.write(message, Int32Array.of(message.length), 1);
  }

  private submit(): void {
    if (this.uring === undefined) return;
    const rc = native.ringSubmit(this.uring);
    if (rc < 0) this.fail(rc);
  }

  /** The ring itself fails, and callers wait for what is in it: the mount cannot go on. */
  private fail(rc: number): void {
    this.failure ??= new SysError(-rc, 'the FUSE ring');
    this.close();
  }

  /** Its entries keep /dev/fuse open, so this comes before that is closed. */
  private shut(): void {
    this.pump.stop();
    this.watch?.stop();
    this.watch = undefined;
    if (this.uring !== undefined) native.ringClose(this.uring);
    this.uring = undefined;
  }
}
