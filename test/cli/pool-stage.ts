// A directory for pools in tests of the command line, and ways to run the real `lamina` there.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { MAIN, type Result, run } from './run.js';

/** `lamina` as a user starts it: without what the test runner puts into every node process, which costs half a second. */
export const LAMINA: readonly [string, ...string[]] = ['env', '-u', 'NODE_OPTIONS', process.execPath, MAIN];

export class PoolStage {
  readonly base = mkdtempSync(join(tmpdir(), 'lamina-pools-'));
  readonly #children: ChildProcess[] = [];

  constructor(t: Test) {
    t.teardown(() => this.#remove());
  }

  path(...names: string[]): string {
    return join(this.base, ...names);
  }

  dir(name: string): string {
    mkdirSync(this.path(name));
    return this.path(name);
  }

  /** `lamina WORDS` in the stage's directory, to its end. */
  lamina(...words: string[]): Result {
    return run(LAMINA[0], [...LAMINA.slice(1), ...words], { cwd: this.base });
  }

  /** The same; throws unless it succeeds without a word on stderr. Gives stdout. */
  ok(...words: string[]): string {
    const { status, stdout, stderr } = this.lamina(...words);
    if (status === 0 && stderr === '') return stdout;
    throw new Error(`lamina ${words.join(' ')}: status ${status}: ${stderr}`);
  }

  /** A bash script in the stage's directory, where $L is the command; throws unless it succeeds. Gives stdout. */
  sh(script: string): string {
    const env = { ...process.env, L: LAMINA.join(' ') };
    const { status, stdout, stderr } = run('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: this.base,
      env,
    });
    if (status === 0) return stdout;
    throw new Error(`status ${status} from: ${script}\n${stdout}${stderr}`);
  }

  /** Starts `lamina WORDS`; it is killed with the stage at the latest. */
  start(words: readonly string[], options: SpawnOptions = {}): Running {
    const child = spawn(LAMINA[0], [...LAMINA.slice(1), ...words], {
      cwd: this.base,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...options,
    });
    this.#children.push(child);
    return new Running(child);
  }

  /** Commands at the same time, to their ends. */
  together(all: readonly (readonly string[])[]): Promise<Result[]> {
    return Promise.all(all.map(words => this.start(words).ended));
  }

  names(dir: string): string[] {
    return readdirSync(this.path(dir)).sort();
  }

  async #remove(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
    }
    for (const point of this.#mounts()) run('umount', ['-l', point]);
    rmSync(this.base, { recursive: true, force: true });
  }

  #mounts(): string[] {
    const lines = readFileSync('/proc/self/mounts', 'utf8').trimEnd().split('\n');
    const points = lines.map(line => line.split(' ')[1] ?? '');
    return points.filter(point => point.startsWith(`${this.base}/`)).reverse();
  }
}

/** A command that runs. */
export class Running {
  stdout = '';
  stderr = '';
  readonly ended: Promise<Result>;

  constructor(readonly child: ChildProcess) {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    // It may be killed while it is written to.
    child.stdin?.on('error', () => {});
    this.ended = once(child, 'close').then(([status]) => ({
      status: status as number | null,
      stdout: this.stdout,
      stderr: this.stderr,
    }));
  }

  /** Resolves when stdout has what is looked for; throws when it ends without. */
  async says(pattern: RegExp): Promise<void> {
    const over = this.ended.then(() => false);
    while (!pattern.test(this.stdout)) {
      const more = once(this.child.stdout!, 'data').then(() => true);
      if (!(await Promise.race([more, over])) && !pattern.test(this.stdout)) {
        throw new Error(`ended without ${pattern}: ${this.stderr}`);
      }
    }
  }
}
