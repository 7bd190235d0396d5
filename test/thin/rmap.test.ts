// Reverse maps against Debian's thin_rmap, and the regions that people write.
import { join } from 'node:path';
import t from 'tap';
import { parseRegion, rmap } from '../../src/thin/rmap.js';
import { needs } from '../support/needs.js';
import { Random } from '../support/random.js';
import { debianMetadata, reading, restoreXml, run } from '../support/thin-tools.js';
import { poolXml, RANDOM_BLOCKS, randomXml } from '../support/thin-tools-xml.js';

needs('thin_restore', 'thin_rmap');

/** Lines whose regions begin at the same block come in no certain order from thin_rmap. */
function inOrder(text: string): string[] {
  return text
    .trimEnd()
    .split('\n')
    .map(line => [Number(/\d+/.exec(line)?.[0]), line] as const)
    .sort(([a, one], [b, two]) => a - b || (one < two ? -1 : 1))
    .map(([, line]) => line);
}

t.test('lines of random pools are those of thin_rmap', async t => {
  for (let seed = 300; seed < 306; seed++) {
    const dir = t.testdir();
    const random = new Random(seed);
    const xml = randomXml(seed);
    const meta = debianMetadata(xml, dir);
    await restoreXml(xml, join(dir, 'pool'));
    const regions = Array.from({ length: 1 + random.below(3) }, () => {
      const begin = random.below(RANDOM_BLOCKS);
      return `${begin}..${begin + 1 + random.below(RANDOM_BLOCKS)}`;
    });
    const ours = reading(join(dir, 'pool'), reader => [...rmap(reader, regions.map(parseRegion))].join(''));
    const theirs = run('thin_rmap', ...regions.flatMap(region => ['--region', region]), meta);
    t.same(inOrder(ours), inOrder(theirs), `seed ${seed}: ${regions.join(' ')}`);
    const begins = ours.match(/^data \d+/gm)?.map(text => Number(text.slice(5))) ?? [];
    t.same(
      begins,
      begins.toSorted((a, b) => a - b),
    );
  }
});

t.test('overlapping regions, pieces of mappings, blocks that several map', async t => {
  const pool = join(t.testdir(), 'pool');
  await restoreXml(
    poolXml(100, {
      3: [[10, 10, 10]],
      9: [
        [0, 14, 3],
        [50, 14, 1],
      ],
    }),
    pool,
  );
  reading(pool, reader => {
    const lines = [...rmap(reader, [parseRegion('14..16'), parseRegion('12..15'), parseRegion('18..99')])];
    t.same(lines, [
      'data 12..16 -> thin(3) 12..16\n',
      'data 14..16 -> thin(9) 0..2\n',
      'data 14..15 -> thin(9) 50..51\n',
      'data 18..20 -> thin(3) 18..20\n',
    ]);
    t.same([...rmap(reader, [parseRegion('90..91')])], []);
    t.same([...rmap(reader, [])], []);
  });
});

t.test('regions', async t => {
  t.same(parseRegion('5..45'), { begin: 5, end: 45 });
  for (const text of [
    '',
    '5',
    '5..',
    '..5',
    '5.45',
    '5...45',
    'a..b',
    '-1..4',
    '5..5',
    '6..5',
    '0x1..5',
    ' 1..2',
  ]) {
    t.throws(() => parseRegion(text), { code: 'EINVAL' }, text);
  }
});
