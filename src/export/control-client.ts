// The other end of a pool's control socket: asks the process that has the pool to run one operation, with streams.
import { closeSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { E, errnoName, SysError } from '../base/index.js';
import {
  CONTROL_VERSION,
  type Frame,
  fieldsOf,
  MAX_REPLY,
  readFrames,
  sendData,
  sendMessage,
} from './control-frames.js';
import { CONTROL_SOCKET } from './control-server.js';

/** The caller's streams; what is not there is not wanted. */
export interface CallerIo {
  readonly input?: AsyncIterable<Uint8Array>;
  output?(bytes: Uint8Array): Promise<void>;
  progress?(done: number, total: number): void;
  ready?(notes: readonly string[]): void;
  /** Aborted: the operation is asked to end; its outcome is still awaited. */
  readonly signal?: AbortSignal;
}

export interface Request {
  readonly operation: string;
  readonly params: unknown;
}

/**
 * Has the owner of the pool in `dir` run an operation; null when nobody listens, or when the owner ended before it began.
 * @throws SysError: the operation's own; ECONNRESET when the owner died in the midst of it; EACCES, ENOENT for `dir`.
 */
export async function askOwner(
  dir: string,
  request: Request,
  io: CallerIo,
): Promise<{ result: unknown } | null> {
  const socket = await connectTo(dir);
  if (socket === null) return null;
  const call = new Call(dir, socket, io);
  try {
    return await call.run(request);
  } finally {
    socket.destroy();
  }
}

/** How connect(2) says that nobody listens: no name, a dead socket, and one that is closed at this moment. */
const ABSENT = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET'];

/** A connection, or null when nobody listens. */
async function connectTo(dir: string): Promise<Socket | null> {
  const fd = openSync(dir, 'r');
  try {
    return await new Promise<Socket | null>((resolve, reject) => {
      const socket = connect(`/proc/self/fd/${fd}/${CONTROL_SOCKET}`);
      socket.once('connect', () => resolve(socket));
      socket.once('error', (error: NodeJS.ErrnoException) => {
        if (ABSENT.includes(error.code ?? '')) return resolve(null);
        reject(new SysError(-(error.errno ?? -E.EIO), `${dir}/${CONTROL_SOCKET}`));
      });
    });
  } finally {
    closeSync(fd);
  }
}

class Call {
  #begun = false;
  #pid = 0;
  #over = false;

  constructor(
    private readonly dir: string,
    private readonly socket: Socket,
    private readonly io: CallerIo,
  ) {
    // What is wrong with the connection shows where it is read.
    socket.on('error', () => socket.destroy());
  }

  async run(request: Request): Promise<{ result: unknown } | null> {
    sendMessage(this.socket, { version: CONTROL_VERSION, ...request });
    const { signal } = this.io;
    const cancel = () => sendMessage(this.socket, { cancel: true });
    signal?.addEventListener('abort', cancel);
    try {
      return await this.#outcome();
    } finally {
      this.#over = true;
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** Input fails on our side: its error is the call's, and the owner learns of it by the end of the connection. */
  #outcome(): Promise<{ result: unknown } | null> {
    return new Promise((resolve, reject) => {
      const fed = () => this.#feed().catch(reject);
      this.#listen(fed).then(resolve, reject);
    });
  }

  async #listen(begun: () => void): Promise<{ result: unknown } | null> {
    const frames = readFrames(this.socket, MAX_REPLY);
    for (;;) {
      const frame = await nextOf(frames);
      if (frame === null) break;
      const outcome = await this.#take(frame, begun);
      if (outcome !== null) return outcome;
    }
    if (!this.#begun) return null;
    const who = `process ${this.#pid}, which has the pool ${this.dir},`;
    throw new SysError(E.ECONNRESET, `${who} ended before it was done; what came of it is not known`);
  }

  async #take(frame: Frame, begun: () => void): Promise<{ result: unknown } | null> {
    const { io } = this;
    if ('data' in frame) {
      await io.output?.(frame.data);
      return null;
    }
    const fields = fieldsOf(frame.message) ?? {};
    if ('result' in fields) return { result: fields.result };
    if ('error' in fields) throw asError(fields.error);
    if (fields.begun === true) {
      this.#begun = true;
      this.#pid = Number(fields.pid);
      begun();
    } else if (Array.isArray(fields.ready)) io.ready?.(fields.ready.map(String));
    else if (typeof fields.done === 'number') io.progress?.(fields.done, Number(fields.total));
    return null;
  }

  async #feed(): Promise<void> {
    if (this.io.input === undefined) return;
    for await (const piece of this.io.input) {
      if (this.#over) return;
      try {
        await sendData(this.socket, piece);
      } catch (error) {
        // The owner has gone or has had enough; its answer, or the end of the connection, says which.
        if (error instanceof SysError && error.errno === E.EPIPE) return;
        throw error;
      }
    }
    sendMessage(this.socket, { end: true });
  }
}

/** The next frame; null at the end, and when the connection was cut. */
async function nextOf(frames: AsyncGenerator<Frame, void, undefined>): Promise<Frame | null> {
  try {
    const { value, done } = await frames.next();
    return done === true ? null : value;
  } catch (error) {
    if (error instanceof SysError && error.errno !== E.ECONNRESET) throw error;
    if (error instanceof Error && 'code' in error) return null;
    throw error;
  }
}

function asError(error: unknown): SysError {
  const { errno, what } = fieldsOf(error) ?? {};
  if (typeof errno !== 'number' || typeof what !== 'string') {
    return new SysError(E.EPROTO, 'the process that has the pool answered nonsense');
  }
  return new SysError(errno, what === '' ? errnoName(errno) : what);
}
