// The directory that a run has for itself, below /var/tmp or where --dir says. When the run ends, however it ends, what is
// mounted below it is unmounted, loop devices on its files are detached, processes that its trials left end, and it goes.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { killRunning } from './shell.js';

/** In the environment of what a trial starts, its value begins with the run's directory. */
const MARK = 'BENCH_TRIAL';
/** Milliseconds that a process may take to end after its mount has gone. */
const PATIENCE = 10_000;

/** Something for the user to mend: said in one sentence, without a stack. */
export class UsageError extends Error {}

export class Interrupted extends Error {
  constructor(readonly signal: NodeJS.Signals) {
    super(`ended by ${signal}`);
  }
}

/** Makes the directory; throws UsageError when there is less room than `bytes`, or no such place. */
export function makePlace(parent: string, bytes: number): string {
  try {
    const { bavail, bsize } = statfsSync(parent);
    const gib = (value: number): string => `${(value / 2 ** 30).toFixed(1)} GiB`;
    if (bavail * bsize < bytes)
      throw new UsageError(
        `${parent} has ${gib(bavail * bsize)} left and the bench needs ${gib(bytes)}: --dir names another place`,
      );
    return mkdtempSync(`${parent}/lamina-bench-`);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`--dir ${parent}: ${(error as Error).message}`);
  }
}

/** Turns the signals that end a program into an abort; the second one ends it at once. */
export function watchSignals(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(1);
      controller.abort(new Interrupted(name));
      killRunning();
    });
  }
  return controller.signal;
}

/** The environment that marks what a trial starts; `number` tells the trials of a run apart. */
export const markOf = (place: string, number: number): Record<string, string> => ({
  [MARK]: `${place}:${number};`,
});

/** Processes other than this one whose mark begins with `start`. */
export function markedProcesses(start: string): number[] {
  const entry = `${MARK}=${start}`;
  const marked = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1')
        .split('\0')
        .some(each => each.startsWith(entry));
    } catch (error) {
      // It has ended meanwhile, or is not ours to look at.
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return false;
      throw error;
    }
  };
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter(marked)
    .map(Number);
}

/** The mark of the trial that this process does. */
export const ownMark = (): string => process.env[MARK] ?? '';

async function ended(start: string): Promise<boolean> {
  for (const until = Date.now() + PATIENCE; markedProcesses(start).length > 0; await sleep(5)) {
    if (Date.now() > until) return false;
  }
  return true;
}

/**
 * Waits until no process has this mark. A daemon that stays is killed: its mount has gone from here, but a mount namespace that
 * somebody made meanwhile (a container's) may have a copy of it for as long as it lives.
 */
export async function endMarked(start: string): Promise<void> {
  if (await ended(start)) return;
  spawnSync('kill', ['-KILL', ...markedProcesses(start).map(String)]);
  if (!(await ended(start))) throw new Error(`processes of ${start} cannot be killed`);
}

/** Mount points at or below `dir`, the last mounted first. */
export function mountsBelow(dir: string): string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map(line => line.split(' ')[4] ?? '')
    .map(text =>
      text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))),
    );
  return points.filter(point => point === dir || point.startsWith(`${dir}/`)).reverse();
}

export function unmountBelow(dir: string): void {
  for (const point of mountsBelow(dir)) {
    if (spawnSync('umount', [point]).status !== 0) spawnSync('umount', ['-l', point]);
  }
}

function detachLoops(dir: string): void {
  const listed = spawnSync('losetup', ['-l', '-n', '-O', 'NAME,BACK-FILE'], { encoding: 'utf8' });
  for (const line of (listed.stdout ?? '').split('\n')) {
    const [device, file] = line.trim().split(/\s+/);
    if (device && file?.startsWith(`${dir}/`)) spawnSync('losetup', ['-d', device]);
  }
}

/** Takes the directory away with everything that belongs to it. */
export async function removePlace(dir: string): Promise<void> {
  unmountBelow(dir);
  await endMarked(dir);
  unmountBelow(dir);
  detachLoops(dir);
  const left = mountsBelow(dir);
  if (left.length > 0) throw new Error(`still mounted, so ${dir} is left: ${left.join(', ')}`);
  rmSync(dir, { recursive: true, force: true });
}
