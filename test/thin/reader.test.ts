// The reader of committed metadata: one view however much is committed meanwhile, and clear words about damage.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { E, errnoName } from '../../src/base/index.js';
import { openDatabase } from '../../src/sys/index.js';
import { PAGE_WORDS, setChild, setMapping } from '../../src/thin/entry.js';
import { MetadataReader } from '../../src/thin/reader.js';
import { APPLICATION_ID, SCHEMA_VERSION } from '../../src/thin/schema.js';
import { reading, restoreXml } from '../support/thin-tools.js';
import { poolXml } from '../support/thin-tools-xml.js';

/** Changes a pool's tables as nobody should. */
function change(pool: string, sql: string, ...values: unknown[]): void {
  const database = openDatabase(join(pool, 'pool.db'), {
    mode: 'write',
    applicationId: APPLICATION_ID,
    version: SCHEMA_VERSION,
  });
  database.prepare(sql).run(...values);
  database.close();
}

function runsOf(pool: string): unknown[] {
  return reading(pool, reader => reader.volumes().flatMap(volume => [...reader.mappings(volume)]));
}

t.test('runs are as long as they can be, over the borders of pages', async t => {
  const pool = join(t.testdir(), 'pool');
  const map = [
    [510, 10, 4],
    [514, 14, 1],
    [515, 16, 1],
    [1024 * 512, 100, 2],
  ];
  await restoreXml(poolXml(200, { 1: map }), pool);
  t.same(runsOf(pool), [
    { begin: 510, block: 10, length: 5, time: 0 },
    { begin: 515, block: 16, length: 1, time: 0 },
    { begin: 1024 * 512, block: 100, length: 2, time: 0 },
  ]);
});

t.test('one view while others commit', async t => {
  const pool = join(t.testdir(), 'pool');
  await restoreXml(poolXml(5000, { 1: [[0, 0, 3000]], 2: [] }), pool);
  const reader = MetadataReader.open(pool);
  const runs = reader.mappings(reader.volumes()[0]!);
  const ids = reader.pageIds();
  t.equal(ids.next().value, 1);
  change(pool, 'DELETE FROM thin_page');
  change(pool, 'DELETE FROM thin_volume');
  change(pool, 'DELETE FROM thin_data_count');
  t.same([...runs], [{ begin: 0, block: 0, length: 3000, time: 0 }]);
  t.same([...ids], [2, 3, 4, 5, 6, 7], 'the rest of them');
  t.equal(reader.volumes().length, 2);
  t.equal([...reader.counts('data')].length, 3);
  reader.close();
  t.same(runsOf(pool), [], 'and then what was committed');
});

t.test('more rows than a batch', async t => {
  const pool = join(t.testdir(), 'pool');
  await restoreXml(poolXml(1, { 1: [] }), pool);
  const database = openDatabase(join(pool, 'pool.db'), {
    mode: 'write',
    applicationId: APPLICATION_ID,
    version: SCHEMA_VERSION,
  });
  const insert = database.prepare('INSERT INTO thin_page (id, words) VALUES (?, ?)');
  database.transaction(() => {
    for (let id = 1; id <= 3000; id++) insert.run(id * 2, Buffer.alloc(id === 7 ? 4095 : 4096, id));
  })();
  database.close();
  reading(pool, reader => {
    t.same(
      [...reader.pageIds()],
      Array.from({ length: 3000 }, (_, i) => 2 * i + 2),
    );
    t.equal(reader.page(6)?.[5], 0x03030303);
    t.equal(reader.page(14), null, 'of a wrong length');
    t.equal(reader.page(5), null);
  });
});

t.test('damage', async t => {
  const words = (fill: (words: Uint32Array) => void): Buffer => {
    const page = new Uint32Array(PAGE_WORDS);
    fill(page);
    return Buffer.from(page.buffer);
  };
  const cases: Record<string, [sql: string, values: unknown[], message: RegExp]> = {
    'a page is missing': ['DELETE FROM thin_page WHERE id = 2', [], /volume 1: page 2 is missing/],
    'a page is short': [
      'UPDATE thin_page SET words = ? WHERE id = 1',
      [Buffer.alloc(8)],
      /page 1 is missing or damaged/,
    ],
    'a page in itself': [
      'UPDATE thin_page SET words = ? WHERE id = 3',
      [words(page => setChild(page, 1, 3))],
      /volume 1: page 3 is inside itself/,
    ],
    'a block beyond the pool': [
      'UPDATE thin_page SET words = ? WHERE id = 1',
      [words(page => setMapping(page, 9, 2000, 0))],
      /volume 1 maps block 9 to data block 2000, of 1000 and 2000/,
    ],
    'a block beyond the volume': [
      'UPDATE thin_page SET words = ? WHERE id = 2',
      [words(page => setMapping(page, 511, 5, 0))],
      /volume 1 maps block 1023/,
    ],
    'a height that cannot be': ['UPDATE thin_volume SET depth = 40', [], /volume 1 has a map of height 40/],
  };
  for (const [name, [sql, values, message]] of Object.entries(cases)) {
    const pool = join(t.testdir(), 'pool');
    await restoreXml(poolXml(2000, { 1: [[0, 0, 1000]] }), pool);
    change(pool, sql, ...values);
    t.throws(() => runsOf(pool), { code: errnoName(E.EUCLEAN), message }, name);
  }
});

t.test('what is no pool', async t => {
  const dir = t.testdir({
    empty: {},
    text: { 'pool.db': 'hello, this is text and no database at all'.repeat(30) },
  });
  for (const name of ['empty', 'none', 'empty/none/none']) {
    const message = `${join(dir, name)} holds no pool: lamina pool create makes one: ENOENT`;
    t.throws(() => MetadataReader.open(join(dir, name)), { message }, name);
  }
  t.throws(() => MetadataReader.open(join(dir, 'text')), { code: errnoName(E.EUCLEAN) });
  mkdirSync(join(dir, 'zero'));
  writeFileSync(join(dir, 'zero', 'pool.db'), '');
  t.throws(() => MetadataReader.open(join(dir, 'zero')), { code: errnoName(E.EMEDIUMTYPE) });
  for (const [sql, errno] of [
    ['DROP TABLE thin_page', E.EUCLEAN],
    ['DELETE FROM thin_pool', E.EUCLEAN],
    ['PRAGMA user_version = 2', E.EPROTO],
    ['PRAGMA application_id = 2', E.EMEDIUMTYPE],
  ] as const) {
    const pool = join(t.testdir(), 'pool');
    await restoreXml(poolXml(10, {}), pool);
    change(pool, sql);
    t.throws(() => MetadataReader.open(pool), { code: errnoName(errno) }, sql);
  }
});
