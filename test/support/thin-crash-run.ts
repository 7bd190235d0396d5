// Runs a workload on a recorded pool, then cuts the power at its moments: after each cut the pool must be clean, open, and
// hold what had been flushed; snapshots hold exactly their instant.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { SysError } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import { Committer } from '../../src/thin/committer.js';
import type { MetadataStore } from '../../src/thin/metadata.js';
import { Pool } from '../../src/thin/pool.js';
import type { Scratch } from './cleanup.js';
import type { Random } from './random.js';
import { contents } from './thin-crash-contents.js';
import { BLOCK, expectationAt, judge } from './thin-crash-model.js';
import { type Loss, Replay } from './thin-crash-replay.js';
import { CrashWork } from './thin-crash-work.js';

/** A pool that has few enough blocks to be used up and used again. */
export const POOL = 44 * BLOCK;

const ZEROS = Buffer.alloc(BLOCK);

export interface Budget {
  /** Power cuts at most; the moments are chosen at random if there are more. */
  readonly cuts: number;
  /** Milliseconds after which no more cuts are made. */
  readonly time: number;
}

export interface Outcome {
  readonly moments: number;
  readonly cuts: number;
  /** Sentences, the first ten. */
  readonly failures: string[];
}

export async function crash(
  place: Scratch,
  work: (work: CrashWork) => Promise<void>,
  random: Random,
  budget: Budget,
): Promise<Outcome> {
  const dir = place.path('recorded');
  await Pool.create(dir, { size: POOL, onFull: 'error' });
  const start = place.path('start.db');
  cpSync(join(dir, 'pool.db'), start);
  const recorded = await CrashWork.open(dir);
  await work(recorded);
  await recorded.close();
  const replay = new Replay(recorded.recorder, start, POOL);
  try {
    return await cutAll(place.mkdir('cut'), recorded, replay, random, budget);
  } finally {
    replay.close();
  }
}

async function cutAll(
  dir: string,
  { recorder, steps }: CrashWork,
  replay: Replay,
  random: Random,
  { cuts: most, time }: Budget,
): Promise<Outcome> {
  // After each step, too: what it promised holds from then on.
  const ends = steps.map(({ ended }) => ended);
  const moments = [...new Set([...replay.moments(), ...ends])].sort((a, b) => a - b);
  const failures: string[] = [];
  const until = performance.now() + time;
  let cuts = 0;
  for (const moment of moments) {
    replay.advance(moment);
    const expected = expectationAt(steps, new Map(), moment);
    for (const loss of ['nothing', 'everything', 'random', 'random'] satisfies Loss[]) {
      if (random.below(moments.length * 4) >= most) continue;
      if (performance.now() > until || failures.length >= 10)
        return { moments: moments.length, cuts, failures };
      cuts++;
      replay.write(dir, loss, random);
      const problem = await examine(dir, expected, cuts % 8 === 0);
      const last = steps.findLast(step => step.begun <= moment)?.what;
      if (problem !== null) {
        failures.push(`cut at ${moment} of ${recorder.now}, ${loss} lost, in or after ${last}: ${problem}`);
      }
    }
  }
  return { moments: moments.length, cuts, failures };
}

/** Says what is wrong with the pool after a cut, or null. `goOn`: it must also work after that. */
async function examine(
  dir: string,
  expected: ReturnType<typeof expectationAt>,
  goOn: boolean,
): Promise<string | null> {
  try {
    const { findings } = await checkPool(dir);
    if (findings.length > 0) return findings.map(({ place, text }) => `${place}: ${text}`).join('; ');
    const pool = await Pool.openWith(dir, {}, { store: store => commitsHere(dir, store) });
    const found = await contents(pool);
    if (goOn) await useAgain(pool);
    await pool.close();
    const wrong = judge(found, expected);
    if (wrong !== null || !goOn) return wrong;
    const after = (await checkPool(dir)).findings;
    return after.length === 0
      ? null
      : `after more work: ${after.map(({ place, text }) => `${place}: ${text}`).join('; ')}`;
  } catch (error) {
    return String(error);
  }
}

/** Commits on this thread: a worker takes long to start where TypeScript is compiled on the fly. */
export function commitsHere(dir: string, store: MetadataStore): MetadataStore {
  const committer = new Committer(dir);
  return {
    opening: () => store.opening(),
    page: id => store.page(id),
    counts: (kind, chunk) => store.counts(kind, chunk),
    async commit(batch) {
      const failed = committer.commit(batch, Number.MAX_SAFE_INTEGER);
      if (failed !== null) throw new SysError(failed.errno, failed.what);
    },
    used: () => store.used(),
    close() {
      committer.close();
      return store.close();
    },
  };
}

/** Writes a sector to each free block, and sees that there is nothing else in it; then removes all, and nothing is in use. */
async function useAgain(pool: Pool): Promise<void> {
  const { dataBlocks, usedBlocks, held } = pool.status();
  const free = dataBlocks - usedBlocks;
  await pool.createVolume({ name: 'probe', size: dataBlocks * BLOCK });
  const probe = pool.volume('probe');
  const bytes = Buffer.alloc(BLOCK);
  for (let block = 0; block < free; block++) await probe.write(block * BLOCK + 512, Buffer.alloc(512, 1));
  for (let block = 0; block < free; block++) {
    await probe.read(block * BLOCK, BLOCK, bytes, 0);
    bytes.fill(0, 512, 1024);
    if (!bytes.equals(ZEROS)) throw new Error(`block ${block} of a new volume holds old data`);
  }
  await probe.close();
  if (held) await pool.releaseMetadataSnapshot();
  for (const { name } of pool.list()) await pool.remove(name);
  await pool.reclaimed();
  const left = pool.status().usedBlocks;
  if (left !== 0) throw new Error(`${left} blocks are in use when everything is removed`);
}
