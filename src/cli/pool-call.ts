// Runs an operation on a pool for a command: by itself when nobody has the pool open, else by the process that has it. What
// comes out is the same, since both use the same table.
import { existsSync } from 'node:fs';
import { E, isErrno, SysError } from '../base/index.js';
import {
  asked,
  askOwner,
  type CallerIo,
  ControlServer,
  Fields,
  OPERATIONS,
  type OperationIo,
  type ParamsOf,
  type PoolOperation,
  type ResultOf,
} from '../export/index.js';
import { Pool } from '../thin/index.js';
import { describe, UserError, warn } from './output.js';
import { withHint } from './pool-hints.js';
import { PoolQueue } from './pool-queue.js';

export type OperationName = keyof typeof OPERATIONS;
export type Params<N extends OperationName> = ParamsOf<(typeof OPERATIONS)[N]>;
export type Result<N extends OperationName> = ResultOf<(typeof OPERATIONS)[N]>;

export interface Caller extends CallerIo {
  /** Takes what a long-running owner has to say: low water, growth, errors. Default: stderr. */
  note?(text: string): void;
  /** All of the output has been given, though this process may have to stay for others: who reads it must see its end. */
  outputEnds?(): void;
}

/**
 * Runs an operation on the pool in `dir` (absolute). Waits for another short-lived command to finish; a long-running owner is
 * asked to run it. SysErrors of the operation; EBUSY when somebody has the pool who neither finishes nor listens.
 */
export async function callPool<N extends OperationName>(
  dir: string,
  name: N,
  params: Params<N>,
  caller: Caller = {},
): Promise<Result<N>> {
  const operation = OPERATIONS[name] as PoolOperation;
  const checked = operation.check(new Fields(params as Record<string, unknown>));
  try {
    return (await anywhere(dir, { name, operation, params: checked }, caller)) as Result<N>;
  } catch (error) {
    throw withHint(error, dir, name);
  }
}

async function anywhere(dir: string, call: Call, caller: Caller): Promise<unknown> {
  const queue = new PoolQueue(dir);
  try {
    for (;;) {
      const opened = await openOrBusy(dir);
      if (opened instanceof Pool) {
        queue.leave();
        return await runHere(opened, call, caller);
      }
      const answer = await askOwner(dir, { operation: call.name, params: call.params }, caller);
      if (answer !== null) return answer.result;
      if (!(await queue.turn())) throw opened;
    }
  } finally {
    queue.leave();
  }
}

/** What the owner of the pool, if there is one, has in memory is committed: for who reads the metadata beside it. */
export async function askToCommit(dir: string): Promise<void> {
  // Who reads it next says best what is missing.
  if (!existsSync(dir)) return;
  await askOwner(dir, { operation: 'pool.commit', params: {} }, {});
}

async function openOrBusy(dir: string): Promise<Pool | SysError> {
  try {
    return await Pool.open(dir);
  } catch (error) {
    if (error instanceof SysError && isErrno(error, E.EBUSY)) return error;
    // No volume is missing, but the pool or its data: hints for operations do not fit.
    throw isErrno(error, E.ENOENT) ? new UserError(describe(error)) : error;
  }
}

interface Call {
  readonly name: OperationName;
  readonly operation: PoolOperation;
  readonly params: unknown;
}

/** Runs the operation in this process, which serves others meanwhile if it takes long, and closes the pool. */
async function runHere(pool: Pool, call: Call, caller: Caller): Promise<unknown> {
  const { operation } = call;
  const { note = warn, signal = new AbortController().signal } = caller;
  const defect = (error: unknown, what: string) => note(`${what}: ${describe(error)}`);
  const server = operation.lasting
    ? await ControlServer.listen(pool.dir, { subject: pool, table: OPERATIONS, defect }).catch(closing(pool))
    : null;
  if (operation.lasting) listen(pool, note);
  let released: Promise<void> | null = null;
  const release = () => {
    released ??= letGo(pool, server, { reclaims: operation.reclaims === true, signal, note });
    return released;
  };
  const io = ioHere(caller, signal, async () => {
    if ((server?.running ?? 0) === 0) await release();
  });
  try {
    return await operation.run(pool, call.params, io);
  } finally {
    if (released === null && (server?.running ?? 0) > 0) {
      caller.outputEnds?.();
      note('done; staying until the other commands that use the pool through this one have finished');
      await server?.idle();
    }
    await release();
  }
}

/** Closes the pool when what should have used it could not. */
function closing(pool: Pool): (error: unknown) => Promise<never> {
  return async error => {
    await pool.close();
    throw error;
  };
}

interface LettingGo {
  /** Wait until what was removed is free again, unless `signal` is aborted. */
  readonly reclaims: boolean;
  readonly signal: AbortSignal;
  note(text: string): void;
}

async function letGo(pool: Pool, server: ControlServer<Pool> | null, how: LettingGo): Promise<void> {
  const { reclaims, signal, note } = how;
  try {
    if (reclaims) await Promise.race([pool.reclaimed(), asked(signal)]);
  } catch (error) {
    note(`pool ${pool.dir}: what was removed is not all free again: ${describe(error)}`);
  }
  await server?.close(signal.aborted);
  await pool.close();
}

function listen(pool: Pool, note: (text: string) => void): void {
  const { dir } = pool;
  pool.on('lowWater', (free: number) => note(`pool ${dir}: low water: ${free} blocks are free`));
  pool.on('grown', (blocks: number) => note(`pool ${dir}: has grown to ${blocks} blocks`));
  pool.on('mode', (mode: string) => note(`pool ${dir}: mode is now ${mode}`));
  pool.on('commitError', (error: unknown) => note(`pool ${dir}: commit failed: ${describe(error)}`));
}

function ioHere(caller: Caller, signal: AbortSignal, released: () => Promise<void>): OperationIo {
  return {
    input: buffers(caller.input),
    output: async bytes => caller.output?.(bytes),
    progress: (done, total) => caller.progress?.(done, total),
    ready: notes => caller.ready?.(notes),
    signal,
    released,
  };
}

async function* buffers(
  input: AsyncIterable<Uint8Array> | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const piece of input ?? []) yield Buffer.from(piece.buffer, piece.byteOffset, piece.length);
}
