// The VHD footer: what LCOW layers have but for the geometry, and what is wrong with another one is said.
import t from 'tap';
import { E, errnoName } from '../../src/base/index.js';
import { decodeFooter, encodeFooter, MAX_VHD_BYTES } from '../../src/thin/vhd.js';

const MiB = 2 ** 20;
const START = Buffer.alloc(512);

/** A good footer with changed bytes and the checksum for them. */
function changed(size: number, change: (footer: Buffer) => void): Buffer {
  const footer = encodeFooter(size);
  change(footer);
  footer.writeUInt32BE(0, 64);
  let sum = 0;
  for (const byte of footer) sum += byte;
  footer.writeUInt32BE(~sum >>> 0, 64);
  return footer;
}

t.test('a footer has the fields of LCOW layers, and a geometry that qemu goes along with', async t => {
  const size = 5 * 2 ** 32 + 3 * MiB;
  const footer = encodeFooter(size);
  t.equal(footer.length, 512);
  const hex = footer.toString('hex', 0, 64);
  const expected = [
    Buffer.from('conectix').toString('hex'),
    '00000002', // features
    '00010000', // version
    'ffffffffffffffff', // data offset
    '00000000', // time
    '00000000', // creator application
    '000a0000', // creator version
    '00000000', // creator host
    '0000000500300000', // original size
    '0000000500300000', // current size
    'ffff10ff', // geometry: go by the size
    '00000002', // fixed
  ];
  t.equal(hex, expected.join(''));
  t.ok(footer.subarray(84).every(byte => byte === 0));
  t.notSame(footer.subarray(68, 84), encodeFooter(size).subarray(68, 84), 'its own UUID');
  t.equal(decodeFooter(footer, START, size + 512), size);
});

t.test('a footer that does not fit is refused by name', async t => {
  const rows: [string, Buffer, Buffer, number, { code: string; message: RegExp }][] = [
    ['no cookie', Buffer.alloc(512), START, MiB + 512, { code: errnoName(E.EMEDIUMTYPE), message: /cookie/ }],
    ['vhdx', Buffer.alloc(512), Buffer.from('vhdxfile'), MiB, { code: 'EPROTO', message: /VHDX/ }],
    [
      'dynamic',
      changed(MiB, f => f.writeUInt32BE(3, 60)),
      START,
      MiB + 512,
      { code: 'EPROTO', message: /dynamic/ },
    ],
    [
      'differencing',
      changed(MiB, f => f.writeUInt32BE(4, 60)),
      START,
      MiB,
      { code: 'EPROTO', message: /differencing/ },
    ],
    ['type 9', changed(MiB, f => f.writeUInt32BE(9, 60)), START, MiB, { code: 'EPROTO', message: /type 9/ }],
    [
      'version 2',
      changed(MiB, f => f.writeUInt32BE(0x20000, 12)),
      START,
      MiB,
      { code: 'EPROTO', message: /version 2/ },
    ],
    ['cut', encodeFooter(2 * MiB), START, MiB + 512, { code: 'EINVAL', message: /2097152 bytes.*1048576/ }],
    ['padded', encodeFooter(MiB), START, MiB + 1024, { code: 'EINVAL', message: /1048576 bytes.*1049088/ }],
  ];
  for (const [name, footer, start, size, error] of rows) {
    t.throws(() => decodeFooter(footer, start, size), error, name);
  }
});

t.test('every flipped byte of a footer is found', async t => {
  const footer = encodeFooter(MiB);
  for (let at = 0; at < footer.length; at++) {
    const flipped = Buffer.from(footer);
    flipped[at]! ^= 0x10;
    t.throws(
      () => decodeFooter(flipped, START, MiB + 512),
      { code: at < 8 ? errnoName(E.EMEDIUMTYPE) : 'EBADMSG' },
      `${at}`,
    );
  }
});

t.test('sizes', async t => {
  t.throws(() => encodeFooter(MiB + 1), { code: 'EINVAL' });
  t.throws(() => encodeFooter(MAX_VHD_BYTES + 512), { code: 'EFBIG' });
  t.equal(decodeFooter(encodeFooter(MAX_VHD_BYTES), START, MAX_VHD_BYTES + 512), MAX_VHD_BYTES);
});
