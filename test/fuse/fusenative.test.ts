// The fuse-native transport: a real mount by libfuse 2 that offers what it can, and what it cannot.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { E } from '../../src/base/index.js';
import { FUSE_NATIVE_LIMITS, serveFuseNative, unmount } from '../../src/fuse/index.js';
import { listMounts } from '../../src/sys/index.js';
import { scratch } from '../support/cleanup.js';
import { Mirror } from '../support/mirror.js';
import { fails, shell } from './fixture.js';

t.test('programs work on it, and it ends when it is unmounted', async t => {
  const place = scratch(t, 'fuse-native');
  const dir = place.mkdir('dir');
  const mnt = place.mkdir('mnt');
  const fs = new Mirror(dir);
  const errors: unknown[] = [];
  let ended: Promise<void> = Promise.resolve();
  await new Promise<void>((resolve, reject) => {
    const options = {
      mountpoint: mnt,
      fsname: 'a, b',
      subtype: 'lamina',
      onReady: resolve,
      onError: (error: unknown) => errors.push(error),
    };
    ended = serveFuseNative(fs, {
      ...options,
      allowOther: true,
      defaultPermissions: true,
      flags: ['noatime'],
    });
    ended.catch(reject);
  });
  const sh = (command: string): Promise<string> => shell(command, mnt);
  const mount = listMounts().find(one => one.mountpoint === mnt)!;
  t.match(mount, { type: 'fuse.lamina', source: 'a, b' });
  await sh(
    'mkdir -p a/b; printf content > a/b/f; cp a/b/f copy; mv copy a/copy; ln a/copy hard; ln -s hard link; mkfifo pipe; mknod dev c 5 300',
  );
  t.equal(await sh('cat link; ls a; readlink link'), 'contentb\ncopy\nhard\n');
  t.equal(await sh("stat -c '%F %t:%T %h' dev hard"), 'character special file 5:12c 1\nregular file 0:0 2\n');
  const big = Buffer.from(Array.from({ length: 1_000_003 }, (_, i) => (i * 7919) % 253));
  writeFileSync(join(dir, 'big'), big);
  await sh(
    'cp big big2; cmp big big2; truncate -s 1000 big2; chmod 751 big2; chown 3:4 big2; touch -d @1234567890 big2',
  );
  t.ok(readFileSync(join(dir, 'big2')).equals(big.subarray(0, 1000)));
  t.equal(await sh("stat -c '%a %u %g %Y %s' big2"), '751 3 4 1234567890 1000\n');
  await sh('touch x; setfattr -n user.k -v 0x00ff x; setfattr -n user.l -v y x; setfattr -x user.l x');
  t.match(await sh('getfattr -d -e hex x'), /user\.k=0x00ff/);
  await sh('exec 3<> open; rm open; echo still >&3; df .; sync -f .; sync x');
  await t.rejects(sh('cat absent'), /No such file/);
  await t.rejects(sh('rmdir a'), /not empty/);
  // What LIMITS says: the flags of renameat2 and fallocate are refused, not ignored.
  t.match(await sh('fallocate -l 1000 x 2>&1 || true'), /not supported/);
  t.match(Object.keys(FUSE_NATIVE_LIMITS), ['caller', 'rename2', 'tmpfile', 'fallocate']);
  await sh('rm -r a big* hard link pipe dev x');
  await unmount(mnt);
  await ended;
  t.same(readdirSync(dir), []);
  t.same(errors, []);
  t.ok(fs.destroyed);
  t.equal(fs.handles.size, 0);
});

t.test('what cannot be mounted', async t => {
  const fs = new Mirror('/');
  await t.rejects(serveFuseNative(fs, { mountpoint: '/nowhere/at/all', fsname: 'x', subtype: 'lamina' }), {
    code: 'ENOENT',
  });
  await fails(t, unmount('/nowhere/at/all'), E.ENOENT);
});
