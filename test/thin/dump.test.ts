// Dump and restore against Debian's thin-provisioning-tools: the same bytes both ways, for random metadata.
import { join } from 'node:path';
import t from 'tap';
import { checkPool } from '../../src/thin/check.js';
import { Pool } from '../../src/thin/pool.js';
import { needs } from '../support/needs.js';
import { debianMetadata, dumpText, reading, restoreXml, run } from '../support/thin-tools.js';
import { poolXml, randomXml } from '../support/thin-tools-xml.js';

needs('thin_restore', 'thin_check', 'thin_dump');

t.test('what thin_dump prints comes back to the byte, both ways and in both formats', async t => {
  for (let seed = 1; seed <= 6; seed++) {
    const dir = t.testdir();
    const pool = join(dir, 'pool');
    const meta = debianMetadata(randomXml(seed), dir);
    const theirs = run('thin_dump', meta);
    await restoreXml(theirs, pool);
    const ours = dumpText(pool);
    if (ours !== theirs) t.equal(ours, theirs, `XML of seed ${seed}`);
    if (dumpText(pool, { format: 'human_readable' }) !== run('thin_dump', '-f', 'human_readable', meta)) {
      t.fail(`human readable form of seed ${seed}`);
    }
    const report = await checkPool(pool);
    t.same(report.findings, [], `seed ${seed}: check is clean`);
    const again = debianMetadata(dumpText(pool, { names: true }), dir);
    run('thin_check', '-q', again);
    t.equal(
      run('thin_dump', again),
      theirs,
      `seed ${seed}: our XML with comments, through thin_restore and thin_dump`,
    );
  }
});

const SMALL = poolXml(100, {
  3: [
    [0, 5, 1],
    [10, 20, 2],
  ],
  8: [[0, 5, 1]],
  9: [],
});

t.test('some devices only, and no mappings', async t => {
  const dir = t.testdir();
  const pool = join(dir, 'pool');
  const meta = debianMetadata(SMALL, dir);
  await restoreXml(SMALL, pool);
  t.equal(dumpText(pool, { devices: [8] }), run('thin_dump', '--dev-id', '8', meta));
  t.equal(dumpText(pool, { skipMappings: true }), run('thin_dump', '--skip-mappings', meta));
  t.throws(() => dumpText(pool, { devices: [3, 4] }), { code: 'ENOENT', message: /no volume with id 4/ });
});

t.test('names, sizes and what else dm-thin has no place for survive a dump that keeps names', async t => {
  const dir = t.testdir();
  await restoreXml(named(SMALL), join(dir, 'first'));
  const text = dumpText(join(dir, 'first'), { names: true });
  await restoreXml(text, join(dir, 'second'));
  t.equal(dumpText(join(dir, 'second'), { names: true }), text);
  const volumes = reading(join(dir, 'second'), reader => reader.volumes());
  t.match(volumes, [
    { id: 3, name: "--it's 100% – done-", size: 2 ** 40, depth: 3, read_only: 1, guid: 'g-3', origin: 8 },
    { id: 8, name: 'thin-8', size: 65536, depth: 1, read_only: 0, external: '/a -- "b"' },
    { id: 9, name: 'thin-9', size: 65536 },
  ]);
  t.match(
    reading(join(dir, 'second'), reader => ({ ...reader.pool })),
    { uuid: 'U', options: /"lowWater":7/ },
  );
  const meta = debianMetadata(text, dir);
  t.equal(run('thin_dump', meta), dumpText(join(dir, 'first')), 'and Debian reads over the comments');
});

function named(xml: string): string {
  return xml
    .replace('">\n', `">\n<!-- lamina pool uuid='U' options='{"lowWater":7}' -->\n`)
    .replace(
      /(dev_id="3".*\n)/,
      "$1<!-- lamina volume name='%2d-it%27s 100%25 – done%2d' size='1099511627776' guid='g-3' read_only='1' origin='8' -->\n",
    )
    .replace(/(dev_id="8".*\n)/, `$1<!-- lamina volume external='/a %2d- "b"' -->\n`);
}

t.test('a live pool: its committed state, and its metadata snapshot', async t => {
  const dir = t.testdir();
  const place = join(dir, 'pool');
  await Pool.create(place, { size: 64 * 65536 });
  const pool = await Pool.open(place);
  await pool.createVolume({ name: 'a', size: 40 * 65536 });
  await write(pool, 'a', 0, 20);
  await pool.snapshot([{ origin: 'a', name: 'b' }]);
  await write(pool, 'b', 5, 1);
  t.throws(() => dumpText(place, { held: true }), { code: 'EINVAL', message: /no metadata snapshot/ });
  await pool.reserveMetadataSnapshot();
  const before = dumpText(place);
  t.match(before, /dev_id="1" mapped_blocks="20" transaction="0" creation_time="1" snap_time="1"/);
  await write(pool, 'a', 30, 2);
  await pool.remove('b');
  await pool.setTransactionId(0, 7);
  t.equal(dumpText(place, { held: true }), before, 'the snapshot stays');
  const after = dumpText(place);
  t.match(after, /transaction="7"/);
  t.notMatch(after, /dev_id="1"/);
  await pool.close();
  for (const text of [before, after]) t.equal(run('thin_dump', debianMetadata(text, dir)), text);
});

async function write(pool: Pool, name: string, block: number, blocks: number): Promise<void> {
  const volume = pool.volume(name);
  await volume.write(block * 65536, Buffer.alloc(blocks * 65536, name));
  await volume.flush();
  await volume.close();
}
