// Every operation once from the kernel's side to a real directory and back, through FUSE bytes without a mount.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DT, E, S } from '../../src/base/index.js';
import { layout, protocol } from '../../src/fuse/index.js';
import { FALLOC, O, RENAME, SEEK, XATTR } from '../../src/sys/index.js';
import { Body } from '../support/fuse-wire.js';
import { Mirror } from '../support/mirror.js';
import { fails, fixture } from './fixture.js';

const { OP } = protocol;

for (const async of [false, true]) {
  const how = async ? 'later' : 'at once';

  t.test(`files, answered ${how}`, async t => {
    const { client, dir } = await fixture(t, { async });
    const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251));
    await client.writeFile('/f', content, 0o640);
    t.ok(readFileSync(join(dir, 'f')).equals(content));
    t.ok((await client.readFile('/f')).equals(content));
    const file = await client.open('/f', O.RDWR);
    t.equal((await file.read(299_998, 10)).length, 2, 'a short read at the end');
    t.equal((await file.read(400_000, 10)).length, 0);
    await file.fsync();
    await file.fsync(true);
    await file.setattr({ size: 10 });
    t.equal((await file.stat()).size, 10);
    await file.fallocate(0, 0, 1 << 20);
    t.equal(statSync(join(dir, 'f')).size, 1 << 20);
    await file.write(1 << 19, Buffer.alloc(4096, 'x'));
    await file.fallocate(FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE, 0, 1 << 19);
    t.equal(await file.seek(0, SEEK.DATA), 1 << 19);
    t.equal(await file.seek(0, SEEK.HOLE), 0);
    await fails(t, file.seek(1 << 21, SEEK.DATA), E.ENXIO);
    const copy = await client.create('/g', O.RDWR | O.CREAT);
    await file.write(0, Buffer.from('0123456789'));
    t.equal(await file.copyTo(2, copy, 1, 5), 5);
    t.equal((await copy.read(0, 100)).toString('latin1'), '\x0023456');
    await client.unlink('/f');
    t.equal((await file.read(0, 3)).toString(), '012', 'an unlinked file that is open');
    await file.close();
    await copy.close();
  });

  t.test(`a directory of any size, answered ${how}`, async t => {
    const { client, dir } = await fixture(t, { async });
    const names = Array.from({ length: 500 }, (_, i) => `${'n'.repeat(i % 200)}${i}`);
    for (const name of names) writeFileSync(join(dir, name), '');
    for (const plus of [false, true]) {
      const entries = await client.readdir('/', { plus, size: 4096 });
      t.same(entries.map(entry => entry.name).sort(), ['.', '..', ...names].sort());
      for (const { name, ino, type, entry } of entries) {
        if (name === '.' || name === '..') continue;
        if (type !== DT.REG || (entry !== undefined && entry.attr.ino !== ino))
          t.fail(`${name}: ${type} ${ino}`);
      }
    }
  });
}

t.test('names', async t => {
  const { client, dir } = await fixture(t);
  await client.mkdir('/d', 0o750);
  t.equal(statSync(join(dir, 'd')).mode, S.IFDIR | 0o750);
  await client.symlink('d/../\xff', '/l');
  t.equal(await client.readlink('/l'), 'd/../\xff');
  await client.mknod('/c', S.IFCHR | 0o600, 5, 300);
  t.match(await client.stat('/c'), { mode: S.IFCHR | 0o600, rdevMajor: 5, rdevMinor: 300 });
  await client.mknod('/p', S.IFIFO | 0o600);
  await client.writeFile('/d/\xe4\xff', 'bytes');
  t.same(readdirSync(join(dir, 'd'), 'latin1'), ['\xe4\xff'], 'names are bytes');
  t.equal((await client.link('/d/\xe4\xff', '/h')).nlink, 2);
  await client.rename('/h', '/d/h');
  await fails(t, client.rename('/d/h', '/c', RENAME.NOREPLACE), E.EEXIST);
  await client.rename('/d/h', '/c', RENAME.EXCHANGE);
  t.equal((await client.readFile('/c')).toString(), 'bytes');
  const rename = new Body(2).set64(0, 1).text('c').text('e').done();
  await client.wire.call(OP.RENAME, 1, rename);
  t.same(await client.names('/'), ['d', 'e', 'l', 'p']);
  await fails(t, client.rmdir('/d'), E.ENOTEMPTY);
  await fails(t, client.unlink('/gone'), E.ENOENT);
  await client.unlink('/d/h');
  await client.unlink('/d/\xe4\xff');
  await client.rmdir('/d');
  t.equal(await client.exists('/d'), false);
});

t.test('an unnamed file gets a name', async t => {
  const { client, dir } = await fixture(t);
  const file = await client.tmpfile('/', O.RDWR | O.TMPFILE);
  await file.write(0, Buffer.from('abc'));
  t.same(readdirSync(dir), []);
  t.equal((await file.stat()).nlink, 0);
  await file.close();
});

t.test('attributes', async t => {
  const { client } = await fixture(t);
  await client.writeFile('/f', 'abc');
  t.equal((await client.setattr('/f', { mode: 0o4755 })).mode, S.IFREG | 0o4755);
  t.match(await client.setattr('/f', { uid: 5, gid: 6 }), { uid: 5, gid: 6 });
  const times = { atime: { sec: -7, nsec: 1 }, mtime: { sec: 2 ** 33, nsec: 999_999_999 } };
  t.match(await client.setattr('/f', times), {
    atime: -7,
    atimeNsec: 1,
    mtime: 2 ** 33,
    mtimeNsec: 999_999_999,
  });
  t.ok(Math.abs((await client.setattr('/f', { mtime: 'now' })).mtime - Date.now() / 1000) < 60);
  t.equal((await client.setattr('/f', { size: 2 ** 40 + 1 })).size, 2 ** 40 + 1);
  const { nodeid } = await client.walk('/f');
  const statx = await client.wire.call(OP.STATX, nodeid, new Body(6).done());
  t.ok(statx.readUInt32LE(layout.STATX_OUT.btime * 4) > 1_700_000_000, 'birth time');
  const numbers = await client.statfs();
  t.ok(numbers.blocks > 0 && numbers.namelen === 255 && numbers.bsize > 0);
  await client.wire.call(OP.SYNCFS, 1, new Body(2).done());
  await fails(
    t,
    client.wire.call(OP.ACCESS, 1, new Body(2).set(0, 7).done()),
    E.ENOSYS,
    'no access(): all is allowed',
  );
});

t.test('access is asked where the file system has it', async t => {
  const asked: number[][] = [];
  class Strict extends Mirror {
    access(caller: { uid: number; gid: number; pid: number }, _: unknown, mask: number): void {
      asked.push([caller.uid, caller.gid, mask]);
    }
  }
  const { client } = await fixture(t, {}, {}, dir => new Strict(dir));
  await client.as(7, 8).wire.call(OP.ACCESS, 1, new Body(2).set(0, 4).done());
  t.same(asked, [[7, 8, 4]]);
});

t.test('extended attributes', async t => {
  const { client } = await fixture(t);
  await client.writeFile('/f', '');
  const value = '\0\xff\x01binary';
  await client.setxattr('/f', 'user.a', value);
  await client.setxattr('/f', 'user.empty', '');
  t.equal((await client.getxattr('/f', 'user.a')).toString('latin1'), value);
  t.equal((await client.getxattr('/f', 'user.empty')).length, 0);
  t.same((await client.listxattr('/f')).sort(), ['user.a', 'user.empty']);
  await fails(t, client.setxattr('/f', 'user.a', 'x', XATTR.CREATE), E.EEXIST);
  await fails(t, client.setxattr('/f', 'user.b', 'x', XATTR.REPLACE), E.ENODATA);
  await fails(t, client.getxattr('/f', 'user.b'), E.ENODATA);
  const { nodeid } = await client.walk('/f');
  const small = new Body(2).set(0, 3).text('user.a').done();
  await fails(t, client.wire.call(OP.GETXATTR, nodeid, small), E.ERANGE);
  await client.removexattr('/f', 'user.a');
  t.same(await client.listxattr('/f'), ['user.empty']);
});

t.test('a kernel without SETXATTR_EXT sends the short struct', async t => {
  const { client } = await fixture(t);
  await client.writeFile('/f', '');
  const { nodeid } = await client.walk('/f');
  const { context } = client.wire.session;
  context.agree({ ...context.terms, minor: 31, setxattrExt: false });
  const body = new Body(layout.SETXATTR_IN_SHORT_WORDS).set(0, 3).text('user.a').bytes(Buffer.from('abc'));
  await client.wire.call(OP.SETXATTR, nodeid, body.done());
  t.equal((await client.getxattr('/f', 'user.a')).toString(), 'abc');
});

t.test('file flags, in both spellings', async t => {
  const { client, dir } = await fixture(t);
  await client.writeFile('/f', '');
  const { nodeid } = await client.walk('/f');
  const ioctl = (cmd: number, outSize: number, input: Buffer = Buffer.alloc(0)): Promise<Buffer> =>
    client.wire.call(
      OP.IOCTL,
      nodeid,
      new Body(8).set(3, cmd).set(6, input.length).set(7, outSize).bytes(input).done(),
    );
  const word = (value: number, size: number): Buffer => {
    const bytes = Buffer.alloc(size);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const NODUMP = 0x40;
  const NOATIME = 0x80;
  const before = (await ioctl(0x80086601, 4)).readUInt32LE(16);
  await ioctl(0x40086602, 0, word(before | NODUMP, 4));
  t.equal((await ioctl(0x80046601, 4)).readUInt32LE(16), before | NODUMP);
  t.match(execFileSync('lsattr', [join(dir, 'f')], { encoding: 'latin1' }), /^[^ ]*d[^ ]* /);
  const xflags = await ioctl(0x801c581f, 28);
  t.equal(xflags.length, 16 + 28);
  t.equal(xflags.readUInt32LE(16), 0x80);
  await ioctl(0x401c5820, 0, word(0x40, 28));
  t.equal(
    (await ioctl(0x80086601, 4)).readUInt32LE(16),
    before | NOATIME,
    'flags that fsxattr does not know stay',
  );
  await fails(t, ioctl(0x5401, 4), E.ENOTTY);
});
