// Many writers on a pool that is nearly full and lets them wait: whatever frees blocks wakes them, and none waits while
// there is room. Content is compared at the end. LAMINA_SEED and LAMINA_ROUNDS choose others.
import { setTimeout } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { checkPool } from '../../src/thin/check.js';
import { Pool } from '../../src/thin/pool.js';
import type { Volume } from '../../src/thin/volume.js';
import { scratch } from '../support/cleanup.js';
import { Random } from '../support/random.js';
import { contentOf, difference, pattern } from '../support/thin-pool.js';

const SEED = Number(process.env.LAMINA_SEED ?? Date.now() % 1_000_000);
const ROUNDS = Number(process.env.LAMINA_ROUNDS ?? 60);
const BLOCK = 64 * 1024;
const BLOCKS = 24;
const VIRTUAL = 40;
const NAMES = ['a', 'b', 'c'] as const;

interface Shadow {
  readonly volume: Volume;
  readonly content: Buffer;
  /** Blocks that a step under way changes. */
  readonly busy: Set<number>;
}

interface Place {
  readonly pool: Pool;
  readonly random: Random;
  readonly shadows: readonly Shadow[];
  readonly pending: Set<Promise<void>>;
}

/** Runs one change of a block beside the others. */
function start(place: Place, shadow: Shadow, block: number, run: () => Promise<void>): void {
  shadow.busy.add(block);
  const done = run().finally(() => {
    shadow.busy.delete(block);
    place.pending.delete(done);
  });
  place.pending.add(done);
}

function idleBlock({ random }: Place, shadow: Shadow): number {
  for (;;) {
    const block = random.below(VIRTUAL);
    if (!shadow.busy.has(block)) return block;
  }
}

function write(place: Place): void {
  const { random } = place;
  const shadow = random.pick(place.shadows);
  if (shadow.busy.size > VIRTUAL / 2) return;
  const block = idleBlock(place, shadow);
  const sector = random.below(128);
  const length = random.oneIn(3) ? BLOCK : 512 * (1 + random.below(128 - sector));
  const offset = block * BLOCK + (length === BLOCK ? 0 : sector * 512);
  const data = pattern(length, random.below(1e9));
  start(place, shadow, block, async () => {
    await shadow.volume.write(offset, data);
    data.copy(shadow.content, offset);
  });
}

/** Removes snapshots and empties blocks until there is one for each writer; nobody helps them after that. */
async function makeRoom({ pool, random, shadows, pending }: Place): Promise<void> {
  for (const { name } of pool.list()) if (name.startsWith('s')) await pool.remove(name);
  while (pool.status().usedBlocks + pending.size > BLOCKS) {
    const shadow = random.pick(shadows);
    const block = random.below(VIRTUAL);
    if (shadow.busy.has(block)) continue;
    await shadow.volume.discard(block * BLOCK, BLOCK);
    shadow.content.fill(0, block * BLOCK, (block + 1) * BLOCK);
  }
}

/** All writers end; false when they do not. */
async function allEnd(place: Place): Promise<boolean> {
  await makeRoom(place);
  const quiet = new AbortController();
  const late = setTimeout(60_000, false, { signal: quiet.signal }).catch(() => false);
  const finished = await Promise.race([Promise.all(place.pending).then(() => true), late]);
  quiet.abort();
  return finished;
}

async function round(t: Test, place: Place, number: number): Promise<boolean> {
  const { pool, random, shadows, pending } = place;
  for (let left = random.below(6); left > 0; left--) write(place);
  if (random.oneIn(4)) await random.pick(shadows).volume.flush();
  const snapshots = pool.list().filter(({ name }) => name.startsWith('s'));
  if (random.oneIn(6) && snapshots.length < 2 && pending.size === 0) {
    await pool.snapshot([{ origin: random.pick(NAMES), name: `s${number}` }]);
  }
  if (pending.size < 8 || (await allEnd(place))) return true;
  const { usedBlocks, mode } = pool.status();
  t.fail(`${pending.size} writers wait in round ${number}, ${usedBlocks} of ${BLOCKS} used, ${mode}`);
  return false;
}

t.test('writers that wait', { timeout: 600_000 }, async t => {
  t.comment(`LAMINA_SEED=${SEED} LAMINA_ROUNDS=${ROUNDS}`);
  const dir = scratch(t, 'full-random', { in: 'memory' }).path('pool');
  await Pool.create(dir, { size: BLOCKS * BLOCK, onFull: 'queue', noSpaceTimeout: 0 });
  const pool = await Pool.open(dir);
  const shadows: Shadow[] = [];
  for (const name of NAMES) {
    await pool.createVolume({ name, size: VIRTUAL * BLOCK });
    shadows.push({ volume: pool.volume(name), content: Buffer.alloc(VIRTUAL * BLOCK), busy: new Set() });
  }
  const place: Place = { pool, random: new Random(SEED), shadows, pending: new Set() };
  for (let number = 0; number < ROUNDS; number++) if (!(await round(t, place, number))) process.exit(1);
  t.ok(await allEnd(place));
  for (const { volume, content } of shadows) {
    t.equal(difference(await contentOf(volume), content), null, volume.name);
  }
  await pool.close();
  t.same((await checkPool(dir)).findings, []);
});
