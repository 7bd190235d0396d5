// One mount's conversation with the kernel: INIT, dispatch, the mapping of errors, answers that come later, and the end.
// Whatever bytes arrive, the session answers and goes on.
import { E, SysError } from '../base/index.js';
import type { Channel, Frame, Receiver } from './channel.js';
import { type Answer, type Answered, Context, type Encode } from './context.js';
import type { FileSystem } from './filesystem.js';
import { LateRequests } from './late.js';
import { IN_HEADER, INIT_IN_SHORT_WORDS } from './layout.js';
import { negotiate, type Wishes } from './negotiate.js';
import { KernelNotifier } from './notify.js';
import { OP, opName } from './protocol.js';
import { Reply } from './reply.js';
import { Request } from './request.js';
import { operations, type Row } from './table.js';
import { type Trace, traced } from './trace.js';

export interface SessionOptions extends Partial<Wishes> {
  /** The kernel keeps directory listings (default true). */
  readonly cacheDirectories?: boolean;
  /** Takes one line per request. */
  readonly trace?: Trace;
  /** Takes what is not a SysError: a defect in the file system. The caller of the request gets EIO. */
  readonly onError?: (error: unknown, operation: string) => void;
  /** Called once the kernel and the file system have agreed: the mount is live. */
  readonly onReady?: () => void;
}

const DEFAULTS: Wishes = {
  acl: true,
  passthrough: true,
  maxStackDepth: 1,
  cacheSymlinks: true,
  readdirPlus: true,
  directMmap: false,
  maxBackground: 64,
  requestTimeout: 0,
};

const HEADER_BYTES = IN_HEADER.words * 4;
/** What must be there for an answer to reach whoever asked: up to the unique number. */
const ANSWERABLE_BYTES = 16;

/** Serves `fs` over `channel`; resolves when the mount is gone and everything has been released. */
export function serve(fs: FileSystem, channel: Channel, options: SessionOptions = {}): Promise<void> {
  return new Session(fs, channel, options).serve();
}

export class Session implements Receiver {
  /** Answers that are still being worked on. */
  outstanding = 0;
  readonly context: Context;
  readonly notifier: KernelNotifier;
  private readonly current = new Request();
  private readonly reply: Reply;
  private readonly rows: readonly (Row | undefined)[];
  private readonly wishes: Wishes;
  private readonly onError: (error: unknown, operation: string) => void;
  private started = false;
  private settled: (() => void) | undefined;
  private noticesDue = false;
  private readonly late = new LateRequests();

  constructor(
    private readonly fs: FileSystem,
    private readonly channel: Channel,
    private readonly options: SessionOptions = {},
  ) {
    const wishes = { ...DEFAULTS, ...options };
    this.wishes = {
      ...wishes,
      passthrough: wishes.passthrough && channel.passthrough,
      ring: channel.ring,
    };
    this.reply = new Reply((buffer, ends, count) => channel.write(buffer, ends, count));
    this.context = new Context(fs, this.reply, channel, options.cacheDirectories ?? true);
    this.rows = options.trace === undefined ? operations : traced(operations, options.trace);
    this.onError =
      options.onError ?? ((error, operation) => process.emitWarning(`${operation}: ${String(error)}`));
    this.notifier = new KernelNotifier(this.context.nodes, channel, () => this.flushSoon());
    this.context.store = (id, data) => this.notifier.store(id, data);
    this.context.syncAndAnswer = (...sync) => channel.syncAndAnswer(...sync);
    this.context.told = node => this.notifier.told(node);
  }

  async serve(): Promise<void> {
    try {
      await this.channel.run(this);
    } finally {
      await this.end();
    }
  }

  request(frame: Frame, start: number, end: number): void {
    const { current: request } = this;
    if (end - start < HEADER_BYTES) {
      this.refuse(frame, start, end);
      return;
    }
    request.load(frame, start, end);
    const row = this.rows[request.opcode];
    if (row?.late === true && this.started && this.late.keep(frame, start, end)) return;
    const behind = this.late.waiting;
    let answer = behind && row?.overtakes?.(request) !== true ? undefined : this.run(request, row);
    if (answer === undefined || (behind && (answer === -E.ENOSPC || answer === -E.EDQUOT))) {
      // What was put off may free the room that this needs.
      this.catchUp();
      request.load(frame, start, end);
      answer = this.run(request, row);
    }
    this.answer(request, row, answer);
  }

  get behind(): boolean {
    return this.late.waiting;
  }

  catchUp(): void {
    const { current: request } = this;
    this.late.take((frame, start, end) => {
      request.load(frame, start, end);
      const row = this.rows[request.opcode];
      this.answer(request, row, this.run(request, row));
    });
    this.flush();
  }

  private run(request: Request, row: Row | undefined): Answer {
    try {
      if (row === undefined || !this.started) return this.special(request.opcode);
      if (request.length < row.words) return -E.EINVAL;
      return row.run(this.context, request);
    } catch (error) {
      return this.errno(error, request.opcode);
    }
  }

  private answer(request: Request, row: Row | undefined, answer: Answer): void {
    const low = request.uniqueLow;
    const high = request.uniqueHigh;
    const opcode = request.opcode;
    if (typeof answer !== 'number') this.later(answer, low, high, opcode, row);
    else if (row?.silent !== true) this.reply.finish(low, high, answer);
  }

  flush(): void {
    const answered = this.reply.flush();
    if (this.noticesDue) {
      this.noticesDue = false;
      this.notifier.flush();
    }
    // While whoever has been answered wakes up.
    if (answered && this.late.waiting) this.catchUp();
  }

  /** INIT, what comes before it, and what has no row. */
  private special(opcode: number): number {
    if (opcode !== OP.INIT) return this.started ? -E.ENOSYS : -E.EIO;
    if (this.started) return -E.EIO;
    if (this.current.length < INIT_IN_SHORT_WORDS) return -E.EINVAL;
    const agreed = negotiate(this.current, this.reply, this.wishes);
    if (typeof agreed === 'number') return agreed;
    const { terms, length } = agreed;
    if (terms.minor === 0) return length;
    this.context.agree(terms);
    if (terms.overRing) this.channel.ring!.accept();
    this.started = true;
    this.fs.start?.({ minor: terms.minor, passthrough: terms.passthrough, notify: this.notifier });
    this.options.onReady?.();
    return length;
  }

  /** Too short for a header. Without a unique number nobody waits for an answer. */
  private refuse(frame: Frame, start: number, end: number): void {
    if (end - start < ANSWERABLE_BYTES) return;
    const at = (start >> 2) + IN_HEADER.unique;
    this.reply.finish(frame.words[at]!, frame.words[at + 1]!, -E.EINVAL);
  }

  private later(
    answer: Promise<number | Encode | Answered>,
    low: number,
    high: number,
    opcode: number,
    row: Row | undefined,
  ): void {
    this.outstanding++;
    this.context.renew();
    answer
      .catch((error: unknown) => this.errno(error, opcode))
      .then(done => {
        if (done !== null) {
          const result = typeof done === 'number' ? done : this.encode(done, opcode);
          if (row?.silent !== true) this.reply.finish(low, high, result);
        }
        this.flush();
        this.outstanding--;
        this.settled?.();
        this.channel.kick();
      });
  }

  private encode(encode: Encode, opcode: number): number {
    try {
      return encode();
    } catch (error) {
      return this.errno(error, opcode);
    }
  }

  /** The one place where a failure becomes a number. */
  private errno(error: unknown, opcode: number): number {
    if (error instanceof SysError && error.errno > 0) return -error.errno;
    this.onError(error, opName(opcode));
    return -E.EIO;
  }

  private flushSoon(): void {
    if (this.noticesDue) return;
    this.noticesDue = true;
    // A change that no request of ours caused has no batch whose end would send it.
    queueMicrotask(() => this.flush());
  }

  private async end(): Promise<void> {
    while (this.outstanding > 0) {
      await new Promise<void>(resolve => {
        this.settled = resolve;
      });
    }
    const { context, fs } = this;
    context.files.clear(open => {
      try {
        if (open.directory) fs.releasedir(open.handle);
        else fs.release(open.handle);
      } catch (error) {
        this.errno(error, OP.RELEASE);
      }
    });
    await fs.destroy();
  }
}
