// Stores of either backend for tests. The file systems of thin layers are served by the test's own thread, so it never waits
// for one: whatever is done in a layer is done by a shell, in a process of its own.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Test } from 'tap';
import { toText } from '../../src/base/index.js';
import type { BackendName, Layers, Store as StoreClass, ThinOptions } from '../../src/store/index.js';
import { type Scratch, scratch } from '../support/cleanup.js';

/** The options of this process that make node read TypeScript; children of it are started without. */
export const LOADER = process.execArgv.splice(0);

// As it was built: a thin store starts many processes, and each would translate its sources for seconds first.
const built = new URL('../../dist/store/index.js', import.meta.url).href;
export const { Store } = (await import(built)) as typeof import('../../src/store/index.js');

export const REALM = { name: 'test', parentsAreCommitted: false };
export const MIB = 2 ** 20;

/** Small, so that making it takes no time. */
export const SMALL: ThinOptions = { dataSize: 1024 * MIB, baseSize: 48 * MIB };

export interface Site {
  readonly s: Scratch;
  readonly root: string;
  store: StoreClass;
  layers: Layers;
  readonly warnings: string[];
  close(): Promise<void>;
  /** Closes it, if it is open, and opens it. */
  reopen(): Promise<void>;
}

/** A new store, closed when `t` ends. */
export async function site(t: Test, backend: BackendName, thin: ThinOptions = SMALL): Promise<Site> {
  const s = scratch(t, 'store');
  const root = s.path('root');
  const warnings: string[] = [];
  let isOpen = false;
  const made = {
    ...{ s, root, warnings },
    async close() {
      if (isOpen) await made.store.close();
      isOpen = false;
    },
    async reopen() {
      await made.close();
      made.store = await Store.open(root, { backend, thin, warn: message => warnings.push(message) });
      isOpen = true;
      made.layers = made.store.layers(REALM);
    },
  } as Site;
  t.teardown(() => made.close());
  await made.reopen();
  return made;
}

/** Runs a script in `dir`; resolves to its output, and rejects with what it said. */
export function sh(dir: string, script: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const args = ['-ec', 'cd -- "$0"; eval "$1"', dir, script];
    execFile('bash', args, { cwd: '/', env: { ...process.env, LC_ALL: 'C' } }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${script}\n${stderr || error.message}`));
    });
  });
}

export async function fails(t: Test, errno: number, call: Promise<unknown>, what: string): Promise<void> {
  const error = await call.then(
    () => null,
    (error: unknown) => error,
  );
  const found = error instanceof Error && 'errno' in error ? error.errno : null;
  t.equal(found, errno, `${what}: ${String(error)}`);
}

/** Makes a layer and changes it by a script. */
export async function fill(
  { layers }: Site,
  name: string,
  parent: string | null,
  script: string,
): Promise<void> {
  await layers.prepare({ name, parent, kind: 'active' });
  await sh(await layers.acquire(name), script);
  await layers.release(name);
}

export async function changesOf({ layers }: Site, name: string, parent: string | null): Promise<string[]> {
  const found: string[] = [];
  for await (const { path, kind } of layers.changes(name, parent)) found.push(`${kind} ${toText(path)}`);
  return found;
}

export async function tarOf({ layers }: Site, name: string, parent: string | null): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of layers.diff(name, parent)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** What a script prints in a layer that is mounted for it. */
export async function look({ layers }: Site, name: string, script: string): Promise<string> {
  try {
    return await sh(await layers.acquire(name), script);
  } finally {
    await layers.release(name);
  }
}

/** Loop devices on files below `dir`. */
export async function loopsBelow(dir: string): Promise<string[]> {
  const text = await sh('/', 'losetup --list --noheadings --output NAME,BACK-FILE');
  return text.split('\n').filter(line => line.includes(` ${dir}/`));
}

/** The mount point's line in this process's mount table, or undefined. */
export function mountLine(path: string): string | undefined {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.find(line => line.split(' ')[4] === path);
}
