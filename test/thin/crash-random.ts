// A random workload for the crash tests: a few volumes and snapshots, writes of all sizes that gather on the same blocks,
// and everything that can be done to a pool in between.
import type { Random } from '../support/random.js';
import { BLOCK, PLACES } from '../support/thin-crash-model.js';
import type { CrashWork, Range } from '../support/thin-crash-work.js';

const STEPS = 150;
const MAX_VOLUMES = 4;
const MOST_BLOCKS = 52;
const SIZES = [6 * BLOCK, 512 * BLOCK, 514 * BLOCK, 602 * BLOCK + 512, 620 * BLOCK] as const;

/** A range within one place of the volume, of sectors or of whole blocks. */
function anyRange(size: number, random: Random): Range {
  const places = PLACES.filter(block => block * BLOCK < size);
  const block = random.pick(places);
  const room = Math.min(BLOCK, size - block * BLOCK);
  if (random.oneIn(3)) return [block * BLOCK, room];
  const sectors = room / 512;
  const from = random.below(sectors);
  return [block * BLOCK + from * 512, 512 * (1 + random.below(Math.min(sectors - from, 24)))];
}

/** Ranges of different blocks. */
function ranges(size: number, random: Random): Range[] {
  const found = new Map<number, Range>();
  for (let left = 1 + random.below(4); left > 0; left--) {
    const range = anyRange(size, random);
    found.set(Math.floor(range[0] / BLOCK), range);
  }
  return [...found.values()];
}

/** The blocks of one to three neighbouring places. */
function wholeBlocks(size: number, random: Random): Range {
  const [offset] = anyRange(size, random);
  const block = Math.floor(offset / BLOCK);
  const end = Math.min(size, (block + 1 + random.below(3)) * BLOCK);
  return [block * BLOCK, end - block * BLOCK];
}

/** One kind of step on the volume `name`; `fresh` is a name that no volume has. */
type Move = (work: CrashWork, name: string, random: Random, fresh: string) => Promise<void> | undefined;

const MOVES: readonly (readonly [weight: number, move: Move])[] = [
  [14, (work, name, random) => work.write(name, ...ranges(work.sizeOf(name), random))],
  [4, (work, name) => work.flush(name)],
  [
    3,
    (work, name) => {
      work.flushAside(name);
      return undefined;
    },
  ],
  [3, (work, name, random) => work.discard(name, wholeBlocks(work.sizeOf(name), random))],
  [2, (work, name, random) => work.zero(name, anyRange(work.sizeOf(name), random), random.oneIn(2))],
  [1, (work, name, random) => work.resize(name, random.pick(SIZES))],
  [
    1,
    (work, name, random) => {
      const other = random.pick(work.names);
      return other === name ? undefined : work.rollback(name, other);
    },
  ],
  [3, (work, name, _, fresh) => (room(work) ? work.snapshot({ origin: name, name: fresh }) : undefined)],
  [
    1,
    (work, name, random, fresh) => {
      const other = random.pick(work.names);
      if (other === name || work.names.length + 2 > MAX_VOLUMES) return undefined;
      return work.snapshot({ origin: name, name: fresh }, { origin: other, name: `${fresh}-2` });
    },
  ],
  [1, (work, name, _, fresh) => work.rename(name, fresh)],
  [
    1,
    (work, name, random, fresh) => {
      if (!room(work)) return undefined;
      const size = random.oneIn(2) ? work.sizeOf(name) : random.pick(SIZES);
      return work.receive(fresh, size, ranges(size, random), size === work.sizeOf(name) ? name : undefined);
    },
  ],
  [
    1,
    work => {
      const { dataBlocks, blockSize } = work.pool.status();
      return dataBlocks < MOST_BLOCKS ? work.grow((dataBlocks + 1) * blockSize) : undefined;
    },
  ],
  [1, (work, _, random, fresh) => (room(work) ? work.create(fresh, random.pick(SIZES)) : undefined)],
  [1, (work, name) => (work.names.length > 2 ? work.remove(name) : undefined)],
  [1, work => (work.pool.status().held ? work.unhold() : work.hold())],
];

function room(work: CrashWork): boolean {
  return work.names.length < MAX_VOLUMES;
}

/** `prefix`: of the names of new volumes. `failing`: at times commits fail. */
export async function randomWork(
  work: CrashWork,
  random: Random,
  {
    steps = STEPS,
    prefix = 'v',
    failing = false,
  }: { steps?: number; prefix?: string; failing?: boolean } = {},
): Promise<void> {
  if (work.names.length === 0) await work.create(prefix, 620 * BLOCK);
  for (let step = 0; step < steps; step++) {
    work.recorder.slow = random.oneIn(3);
    work.recorder.failing = failing && random.oneIn(2);
    await random.weighted(MOVES)(work, random.pick(work.names), random, `${prefix}${step}`);
    if (work.recorder.failing) await recover(work);
    // The tests of full pools are elsewhere: here there is always room for one step's writes. There is little, so
    // that freed blocks are soon used again.
    while (freeBlocks(work) < 6) await makeRoom(work);
  }
}

/** Commits work again. */
async function recover(work: CrashWork): Promise<void> {
  work.recorder.failing = false;
  await work.pool.commit();
}

function freeBlocks(work: CrashWork): number {
  const { dataBlocks, usedBlocks } = work.pool.status();
  return dataBlocks - usedBlocks;
}

async function makeRoom(work: CrashWork): Promise<void> {
  if (work.pool.status().held) await work.unhold();
  else if (work.names.length > 1) await work.remove(work.names[0]!);
  else await work.discard(work.names[0]!, [0, work.sizeOf(work.names[0]!)]);
  await work.pool.reclaimed();
}
