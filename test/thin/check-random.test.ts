// Random damage: whatever is in the database, check ends, says that something is wrong or proves to be right, and never
// throws; repair neither, and a pool that it calls clean can be read whole. LAMINA_SEED and LAMINA_ROUNDS choose others.
import { rmSync } from 'node:fs';
import t, { type Test } from 'tap';
import { E, isErrno } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import { Pool } from '../../src/thin/pool.js';
import { repairPool } from '../../src/thin/repair.js';
import { scratch } from '../support/cleanup.js';
import { Random } from '../support/random.js';
import { contentOf } from '../support/thin-pool.js';
import { copyPool, Damager, makePool } from './check-damager.js';

const ROUNDS = Number(process.env.LAMINA_ROUNDS ?? 40);
const SEED = Number(process.env.LAMINA_SEED ?? Date.now() % 1_000_000);
const place = scratch(t, 'check-random', { in: 'memory' });
const whole = place.path('whole');

const NUMBERS = [0, 1, -1, 2, 3, 5, 511, 512, 1023, 1024, 2 ** 31, 2 ** 40, 2 ** 52, 2 ** 53 - 1] as const;
const COLUMNS: readonly (readonly [table: string, column: string])[] = [
  ['thin_pool', 'block_size'],
  ['thin_pool', 'data_blocks'],
  ['thin_pool', 'time'],
  ['thin_pool', 'held_time'],
  ...['id', 'size', 'depth', 'root', 'mapped', 'snap_time', 'origin', 'partial'].flatMap(column => [
    ['thin_volume', column] as const,
    ['thin_held', column] as const,
  ]),
  ['thin_page', 'id'],
  ['thin_data_count', 'id'],
  ['thin_data_count', 'free'],
  ['thin_page_count', 'free'],
  ['thin_page_count', 'id'],
];
const BLOBS = [
  ['thin_page', 'words'],
  ['thin_data_count', 'counts'],
  ['thin_page_count', 'counts'],
] as const;

/** The id of any row; null when an earlier change took the last. */
function anyRow({ database }: Damager, table: string, random: Random): number | null {
  const ids = database.prepare(`SELECT rowid FROM ${table}`).pluck().all() as number[];
  return ids.length === 0 ? null : random.pick(ids);
}

/** A value into a column of one row. */
function changeNumber(damager: Damager, random: Random): string {
  const [table, column] = random.pick(COLUMNS);
  const id = anyRow(damager, table, random);
  const value = random.oneIn(3) ? random.below(2 ** 31) : random.pick(NUMBERS);
  damager.database.prepare(`UPDATE OR REPLACE ${table} SET ${column} = ? WHERE rowid = ?`).run(value, id);
  return `${table}.${column} of ${id} = ${value}`;
}

/** Bytes of a page or of counts: an entry, some bits, or all. */
function changeBlob(damager: Damager, random: Random): string {
  const [table, column] = random.pick(BLOBS);
  const id = anyRow(damager, table, random);
  if (id === null) return 'nothing';
  const { database } = damager;
  const blob = database.prepare(`SELECT ${column} FROM ${table} WHERE id = ?`).pluck().get(id) as Buffer;
  const at = 8 * random.below(random.oneIn(2) ? 64 : 512);
  const how = random.below(4);
  if (how === 0) blob.writeUInt32LE(random.pick(NUMBERS) & 0x7fffffff, at);
  else if (how === 1) blob[at + random.below(8)]! ^= 1 << random.below(8);
  else if (how === 2) for (let i = 0; i < blob.length; i++) blob[i] = random.below(256);
  else blob.copyWithin(at, 8 * random.below(512), 4096);
  database.prepare(`UPDATE ${table} SET ${column} = ? WHERE id = ?`).run(blob, id);
  return `bytes of ${table} ${id}, way ${how} at ${at}`;
}

/** A row less, or one twice. */
function changeRows(damager: Damager, random: Random): string {
  const table = random.pick(['thin_volume', 'thin_held', ...BLOBS.map(([name]) => name)]);
  const id = anyRow(damager, table, random);
  if (id === null) return 'nothing';
  damager.database.prepare(`DELETE FROM ${table} WHERE id = ?`).run(id);
  return `no ${table} ${id}`;
}

/** Bytes of the file, past its header. */
function changeFile(damager: Damager, random: Random): string {
  const at: number[] = [];
  damager.raw(file => {
    for (let left = 1 + random.below(8); left > 0; left--) {
      at.push(100 + random.below(file.length - 100));
      file[at.at(-1)!] = random.below(256);
    }
    return file;
  });
  return `bytes ${at.join(' ')} of the file`;
}

const CHANGES = [
  [4, changeNumber],
  [6, changeBlob],
  [1, changeRows],
] as const;

function damage(dir: string, random: Random): string {
  const damager = new Damager(dir);
  const done: string[] = [];
  if (random.oneIn(5)) done.push(changeFile(damager, random));
  else {
    for (let left = 1 + random.below(3); left > 0; left--)
      done.push(random.weighted(CHANGES)(damager, random));
    damager.close();
  }
  return done.join('; ');
}

async function readAll(dir: string): Promise<void> {
  const pool = await Pool.open(dir);
  try {
    for (const { name } of pool.list()) {
      const volume = pool.volume(name);
      for (const part of [0, volume.size - 64 * 65536, 262_200 * 65536]) {
        if (part >= 0 && part + 64 * 65536 <= volume.size) await contentOf(volume, part, 64 * 65536);
      }
      await volume.close();
    }
  } finally {
    await pool.close();
  }
}

async function round(t: Test, seed: number): Promise<void> {
  const random = new Random(seed);
  const dir = copyPool(whole, place.path(`round-${seed}`));
  const what = `seed ${seed}: ${damage(dir, random)}`;
  const begun = performance.now();
  const report = await checkPool(dir);
  const { before, after } = await repairPool(dir);
  t.same(before.counts, report.counts, `${what}: repair finds the same`);
  t.same((await checkPool(dir)).counts, after.counts, `${what}: what is left`);
  t.ok(performance.now() - begun < 10_000, `${what}: takes no longer than it must`);
  if (after.clean) await readAll(dir);
  rmSync(dir, { recursive: true });
}

t.test('random damage', async t => {
  await makePool(whole);
  t.comment(`LAMINA_SEED=${SEED} LAMINA_ROUNDS=${ROUNDS}`);
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    await round(t, seed).catch((error: unknown) => {
      // A damaged header may be another application's, or a newer version's.
      if (isErrno(error, E.EMEDIUMTYPE) || isErrno(error, E.EPROTO)) return;
      t.fail(`seed ${seed}: ${String(error)}`, { error });
    });
  }
});
