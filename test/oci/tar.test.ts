// The tar format against other people's tools: GNU tar and Python read what we write, and we read what they write, byte
// for byte: names that are not UTF-8, long names, binary xattrs, sizes and times that no ustar field holds.
import { createReadStream } from 'node:fs';
import t from 'tap';
import { fromText } from '../../src/base/index.js';
import { BytesIn } from '../../src/oci/bytes-in.js';
import type { Entry } from '../../src/oci/entry.js';
import { applyLayerTar, layerTar } from '../../src/oci/index.js';
import { decodePax, decodeTime, encodePax, encodeTime } from '../../src/oci/tar-pax.js';
import { readTar } from '../../src/oci/tar-read.js';
import { encodeEntry } from '../../src/oci/tar-write.js';
import { scratch } from '../support/cleanup.js';
import { archive } from './make-tar.js';
import { applyTo, openDescriptors, sh, tarTo, treeDifference } from './stage.js';

const ENTRY: Entry = {
  path: 'file',
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: 0,
  mtimeNsec: 0,
  target: '',
  major: 0,
  minor: 0,
  xattrs: new Map(),
};

/** The first entry of a tar. */
async function firstOf(bytes: Buffer): Promise<Entry> {
  for await (const { data: _data, notes: _notes, ...entry } of readTar(new BytesIn([bytes]))) return entry;
  throw new Error('no entry');
}

const ENTRIES: { name: string; entry: Partial<Entry> }[] = [
  { name: 'a plain file', entry: {} },
  { name: 'a name that is not UTF-8', entry: { path: 'dir/\xff\xfe\x80' } },
  { name: 'a UTF-8 name', entry: { path: fromText('größe/日本') } },
  { name: 'a name of 100 bytes', entry: { path: 'n'.repeat(100) } },
  { name: 'a name of 101 bytes without a slash', entry: { path: 'n'.repeat(101) } },
  { name: 'a name that fits with a prefix', entry: { path: `${'p'.repeat(155)}/${'n'.repeat(100)}` } },
  { name: 'a name with a longer prefix', entry: { path: `${'p'.repeat(156)}/${'n'.repeat(100)}` } },
  { name: 'a directory of 99 bytes', entry: { path: 'd'.repeat(99), type: 'directory' } },
  { name: 'a directory of 100 bytes', entry: { path: 'd'.repeat(100), type: 'directory' } },
  { name: 'a long name that is not UTF-8', entry: { path: `${'p/'.repeat(200)}\xff` } },
  { name: 'a name of 4000 bytes', entry: { path: `${'abcdefg/'.repeat(500)}z` } },
  {
    name: 'a symlink to a long target that is not UTF-8',
    entry: { type: 'symlink', target: '\xe9'.repeat(300) },
  },
  { name: 'a hard link', entry: { type: 'link', target: fromText('é/ü') } },
  { name: 'a file of 10 GiB', entry: { size: 10 * 2 ** 30 } },
  { name: 'a file of 8 GiB - 1', entry: { size: 8 * 2 ** 30 - 1 } },
  { name: 'large ids', entry: { uid: 2_097_151, gid: 4_294_967_294 } },
  { name: 'nanoseconds', entry: { mtime: 1_600_000_000, mtimeNsec: 1 } },
  { name: 'a time before 1970', entry: { mtime: -2, mtimeNsec: 500_000_000 } },
  { name: 'a whole time before 1970', entry: { mtime: -86400 } },
  { name: 'a time after 2242', entry: { mtime: 8 ** 11 } },
  { name: 'a device', entry: { type: 'char', major: 4095, minor: 1_048_575 } },
  {
    name: 'binary xattrs',
    entry: {
      xattrs: new Map([
        ['security.capability', Buffer.from('0100000200200000ff0a00000000000000', 'hex')],
        ['user.a=b%3D', Buffer.from('\n=\0\xff', 'latin1')],
        ['user.empty', Buffer.alloc(0)],
      ]),
    },
  },
];

for (const { name, entry } of ENTRIES) {
  void t.test(`${name} comes back as it was`, async t => {
    const whole = { ...ENTRY, ...entry };
    const back = await firstOf(archive(encodeEntry(whole)));
    const path = whole.type === 'directory' ? `${whole.path}/` : whole.path;
    t.same({ ...back, xattrs: [...back.xattrs] }, { ...whole, path, xattrs: [...whole.xattrs].sort() });
  });
}

void t.test('pax records count their own length at the edges', async t => {
  for (let length = 0; length < 1200; length++) {
    const value = 'v'.repeat(length);
    const bytes = encodePax(new Map([['key', value]]));
    t.ok(bytes.toString('latin1').startsWith(`${bytes.length} key=`), `value of ${length}`);
    if (decodePax(bytes).get('key') !== value) t.fail(`value of ${length}`);
  }
});

void t.test('times are written and read as pax has them', async t => {
  for (const [text, time] of [
    ['0', [0, 0]],
    ['12.5', [12, 500_000_000]],
    ['-1.25', [-2, 750_000_000]],
    ['-0.000000001', [-1, 999_999_999]],
    ['-3', [-3, 0]],
  ] as const) {
    t.same(decodeTime(text), time);
    t.equal(encodeTime(time[0], time[1]), text);
  }
  t.throws(() => decodeTime('1e3'), { message: /not a time/ });
});

const TREE = `mkdir -p src/sub; cd src; echo 1 >one; ln one sub/two; ln -s "$(printf '\\377\\200')" bad; mkfifo pipe; mknod null c 1 3
  echo >"$(printf 'n\\377me')"; echo >é; d=$(printf '%0200d' 7); mkdir $d; echo >$d/$d; echo >"$d/$(printf '\\351%0190d' 7)"
  ln -s $d/$d long; ln $d/$d longlink; chown 3000000:4000000 one; cp /bin/true cap; setcap cap_net_raw+ep cap; setfattr -n user.b -v 0x00ff0a3d one
  setfattr -n trusted.t -v x sub; touch -d '1960-05-06 07:08:09.25' one; chmod 6711 cap; setcap cap_net_raw+ep cap
  find . -not -name one -exec touch -h -d '2022-02-02 02:02:02.020202020' {} +; touch -d '2022-02-02 02:02:02.5' .`;

void t.test('GNU tar reads what we write', async t => {
  const { dir } = scratch(t, 'oci-tar');
  sh(dir, TREE);
  t.same(await tarTo(`${dir}/ours.tar`, `${dir}/src`, []), []);
  const said = sh(dir, 'mkdir out; tar -C out --xattrs --xattrs-include="*" -xpf ours.tar 2>&1');
  t.equal(said.replace(/.*Ignoring unknown extended header keyword 'hdrcharset'\n/g, ''), '');
  t.equal(treeDifference(dir, 'src', 'out'), '');
});

void t.test('Python reads what we write', async t => {
  const { dir } = scratch(t, 'oci-tar');
  sh(dir, TREE);
  await tarTo(`${dir}/ours.tar`, `${dir}/src`, []);
  const names = sh(
    dir,
    `python3 -c "
import tarfile, os, sys
for m in tarfile.open('ours.tar'): sys.stdout.buffer.write(os.fsencode(m.name) + b' ' + os.fsencode(m.linkname) + b' %d %d\\n' % (m.uid, m.size))
" | sort`,
  );
  const found = sh(dir, `cd src; LC_ALL=C find . -printf '%P\\n' | wc -l`);
  t.equal(names.trim().split('\n').length, Number(found));
  t.match(names, /^n\xffme {2}0 1$/m);
  t.match(names, /^0+7\/\xe90+7 {2}0 1$/m);
  t.match(names, /^one {2}3000000 2$/m);
});

for (const format of ['gnu', 'posix', 'ustar', 'v7', 'oldgnu']) {
  void t.test(`we read what GNU tar writes: ${format}`, async t => {
    const { dir } = scratch(t, 'oci-tar');
    sh(dir, TREE);
    // Older formats have no room for long names, large ids, devices, fractions and xattrs.
    const old = format === 'ustar' || format === 'v7';
    if (old) sh(dir, 'cd src; rm -rf 0* long longlink; chown 0:0 one; touch -d 2001-01-01 one');
    if (format === 'v7') sh(dir, 'cd src; rm pipe null');
    if (format !== 'posix') {
      sh(
        dir,
        `cd src; setcap -r cap; chmod 6711 cap; setfattr -x user.b one; setfattr -x trusted.t sub
        find . -exec touch -h -d @1600000000 {} +; touch -d @-1000 é`,
      );
    }
    if (old) sh(dir, 'cd src; touch -d @1000 é');
    const xattrs = format === 'posix' ? "--xattrs --xattrs-include='*'" : '';
    sh(dir, `tar --format=${format} ${xattrs} -C src -cf theirs.tar .`);
    await applyTo(`${dir}/theirs.tar`, `${dir}/out`);
    t.equal(treeDifference(dir, 'src', 'out'), '');
  });
}

void t.test('gzip is unpacked, in several members too', async t => {
  const { dir } = scratch(t, 'oci-tar');
  sh(
    dir,
    'mkdir src; head -c 3000000 /dev/urandom >src/data; tar -C src -cf x.tar .; head -c 1000000 x.tar | gzip >x.tar.gz; tail -c +1000001 x.tar | gzip >>x.tar.gz',
  );
  const result = await applyTo(`${dir}/x.tar.gz`, `${dir}/out`);
  t.same(result, { entries: 2, bytes: 3_000_000, size: 3_000_000, notes: [] });
  sh(dir, 'cmp src/data out/data');
});

void t.test('a sparse file of 10 GiB is written as data, from its header on', async t => {
  const { dir } = scratch(t, 'oci-tar');
  sh(dir, 'mkdir up; truncate -s 10G up/big');
  for await (const piece of layerTar(fromText(`${dir}/up`), { lowers: [] })) {
    t.match(piece.toString('latin1'), /\d+ size=10737418240\n/);
    break;
  }
});

void t.test('zeros become holes again', async t => {
  const { dir } = scratch(t, 'oci-tar');
  sh(
    dir,
    'mkdir up; truncate -s 40M up/sparse; printf x | dd of=up/sparse bs=1 seek=20000000 conv=notrunc status=none; truncate -s 5000 up/zeros',
  );
  await tarTo(`${dir}/l.tar`, `${dir}/up`, []);
  await applyTo(`${dir}/l.tar`, `${dir}/out`);
  sh(dir, 'cmp up/sparse out/sparse; cmp up/zeros out/zeros');
  t.ok(Number(sh(dir, 'stat -c %b out/sparse')) < 4096, 'takes little space');
});

void t.test('a socket is left out with a note', async t => {
  const { dir } = scratch(t, 'oci-tar');
  sh(
    dir,
    'mkdir up; python3 -c "import socket; socket.socket(socket.AF_UNIX).bind(\'up/sock\')"; echo >up/tail',
  );
  t.same(await tarTo(`${dir}/l.tar`, `${dir}/up`, []), [
    'sock: a socket has no place in a layer and was left out',
  ]);
  t.equal(sh(dir, 'tar -tf l.tar'), './\ntail\n');
});

void t.test('a failure leaves nothing open, and ends the stream', async t => {
  const { dir } = scratch(t, 'oci-tar');
  sh(dir, 'mkdir -p up/a/b out; head -c 5000000 /dev/urandom >up/a/b/f; head -c 5000000 /dev/zero >up/g');
  const before = openDescriptors();
  for await (const _piece of layerTar(fromText(`${dir}/up`), { lowers: [] })) break;
  await tarTo(`${dir}/l.tar`, `${dir}/up`, []);
  sh(
    dir,
    'head -c 1000000 l.tar >cut.tar; gzip <cut.tar >cut.gz.tar; head -c 900000 cut.gz.tar >cut.gz2.tar',
  );
  for (const [file, into, says] of [
    ['l', 'nowhere', /nowhere: ENOENT/],
    ['cut', 'out', /cut off inside 'a\/b\/f'/],
    ['cut.gz', 'out', /cut off inside 'a\/b\/f'/],
    ['cut.gz2', 'out', /the gzip data is damaged or cut off/],
  ] as const) {
    const stream = createReadStream(`${dir}/${file}.tar`);
    const error: unknown = await applyLayerTar(stream, fromText(`${dir}/${into}`)).catch(reason => reason);
    t.match(String(error), says);
    t.ok(stream.destroyed, `${file} into ${into}: the stream is ended`);
  }
  t.same(openDescriptors(), before);
});
