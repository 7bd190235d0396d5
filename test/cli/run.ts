// Runs the real `lamina` command of dist/ in tests, and the places that it needs. LAMINA_MAIN names another build.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const MAIN =
  process.env.LAMINA_MAIN ?? fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Any program, to its end; at most a minute, or `timeout` milliseconds. */
export function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; timeout?: number } = {},
): Result {
  const { status, stdout, stderr, error }: SpawnSyncReturns<string> = spawnSync(program, args, {
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 64 << 20,
    ...options,
  });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** `lamina ARGS`. */
export function lamina(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Result {
  return run(process.execPath, [MAIN, ...args], options);
}

/** Two lowers with a file each, an upper, a work directory and a mount point, below one temporary directory. */
export class Place {
  readonly base = mkdtempSync(join(tmpdir(), 'lamina-cli-'));
  readonly top = this.dir('top');
  readonly bottom = this.dir('bottom');
  readonly upper = this.dir('upper');
  readonly work = this.dir('work');
  readonly mnt = this.dir('mnt');

  constructor() {
    writeFileSync(join(this.top, 'both'), 'top');
    writeFileSync(join(this.bottom, 'both'), 'bottom');
    writeFileSync(join(this.bottom, 'low'), 'low');
  }

  dir(name: string): string {
    const path = join(this.base, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Options of a writable mount of both lowers. */
  get options(): string {
    return `lowerdir=${this.top}:${this.bottom},upperdir=${this.upper},workdir=${this.work}`;
  }

  read(name: string): string {
    return readFileSync(join(this.mnt, name), 'utf8');
  }

  /** Fields of the mount's line in /proc/self/mounts, or null: [source, mount point, type, options]. */
  mounted(point = this.mnt): string[] | null {
    const lines = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .map(line => line.split(' '));
    return lines.findLast(fields => fields[1] === point) ?? null;
  }

  /** Takes down what is mounted below `base`, however broken it is, and removes everything. */
  remove(): void {
    for (;;) {
      const lines = readFileSync('/proc/self/mounts', 'utf8')
        .split('\n')
        .map(line => line.split(' '));
      const point = lines.findLast(fields => fields[1]?.startsWith(`${this.base}/`))?.[1];
      if (point === undefined) break;
      run('umount', ['-l', point.replace(/\\040/g, ' ')]);
    }
    rmSync(this.base, { recursive: true, force: true });
  }
}

/** The process that serves the mount at `point`, or null. */
export function daemonOf(point: string): number | null {
  const { stdout } = run('pgrep', ['-f', '-x', `lamina mount ${point}`]);
  return stdout === '' ? null : Number(stdout.trim());
}

/** Waits until nobody serves `point` any more; false after ten seconds. */
export function servedNoMore(point: string): boolean {
  // pidwait says 1 when there is no such process (any more), 0 after having waited for it.
  return [0, 1].includes(run('timeout', ['10', 'pidwait', '-f', '-x', `lamina mount ${point}`]).status ?? -1);
}
