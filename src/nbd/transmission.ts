// Requests of one connection on its device: what may not be is refused, what is done at once is answered at once, and the rest
// when it has ended, in whatever order. Failures are mapped here and nowhere else.
import type { BlockDevice } from '../base/index.js';
import { COMMANDS, type Command, UNLIMITED } from './commands.js';
import { errorNumber, errorText, isDefect, Refusal } from './errors.js';
import { Extents } from './extents.js';
import { CHUNK_BYTES, errorPayload, type Request, SIMPLE_BYTES, writeChunk, writeSimple } from './layout.js';
import type { Agreement } from './options.js';
import type { Output } from './output.js';
import { CHUNK, CHUNK_DONE, COMMAND, FLAG, NBD_ERROR } from './protocol.js';
import { MAX_PIECES } from './read.js';
import type { Slab, SlabPool } from './slab.js';

/** Extents in one answer to BLOCK_STATUS; clients ask for the rest. */
const MAX_EXTENTS = 4096;
/** Operations, and bytes that they and the unread replies hold, from which no more requests are taken on. */
const MAX_OPERATIONS = 256;
const MAX_BYTES = 16 * 1024 * 1024;
const SCRATCH_BYTES = 256 * 1024;

export interface TransmissionContext {
  readonly device: BlockDevice;
  readonly output: Output;
  readonly pool: SlabPool;
  readonly agreement: Readonly<Agreement>;
  /** An operation that went on has ended, and its answer is queued. */
  settled(): void;
  /** Takes what is a defect of this program. */
  report(error: unknown): void;
}

export class Transmission {
  readonly device: BlockDevice;
  readonly output: Output;
  readonly pool: SlabPool;
  readonly structured: boolean;
  /** base:allocation was agreed on. */
  readonly allocation: boolean;
  readonly pieces = new Extents(MAX_PIECES + 1);
  readonly extents: Extents;
  private scratch: Buffer | undefined;
  /** Operations that go on, and the bytes of their requests. */
  operations = 0;
  private bytes = 0;
  /** Nobody waits for answers any more. */
  ended = false;

  constructor(private readonly context: TransmissionContext) {
    this.device = context.device;
    this.output = context.output;
    this.pool = context.pool;
    this.structured = context.agreement.structured;
    this.allocation = context.agreement.context !== null;
    this.extents = new Extents(this.allocation ? MAX_EXTENTS : 0);
  }

  /** Where CACHE reads to, whoever else does at the same time. */
  get nowhere(): Buffer {
    this.scratch ??= Buffer.allocUnsafeSlow(SCRATCH_BYTES);
    return this.scratch;
  }

  /** Enough is going on: no more requests for now. */
  get full(): boolean {
    return this.operations >= MAX_OPERATIONS || this.bytes + this.output.bytes >= MAX_BYTES;
  }

  /** Why the request is not even begun; its payload need not be looked at. */
  refusal(request: Request): Refusal | null {
    const command = COMMANDS[request.type];
    const { offset, length } = request;
    if (command === undefined) return new Refusal(NBD_ERROR.EINVAL, `unknown command ${request.type}`);
    if ((request.flags & ~(command.flags | FLAG.FUA)) !== 0) {
      return new Refusal(
        NBD_ERROR.EINVAL,
        `${command.name} does not take flags 0x${request.flags.toString(16)}`,
      );
    }
    if (command.writes && this.device.readOnly)
      return new Refusal(NBD_ERROR.EPERM, 'the export is read-only');
    if (length > command.limit || (request.type === COMMAND.FLUSH && offset !== 0)) {
      return new Refusal(NBD_ERROR.EINVAL, `${command.name} of ${length} bytes at ${offset}`);
    }
    if (offset + length > this.device.size)
      return new Refusal(command.beyond, 'beyond the end of the export');
    return null;
  }

  /** Runs a request that is not refused. `data` is its payload, which lies in `slab`; both are kept while it goes on. */
  execute(request: Request, data: Buffer, slab: Slab | null): void {
    const command = COMMANDS[request.type]!;
    let pending: void | Promise<void>;
    try {
      if ((request.flags & FLAG.FUA) === 0) pending = this.run(command, request, data);
      else pending = this.runDurably(command, request.copy(), data);
    } catch (error) {
      this.fail(request, error);
      return;
    }
    if (pending !== undefined) void this.finish(command, request.copy(), pending, slab);
    else if (!command.answers) this.succeed(request);
  }

  /** Queues the answer to a request that failed. */
  fail(request: Request, error: unknown): void {
    if (isDefect(error)) this.context.report(error);
    const answers = COMMANDS[request.type]?.answers === true;
    if (answers && this.structured) this.failStructured(request, error);
    else this.simple(request, errorNumber(error));
  }

  private succeed(request: Request): void {
    this.simple(request, 0);
  }

  private simple(request: Request, error: number): void {
    this.output.reserve(SIMPLE_BYTES);
    writeSimple(this.output.buffer, this.output.at, request, error);
    this.output.commit(SIMPLE_BYTES);
  }

  private failStructured(request: Request, error: unknown): void {
    const payload = errorPayload(errorNumber(error), errorText(error));
    this.output.reserve(CHUNK_BYTES);
    writeChunk(this.output.buffer, this.output.at, request, CHUNK.ERROR, CHUNK_DONE, payload.length);
    this.output.commit(CHUNK_BYTES);
    this.output.append(payload);
  }

  private run(command: Command, request: Request, data: Buffer): void | Promise<void> {
    // Devices are not asked to do nothing; what answers by itself has an answer to that, too.
    if (request.length === 0 && !command.answers && request.type !== COMMAND.FLUSH) return undefined;
    return command.run(this, request, data);
  }

  /** FUA. A command that answers by itself changes nothing: what was there before it is made durable first. */
  private async runDurably(command: Command, request: Request, data: Buffer): Promise<void> {
    if (command.answers) await this.device.flush();
    await this.run(command, request, data);
    if (!command.answers) await this.device.flush();
  }

  private async finish(
    command: Command,
    request: Request,
    pending: Promise<void>,
    slab: Slab | null,
  ): Promise<void> {
    const held = command.limit === UNLIMITED ? 0 : request.length;
    this.operations++;
    this.bytes += held;
    if (slab !== null) slab.users++;
    try {
      await pending;
      if (!command.answers) this.succeed(request);
    } catch (error) {
      this.fail(request, error);
    }
    slab?.release();
    this.bytes -= held;
    this.operations--;
    this.context.settled();
  }
}
