// The table of volumes against Debian's thin_ls, for every field that it has.
import { join } from 'node:path';
import t from 'tap';
import { LS_FIELDS, readableSize, volumesTable } from '../../src/thin/ls.js';
import { needs } from '../support/needs.js';
import { debianMetadata, reading, restoreXml, run } from '../support/thin-tools.js';
import { poolXml, randomXml } from '../support/thin-tools-xml.js';

needs('thin_restore', 'thin_ls');

/** Not in 0.9.0. */
const NEWER = /^(HIGHEST|NAME$|SIZE$)/;

t.test('tables of random pools are those of thin_ls', async t => {
  for (let seed = 200; seed < 206; seed++) {
    const dir = t.testdir();
    const xml = randomXml(seed);
    const meta = debianMetadata(xml, dir);
    await restoreXml(xml, join(dir, 'pool'));
    reading(join(dir, 'pool'), reader => {
      const fields = LS_FIELDS.filter(field => !NEWER.test(field));
      t.equal(volumesTable(reader, { fields }), run('thin_ls', '-o', fields.join(','), meta), `seed ${seed}`);
      t.equal(volumesTable(reader), run('thin_ls', meta), 'the fields unless named');
      const bare = volumesTable(reader, { headers: false });
      t.equal(bare, run('thin_ls', '--no-headers', meta), 'without headers');
    });
  }
});

t.test('fields of ours', async t => {
  const pool = join(t.testdir(), 'pool');
  await restoreXml(
    poolXml(100, {
      5: [
        [0, 0, 1],
        [9, 5, 2],
      ],
      10: [],
    }),
    pool,
  );
  reading(pool, reader => {
    const fields = ['NAME', 'SIZE', 'HIGHEST_BLOCK', 'HIGHEST_SECTOR', 'HIGHEST_BYTE', 'HIGHEST_MAPPED'];
    t.equal(
      volumesTable(reader, { fields }),
      [
        '   NAME   SIZE HIGHEST_BLOCK HIGHEST_SECTOR HIGHEST_BYTE HIGHEST_MAPPED \n',
        ' thin-5 720896            10           1407       720895         704KiB \n',
        'thin-10  65536             0              0            0              0 \n',
      ].join(''),
    );
    t.throws(() => volumesTable(reader, { fields: ['DEV', 'dev'] }), {
      code: 'EINVAL',
      message: /no field dev; there are DEV, NAME/,
    });
    t.throws(() => volumesTable(reader, { held: true }), { code: 'EINVAL' });
  });
});

t.test('a block that one volume maps twice is shared', async t => {
  const dir = t.testdir();
  const twice = [
    [0, 0, 600],
    [700, 0, 5],
  ];
  const xml = poolXml(1000, { 1: twice, 2: twice, 3: [[0, 800, 3]] });
  await restoreXml(xml, join(dir, 'pool'));
  const fields = ['DEV', 'EXCLUSIVE_BLOCKS', 'SHARED_BLOCKS'];
  const ours = reading(join(dir, 'pool'), reader => volumesTable(reader, { fields }));
  t.equal(ours, run('thin_ls', '-o', fields.join(','), debianMetadata(xml, dir)));
});

t.test('sizes for people', async t => {
  const sizes: [number, string][] = [
    [0, '0'],
    [8192, '8192'],
    [8193, '8KiB'],
    [2 ** 20, '1024KiB'],
    [65536 * 128, '8192KiB'],
    [65536 * 129, '8MiB'],
    [65536 * 143, '9MiB'],
    [65536 * 1023, '64MiB'],
    [65536 * 131_071, '8191MiB'],
    [65536 * 163_840, '10GiB'],
    [2 ** 50, '1024TiB'],
  ];
  for (const [bytes, text] of sizes) t.equal(readableSize(bytes), text, String(bytes));
});
