// A power cut: the store lies on an ext4 image, and a copy of the image file, taken with nothing synced at the moment when an
// engine is answered, is what the disk would hold. What the engine was told is there.
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { until } from '../support/docker-sound.js';
import { needs } from '../support/needs.js';
import { fill, REALM, Store, sh } from './stage.js';

needs('mount', 'mkfs.ext4');

t.test('what an engine was told survives a power cut', async t => {
  const s = scratch(t, 'powercut');
  await sh(
    s.dir,
    'truncate -s 64M image; mkfs.ext4 -q image; mkdir disk after; mount -o loop,commit=3600 image disk; rmdir disk/lost+found',
  );
  const cut = (name: string): Promise<string> => sh(s.dir, `cp --sparse=always image ${name}`);
  const store = await Store.open(s.path('disk'), { backend: 'union' });
  const layers = store.layers(REALM);
  await layers.prepare({ name: 'a', parent: null, kind: 'active', labels: { k: 'v' } });
  await cut('made');
  await layers.commit('a', 'base');
  await cut('committed');
  // Two at once are told together.
  await Promise.all(['b', 'c'].map(name => layers.prepare({ name, parent: 'base', kind: 'active' })));
  await cut('two');
  await store.volumes.create({ name: 'vol' });
  await cut('volume');
  await fill({ layers } as Parameters<typeof fill>[0], 'd', 'base', 'echo x >f');
  await layers.relabel('d', () => ({ n: 'new' }));
  await cut('relabelled');
  await store.close();
  await sh(s.dir, 'umount disk');

  const look = async (image: string): Promise<string[]> => {
    await sh(s.dir, `mount -o loop ${image} after`);
    const found = await Store.open(s.path('after'), { backend: 'union' });
    const names = found
      .layers(REALM)
      .list()
      .map(({ name, kind, labels }) => `${name} ${kind} ${Object.entries(labels).join()}`.trim());
    names.push(...found.volumes.list().map(({ name }) => `volume ${name}`));
    await found.close();
    await sh(s.dir, 'umount after');
    return names;
  };
  t.same(await look('made'), ['a active k,v']);
  t.same(await look('committed'), ['base committed']);
  const both = ['base committed', 'b active', 'c active'];
  t.same((await look('two')).sort(), both.toSorted());
  t.same((await look('volume')).sort(), [...both, 'volume vol'].sort());
  t.same((await look('relabelled')).sort(), [...both, 'd active n,new', 'volume vol'].sort());
});

t.test('a log that has grown long is copied into the database meanwhile', async t => {
  const s = scratch(t, 'powercut');
  const warnings: string[] = [];
  const store = await Store.open(s.path('root'), { backend: 'union', warn: text => warnings.push(text) });
  const layers = store.layers(REALM);
  await layers.prepare({ name: 'a', parent: null, kind: 'active' });
  // Each is noted, and waits for no disk.
  for (let i = 0; i < 600; i++) {
    await layers.acquire('a');
    await layers.release('a');
  }
  const inDatabase = (): Promise<string> =>
    sh(s.dir, `sqlite3 'file:root/store.db?immutable=1' 'SELECT name FROM layer'`);
  await until('the log has been copied', async () => (await inDatabase()) === 'a\n');
  await store.close();
  t.same(warnings, []);
  t.equal(await sh(s.dir, 'ls root | grep -c wal || true'), '0\n');
});
