// Volumes as NBD exports, beside the files of a mount: two ways to the same bytes.
import t from 'tap';
import { E, isErrno } from '../../src/base/index.js';
import { nbdExports } from '../../src/export/nbd-exports.js';
import { NbdServer } from '../../src/nbd/index.js';
import { needs } from '../support/needs.js';
import { MiB, setStage } from './stage.js';

needs('nbdsh');

t.test('two ways to one volume show the same bytes', async t => {
  const { pool, mount, sh, scratch } = await setStage(t, { v: 4 * MiB, w: MiB });
  await mount();
  const server = new NbdServer(() => nbdExports(pool, ['v', 'w']));
  await server.listen({ path: scratch.path('socket') });
  t.teardown(() => server.close());
  const nbdsh = (script: string): Promise<string> =>
    // Debian's own Python has the module, whichever comes first in PATH.
    sh(
      `/usr/bin/python3 -m nbd -u 'nbd+unix:///?socket=${scratch.path('socket')}' -c - <<'END'\n${script}\nEND`,
    );
  t.equal(await nbdsh('print(h.get_size())'), `${4 * MiB}\n`, 'the first is the default');
  const both = `
f = open('${scratch.path('disks/v')}', 'r+b', buffering=0)
for i in range(64):
    at = i * 65536 + 17
    h.pwrite(b'by nbd %02d' % i, at)
    f.seek(at)
    assert f.read(9) == b'by nbd %02d' % i
    f.seek(at)
    f.write(b'by file %02d' % i)
    assert h.pread(10, at) == b'by file %02d' % i
h.trim(65536, 65536)
f.seek(65536)
assert f.read(65536) == bytes(65536)
print('same')`;
  t.equal(await nbdsh(both), 'same\n');
  t.equal(await sh('head -c 27 $S/disks/v | tail -c 10'), 'by file 00');
});

t.test('a name that is gone is no other volume', async t => {
  const { pool } = await setStage(t, { v: MiB, w: MiB });
  const exports = nbdExports(pool, ['v', 'w']);
  t.same(
    exports.map(({ name }) => name),
    ['v', 'w'],
  );
  t.same(
    nbdExports(pool).map(({ name }) => name),
    ['v', 'w'],
    'all, unless some are named',
  );
  const device = exports[0]!.open();
  t.ok(pool.info('v').active);
  await device.close();
  t.notOk(pool.info('v').active);
  await pool.remove('v');
  try {
    exports[0]!.open();
    t.fail('opened');
  } catch (error) {
    t.ok(isErrno(error, E.ENOENT));
  }
  const other = exports[1]!.open();
  t.equal(other.size, MiB);
  await other.close();
});
