// What an operation on a pool is, whoever calls it: its parameters checked, then run with streams for what goes in and out. One
// table of them (control-table.ts) serves the process that has the pool open and its control socket.
import { E, SysError } from '../base/index.js';
import type { Pool } from '../thin/index.js';

/** The streams of one call. */
export interface OperationIo {
  /** What is sent to the operation; it throws when the sender goes away before its end. */
  readonly input: AsyncIterable<Buffer>;
  /** Sends bytes, whose memory may be used again when this resolves. SysError EPIPE: the receiver has gone. */
  output(bytes: Uint8Array): Promise<void>;
  /** So much of `total` is done (bytes; 0: nobody knows). */
  progress(done: number, total: number): void;
  /** A service is live; notes are for people. */
  ready(notes: readonly string[]): void;
  /** Aborted when the caller wants no more or has gone: the operation ends and leaves nothing half made. */
  readonly signal: AbortSignal;
  /** A service has let go of the pool: the caller may close it now if it wants to. */
  released(): Promise<void>;
}

export interface Traits {
  /** May take long: whoever opens the pool for it listens on the control socket meanwhile. */
  readonly lasting?: boolean;
  /** Reads `io.input`. */
  readonly input?: boolean;
  /** Leaves space to be reclaimed, which a process that closes the pool next waits for. */
  readonly reclaims?: boolean;
}

/** `Subject` is what operations work on: the pool. */
export interface Operation<Subject, P, R> extends Traits {
  /** Throws SysError EINVAL for parameters that are not P. */
  check(params: Fields): P;
  run(subject: Subject, params: P, io: OperationIo): Promise<R> | R;
}

/** A table of operations as the server sees it. */
export type OperationTable<Subject> = Readonly<Record<string, Operation<Subject, unknown, unknown>>>;

export type ParamsOf<O> = O extends { check(fields: Fields): infer P } ? P : never;
export type ResultOf<O> = O extends { run(...all: never[]): infer R } ? Awaited<R> : never;

/** A row of the table of operations on a pool. */
export function operation<P, R>(
  check: (fields: Fields) => P,
  run: (pool: Pool, params: P, io: OperationIo) => Promise<R> | R,
  traits: Traits = {},
): Operation<Pool, P, R> {
  return { check, run, ...traits };
}

/** The fields of a call's parameters, each taken as what it must be. SysError EINVAL names the one that is not. */
export class Fields {
  constructor(private readonly fields: Readonly<Record<string, unknown>>) {}

  text(name: string): string {
    const value = this.fields[name];
    if (typeof value !== 'string' || value === '') throw wrong(name, 'a text');
    return value;
  }

  /** The field under its own name, or nothing when it is not there; so do the ones below. */
  optionalText<const N extends string>(name: N): { [K in N]?: string } {
    return this.has(name) ? ({ [name]: this.text(name) } as { [K in N]?: string }) : {};
  }

  texts(name: string): string[] {
    const value = this.fields[name];
    if (!Array.isArray(value) || value.length === 0 || !value.every(each => typeof each === 'string')) {
      throw wrong(name, 'a list of texts');
    }
    return value;
  }

  /** A whole number >= 0. */
  number(name: string): number {
    const value = this.fields[name];
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      throw wrong(name, 'a whole number');
    }
    return value;
  }

  optionalNumber<const N extends string>(name: N): { [K in N]?: number } {
    return this.has(name) ? ({ [name]: this.number(name) } as { [K in N]?: number }) : {};
  }

  /** False when it is not there. */
  flag(name: string): boolean {
    const value = this.fields[name] ?? false;
    if (typeof value !== 'boolean') throw wrong(name, 'true or false');
    return value;
  }

  oneOf<const T extends string>(name: string, values: readonly T[]): T {
    const value = this.fields[name];
    const found = values.find(each => each === value);
    if (found === undefined) throw wrong(name, `one of ${values.join(', ')}`);
    return found;
  }

  /** The fields of each object of a list. */
  objects(name: string): Fields[] {
    const value = this.fields[name];
    const objects = Array.isArray(value) ? value : [];
    if (objects.length === 0) throw wrong(name, 'a list of objects');
    return objects.map((each: unknown) => {
      if (typeof each !== 'object' || each === null) throw wrong(name, 'a list of objects');
      return new Fields(each as Record<string, unknown>);
    });
  }

  has(name: string): boolean {
    return this.fields[name] !== undefined;
  }
}

function wrong(name: string, rule: string): SysError {
  return new SysError(E.EINVAL, `parameter ${name} must be ${rule}`);
}

/** `io.progress` for work that has no other way to learn that it is not wanted any more: throws the reason then. */
export function abortable(io: OperationIo): (done: number, total: number) => void {
  return (done, total) => {
    io.signal.throwIfAborted();
    io.progress(done, total);
  };
}

/** Resolves when the caller wants no more. */
export function asked(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
