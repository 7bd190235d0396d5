// Runs the system's own tools (losetup, mount, mkfs, ...) in processes of their own: what they do may need answers from a
// FUSE mount that this thread serves, so it must never wait for the kernel in their stead.
import { type ChildProcess, spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { E, SysError } from '../base/index.js';

/** How a tool ended; `said` is what it had to say about it. */
export interface Outcome {
  readonly status: number;
  readonly out: string;
  readonly said: string;
}

/** Where the tools of root are, which an ordinary user's PATH may lack, comes last. */
const PLACES = `${process.env.PATH ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`;

/**
 * The path of a tool. spawn() would look for it while this thread waits, and for ever if a place of PATH lies in a mount
 * that this thread serves. ENOENT when there is none.
 */
export async function findTool(name: string): Promise<string> {
  for (const place of PLACES.split(':')) {
    const path = join(place, name);
    if (isAbsolute(path) && (await isExecutable(path))) return path;
  }
  throw new SysError(E.ENOENT, `the command ${name}, which must be installed`);
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** Runs `name` to its end, with `fd` as its descriptor 3. ENOENT when there is no such tool, EINTR when it was killed. */
export async function attempt(name: string, args: readonly string[], fd?: number): Promise<Outcome> {
  return outcomeOf(name, start(await findTool(name), args, fd));
}

/**
 * The same, but null after so many milliseconds. Then the tool is left to itself, killed as soon as the kernel lets it go: this
 * process need not live as long.
 */
export async function attemptWithin(
  milliseconds: number,
  name: string,
  args: readonly string[],
): Promise<Outcome | null> {
  const child = start(await findTool(name), args);
  return new Promise((resolve, reject) => {
    const bound = setTimeout(() => {
      child.kill('SIGKILL');
      child.stdout!.destroy();
      child.stderr!.destroy();
      child.unref();
      resolve(null);
    }, milliseconds);
    outcomeOf(name, child)
      .then(resolve, reject)
      .finally(() => clearTimeout(bound));
  });
}

function start(path: string, args: readonly string[], fd?: number): ChildProcess {
  return spawn(path, args, {
    cwd: '/',
    env: { ...process.env, PATH: PLACES, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe', fd ?? 'ignore'],
  });
}

function outcomeOf(name: string, child: ChildProcess): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let out = '';
    let said = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === null) reject(new SysError(E.EINTR, `${name}, killed by ${signal}`));
      else resolve({ status, out, said: said.trim() });
    });
  });
}

/** What `name` prints. EBUSY when it says so, EIO for every other failure; `what` is what it said. */
export async function tool(name: string, ...args: readonly string[]): Promise<string> {
  const { status, out, said } = await attempt(name, args);
  if (status === 0) return out;
  // Tools tell why they failed only in words; "busy" is strerror in the C locale, or util-linux's own.
  throw new SysError(/\bbusy\b/.test(said) ? E.EBUSY : E.EIO, said || `${name}: status ${status}`);
}
