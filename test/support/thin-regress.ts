// Pools that a test has its hands in: what the data file and the metadata store do can be replaced while the pool is open,
// and a commit can be held and made to fail. Commits run on this thread.
import { once } from 'node:events';
import { cpSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Test } from 'tap';
import { E, SysError } from '../../src/base/index.js';
import type { Batch } from '../../src/thin/batch.js';
import { Committer } from '../../src/thin/committer.js';
import type { CreateOptions, DataFile, MetadataStore, Volume } from '../../src/thin/index.js';
import { checkPool, Pool } from '../../src/thin/index.js';
import { type Scratch, scratch } from './cleanup.js';
import { BLOCK, outcomeOf } from './thin-pool.js';

/** What an entry of the leaf level covers: a write there is a page of its own. */
export const LEAF = 512 * BLOCK;

/** Something to wait for until it is opened. */
export class Latch {
  open: () => void = () => {};
  readonly opened = new Promise<void>(resolve => {
    this.open = resolve;
  });
}

/** A commit that waits. */
export interface HeldCommit {
  /** Resolves when the commit has begun. */
  readonly begun: Promise<void>;
  end(): void;
}

export class Meddled {
  /** What the data file does instead of its own; `file` is what it was. */
  readonly data: Partial<DataFile> = {};
  /** What the metadata store does instead of its own; `real` is what it was. */
  readonly store: Partial<MetadataStore> = {};
  /** Called when a commit has become durable. */
  committed: () => void | Promise<void> = () => {};
  file!: DataFile;
  real!: MetadataStore;
  pool!: Pool;
  private readonly plan: { begun: Latch; end: Latch; error: SysError | null }[] = [];
  private shots = 0;

  private constructor(
    readonly place: Scratch,
    readonly dir: string,
    private readonly limit: number,
  ) {}

  /** A new pool of `blocks` blocks on a tmpfs; fresh blocks are not preallocated there. */
  static async make(t: Test, blocks: number, options: Partial<CreateOptions> = {}): Promise<Meddled> {
    const place = scratch(t, 'regress', { in: 'memory' });
    const dir = place.path('pool');
    await Pool.create(dir, { size: blocks * (options.blockSize ?? BLOCK), onFull: 'error', ...options });
    const made = new Meddled(place, dir, options.metadataLimit ?? Number.MAX_SAFE_INTEGER);
    made.data.prepare = async () => {};
    await made.open();
    t.teardown(() => made.close().catch(() => {}));
    return made;
  }

  /** Opens it (again). */
  async open(): Promise<Pool> {
    this.pool = await Pool.openWith(
      this.dir,
      {},
      {
        data: file => {
          this.file = file;
          return over(file, this.data);
        },
        store: store => {
          this.real = this.here(store);
          return over(this.real, this.store);
        },
      },
    );
    return this.pool;
  }

  private here(store: MetadataStore): MetadataStore {
    const committer = new Committer(this.dir);
    return over(store, {
      commit: async batch => {
        await this.step();
        this.apply(committer, batch);
        await this.committed();
      },
      close: () => {
        committer.close();
        return store.close();
      },
    });
  }

  private async step(): Promise<void> {
    const step = this.plan.shift();
    if (step === undefined) return;
    step.begun.open();
    await step.end.opened;
    if (step.error !== null) throw step.error;
  }

  private apply(committer: Committer, batch: Batch): void {
    const failed = committer.commit(batch, this.limit);
    if (failed !== null) throw new SysError(failed.errno, failed.what);
  }

  /** The next commit that nobody has planned for waits until its `end`, and fails then unless `works` is set. */
  holdCommit({ works = false } = {}): HeldCommit {
    const step = { begun: new Latch(), end: new Latch(), error: works ? null : noRoom() };
    this.plan.push(step);
    return { begun: step.begun.opened, end: step.end.open };
  }

  /** The metadata as it is committed now, in a directory of its own; the data is zeros. */
  shot(): string {
    const dir = this.place.path(`shot-${this.shots++}`);
    cpSync(this.dir, dir, { recursive: true, filter: path => path !== join(this.dir, 'data') });
    writeFileSync(join(dir, 'data'), '');
    truncateSync(join(dir, 'data'), this.file.size);
    return dir;
  }

  /** A volume of `size` bytes with `content`: pairs of block and byte; whole blocks, durable. */
  async volume(name: string, size: number, content: readonly (readonly [number, number])[]): Promise<void> {
    await this.pool.createVolume({ name, size });
    const volume = this.pool.volume(name);
    for (const [block, byte] of content) await volume.write(block * BLOCK, bytes(byte, BLOCK));
    await volume.flush();
    await volume.close();
  }

  async close(): Promise<void> {
    await this.pool.close();
  }

  /** Closes it; it must be clean. */
  async finish(t: Test): Promise<void> {
    t.equal(await outcomeOf(() => ends(this.close())), 'done', 'the pool closes');
    t.same((await checkPool(this.dir)).findings, [], 'the pool is clean');
  }
}

/** A full pool of 16 blocks that queues for ever, all of them in `v`, and a write that waits for one. */
export async function fullPool(t: Test): Promise<{ at: Meddled; v: Volume; waiting: Promise<void> }> {
  const at = await Meddled.make(t, 16, { onFull: 'queue', noSpaceTimeout: 0 });
  await at.volume('v', 64 * BLOCK, fullOf(16));
  const v = at.pool.volume('v');
  const full = once(at.pool, 'mode');
  const waiting = Promise.resolve(v.write(20 * BLOCK, bytes(2, BLOCK)));
  t.same(await ends(full), ['out_of_data_space']);
  return { at, v, waiting };
}

/** Content of the first `count` blocks, for `volume`. */
export function fullOf(count: number): (readonly [number, number])[] {
  return Array.from({ length: count }, (_, i) => [i, 1] as const);
}

export function noRoom(): SysError {
  return new SysError(E.ENOSPC, 'no room for the test');
}

/** `target` with some of its methods replaced; what is in `changes` may change later. */
export function over<T extends object>(target: T, changes: Partial<T>): T {
  return new Proxy(target, {
    get(_, key) {
      const own: unknown = Reflect.get(changes, key);
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Milliseconds after which what has not ended hangs. */
const HANGS = 60_000;

/** Follows `operation`; an Error when it hangs. */
export async function ends<T>(operation: T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const hangs = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`has not ended after ${HANGS} ms`)), HANGS);
  });
  try {
    return await Promise.race([operation, hangs]);
  } finally {
    clearTimeout(timer);
  }
}

/** Everything that can go on without waiting for anything has gone on. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await setImmediate();
}

export function bytes(byte: number, length = 4096): Buffer {
  return Buffer.alloc(length, byte);
}

/** The byte at an offset. */
export async function byteAt(volume: Volume, offset: number): Promise<number> {
  const into = Buffer.alloc(1, 0xee);
  await volume.read(offset, 1, into, 0);
  return into[0]!;
}

/** Timers of this test, as `delay` says: it gets the milliseconds asked for; null keeps the timer from firing. */
export function meddleTimers(t: Test, delay: (ms: number) => number | null): { readonly left: number } {
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  const left = new Set<unknown>();
  t.teardown(() => Object.assign(globalThis, { setTimeout: set, clearTimeout: clear }));
  const meddled = (callback: () => void, ms = 0): NodeJS.Timeout => {
    const wait = delay(ms);
    const fire = (): void => {
      left.delete(timer);
      if (wait !== null) callback();
    };
    const timer = set(fire, wait ?? 2 ** 30);
    if (wait === null) timer.unref();
    left.add(timer);
    return timer;
  };
  const cleared = (timer: NodeJS.Timeout | undefined): void => {
    left.delete(timer);
    clear(timer);
  };
  Object.assign(globalThis, { setTimeout: meddled, clearTimeout: cleared });
  return {
    get left() {
      return left.size;
    },
  };
}
