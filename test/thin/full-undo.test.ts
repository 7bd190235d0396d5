// An operation whose commit fails is undone, whatever others did to the blocks and pages they share with it meanwhile: no
// volume shows another's data, and the pool is clean when there is room again.
import t, { type Test } from 'tap';
import { E, SysError } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import type { Wrappers } from '../../src/thin/core.js';
import type { MetadataStore } from '../../src/thin/metadata.js';
import { Pool } from '../../src/thin/pool.js';
import { scratch } from '../support/cleanup.js';
import { commitsHere } from '../support/thin-crash-run.js';
import { contentOf, difference, outcomeOf, pattern } from '../support/thin-pool.js';

const BLOCK = 64 * 1024;
const SIZE = 520 * BLOCK;
/** Blocks with content: in two leaves. */
const BLOCKS = [0, 1, 2, 3, 513] as const;

/** Commits that wait, and then fail. */
class Trouble {
  private waiting: Promise<void> | null = null;
  private let: () => void = () => {};
  private seen: () => void = () => {};

  readonly wrappers: Wrappers;

  constructor(dir: string) {
    this.wrappers = { store: store => this.between(commitsHere(dir, store)) };
  }

  private between(store: MetadataStore): MetadataStore {
    return {
      opening: () => store.opening(),
      page: id => store.page(id),
      counts: (kind, chunk) => store.counts(kind, chunk),
      commit: async batch => {
        if (this.waiting === null) return store.commit(batch);
        this.seen();
        await this.waiting;
        throw new SysError(E.ENOSPC, 'no room for the test');
      },
      used: () => store.used(),
      close: () => store.close(),
    };
  }

  /** Resolves when a commit waits. */
  begin(): Promise<void> {
    this.waiting = new Promise(resolve => {
      this.let = resolve;
    });
    return new Promise(resolve => {
      this.seen = resolve;
    });
  }

  /** What waits fails; what comes after the next turn works. */
  async end(failing: Promise<unknown>): Promise<void> {
    this.let();
    await failing;
    this.waiting = null;
  }
}

function releaseHeld(pool: Pool): Promise<void> {
  return pool.releaseMetadataSnapshot();
}

/** What fails. s is the snapshot of v and shares all with it; r that of w. */
const OPERATIONS: readonly (readonly [string, (pool: Pool) => Promise<unknown>])[] = [
  ['remove', pool => pool.remove('v')],
  ['rollback', pool => pool.rollback('v', 'r')],
  ['releasing the metadata snapshot', releaseHeld],
  ['snapshot', pool => pool.snapshot([{ origin: 's', name: 'new' }])],
  ['a larger volume', pool => pool.resizeVolume('v', 600 * BLOCK)],
];

/** What the sharer does meanwhile to its volume, and the seeds of its blocks after that (0: zeros). */
const MEANWHILE: readonly (readonly [string, readonly (readonly [block: number, seed: number])[]])[] = [
  [
    'writes',
    [
      [0, 70],
      [513, 71],
    ],
  ],
  [
    'discards',
    [
      [1, 0],
      [513, 0],
    ],
  ],
  [
    'both',
    [
      [0, 0],
      [1, 80],
      [0, 81],
      [513, 82],
      [3, 0],
    ],
  ],
];

type Seeds = Map<number, number>;

async function holds(t: Test, pool: Pool, name: string, seeds: Seeds, when: string): Promise<void> {
  const volume = pool.volume(name);
  for (const [block, seed] of seeds) {
    const wanted = seed === 0 ? Buffer.alloc(BLOCK) : pattern(BLOCK, seed);
    const found = await contentOf(volume, block * BLOCK, BLOCK);
    t.equal(difference(found, wanted), null, `${name}, block ${block}, ${when}`);
  }
  await volume.close();
}

function seeded(base: number): Seeds {
  return new Map(BLOCKS.map(block => [block, base + block]));
}

async function makeVolumes(pool: Pool): Promise<void> {
  for (const [name, base] of [
    ['v', 1],
    ['w', 20_000],
  ] as const) {
    await pool.createVolume({ name, size: SIZE });
    const volume = pool.volume(name);
    for (const block of BLOCKS) await volume.write(block * BLOCK, pattern(BLOCK, base + block));
    await volume.close();
  }
  await pool.snapshot([
    { origin: 'v', name: 's' },
    { origin: 'w', name: 'r' },
  ]);
}

/** Only the metadata snapshot shares with s. */
async function holdAlone(pool: Pool): Promise<void> {
  await pool.remove('v');
  await pool.reclaimed();
  await pool.reserveMetadataSnapshot();
}

for (const [operation, run] of OPERATIONS) {
  for (const [what, changes] of MEANWHILE) {
    t.test(`${operation} fails while a sharer ${what}`, async t => {
      const dir = scratch(t, 'undo', { in: 'memory' }).path('pool');
      const trouble = new Trouble(dir);
      await Pool.create(dir, { size: 256 * BLOCK, onFull: 'error' });
      const pool = await Pool.openWith(dir, {}, trouble.wrappers);
      await makeVolumes(pool);
      if (run === releaseHeld) await holdAlone(pool);
      const names = pool.list().map(({ name }) => name);
      const seeds = seeded(1);
      const sharer = pool.volume('s');
      const waits = trouble.begin();
      const failing = outcomeOf(() => run(pool));
      await waits;
      for (const [block, seed] of changes) {
        if (seed === 0) await sharer.discard(block * BLOCK, BLOCK);
        else await sharer.write(block * BLOCK, pattern(BLOCK, seed));
        seeds.set(block, seed);
      }
      await trouble.end(failing);
      t.equal(await failing, 'ENOSPC');
      await pool.commit();
      await sharer.close();
      await pool.reclaimed();
      for (const when of ['at once', 'when it is opened again']) {
        const now = when === 'at once' ? pool : await Pool.open(dir);
        t.same(
          now.list().map(({ name, size }) => [name, size]),
          names.map(name => [name, SIZE]),
        );
        if (names.includes('v')) await holds(t, now, 'v', seeded(1), when);
        await holds(t, now, 's', seeds, when);
        await holds(t, now, 'w', seeded(20_000), when);
        await holds(t, now, 'r', seeded(20_000), when);
        await now.close();
        t.same((await checkPool(dir)).findings, [], when);
      }
    });
  }
}
