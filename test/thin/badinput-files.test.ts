// Pools whose files are not what they should be: refused when they are opened, with what is wrong and with which file, and
// nothing is changed in them; once the file is right again the pool opens.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type BetterSqlite3 from 'better-sqlite3';
import t, { type Test } from 'tap';
import { E } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import { Pool } from '../../src/thin/index.js';
import { scratch } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import {
  contentOf,
  MIB,
  openHere,
  outcomeOf,
  pattern,
  poolStage,
  refused,
  snapshotOf,
} from '../support/thin-pool.js';

needs('losetup', 'mount', 'mkfs.ext4');

const Driver = createRequire(import.meta.url)('better-sqlite3') as typeof BetterSqlite3;

function sql(dir: string, statements: string): void {
  const database = new Driver(`${dir}/pool.db`);
  database.exec(statements);
  database.close();
}

interface Damage {
  readonly name: string;
  readonly damage: (dir: string) => void;
  readonly errno: number;
  readonly says: readonly RegExp[];
}

const database = (dir: string, change: (bytes: Buffer) => Buffer): void => {
  const path = `${dir}/pool.db`;
  const bytes = change(readFileSync(path));
  writeFileSync(path, bytes);
};

const DAMAGES: readonly Damage[] = [
  {
    name: 'another program’s database',
    damage: dir => sql(dir, 'PRAGMA application_id = 12345'),
    errno: E.EMEDIUMTYPE,
    says: [/pool\.db/, /laminafs/],
  },
  {
    name: 'a database without an application id',
    damage: dir => sql(dir, 'PRAGMA application_id = 0'),
    errno: E.EMEDIUMTYPE,
    says: [/pool\.db/],
  },
  {
    name: 'a newer version',
    damage: dir => sql(dir, 'PRAGMA user_version = 99'),
    errno: E.EPROTO,
    says: [/pool\.db/, /version 99/],
  },
  {
    name: 'garbage instead of a database',
    damage: dir => database(dir, bytes => pattern(bytes.length, 1)),
    errno: E.EUCLEAN,
    says: [/pool\.db/],
  },
  {
    name: 'text instead of a database',
    damage: dir => writeFileSync(`${dir}/pool.db`, 'hello\n'),
    errno: E.EUCLEAN,
    says: [/pool\.db/],
  },
  {
    name: 'an empty database file',
    damage: dir => truncateSync(`${dir}/pool.db`, 0),
    errno: E.EUCLEAN,
    says: [/pool\.db/, /empty/],
  },
  {
    name: 'a database that was cut off',
    damage: dir => database(dir, bytes => bytes.subarray(0, 4096)),
    errno: E.EUCLEAN,
    says: [/pool/],
  },
  {
    name: 'a database with a page of garbage',
    damage: dir =>
      database(dir, bytes => Buffer.concat([bytes.subarray(0, 4096), pattern(bytes.length - 4096, 1)])),
    errno: E.EUCLEAN,
    says: [/pool/],
  },
  {
    name: 'a table that is missing',
    damage: dir => sql(dir, 'DROP TABLE thin_page'),
    errno: E.EUCLEAN,
    says: [/pool/, /thin_page/],
  },
  {
    name: 'no row of the pool',
    damage: dir => sql(dir, 'DELETE FROM thin_pool'),
    errno: E.EUCLEAN,
    says: [/pool/],
  },
  {
    name: 'options that are no JSON',
    damage: dir => sql(dir, "UPDATE thin_pool SET options = '{'"),
    errno: E.EUCLEAN,
    says: [/pool/, /JSON/],
  },
  {
    name: 'no database',
    damage: dir => rmSync(`${dir}/pool.db`),
    errno: E.ENOENT,
    says: [/holds no pool/],
  },
  {
    name: 'a directory as database',
    damage: dir => {
      rmSync(`${dir}/pool.db`);
      mkdirSync(`${dir}/pool.db`);
    },
    errno: E.EISDIR,
    says: [/pool\.db/],
  },
  {
    name: 'a data file that was cut off',
    damage: dir => truncateSync(`${dir}/data`, 64 * MIB - 1),
    errno: E.EUCLEAN,
    says: [/\/data/, /67108863/, /67108864/],
  },
  { name: 'no data file', damage: dir => rmSync(`${dir}/data`), errno: E.ENOENT, says: [/\/data/] },
  {
    name: 'a directory as data file',
    damage: dir => {
      rmSync(`${dir}/data`);
      mkdirSync(`${dir}/data`);
    },
    errno: E.EISDIR,
    says: [/\/data/],
  },
];

/** A closed pool with a volume and some data, and a copy of it to come back to. */
async function closedPool(t: Test): Promise<{ dir: string; restore(): void }> {
  const { pool, dir, close } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(100_000, 1));
  await close();
  const copy = `${dir}.copy`;
  spawnSync('cp', ['-a', dir, copy]);
  return {
    dir,
    restore() {
      rmSync(dir, { recursive: true });
      renameSync(copy, dir);
    },
  };
}

for (const { name, damage, errno, says } of DAMAGES) {
  t.test(name, async t => {
    const { dir, restore } = await closedPool(t);
    damage(dir);
    const files = snapshotOf(dir);
    await refused(t, () => openHere(dir), errno, ...says);
    t.not(await outcomeOf(() => Pool.open(dir, { readOnly: true })), 'done', 'nor to read only');
    t.same(snapshotOf(dir), files, 'nothing was changed');
    restore();
    const pool = await openHere(dir);
    t.ok((await contentOf(pool.volume('thin'), 0, 100_000)).equals(pattern(100_000, 1)));
    await pool.close();
    t.ok((await checkPool(dir)).clean);
  });
}

t.test('a data file that another pool has', async t => {
  const place = scratch(t, 'thin');
  const data = place.write('data', '');
  truncateSync(data, 64 * MIB);
  await Pool.create(place.path('one'), { size: 64 * MIB, data });
  await Pool.create(place.path('other'), { size: 64 * MIB, data });
  const one = await openHere(place.path('one'));
  await refused(t, () => openHere(place.path('other')), E.EBUSY, /\/data/);
  await one.close();
  await (await openHere(place.path('other'))).close();
});

t.test('a read-only device', async t => {
  const place = scratch(t, 'thin');
  truncateSync(place.write('image', ''), 64 * MIB);
  const attached = spawnSync('losetup', ['-r', '-f', '--show', place.path('image')], { encoding: 'utf8' });
  t.equal(attached.status, 0, attached.stderr);
  const data = attached.stdout.trim();
  await refused(
    t,
    () => Pool.create(place.path('pool'), { size: 64 * MIB, data }),
    E.EROFS,
    new RegExp(data),
  );
  t.same(snapshotOf(place.path('pool')), {});
  spawnSync('losetup', ['-d', data]);
});

t.test('a block device that something else uses', async t => {
  const place = scratch(t, 'thin');
  truncateSync(place.write('image', ''), 64 * MIB);
  const attached = spawnSync('losetup', ['-f', '--show', place.path('image')], { encoding: 'utf8' });
  const data = attached.stdout.trim();
  const dir = place.path('pool');
  await Pool.create(dir, { size: 64 * MIB, data });
  t.equal(spawnSync('mkfs.ext4', ['-q', data]).status, 0);
  t.equal(spawnSync('mount', [data, place.mkdir('mnt')]).status, 0);
  await refused(t, () => openHere(dir), E.EBUSY, new RegExp(data), /in use/);
  await refused(t, () => Pool.create(place.path('other'), { size: MIB, data }), E.EBUSY, new RegExp(data));
  t.same(snapshotOf(place.path('other')), {}, 'nothing is left');
  t.equal(spawnSync('umount', [place.path('mnt')]).status, 0);
  const pool = await openHere(dir);
  t.not(spawnSync('mount', [data, place.path('mnt')]).status, 0, 'nor does it let others mount what it has');
  await pool.close();
  spawnSync('losetup', ['-d', data]);
});

t.test('a block device', async t => {
  const place = scratch(t, 'thin');
  truncateSync(place.write('image', ''), 64 * MIB);
  const attached = spawnSync('losetup', ['-f', '--show', place.path('image')], { encoding: 'utf8' });
  const data = attached.stdout.trim();
  const dir = place.path('pool');
  await refused(t, () => Pool.create(dir, { size: 65 * MIB, data }), E.EINVAL, /67108864/, /68157440/);
  // What was on the device before is nobody's, and no volume may show it.
  writeFileSync(data, pattern(8 * MIB, 5));
  await Pool.create(dir, { size: 64 * MIB, data });
  const pool = await openHere(dir);
  await pool.createVolume({ name: 'thin', size: 4 * MIB });
  const thin = pool.volume('thin');
  const flat = Buffer.alloc(4 * MIB);
  for (let at = 100; at < flat.length; at += 300_000) {
    pattern(1000, at).copy(flat, at);
    await thin.write(at, pattern(1000, at));
  }
  t.ok((await contentOf(thin)).equals(flat), 'zeros around what was written');
  await refused(t, () => pool.grow(65 * MIB), E.ENOSPC, new RegExp(data), /enlarge/);
  t.equal(pool.status().dataBlocks, 1024);
  await pool.close();
  t.ok((await checkPool(dir)).clean);
  spawnSync('losetup', ['-d', data]);
});

t.test('a read-only pool', async t => {
  const { dir } = await closedPool(t);
  const files = snapshotOf(dir);
  const [one, other] = [await Pool.open(dir, { readOnly: true }), await Pool.open(dir, { readOnly: true })];
  await refused(t, () => openHere(dir), E.EBUSY, /in use/);
  t.equal(one.status().mode, 'ro');
  const thin = one.volume('thin');
  t.ok(thin.readOnly);
  t.ok((await contentOf(thin, 0, 100_000)).equals(pattern(100_000, 1)));
  for (const call of [
    () => thin.write(0, Buffer.alloc(1)),
    () => thin.discard(0, MIB),
    () => one.createVolume({ name: 'new', size: MIB }),
    () => one.remove('thin'),
    () => one.snapshot([{ origin: 'thin', name: 'new' }]),
    () => one.grow(128 * MIB),
    () => one.configure({ zeroing: false }),
  ]) {
    await refused(t, call, E.EROFS, /read-only/);
  }
  await one.close();
  await other.close();
  t.same(snapshotOf(dir), files);
});
