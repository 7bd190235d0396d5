// Running bash: at once and waiting for it, in processes that do one trial; and in the background, in the process that
// must hear signals meanwhile. What runs in the background is killed as a whole when the bench is told to end.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The top of the repository: this file is below it as a source and as what was built from it. */
export const TOP = ((): string => {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(`${dir}/package.json`)) dir = dirname(dir);
  return dir;
})();

/** What is measured as `lamina`; LAMINA_MAIN names another build. */
export const MAIN = resolve(process.env.LAMINA_MAIN ?? `${TOP}/dist/cli/main.js`);

export type Env = Readonly<Record<string, string>>;

const BASH = ['--norc', '-euo', 'pipefail', '-c'];

function environment(env: Env): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C', ...env };
}

/** Runs bash to its end; its output, or an error with all that it said. */
export function sh(script: string, cwd = '/', env: Env = {}): string {
  const stdio = ['ignore', 'pipe', 'pipe'] as ('ignore' | 'pipe')[];
  const options = { cwd, env: environment(env), encoding: 'utf8', maxBuffer: 1 << 28, stdio } as const;
  const result = spawnSync('bash', [...BASH, script], options);
  if (result.status !== 0) throw new Error(`${script}\n${result.stdout}\n${result.stderr}`);
  return result.stdout;
}

/** Does it end with status 0? */
export function succeeds(script: string, env: Env = {}): boolean {
  return spawnSync('bash', [...BASH, script], { env: environment(env), stdio: 'ignore' }).status === 0;
}

/** Runs a program to its end, without a shell and however long its arguments are. */
export function command(argv: readonly string[], cwd = '/'): void {
  const stdio = ['ignore', 'ignore', 'pipe'] as ('ignore' | 'pipe')[];
  const result = spawnSync(argv[0]!, argv.slice(1), { stdio, cwd, encoding: 'utf8' });
  if (result.status !== 0)
    throw new Error(`${argv.join(' ').slice(0, 300)}\n${result.stderr ?? result.error}`);
}

const running = new Set<ChildProcess>();

/** Kills what `run` has started and everything that it has started. */
export function killRunning(): void {
  for (const child of running) if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Env;
  /** Milliseconds after which it is killed. */
  readonly limit?: number;
}

/** Runs a program in a process group of its own; resolves to its output, rejects with its status and what it said. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const child = spawn(argv[0]!, argv.slice(1), {
    cwd: options.cwd ?? '/',
    env: environment(options.env ?? {}),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child);
  let tooLong = false;
  const kill = (): void => {
    tooLong = true;
    process.kill(-child.pid!, 'SIGKILL');
  };
  const timer = options.limit === undefined ? undefined : setTimeout(kill, options.limit);
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.err += text;
  });
  // 'close' comes after the end of its output, which daemons that it leaves behind do not hold open.
  const [status, signal] = (await once(child, 'close').finally(() => {
    clearTimeout(timer);
    running.delete(child);
  })) as [number | null, string | null];
  if (status === 0) return said.out;
  if (tooLong) throw new Error(`took longer than ${options.limit! / 1000} s`);
  throw new Error(signal === null ? said.err.trim() || `status ${status}` : `killed by ${signal}`);
}

/** `run` for a script of bash. */
export const bash = (script: string, options: RunOptions = {}): Promise<string> =>
  run(['bash', ...BASH, script], options);

/** What a process that does one trial prints: the figure, or what went wrong; then its status is 1. */
export async function printTrial(trial: () => number | Promise<number>): Promise<void> {
  try {
    process.stdout.write(`${await trial()}\n`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
