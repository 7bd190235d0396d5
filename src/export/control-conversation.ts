// One client's conversation with the process that has the pool: a request, `begun`, streams, and the outcome. The operation
// is aborted when the client goes away or asks for it.
import type { Socket } from 'node:net';
import { E, SysError } from '../base/index.js';
import {
  CONTROL_VERSION,
  type Frame,
  fieldsOf,
  MAX_REQUEST,
  readFrames,
  sendData,
  sendMessage,
} from './control-frames.js';
import { Fields, type Operation, type OperationIo, type OperationTable } from './control-operation.js';

/** Between two messages of progress, in milliseconds. */
const PROGRESS_INTERVAL = 100;

/** What a server lends to a conversation. */
export interface Host<Subject> {
  readonly subject: Subject;
  readonly table: OperationTable<Subject>;
  /** Takes errors that are mistakes of ours; the client gets EIO for them. */
  defect(error: unknown, operation: string): void;
}

type AnyOperation<Subject> = Operation<Subject, unknown, unknown>;

export class Conversation<Subject> {
  readonly #frames: AsyncGenerator<Frame, void, undefined>;
  readonly #abort = new AbortController();
  #over = false;
  #told = 0;

  constructor(
    private readonly socket: Socket,
    private readonly host: Host<Subject>,
  ) {
    this.#frames = readFrames(socket, MAX_REQUEST);
  }

  /** The operation that the client asks for, with its parameters; null when the client has gone. SysError for nonsense. */
  async request(): Promise<{ name: string; operation: AnyOperation<Subject>; params: unknown } | null> {
    const first = await this.#frames.next().catch((error: unknown) => {
      // A connection that breaks before anything was asked is over, and no more.
      if (error instanceof SysError || !(error instanceof Error && 'code' in error)) throw error;
      return { done: true, value: undefined } as const;
    });
    if (first.done === true) return null;
    const request = 'message' in first.value ? fieldsOf(first.value.message) : null;
    const name = request?.operation;
    if (request === null || typeof name !== 'string') {
      throw new SysError(E.EPROTO, 'a conversation on the control socket begins with a request');
    }
    if (request.version !== CONTROL_VERSION) {
      const versions = `${CONTROL_VERSION}, not ${String(request.version)}`;
      throw new SysError(E.EPROTO, `the process that has the pool speaks control protocol ${versions}`);
    }
    const operation = Object.hasOwn(this.host.table, name) ? this.host.table[name] : undefined;
    if (operation === undefined) {
      throw new SysError(E.EOPNOTSUPP, `the process that has the pool knows no operation ${name}`);
    }
    return { name, operation, params: operation.check(new Fields(fieldsOf(request.params) ?? {})) };
  }

  /** Runs the operation and tells how it ended. */
  async run(name: string, operation: AnyOperation<Subject>, params: unknown): Promise<void> {
    sendMessage(this.socket, { begun: true, pid: process.pid });
    if (operation.input !== true) this.#watch();
    try {
      const result = await operation.run(this.host.subject, params, this.#io());
      sendMessage(this.socket, { result: result ?? null });
    } catch (error) {
      this.refuse(error, name);
    }
    this.#over = true;
    if (operation.input === true) this.#watch();
  }

  /** Tells the client why not. */
  refuse(error: unknown, name: string): void {
    const known = error instanceof SysError;
    if (!known) this.host.defect(error, name);
    const { errno, what } = known ? error : { errno: E.EIO, what: `${name}: ${String(error)}` };
    sendMessage(this.socket, { error: { errno, what } });
  }

  /** The client has gone, or is not wanted any more. */
  abort(why: SysError): void {
    this.#abort.abort(why);
  }

  #io(): OperationIo {
    const { socket } = this;
    return {
      input: this.#input(),
      output: bytes => sendData(socket, bytes),
      ready: notes => sendMessage(socket, { ready: notes }),
      progress: (done, total) => {
        const now = performance.now();
        if (now - this.#told < PROGRESS_INTERVAL || socket.writableNeedDrain) return;
        this.#told = now;
        sendMessage(socket, { done, total });
      },
      signal: this.#abort.signal,
      released: async () => {},
    };
  }

  async *#input(): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const next = await this.#frames.next().catch((error: unknown) => {
        throw this.#cut(error);
      });
      if (next.done === true) throw this.#cut(null);
      if ('data' in next.value) yield next.value.data;
      else if (fieldsOf(next.value.message)?.end === true) return;
      else throw this.#cancelled();
    }
  }

  /** Looks out for a client that cancels or goes away; when all is said, for the end. What else it says is nonsense. */
  #watch(): void {
    const look = async (): Promise<void> => {
      for await (const frame of this.#frames) {
        if (this.#over) continue;
        if ('data' in frame) throw new SysError(E.EPROTO, 'this operation takes no input');
        if (fieldsOf(frame.message)?.cancel === true) this.#cancelled();
      }
      this.abort(new SysError(E.ECANCELED, 'the client has gone'));
    };
    look().catch((error: unknown) => {
      this.abort(error instanceof SysError ? error : new SysError(E.ECANCELED, 'the client has gone'));
      this.socket.destroy();
    });
  }

  /** The input is over too early, or is nonsense. */
  #cut(error: unknown): SysError {
    const why =
      error instanceof SysError
        ? error
        : new SysError(E.ECONNRESET, 'the sender went away before the end of what it had to send');
    this.abort(why);
    return why;
  }

  #cancelled(): SysError {
    const why = new SysError(E.ECANCELED, 'cancelled');
    this.abort(why);
    return why;
  }
}
