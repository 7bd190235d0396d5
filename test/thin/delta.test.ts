// Delta against Debian's thin_delta, and against a comparison of two plain lists of mappings.
import { join } from 'node:path';
import t from 'tap';
import { deltaCounts, deltaRanges, deltas } from '../../src/thin/delta.js';
import { deltaXml } from '../../src/thin/delta-xml.js';
import type { MetadataReader } from '../../src/thin/reader.js';
import type { VolumeRow } from '../../src/thin/schema.js';
import { needs } from '../support/needs.js';
import { debianMetadata, reading, restoreXml, run } from '../support/thin-tools.js';
import { poolXml, randomXml } from '../support/thin-tools-xml.js';

needs('thin_restore', 'thin_delta');

/** Data blocks by virtual block. */
function mapOf(reader: MetadataReader, volume: VolumeRow): Map<number, number> {
  const map = new Map<number, number>();
  for (const { begin, block, length } of reader.mappings(volume)) {
    for (let i = 0; i < length; i++) map.set(begin + i, block + i);
  }
  return map;
}

/** Blocks that differ, with their data blocks. */
function expected(left: Map<number, number>, right: Map<number, number>): string[] {
  const blocks = [...new Set([...left.keys(), ...right.keys()])].sort((a, b) => a - b);
  return blocks
    .filter(block => left.get(block) !== right.get(block))
    .map(block => `${block} ${left.get(block) ?? -1} ${right.get(block) ?? -1}`);
}

function found(reader: MetadataReader, left: VolumeRow, right: VolumeRow): string[] {
  const blocks: string[] = [];
  for (const range of deltas(reader, left, right)) {
    for (let i = 0; i < range.length; i++) {
      const [from, to] = [range.left, range.right].map(block => (block < 0 ? -1 : block + i));
      blocks.push(`${range.begin + i} ${from} ${to}`);
    }
  }
  return blocks;
}

t.test('the XML of random volumes is that of thin_delta', async t => {
  let pairs = 0;
  for (let seed = 100; seed < 106; seed++) {
    const dir = t.testdir();
    const xml = randomXml(seed);
    const meta = debianMetadata(xml, dir);
    await restoreXml(xml, join(dir, 'pool'));
    reading(join(dir, 'pool'), reader => {
      const [first, ...others] = reader.volumes();
      for (const other of [first!, ...others].slice(0, 5)) {
        const thins = ['--thin1', String(first!.id), '--thin2', String(other.id)];
        const name = `seed ${seed}, volumes ${first!.id} and ${other.id}`;
        t.equal([...deltaXml(reader, first!, other)].join(''), run('thin_delta', ...thins, meta), name);
        const verbose = [...deltaXml(reader, first!, other, { verbose: true })].join('');
        t.equal(verbose, run('thin_delta', '--verbose', ...thins, meta), `${name}, verbose`);
        const [left, right] = [mapOf(reader, first!), mapOf(reader, other)];
        t.same(found(reader, first!, other), expected(left, right), name);
        const counts = deltaCounts(reader, first!, other);
        t.equal(counts.same + counts.different + counts.left_only, left.size, name);
        t.equal(counts.same + counts.different + counts.right_only, right.size, name);
        pairs++;
      }
    });
  }
  t.ok(pairs > 12, `${pairs} pairs`);
});

t.test('volumes of unlike size', async t => {
  const pool = join(t.testdir(), 'pool');
  const far = 512 ** 3;
  await restoreXml(
    poolXml(1000, {
      1: [[0, 0, 3]],
      2: [
        [1, 1, 3],
        [far, 9, 1],
      ],
      3: [],
    }),
    pool,
  );
  reading(pool, reader => {
    const [one, two, three] = reader.volumes() as [VolumeRow, VolumeRow, VolumeRow];
    t.same([one.depth, two.depth], [1, 4]);
    t.same(
      [...deltaRanges(reader, one, two)],
      [
        { kind: 'left_only', begin: 0, length: 1 },
        { kind: 'right_only', begin: 3, length: 1 },
        { kind: 'right_only', begin: far, length: 1 },
      ],
    );
    t.same(
      [...deltaRanges(reader, two, one)].map(({ kind }) => kind),
      ['right_only', 'left_only', 'left_only'],
    );
    t.same([...deltaRanges(reader, one, three)], [{ kind: 'left_only', begin: 0, length: 3 }]);
    t.same([...deltaRanges(reader, three, three)], []);
  });
});

t.test('what two volumes share is not read', async t => {
  const pool = join(t.testdir(), 'pool');
  const runs = Array.from({ length: 2000 }, (_, i) => [i * 700, i * 20, 10]);
  const changed = runs.map((run, i) => (i === 1234 ? [run[0]!, 50_000, 10] : run));
  await restoreXml(poolXml(60_000, { 1: runs, 2: changed }), pool);
  reading(pool, reader => {
    let reads = 0;
    const page = reader.page.bind(reader);
    reader.page = id => {
      reads++;
      return page(id);
    };
    const [one, two] = reader.volumes() as [VolumeRow, VolumeRow];
    t.same([...deltaRanges(reader, one, two)], [{ kind: 'different', begin: 1234 * 700, length: 10 }]);
    t.ok(reads <= 8, `${reads} pages of ${[...reader.pageIds()].length}`);
    t.same(deltaCounts(reader, one, two), { same: 19_990, different: 10, left_only: 0, right_only: 0 });
  });
});
