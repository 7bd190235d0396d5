// One client: its socket, its handshake, its transmission. Requests are taken from the socket while there is room for their
// answers and their work; all that is answered in one go leaves in one go. Ends once, with nothing left behind.
import { type BlockDevice, E } from '../base/index.js';
import { close, native, type Watch } from '../sys/index.js';
import type { NbdExport } from './export.js';
import { Handshake, type Step } from './handshake.js';
import { Input, SMALL_PAYLOAD } from './input.js';
import { REQUEST_BYTES, Request, readRequest } from './layout.js';
import { Output } from './output.js';
import { COMMAND } from './protocol.js';
import type { SlabPool } from './slab.js';
import { Transmission } from './transmission.js';

const READABLE = 1;
const WRITABLE = 2;
/** How long others may have to wait for their turn, in milliseconds, and how many requests are handled between looks. */
const MAX_MILLISECONDS = 2;
const LOOK_EVERY = 16;
/** Bytes of unread answers to options. */
const MAX_OPTION_REPLIES = 1024 * 1024;
/** Large answers leave before the next request is looked at, in bytes. */
const SEND_FROM = 256 * 1024;
const EMPTY = Buffer.alloc(0);

/** What a connection needs of its server. */
export interface ConnectionHost {
  readonly pool: SlabPool;
  exports(): readonly NbdExport[];
  /** Microseconds for which this connection may look for its next request before it sleeps. */
  spin(connection: Connection): number;
  /** Whether it found one, looking. */
  looked(found: boolean): void;
  report(error: unknown): void;
  /** The connection is over and holds nothing. */
  ended(connection: Connection): void;
}

export class Connection {
  private readonly input: Input;
  private readonly output: Output;
  private readonly watch: Watch;
  private readonly request = new Request();
  private readonly handshake: Handshake;
  private transmission: Transmission | null = null;
  /** Devices that are being closed. */
  private closing: Promise<void>[] = [];
  private watching = READABLE;
  private pumping = false;
  private scheduled = false;
  /** No more requests; answers still leave. */
  private ending = false;
  /** The socket is closed. */
  private gone = false;
  private finished = false;

  /** Takes over a connected, nonblocking socket. */
  constructor(
    private readonly fd: number,
    private readonly host: ConnectionHost,
  ) {
    this.input = new Input(fd, host.pool);
    this.output = new Output(fd, host.pool);
    this.handshake = new Handshake(
      () => host.exports(),
      message => this.output.append(message),
    );
    this.watch = native.watchReadable(fd, status => (status < 0 ? this.drop() : this.pump()));
    this.pump();
  }

  /** Takes no more requests, answers those it has, and ends. */
  end(): void {
    this.ending = true;
    this.pump();
  }

  /** Ends without another word; operations that go on are waited for. */
  drop(): void {
    this.ending = true;
    if (this.transmission !== null) this.transmission.ended = true;
    if (!this.gone) {
      this.gone = true;
      this.watch.stop();
      close(this.fd);
    }
    this.endIfDone();
  }

  /** Handles what there is until nothing comes, nothing more may be taken on, or others must have their turn. */
  private pump(): void {
    if (this.pumping) return;
    if (this.gone) {
      this.endIfDone();
      return;
    }
    this.pumping = true;
    const until = performance.now() + MAX_MILLISECONDS;
    let found = false;
    for (;;) {
      const all = this.handleAll(until);
      const full = this.flush();
      if (this.gone || this.ending || this.full) break;
      if (performance.now() > until) {
        this.continueSoon();
        break;
      }
      if (!all) continue;
      const idle = !full && found && this.transmission?.operations === 0;
      const spin = idle ? this.host.spin(this) : 0;
      const count = this.input.receive(spin);
      if (spin > 0) this.host.looked(count > 0);
      if (count <= 0) {
        if (count === 0) this.ending = true;
        else if (count !== -E.EAGAIN) this.drop();
        break;
      }
      found = true;
    }
    this.pumping = false;
    this.rest();
  }

  /** Sends what is queued; true when the client must read first. */
  private flush(): boolean {
    if (this.gone || this.output.bytes === 0) return false;
    const rc = this.output.flush();
    if (rc < 0 && rc !== -E.EAGAIN) this.drop();
    return rc < 0;
  }

  /** Waits for what comes next, holding no more than that needs. */
  private rest(): void {
    if (!this.gone) this.watchFor();
    this.endIfDone();
  }

  private watchFor(): void {
    this.input.rest();
    const read = this.ending || this.full || this.scheduled ? 0 : READABLE;
    const wanted = read | (this.output.bytes > 0 ? WRITABLE : 0);
    if (wanted !== this.watching) {
      this.watching = wanted;
      this.watch.want(wanted);
    }
  }

  /** No more messages are taken for now. */
  private get full(): boolean {
    return this.transmission === null ? this.output.bytes >= MAX_OPTION_REPLIES : this.transmission.full;
  }

  private continueSoon(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.pump();
    });
  }

  /** Handles the messages that came; false when some are left because time is up or enough is going on. */
  private handleAll(until: number): boolean {
    for (let count = 1; !this.ending && !this.full; count++) {
      if (this.input.skip > 0 && !this.input.passOver()) return true;
      const { handshake, transmission } = this;
      if (!(transmission === null ? this.negotiate(handshake) : this.handleRequest(transmission)))
        return true;
      if (this.output.bytes >= SEND_FROM) this.flush();
      if (count % LOOK_EVERY === 0 && performance.now() > until) return false;
    }
    return false;
  }

  /** One step of the handshake; false when the next message is not complete. */
  private negotiate(handshake: Handshake): boolean {
    const { input } = this;
    const outcome = this.step(handshake);
    if (outcome === 'more') return false;
    input.start += handshake.used;
    input.skip = handshake.skip;
    if (outcome === 'close') this.ending = true;
    else if (outcome !== 'next' && !outcome.enter) this.closeDevice(outcome.device);
    else if (outcome !== 'next') this.enter(outcome.device, handshake);
    return true;
  }

  /** What cannot be answered, such as a device that does not open for EXPORT_NAME, ends the connection. */
  private step(handshake: Handshake): Step {
    try {
      return handshake.step(this.input.buffer, this.input.start, this.input.end);
    } catch (error) {
      this.host.report(error);
      return 'close';
    }
  }

  private enter(device: BlockDevice, agreement: Handshake): void {
    this.transmission = new Transmission({
      device,
      output: this.output,
      pool: this.host.pool,
      agreement,
      settled: () => this.continueSoon(),
      report: error => this.host.report(error),
    });
  }

  /** One request; false when the next one is not complete. */
  private handleRequest(transmission: Transmission): boolean {
    const { input, request } = this;
    if (input.collecting) return this.handleCollected(transmission);
    const came = input.end - input.start - REQUEST_BYTES;
    if (came < 0) return false;
    if (!readRequest(input.buffer, input.start, request)) {
      this.drop();
      return false;
    }
    if (request.type === COMMAND.DISC) {
      this.ending = true;
      return false;
    }
    const payload = request.type === COMMAND.WRITE ? request.length : 0;
    const refusal = transmission.refusal(request);
    if (refusal !== null) {
      input.start += REQUEST_BYTES;
      input.skip = payload;
      transmission.fail(request, refusal);
      return true;
    }
    if (payload > came) {
      if (payload <= SMALL_PAYLOAD) return false;
      input.start += REQUEST_BYTES;
      input.collect(payload);
      return false;
    }
    const from = input.start + REQUEST_BYTES;
    input.start = from + payload;
    if (payload === 0) transmission.execute(request, EMPTY, null);
    else transmission.execute(request, input.buffer.subarray(from, from + payload), input.slab);
    return true;
  }

  private handleCollected(transmission: Transmission): boolean {
    const collected = this.input.collected();
    if (collected === null) return false;
    transmission.execute(this.request, collected.data, collected.slab);
    collected.slab.release();
    return true;
  }

  private closeDevice(device: BlockDevice): void {
    this.closing.push(device.close().catch(error => this.host.report(error)));
  }

  /** The end, once: when nothing goes on and nothing is to be sent. */
  private endIfDone(): void {
    if (!this.ending || this.pumping || this.finished) return;
    if ((this.transmission?.operations ?? 0) > 0 || (!this.gone && this.output.bytes > 0)) return;
    this.finished = true;
    this.drop();
    this.input.drop();
    this.output.drop();
    if (this.transmission !== null) this.closeDevice(this.transmission.device);
    void Promise.all(this.closing).then(() => this.host.ended(this));
  }
}
