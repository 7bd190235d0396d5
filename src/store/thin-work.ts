// Work in the file systems of thin layers, each in a child process that lives for it.
import { type ChildProcess, spawn } from 'node:child_process';
import { type Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { E, SysError } from '../base/index.js';
import type { ApplyResult, ByteSource, Change, IdMap } from '../oci/index.js';
import type { ThinOutcome, ThinTask } from './thin-child.js';

const SCRIPT = fileURLToPath(new URL('./thin-child.js', import.meta.url));

/** Applies a layer tar to the plain tree at `dir`. Errors are applyLayerTar's, or the source's own. */
export async function applyInChild(dir: string, tar: ByteSource, ids: IdMap | null): Promise<ApplyResult> {
  const child = new Child({ what: 'apply', dir, ids });
  let broken: { readonly error: unknown } | null = null;
  const source = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* tar;
    } catch (error) {
      broken = { error };
      throw error;
    }
  };
  // A child that has seen enough, or died, closes its end; why is its outcome.
  await pipeline(source, child.input).catch(() => broken && child.kill());
  const outcome = child.outcome();
  if (broken !== null) {
    await outcome.catch(() => {});
    throw (broken as { readonly error: unknown }).error;
  }
  return (await outcome) as ApplyResult;
}

/** What the tree at `dir` changes over the one at `parent`, as a layer tar. */
export async function* tarInChild(
  dir: string,
  parent: string | null,
  ids: IdMap | null,
): AsyncGenerator<Buffer, void, undefined> {
  const child = new Child({ what: 'tar', dir, parent, ids });
  try {
    yield* child.output;
    await child.outcome();
  } finally {
    await child.end();
  }
}

/** The same as a list. */
export async function* changesInChild(
  dir: string,
  parent: string | null,
): AsyncGenerator<Change, void, undefined> {
  const child = new Child({ what: 'changes', dir, parent, ids: null });
  try {
    let rest = '';
    for await (const text of child.output.setEncoding('utf8') as AsyncIterable<string>) {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) yield JSON.parse(line) as Change;
    }
    await child.outcome();
  } finally {
    await child.end();
  }
}

class Child {
  private readonly process: ChildProcess;
  private readonly closed: Promise<string>;
  private said = '';
  private answer = '';

  constructor(task: ThinTask) {
    this.process = spawn(process.execPath, [...process.execArgv, SCRIPT, JSON.stringify(task)], {
      cwd: '/',
      stdio: [task.what === 'apply' ? 'pipe' : 'ignore', 'pipe', 'pipe', 'pipe'],
    });
    const { stderr, stdio, stdout } = this.process;
    stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.said += text;
    });
    (stdio[3] as Readable).setEncoding('utf8').on('data', (text: string) => {
      this.answer += text;
    });
    // Nobody reads what a task without output writes, and it must not wait for that.
    if (task.what === 'apply') stdout!.resume();
    this.closed = new Promise((resolve, reject) => {
      this.process.once('error', reject);
      this.process.once('close', (status, signal) => resolve(signal ?? `status ${status}`));
    });
    this.closed.catch(() => {});
  }

  get input(): Writable {
    return this.process.stdin ?? new Writable();
  }

  get output(): Readable {
    return this.process.stdout!;
  }

  kill(): void {
    this.process.kill('SIGKILL');
  }

  /** The task's result, when the process has ended. SysError as it had it; EIO when it died. */
  async outcome(): Promise<unknown> {
    const how = await this.closed;
    if (this.answer === '')
      throw new SysError(E.EIO, `the process that works in a layer has died (${how}): ${this.said.trim()}`);
    const outcome = JSON.parse(this.answer) as ThinOutcome;
    if ('errno' in outcome) throw new SysError(outcome.errno, outcome.reason);
    return outcome.result;
  }

  /** Ends it, if nobody wants the rest; resolves when nothing of it is left. */
  async end(): Promise<void> {
    if (this.process.exitCode === null) this.kill();
    await this.closed;
  }
}
