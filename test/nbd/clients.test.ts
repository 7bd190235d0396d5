// The clients that people use, against a Buffer whose content the test knows: nbdinfo, nbdcopy, qemu's tools, fio, and
// libnbd from Python.
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { type BufferDevice, bufferDevice } from '../support/block-devices.js';
import { scratch } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { serve } from './fixture.js';

needs('nbdinfo', 'nbdcopy', 'nbdsh', 'qemu-img', 'qemu-io', 'fio');

const BLOCK = 65_536;
const SIZE = 128 * BLOCK;

/** What a program prints; throws with its complaint when it fails. */
async function run(command: string, ...words: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, words, {
    timeout: 60_000,
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}

/** Data in blocks 0 to 3, 10 and the last one; the rest are holes. */
function patched(): BufferDevice {
  const disk = bufferDevice(SIZE);
  for (const block of [0, 1, 2, 3, 10, 127]) {
    disk.write(block * BLOCK, Buffer.alloc(BLOCK, `block ${block}.`));
  }
  return disk;
}

interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly type: number;
}

t.test('nbdinfo', async t => {
  const served = await serve(t, { disk: patched(), frozen: bufferDevice(4096, { readOnly: true }) });
  const info = JSON.parse(await run('nbdinfo', '--json', served.uri())) as Record<string, unknown>;
  t.match(info, { protocol: 'newstyle-fixed', structured: true });
  t.match((info.exports as unknown[])[0], {
    'export-name': 'disk',
    description: 'the disk',
    contexts: ['base:allocation'],
    is_read_only: false,
    can_cache: true,
    can_df: true,
    can_fast_zero: true,
    can_flush: true,
    can_fua: true,
    can_multi_conn: true,
    can_trim: true,
    can_zero: true,
    block_size_minimum: 1,
    block_size_maximum: 33_554_432,
    'export-size': SIZE,
  });
  const list = JSON.parse(await run('nbdinfo', '--list', '--json', served.uri())) as typeof info;
  t.match(list.exports, [
    { 'export-name': 'disk', 'export-size': SIZE },
    { 'export-name': 'frozen', 'export-size': 4096, is_read_only: true, can_trim: false, can_zero: false },
  ]);
  t.equal(await run('nbdinfo', '--size', served.uri('frozen')), '4096\n');
  await t.rejects(run('nbdinfo', served.uri('none')), /No such file or directory for export: none/);
});

t.test('nbdinfo --map', async t => {
  const served = await serve(t, { disk: patched() });
  const map = JSON.parse(await run('nbdinfo', '--map', '--json', served.uri())) as Extent[];
  t.same(
    map.map(({ offset, length, type }) => [offset / BLOCK, length / BLOCK, type]),
    [
      [0, 4, 0],
      [4, 6, 3],
      [10, 1, 0],
      [11, 116, 3],
      [127, 1, 0],
    ],
  );
});

t.test('nbdcopy, both ways', async t => {
  const disk = patched();
  const target = bufferDevice(SIZE);
  target.write(50 * BLOCK, Buffer.alloc(BLOCK, 'old'));
  const served = await serve(t, { disk, target });
  const file = join(scratch(t, 'nbd-copy').dir, 'copy');
  await run('nbdcopy', served.uri('disk'), file);
  t.ok(readFileSync(file).equals(disk.content));
  await run('nbdcopy', '--flush', '--connections=4', file, served.uri('target'));
  t.ok(target.content.equals(disk.content));
  t.same(target.allocated, disk.allocated, 'holes stay holes');
  t.ok(target.flushes > 0);
  await run('nbdcopy', '--allocated', file, served.uri('target'));
  t.ok(target.content.equals(disk.content));
  t.ok(
    target.allocated.every(each => each === 1),
    'and are written on request',
  );
});

t.test('qemu-img: info, map, convert, compare, bench', async t => {
  const disk = patched();
  const target = bufferDevice(SIZE);
  const served = await serve(t, { disk, target });
  const file = join(scratch(t, 'nbd-qemu').dir, 'image');
  const raw = ['-f', 'raw', '-O', 'raw'];
  const info = JSON.parse(await run('qemu-img', 'info', '--output=json', served.uri('disk'))) as object;
  t.match(info, { 'virtual-size': SIZE, format: 'raw' });
  const map = JSON.parse(await run('qemu-img', 'map', '--output=json', served.uri('disk'))) as object[];
  t.match(map[0], { start: 0, length: 4 * BLOCK, data: true, zero: false });
  t.match(map[1], { start: 4 * BLOCK, length: 6 * BLOCK, data: false, zero: true });
  await run('qemu-img', 'convert', ...raw, served.uri('disk'), file);
  t.ok(readFileSync(file).equals(disk.content));
  await run('qemu-img', 'convert', '-n', ...raw, file, served.uri('target'));
  t.match(
    await run('qemu-img', 'compare', served.uri('disk'), served.uri('target')),
    'Images are identical.',
  );
  t.same(target.allocated, disk.allocated, 'holes stay holes');
  await run(
    'qemu-img',
    'bench',
    '-f',
    'raw',
    '-c',
    '1000',
    '-d',
    '16',
    '-s',
    '4096',
    '-w',
    served.uri('target'),
  );
  await t.rejects(run('qemu-img', 'compare', served.uri('disk'), served.uri('target')), 'it wrote');
});

t.test('qemu-io', async t => {
  const disk = bufferDevice(SIZE);
  const served = await serve(t, { disk });
  const io = (...commands: string[]): Promise<string> =>
    run('qemu-io', '-f', 'raw', ...commands.flatMap(each => ['-c', each]), served.uri());
  await io('write -P 5 0 256k', 'write -z 64k 64k', 'discard 192k 64k', 'flush');
  t.same([...disk.allocated.subarray(0, 5)], [1, 1, 1, 0, 0]);
  await io('read -P 5 0 64k', 'read -P 0 64k 64k', 'read -P 5 128k 64k');
  await io('write -zu 0 128k');
  t.same([...disk.allocated.subarray(0, 3)], [0, 0, 1]);
  await t.rejects(io('read -P 6 128k 64k'), 'a wrong pattern fails');
  t.ok(disk.flushes > 0);
});

t.test('fio checks what it reads', async t => {
  const disk = bufferDevice(SIZE);
  const served = await serve(t, { disk });
  const { dir } = scratch(t, 'nbd-fio');
  const job = ['--name=j', '--ioengine=nbd', `--uri=${served.uri()}`, `--size=${SIZE}`, `--aux-path=${dir}`];
  const verify = ['--verify=crc32c', '--end_fsync=1', '--iodepth=16'];
  await run('fio', ...job, ...verify, '--rw=randrw', '--bs=4k', '--io_size=4M');
  await run('fio', ...job, ...verify, '--rw=randwrite', '--bsrange=512-200k', '--io_size=16M');
  await run('fio', ...job, ...verify, '--rw=write', '--bs=1M');
  t.ok(
    disk.allocated.every(each => each === 1),
    'all of it was written',
  );
  await run('fio', ...job, '--rw=randtrim', '--bs=64k', '--iodepth=4');
  t.ok(
    disk.allocated.every(each => each === 0),
    'and trimmed',
  );
});

/** Two connections: what one has written and flushed the other reads; structured replies with DF and without. */
const PYTHON = `
import nbd
a, b = nbd.NBD(), nbd.NBD()
for h in (a, b):
    h.add_meta_context("base:allocation")
    h.connect_uri(uri)
assert a.can_multi_conn() and a.get_structured_replies_negotiated()
a.pwrite(b"x" * 65536, 65536)
assert b.pread(65536, 65536) == b"x" * 65536
a.flush()
b.pwrite(b"y" * 100, 5, nbd.CMD_FLAG_FUA)
assert a.pread(105, 0) == bytes(5) + b"y" * 100
chunks = []
def chunk(buf, offset, status, err):
    chunks.append((offset, len(buf), status))
b.pread_structured(4 * 65536, 0, chunk)
assert chunks == [(0, 131072, nbd.READ_DATA), (131072, 131072, nbd.READ_HOLE)], chunks
chunks.clear()
b.pread_structured(4 * 65536, 0, chunk, nbd.CMD_FLAG_DF)
assert chunks == [(0, 262144, nbd.READ_DATA)], chunks
extents = []
def extent(context, offset, entries, err):
    extents.append((context, offset, entries))
b.block_status(4 * 65536, 0, extent)
assert extents == [("base:allocation", 0, [131072, 0, 131072, 3])], extents
a.cache(65536, 0)
a.zero(65536, 65536, nbd.CMD_FLAG_FAST_ZERO)
a.trim(65536, 0)
assert b.pread(131072, 0) == bytes(131072)
try:
    a.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO)
    assert False
except nbd.Error as e:
    assert e.errno == "ENOTSUP", e.errno
try:
    a.set_strict_mode(0)
    a.pread(4096, a.get_size())
    assert False
except nbd.Error as e:
    assert e.errno == "EINVAL", e.errno
buffer = nbd.Buffer.from_bytearray(bytearray(b"z" * 4096))
cookies = [a.aio_pwrite(buffer, i * 4096) for i in range(64)]
while a.aio_in_flight() > 0:
    a.poll(-1)
assert all(a.aio_command_completed(c) for c in cookies)
assert b.pread(64 * 4096, 0) == b"z" * (64 * 4096)
a.shutdown()
b.shutdown()
`;

t.test('libnbd: two connections, structured replies', async t => {
  const disk = bufferDevice(SIZE);
  const served = await serve(t, { disk });
  const script = join(scratch(t, 'nbd-python').dir, 'test.py');
  writeFileSync(script, `uri = ${JSON.stringify(served.uri())}\n${PYTHON}`);
  // Debian's module belongs to Debian's Python.
  await run('/usr/bin/python3', script);
  t.ok(disk.flushes >= 2);
});

t.test('over TCP', async t => {
  const disk = patched();
  const served = await serve(t, { disk });
  await served.server.listen({ port: 0 });
  const uri = `nbd://127.0.0.1:${served.server.port}/disk`;
  const file = join(scratch(t, 'nbd-tcp').dir, 'copy');
  await run('nbdcopy', uri, file);
  t.ok(readFileSync(file).equals(disk.content));
  t.equal(await run('nbdinfo', '--size', uri), `${SIZE}\n`);
});
