// Restore: what it makes of sharing, sizes and places; and that it refuses bad XML with its line and leaves nothing.
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkPool } from '../../src/thin/check.js';
import { Pool } from '../../src/thin/pool.js';
import { restore } from '../../src/thin/restore.js';
import { bytesOf, dumpText, reading, restoreXml } from '../support/thin-tools.js';
import { device, poolXml, superblock } from '../support/thin-tools-xml.js';

const MIB = 2 ** 20;

t.test('volumes that map the same share pages, and each page counts its parents', async t => {
  const pool = join(t.testdir(), 'pool');
  const long = [0, 0, 2000];
  await restoreXml(poolXml(4000, { 1: [long], 2: [long], 3: [long, [5000, 3000, 1]] }), pool);
  const [first, second, third] = reading(pool, reader => reader.volumes());
  t.equal(first!.root, second!.root, 'one map');
  t.not(first!.root, third!.root);
  const pages = reading(pool, reader => [...reader.pageIds()]);
  t.same(pages, [1, 2, 3, 4, 5, 6, 7], 'four leaves and a root; one leaf and a root more');
  const counts = reading(pool, reader => [...reader.counts('page')]);
  t.same([...counts[0]!.counts.subarray(0, 8)], [0, 2, 2, 2, 2, 2, 1, 1]);
  t.equal(counts[0]!.free, 1024 - 8);
  const data = reading(pool, reader => [...reader.counts('data')]);
  t.same(
    data.map(({ chunk, free }) => [chunk, free]),
    [
      [0, 0],
      [1, 48],
      [2, 1023],
    ],
    'leaves that are shared count their blocks once',
  );
  t.ok((await checkPool(pool)).clean);
});

t.test('def and ref', async t => {
  const pool = join(t.testdir(), 'pool');
  const def = `  <def name="x">\n    <range_mapping origin_begin="5" data_begin="7" length="3" time="1"/>\n  </def>\n`;
  const head = (id: number): string =>
    `<device dev_id="${id}" mapped_blocks="4" transaction="0" creation_time="0" snap_time="0">`;
  const tail = '<ref name="x"/><single_mapping origin_block="9" data_block="0" time="0"/></device>';
  await restoreXml(`${superblock(20)}${def}${head(1)}${tail}${head(2)}${tail}</superblock>`, pool);
  const runs = reading(pool, reader => reader.volumes().map(volume => [...reader.mappings(volume)]));
  t.same(runs[0], [
    { begin: 5, block: 7, length: 3, time: 1 },
    { begin: 9, block: 0, length: 1, time: 0 },
  ]);
  t.same(runs[1], runs[0]);
});

t.test('a restored pool works', async t => {
  const dir = join(t.testdir(), 'pool');
  await restoreXml(poolXml(100, { 4: [[1, 50, 2]], 5: [[0, 50, 1]] }), dir);
  t.equal(statSync(join(dir, 'data')).size, 100 * 65536);
  const pool = await Pool.open(dir);
  t.match(pool.status(), { transactionId: 9, time: 6, dataBlocks: 100, usedBlocks: 2, volumes: 2 });
  const volume = pool.volume('thin-4');
  t.equal(volume.size, 3 * 65536);
  await volume.write(65536, Buffer.from('hello'));
  await volume.flush();
  await volume.close();
  const other = pool.volume('thin-5');
  const into = Buffer.alloc(5);
  await other.read(0, 5, into, 0);
  t.equal(into.toString(), '\0\0\0\0\0', 'the block was shared, so it was copied');
  await other.close();
  await pool.close();
  t.ok((await checkPool(dir)).clean);
});

t.test('a data file that is named keeps what it holds', async t => {
  const dir = t.testdir({ data: Buffer.alloc(4 * MIB, 'x') });
  const data = join(dir, 'data');
  await restoreXml(poolXml(64, { 1: [[0, 3, 1]] }), join(dir, 'pool'), { data, options: { lowWater: 5 } });
  const pool = await Pool.open(join(dir, 'pool'));
  const into = Buffer.alloc(3);
  const volume = pool.volume('thin-1');
  await volume.read(10, 3, into, 0);
  t.equal(into.toString(), 'xxx');
  t.equal(pool.status().options.lowWater, 5);
  await volume.close();
  await pool.close();
  const small = restoreXml(poolXml(65, {}), join(dir, 'other'), { data });
  await t.rejects(small, { code: 'EINVAL', message: /4194304 bytes/ });
  t.ok(existsSync(data), 'and is not removed by a restore that fails');
});

t.test('places', async t => {
  const dir = t.testdir({ full: { file: '' }, file: '' });
  const xml = poolXml(10, {});
  mkdirSync(join(dir, 'empty'));
  await restoreXml(xml, join(dir, 'empty'));
  t.same(readdirSync(join(dir, 'empty')).sort(), ['data', 'pool.db']);
  t.equal(dumpText(join(dir, 'empty')), xml);
  await t.rejects(restoreXml(xml, join(dir, 'empty')), { code: 'EEXIST' });
  await t.rejects(restoreXml(xml, join(dir, 'full')), { code: 'ENOTEMPTY' });
  await t.rejects(restoreXml(xml, join(dir, 'file')), { code: 'ENOTDIR' });
  await t.rejects(restoreXml(xml, join(dir, 'no', 'where')), { code: 'ENOENT' });
  t.same(readdirSync(dir).sort(), ['empty', 'file', 'full']);
});

const ONE = `  <device dev_id="1" mapped_blocks="2" transaction="0" creation_time="0" snap_time="0">
    <range_mapping origin_begin="4" data_begin="6" length="2" time="1"/>
  </device>
`;
const GOOD = `${superblock(10)}${ONE}</superblock>\n`;
const range = (begin: number, block: number, length: number, time = 0) => ({ begin, block, length, time });

/** Name: XML, what the message says. */
const BAD: Readonly<Record<string, readonly [xml: string | Buffer, message: RegExp]>> = {
  nothing: ['', /line 1: there is no element/],
  garbage: [Buffer.from([0xff, 0xfe, 0x00, 0x80]), /line 1: this is no UTF-8/],
  'text instead of XML': ['hello\n', /line 1: /],
  'binary that is UTF-8': ['\0\0\0\0', /line 1: /],
  'cut in an element': [GOOD.slice(0, 150), /line \d+: /],
  'cut between elements': [`${superblock(10)}${ONE}`, /line 5: unclosed root tag/i],
  'no superblock': [ONE, /line 1: <device> is not allowed here/],
  'another root': ['<pool/>', /line 1: <pool> is not allowed here/],
  'two superblocks': [GOOD + GOOD, /line 6: /],
  'text between': [GOOD.replace('  </device>', 'x  </device>'), /line 4: text that belongs to nothing: x/],
  'closed wrongly': [GOOD.replace('</device>', '</devise>'), /line 4: unexpected close tag/i],
  'a document type': [`<!DOCTYPE superblock>${GOOD}`, /line 1: a document type/],
  'an entity': [GOOD.replace('uuid=""', 'uuid="&x;"'), /line 1: invalid character entity/i],
  'an unknown element': [
    GOOD.replace(ONE, `${ONE}<volume/>\n`),
    /line 5: <volume> is not allowed in <superblock>/,
  ],
  'a device in a device': [
    GOOD.replace('  </device>', `${ONE}</device>`),
    /line 4: <device> is not allowed in <device>/,
  ],
  'a mapping outside': [GOOD.replace(ONE, '<ref name="x"/>'), /line 2: <ref> is not allowed in <superblock>/],
  'an unknown attribute': [
    GOOD.replace('snap_time', 'size="5" snap_time'),
    /line 2: <device> has no attribute size/,
  ],
  'an attribute too few': [GOOD.replace('snap_time="0"', ''), /line 2: <device> has no attribute snap_time/],
  'no number': [
    GOOD.replace('data_begin="6"', 'data_begin="0x6"'),
    /line 3: data_begin="0x6" is no whole number/,
  ],
  'a negative number': [GOOD.replace('data_begin="6"', 'data_begin="-6"'), /line 3: data_begin="-6"/],
  'a huge number': [GOOD.replace('data_begin="6"', 'data_begin="9007199254740993"'), /line 3: .* too large/],
  'block size 100 KiB': [
    GOOD.replace('size="128"', 'size="200"'),
    /line 1: the block size is a multiple of 64 KiB/,
  ],
  'block size 0': [GOOD.replace('size="128"', 'size="0"'), /line 1: the block size/],
  'block size 2 GiB': [GOOD.replace('size="128"', 'size="4194304"'), /line 1: the block size/],
  'no blocks': [
    GOOD.replace('blocks="10"', 'blocks="0"'),
    /line 1: the pool's size must be at least one block/,
  ],
  'too many blocks': [GOOD.replace('blocks="10"', 'blocks="1099511627776"'), /line 1: .*too large/],
  'a version to come': [GOOD.replace('version="2"', 'version="3"'), /line 1: version 3/],
  'unknown flags': [GOOD.replace('flags="0"', 'flags="4"'), /line 1: flags 4/],
  'a time of more than 24 bits': [GOOD.replace('time="6"', 'time="16777216"'), /line 1: time 16777216/],
  'a mapping from the future': [
    GOOD.replace('time="1"/>', 'time="7"/>'),
    /line 3: time 7 is later than the pool's, 6/,
  ],
  'a device from the future': [GOOD.replace('snap_time="0"', 'snap_time="7"'), /line 2: time 7/],
  'an id of more than 24 bits': [
    GOOD.replace('dev_id="1"', 'dev_id="16777216"'),
    /line 2: a volume's id is 0 to/,
  ],
  'an id twice': [GOOD.replace(ONE, ONE + ONE), /line 5: there are two devices with id 1/],
  'beyond the data': [
    GOOD.replace('data_begin="6"', 'data_begin="9"'),
    /line 3: data block 10 is beyond the 10/,
  ],
  'a mapping of nothing': [GOOD.replace('length="2"', 'length="0"'), /line 3: a mapping of length 0/],
  'mappings that overlap': [
    `${superblock(10)}${device(1, [range(0, 0, 2), range(1, 5, 1)])}</superblock>`,
    /line 4: block 1 is mapped already, or out of order: 1 came before/,
  ],
  'a volume without end': [
    GOOD.replace('origin_begin="4"', 'origin_begin="9007199254740000"'),
    /line 3: a volume's size/,
  ],
  'a wrong number of mappings': [
    GOOD.replace('blocks="2"', 'blocks="3"'),
    /line 4: device 1 has mapped_blocks="3", and 2/,
  ],
  'a def twice': [GOOD.replace(ONE, '<def name="a"/>\n<def name="a"/>'), /line 3: there are two <def>/],
  'a ref to nothing': [GOOD.replace('  </device>', '<ref name="a"/></device>'), /line 4: <ref> to a/],
  'a ref in a def': [
    GOOD.replace(ONE, '<def name="a"><ref name="a"/></def>'),
    /line 2: <ref> is not allowed in <def>/,
  ],
  'a damaged comment': [
    GOOD.replace(ONE, `<!-- lamina volume name="a -->${ONE}`),
    /line 2: this comment is no note/,
  ],
  'a comment elsewhere': [GOOD.replace(ONE, `<!-- lamina volume name='a' -->${ONE}`), /line 2: this comment/],
  'an impossible name': [noted("name='a/b'"), /line 4: "a\/b" cannot be a volume's name/],
  'a size that is none': [noted("size='1000'"), /line 4: a volume's size is a multiple of 512/],
  'a size too small': [noted("size='65536'"), /line 4: the device has size 65536, and block 5/],
  'impossible options': [
    GOOD.replace(ONE, `<!-- lamina pool options='{"lowWater":-1}' -->${ONE}`),
    /line 2: lowWater must be/,
  ],
  'options that are no JSON': [GOOD.replace(ONE, `<!-- lamina pool options='{' -->${ONE}`), /line 2: /],
};

function noted(fields: string): string {
  return GOOD.replace('    <range', `<!-- lamina volume ${fields} --><range`);
}

t.test('bad input is refused with its line, and leaves nothing', async t => {
  const dir = t.testdir();
  await restoreXml(GOOD, join(dir, 'good'));
  for (const [name, [xml, message]] of Object.entries(BAD)) {
    const result = restoreXml(xml, join(dir, 'pool'), { data: join(dir, 'disk') });
    await t.rejects(result, { code: 'EINVAL', message }, name);
    t.same(readdirSync(dir), ['good'], `${name}: nothing is left`);
  }
  writeFileSync(join(dir, 'disk'), '');
  mkdirSync(join(dir, 'pool'));
  await t.rejects(restoreXml(BAD['an id twice']![0], join(dir, 'pool')), { code: 'EINVAL' });
  t.same(readdirSync(join(dir, 'pool')), [], 'a directory that was there stays, empty');
});

t.test('however the text is cut into pieces', async t => {
  const dir = t.testdir();
  const xml = GOOD.replace(ONE, `<!-- ä€ -->${ONE}`);
  await restore(bytesOf(xml, 1), join(dir, 'pool'));
  t.equal(dumpText(join(dir, 'pool')), GOOD);
  const late = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from(GOOD.slice(0, 200));
    throw new Error('the pipe broke');
  };
  await t.rejects(restore(late(), join(dir, 'other')), /the pipe broke/);
  t.same(readdirSync(dir), ['pool']);
});
