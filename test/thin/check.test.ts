// Check finds every kind of damage and calls it by its name; repair mends what can be mended, and leaves the rest as it was.
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { E } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import { type FindingKind, KINDS } from '../../src/thin/check-kinds.js';
import { Pool } from '../../src/thin/pool.js';
import { repairPool } from '../../src/thin/repair.js';
import { scratch } from '../support/cleanup.js';
import { contentOf, refused, snapshotOf } from '../support/thin-pool.js';
import { DAMAGES, type Damage } from './check-damage.js';
import { copyPool, Damager, makePool } from './check-damager.js';

const place = scratch(t, 'check', { in: 'memory' });
const whole = place.path('whole');

t.before(() => makePool(whole));

t.test('a pool without damage is clean', async t => {
  const { clean, findings, volumes, pages } = await checkPool(whole);
  t.same(findings, []);
  t.ok(clean);
  t.equal(volumes, 3);
  t.ok(pages > 5);
});

async function findAndMend(t: Test, [, kind, mended, make]: Damage): Promise<void> {
  const dir = copyPool(whole, place.path('damaged'));
  const damager = new Damager(dir);
  make(damager);
  damager.close();
  const told: FindingKind[] = [];
  const report = await checkPool(dir, { finding: finding => told.push(finding.kind) });
  t.notOk(report.clean);
  t.ok(report.counts[kind], `${kind} is among ${Object.keys(report.counts).join(', ')}`);
  t.equal(told.length, report.total);
  for (const { kind, severity, text } of report.findings) {
    t.equal(severity, KINDS[kind].severity);
    t.ok(text.startsWith(KINDS[kind].sentence));
  }
  const { before, after } = await repairPool(dir);
  t.same(before.counts, report.counts, 'repair finds the same');
  t.same((await checkPool(dir)).counts, after.counts, 'and says what is left');
  t.equal(after.clean, mended, JSON.stringify(after.findings));
  if (mended) await isUsable(t, dir);
  else await staysSo(t, dir);
  rmSync(dir, { recursive: true });
}

/** All volumes can be read and written, and the pool is clean after that. */
async function isUsable(t: Test, dir: string): Promise<void> {
  const pool = await Pool.open(dir);
  for (const { name, readOnly } of pool.list()) {
    const volume = pool.volume(name);
    await contentOf(volume, 0, 64 * 65536 > volume.size ? volume.size : 64 * 65536);
    if (!readOnly) await volume.write(0, Buffer.alloc(2 * 65536, 9));
    await volume.close();
  }
  await pool.close();
  t.same((await checkPool(dir)).findings, []);
}

async function staysSo(t: Test, dir: string): Promise<void> {
  const before = snapshotOf(dir);
  await repairPool(dir);
  t.same(snapshotOf(dir), before, 'a second repair changes nothing');
}

for (const damage of DAMAGES) t.test(damage[0], t => findAndMend(t, damage));

t.test('every kind is among the damages', async t => {
  const kinds = new Set(DAMAGES.map(([, kind]) => kind));
  for (const kind of Object.keys(KINDS)) t.ok(kinds.has(kind as FindingKind), kind);
});

t.test('neighbours with one damage are one finding', async t => {
  const dir = copyPool(whole, place.path('neighbours'));
  const damager = new Damager(dir);
  for (let block = 800; block < 900; block++) damager.count('data', block, () => 2);
  damager.close();
  const { findings } = await checkPool(dir);
  t.same(findings, [
    {
      kind: 'data-count-high',
      severity: 'leak',
      place: 'data blocks 800..899',
      text: `${KINDS['data-count-high'].sentence}: 2 instead of 0`,
    },
  ]);
  t.equal((await repairPool(dir)).freedBlocks, 100);
});

t.test('what is unknown is not freed', async t => {
  const dir = copyPool(whole, place.path('unknown'));
  const damager = new Damager(dir);
  const block = damager.firstBlock('a');
  damager.count('data', block, () => 1);
  damager.count('data', 900, () => 1);
  damager.run('DELETE FROM thin_page WHERE id = ?', damager.page('b', 1).id);
  const { before, after, freedBlocks } = await repairPool(dir);
  t.equal(freedBlocks, 0);
  t.equal(after.counts['data-count-high'], before.counts['data-count-high'], 'what may be leaks is left');
  t.equal(after.counts['data-count-low'], undefined, 'what was in danger is safe');
  damager.close();
});

t.test('check runs beside a pool in use, repair does not', async t => {
  const dir = copyPool(whole, place.path('used'));
  const pool = await Pool.open(dir);
  const volume = pool.volume('a');
  await volume.write(0, Buffer.alloc(65536, 1));
  t.ok((await checkPool(dir)).clean, 'while it has changes in memory');
  const checking = checkPool(dir);
  await volume.write(900_000, Buffer.alloc(65536, 1));
  await volume.flush();
  t.ok((await checking).clean, 'while it commits');
  await refused(t, () => repairPool(dir), E.EBUSY, /in use/);
  await pool.close();
  t.ok((await repairPool(dir)).after.clean);
});

t.test('what is no pool', async t => {
  const foreign = place.mkdir('foreign');
  copyFileSync(join(whole, 'pool.db'), join(foreign, 'pool.db'));
  const damager = new Damager(foreign);
  damager.database.pragma('application_id = 5');
  damager.close();
  for (const run of [checkPool, repairPool]) {
    await refused(t, () => run(place.path('nowhere')), E.ENOENT, /nowhere/);
    await refused(t, () => run(foreign), E.EMEDIUMTYPE, /no database of laminafs/);
  }
});
