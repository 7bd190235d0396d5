// The XML under dump and restore: events with their lines, comments of ours, and what random damage does to a restore.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { SysError } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import { type XmlEvent, xmlEvents } from '../../src/thin/xml.js';
import { readNote, startTag, writeNote } from '../../src/thin/xml-format.js';
import { Random } from '../support/random.js';
import { bytesOf, restoreXml } from '../support/thin-tools.js';
import { poolXml } from '../support/thin-tools-xml.js';

async function eventsOf(xml: string, size?: number): Promise<XmlEvent[]> {
  const all: XmlEvent[] = [];
  for await (const events of xmlEvents(bytesOf(xml, size))) all.push(...events);
  return all;
}

t.test('events come in order with their lines, wherever the text is cut', async t => {
  const xml = `<?xml version="1.0"?>\n<a x="1&amp;2"\n   y='ä'>\n<!-- c -->\n<b/></a>\n`;
  const expected = [
    { kind: 'start', line: 3, name: 'a', attributes: { x: '1&2', y: 'ä' } },
    { kind: 'comment', line: 4, text: ' c ' },
    { kind: 'start', line: 5, name: 'b', attributes: {} },
    { kind: 'end', line: 5, name: 'b' },
    { kind: 'end', line: 5, name: 'a' },
  ];
  for (const size of [1, 2, 7, 1000]) {
    const events = await eventsOf(xml, size);
    t.same(JSON.parse(JSON.stringify(events)), expected, `pieces of ${size} bytes`);
  }
});

t.test('tags have their attributes in the order of thin_dump', async t => {
  t.equal(
    startTag('superblock', ['', 1, 2, 0, 2, 128, 9], '>'),
    '<superblock uuid="" time="1" transaction="2" flags="0" version="2" data_block_size="128" nr_data_blocks="9">',
  );
  t.equal(
    startTag('single_mapping', [1, 2, 3], '/>'),
    '<single_mapping origin_block="1" data_block="2" time="3"/>',
  );
});

t.test('a comment brings every text through XML', async t => {
  const random = new Random(5);
  const alphabet = [...`-->%2d'"=&<! ä€😀\u0000\n\u007f\ud800\ufffeab`];
  for (let i = 0; i < 500; i++) {
    const text = Array.from({ length: random.below(8) }, () => random.pick(alphabet)).join('');
    const whole = text.replace(/[\ud800-\udfff]/gu, '\ufffd');
    const written = writeNote('volume', { name: text, size: 3, external: null });
    const comment = written.slice('<!--'.length, -'-->'.length);
    t.notMatch(comment, /--|-$/, JSON.stringify(text));
    const [, note] = await eventsOf(`<a>${written}</a>`);
    if (note?.kind !== 'comment') throw new Error(`${written} is no comment`);
    const read = readNote(note.text);
    t.same(
      read === null ? null : [read.about, ...read.fields],
      ['volume', ['name', whole], ['size', '3']],
      written,
    );
  }
});

t.test("other people's comments", async t => {
  for (const text of ['', ' ', ' made by hand ', 'laminafs', ' laminated name="x" ']) {
    t.equal(readNote(text), null, text);
  }
  t.same(readNote(" lamina volume name='a "), { about: 'damaged', fields: new Map() });
});

t.test('random damage gives an error that names the line, or a pool that is sound', async t => {
  const good = poolXml(2000, {
    1: [
      [0, 0, 600],
      [700, 3, 5],
    ],
    2: [[0, 0, 600]],
    7: [],
  });
  const digits = [...good.matchAll(/\d/g)].map(({ index }) => index);
  const seed = Number(process.env.SEED ?? 1);
  const random = new Random(seed);
  const dir = t.testdir();
  let refused = 0;
  for (let i = 0; i < 150; i++) {
    const bytes = Buffer.from(good);
    for (let changes = 1 + random.below(2); changes > 0; changes--) {
      if (i % 2 === 0) bytes[random.pick(digits)] = 48 + random.below(10);
      else bytes[random.below(bytes.length)] = random.below(256);
    }
    const xml = random.oneIn(8) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
    const pool = join(dir, `${i}`);
    try {
      await restoreXml(xml, pool);
      const { findings } = await checkPool(pool);
      // A flag of the superblock asks for a check.
      const bad = findings.filter(({ kind }) => kind !== 'needs-check');
      t.same(bad, [], `seed ${seed}: ${xml}`);
    } catch (error) {
      t.match(error, { code: 'EINVAL', what: /^line \d+: ./ }, `seed ${seed}: ${xml}`);
      t.ok(error instanceof SysError);
      t.notOk(readdirSync(dir).includes(`${i}`));
      refused++;
    }
  }
  t.ok(refused > 50 && refused < 150, `${refused} of 150 were refused`);
});

t.test('metadata of what is mapped in order takes less than 16 bytes a block', async t => {
  const pool = join(t.testdir(), 'pool');
  const blocks = 2 ** 20;
  const { mapped } = await restoreXml(poolXml(blocks, { 0: [[0, 0, blocks]] }), pool);
  t.equal(mapped, blocks);
  const { size } = statSync(join(pool, 'pool.db'));
  t.ok(size / blocks < 16, `${size / blocks} bytes a block`);
  t.ok((await checkPool(pool)).clean);
});
