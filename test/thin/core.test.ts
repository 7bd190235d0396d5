// The thin store's thread from end to end: a pool on a real directory, written, snapshotted, removed and opened again.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Pool } from '../../src/thin/index.js';

const KIB = 1024;

function directory(test: { teardown(body: () => void): unknown }): string {
  const dir = mkdtempSync(join(tmpdir(), 'lamina-core-'));
  test.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, 'pool');
}

async function readAll(pool: Pool, name: string, offset: number, length: number): Promise<Buffer> {
  const volume = pool.volume(name);
  const buffer = Buffer.alloc(length, 0xee);
  await volume.read(offset, length, buffer, 0);
  await volume.close();
  return buffer;
}

t.test('what is written is read, by whoever had it at the time', async t => {
  const dir = directory(t);
  await Pool.create(dir, { size: 64 * 1024 * KIB });
  let pool = await Pool.open(dir);
  await pool.createVolume({ name: 'a', size: 1024 ** 4 });
  const a = pool.volume('a');
  const data = Buffer.alloc(200 * KIB, 'first');
  await a.write(1000, data);
  t.same(await readAll(pool, 'a', 1000, data.length), data);
  t.equal(
    (await readAll(pool, 'a', 0, 1000)).every(byte => byte === 0),
    true,
  );
  await pool.snapshot([{ origin: 'a', name: 's' }]);
  await a.write(1000, Buffer.alloc(10, 'x'));
  t.equal(
    (await readAll(pool, 'a', 1000, 12)).toString(),
    'xxxxxxxxxxfi'.slice(0, 10) + data.toString('latin1', 10, 12),
  );
  t.same(await readAll(pool, 's', 1000, data.length), data);
  t.equal(pool.status().usedBlocks, 5);
  await a.close();
  await pool.close();

  pool = await Pool.open(dir);
  t.same(await readAll(pool, 's', 1000, data.length), data);
  t.same(await pool.usage('s'), { mapped: 4, exclusive: 1, shared: 3, highest: 3 });
  await pool.remove('a');
  await pool.reclaimed();
  t.equal(pool.status().usedBlocks, 4);
  await pool.remove('s');
  await pool.reclaimed();
  t.equal(pool.status().usedBlocks, 0);
  t.equal(pool.status().reclaiming, 0);
  await pool.close();
  t.equal(statSync(join(dir, 'data')).blocks, 0, 'all space is given back');
});
