// Mounting a union view for the tests of real work: by the real `lamina` command, and by kernel overlayfs beside it with
// the options that make it comparable. Every call is synchronous; LAMINA_MAIN names another build of the command.
import { execFile, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { mountsBelow } from './cleanup.js';
import { needsMounts } from './needs.js';

needsMounts();

export const MAIN =
  process.env.LAMINA_MAIN ?? fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** `lamina-mount`, of the same package. */
export const CLIENT = join(dirname(MAIN), '../../build/Release/lamina-mount');

/** What to mount: plain paths, top layer first. */
export interface View {
  lowers: readonly string[];
  upper?: string;
  work?: string;
  mountpoint: string;
  /** Mount options besides the layers. */
  options?: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** A command that runs the mount command, such as `prlimit --nofile=256`. */
  through?: readonly string[];
}

export interface Mounted {
  readonly view: View;
  /** Process id of the daemon; null for the kernel. */
  readonly daemon: number | null;
  /** Unmounts unless the test has done so, and returns when the daemon has gone: what it wrote at the end is then on disk. */
  umount(): void;
}

/** A way to mount. */
export interface Kind {
  readonly name: 'lamina' | 'overlayfs';
  mount(view: View): Mounted;
}

export interface Shell {
  cwd?: string;
  env?: Readonly<Record<string, string>>;
  /** Milliseconds after which the command is killed; 120 000 unless told. */
  timeout?: number;
  input?: string;
}

// Without what the test runner puts there for node processes of its own: `lamina` is to start as a user starts it.
const CLEAN = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => name !== 'NODE_OPTIONS' && !/^_?TAP/.test(name)),
);

/** Runs a program to its end and gives what came of it, whatever that was. */
export function run(argv: readonly string[], options: Shell = {}): SpawnSyncReturns<string> {
  const { timeout = 120_000, env, ...rest } = options;
  const result = spawnSync(argv[0]!, argv.slice(1), {
    encoding: 'utf8',
    timeout,
    killSignal: 'SIGKILL',
    maxBuffer: 256 << 20,
    env: { ...CLEAN, LC_ALL: 'C', ...env },
    ...rest,
  });
  if (result.error && !('code' in result.error && result.error.code === 'ETIMEDOUT')) throw result.error;
  return result;
}

/** The standard output of a bash script; throws, with all that it printed, unless it succeeds (`set -e`). */
export function sh(script: string, options: Shell = {}): string {
  const result = run(['bash', '-euo', 'pipefail', '-c', script], options);
  if (result.status === 0) return result.stdout;
  const end = result.signal ? `killed by ${result.signal}` : `status ${result.status}`;
  throw new Error(`${end} from:\n${script}\n--- stdout\n${result.stdout}\n--- stderr\n${result.stderr}`);
}

/** Runs a bash script to its end while others run; throws as `sh` does. */
export async function shMeanwhile(
  script: string,
  { env, ...options }: Omit<Shell, 'input'> = {},
): Promise<void> {
  const limits = { timeout: 120_000, killSignal: 'SIGKILL', maxBuffer: 256 << 20 } as const;
  const clean = { ...CLEAN, LC_ALL: 'C', ...env };
  await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], {
    ...limits,
    ...options,
    env: clean,
  });
}

/** The `lamina` command with these arguments. */
export function lamina(args: readonly string[], options: Shell = {}): SpawnSyncReturns<string> {
  return run([process.execPath, MAIN, ...args], options);
}

/** A path as it stands in an option string. */
export function escapePath(path: string): string {
  return path.replace(/[\\:,]/g, '\\$&');
}

/** The option string of a view. */
export function optionString(view: View): string {
  const options = [`lowerdir=${view.lowers.map(escapePath).join(':')}`];
  if (view.upper !== undefined) options.push(`upperdir=${escapePath(view.upper)}`);
  if (view.work !== undefined) options.push(`workdir=${escapePath(view.work)}`);
  return [...options, ...(view.options ?? [])].join(',');
}

/** What the descriptors of a process are; one that it closes meanwhile is left out. */
export function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap(fd => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return [];
    }
  });
}

/** Does the process run? One that has ended, with all its threads, and waits for its parent to notice does not. */
export function isRunning(pid: number): boolean {
  try {
    if (!/^\d+ \(.*\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))) return true;
    return readdirSync(`/proc/${pid}/task`).length > 1;
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return false;
    throw error;
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4));

/** Waits for something that nobody tells us of; throws after `seconds`, saying that `what` did not come. */
export function waitUntil(condition: () => boolean, what: string, seconds = 30): void {
  for (const end = Date.now() + seconds * 1000; !condition(); Atomics.wait(pause, 0, 0, 2)) {
    if (Date.now() > end) throw new Error(`after ${seconds} s still not: ${what}`);
  }
}

/** Waits until a process that is not our child has ended. */
export function waitGone(pid: number): void {
  waitUntil(() => !isRunning(pid), `the end of process ${pid}`);
}

/** Unmounts what is mounted at `mountpoint`, trying again while the kernel still lets go of it. */
export function umount(mountpoint: string): void {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const result = run(['umount', mountpoint]);
    if (result.status === 0) return;
    if (!result.stderr.includes('busy') || Date.now() > deadline) throw new Error(result.stderr);
  }
}

export const overlayfs: Kind = {
  name: 'overlayfs',
  mount(view) {
    const extra = ['index=on', 'redirect_dir=on'].filter(() => view.upper !== undefined && !view.options);
    const options = optionString({ ...view, options: view.options ?? extra });
    const mounted = run([
      ...(view.through ?? []),
      'mount',
      '-t',
      'overlay',
      'overlay',
      '-o',
      options,
      view.mountpoint,
    ]);
    if (mounted.status !== 0) throw new Error(`kernel overlayfs refuses ${options}: ${mounted.stderr}`);
    return { view, daemon: null, umount: () => umountIfMounted(view.mountpoint) };
  },
};

export const laminafs: Kind = {
  name: 'lamina',
  mount(view) {
    const id = randomUUID();
    const argv = [
      ...(view.through ?? []),
      process.execPath,
      MAIN,
      'mount',
      '-o',
      optionString(view),
      view.mountpoint,
    ];
    const mounted = run(argv, { env: { ...view.env, LAMINA_TEST_ID: id } });
    if (mounted.status !== 0) throw new Error(`lamina refuses: ${mounted.stderr}`);
    const daemon = findByEnvironment(`LAMINA_TEST_ID=${id}`);
    if (daemon === null) throw new Error(`no daemon serves ${view.mountpoint}`);
    return {
      view,
      daemon,
      umount() {
        umountIfMounted(view.mountpoint);
        waitGone(daemon);
      },
    };
  },
};

/** As `laminafs`, but served by a child of the test: there is one process to start, not two. */
export const laminaChild: Kind = {
  name: 'lamina',
  mount(view) {
    const argv = [MAIN, 'mount', '-f', '-o', optionString(view), view.mountpoint];
    const { pid } = spawn(process.execPath, argv, {
      env: { ...CLEAN, LC_ALL: 'C', ...view.env },
      stdio: 'ignore',
    });
    if (pid === undefined) throw new Error(`${process.execPath} cannot be started`);
    waitUntil(
      () => mountsBelow(view.mountpoint).length > 0 || !isRunning(pid),
      `the mount of ${view.mountpoint}`,
    );
    if (mountsBelow(view.mountpoint).length === 0)
      throw new Error(`lamina ended before the mount: ${endOf(pid)}`);
    return {
      view,
      daemon: pid,
      umount() {
        umountIfMounted(view.mountpoint);
        waitGone(pid);
      },
    };
  },
};

/** How a child ended that has not been waited for: the last field of proc_pid_stat(5). */
function endOf(pid: number): string {
  const status = Number(readFileSync(`/proc/${pid}/stat`, 'latin1').trim().split(' ').at(-1));
  const signal = status & 0x7f;
  return signal === 0 ? `status ${status >> 8}` : `killed by signal ${signal}`;
}

/** Both ways to mount, the one under test first. LAMINA_KIND leaves one of them, for trying a test by hand. */
export const kinds: readonly Kind[] = [laminafs, overlayfs].filter(
  kind => (process.env.LAMINA_KIND ?? kind.name) === kind.name,
);

/** Ends a daemon the hard way and takes its dead mount off. */
export function killDaemon(mounted: Mounted): void {
  if (mounted.daemon === null) throw new Error('the kernel cannot be killed');
  if (isRunning(mounted.daemon)) process.kill(mounted.daemon, 'SIGKILL');
  waitGone(mounted.daemon);
  umountIfMounted(mounted.view.mountpoint);
}

function umountIfMounted(mountpoint: string): void {
  if (mountsBelow(mountpoint).length > 0) umount(mountpoint);
}

function findByEnvironment(entry: string): number | null {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      if (readFileSync(`/proc/${name}/environ`, 'latin1').split('\0').includes(entry)) return Number(name);
    } catch (error) {
      // It has ended meanwhile, or is not ours to look at.
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code !== 'ENOENT' && code !== 'ESRCH' && code !== 'EACCES') throw error;
    }
  }
  return null;
}
