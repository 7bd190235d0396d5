// What is full: the pool, the file system under its data, the disk of its database. Reads and overwrites of own blocks go
// on, deleting works, room heals, and nothing is damaged.
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { E, SysError } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import type { CreateOptions } from '../../src/thin/create.js';
import { Pool } from '../../src/thin/pool.js';
import type { Volume } from '../../src/thin/volume.js';
import { type Scratch, scratch } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { contentOf, difference, outcomeOf, pattern } from '../support/thin-pool.js';

needs('mount', 'mkfs.ext4');

const BLOCK = 64 * 1024;
const MIB = 2 ** 20;

interface Stage {
  readonly dir: string;
  readonly pool: Pool;
  readonly a: Volume;
}

/** A pool of 16 blocks, or as the options say, with volumes a and b of 4096 blocks; a is open. */
async function stage(t: Test, dir: string, options: Partial<CreateOptions>): Promise<Stage> {
  await Pool.create(dir, { size: 16 * BLOCK, onFull: 'error', ...options });
  const pool = await Pool.open(dir);
  t.teardown(() => pool.close());
  await pool.createVolume({ name: 'a', size: 4096 * BLOCK });
  await pool.createVolume({ name: 'b', size: 4096 * BLOCK });
  return { dir, pool, a: pool.volume('a') };
}

/** Writes whole blocks from `first` until one cannot be had; how many there were. */
async function fill(t: Test, volume: Volume, first = 0): Promise<number> {
  for (let block = first; ; block++) {
    const outcome = await outcomeOf(() => volume.write(block * BLOCK, pattern(BLOCK, block)));
    if (outcome === 'done') continue;
    t.equal(outcome, 'ENOSPC');
    return block - first;
  }
}

async function holds(t: Test, volume: Volume, block: number, seed = block): Promise<void> {
  const found = await contentOf(volume, block * BLOCK, BLOCK);
  t.equal(difference(found, pattern(BLOCK, seed)), null, `block ${block}`);
}

async function clean(t: Test, dir: string, when: string): Promise<void> {
  t.same((await checkPool(dir)).findings, [], `clean ${when}`);
}

async function removed(pool: Pool, name: string): Promise<void> {
  await pool.remove(name);
  await pool.reclaimed();
}

t.test('a full pool that gives errors', async t => {
  const { dir, pool, a } = await stage(t, scratch(t, 'full').path('pool'), {});
  const b = pool.volume('b');
  await b.write(0, pattern(2 * BLOCK, 77));
  await b.close();
  t.equal(await fill(t, a), 14);
  t.equal(pool.status().mode, 'out_of_data_space');
  await holds(t, a, 13);
  t.equal(difference(await contentOf(a, 14 * BLOCK, BLOCK), Buffer.alloc(BLOCK)), null, 'what did not fit');
  await a.write(3 * BLOCK, pattern(BLOCK, 300));
  await a.flush();
  await holds(t, a, 3, 300);
  await clean(t, dir, 'when it is full');

  await pool.snapshot([{ origin: 'a', name: 's' }]);
  t.equal(await outcomeOf(() => a.write(0, Buffer.alloc(512, 1))), 'ENOSPC', 'a shared block needs another');
  await holds(t, a, 0);
  await removed(pool, 's');
  await a.write(0, pattern(BLOCK, 301));
  await a.discard(5 * BLOCK, BLOCK);
  await a.flush();
  t.equal(await outcomeOf(() => a.write(20 * BLOCK, pattern(BLOCK, 20))), 'done', 'a discard makes room');
  await removed(pool, 'b');
  t.equal(await fill(t, a, 30), 2, 'removing makes room');
  await pool.grow(20 * BLOCK);
  t.equal(await fill(t, a, 40), 4, 'growing makes room');
  await a.flush();
  for (const [block, seed] of [
    [0, 301],
    [3, 300],
    [13, 13],
    [20, 20],
    [31, 31],
    [43, 43],
  ] as const) {
    await holds(t, a, block, seed);
  }
  await clean(t, dir, 'at the end');
});

t.test('a removed volume makes room without anybody waiting for it', async t => {
  const { dir, pool, a } = await stage(t, scratch(t, 'full').path('pool'), {});
  const b = pool.volume('b');
  await fill(t, b);
  await b.close();
  await pool.remove('b');
  t.equal(await fill(t, a), 16, 'its space is used while it is reclaimed');
  await a.flush();
  await clean(t, dir, 'after that');
});

/** How a queued write is healed. */
const HEALING: readonly (readonly [string, (stage: Stage) => Promise<void>])[] = [
  ['growing', ({ pool }) => pool.grow(24 * BLOCK)],
  ['removing a volume', ({ pool }) => removed(pool, 'b')],
  [
    'a discard',
    async ({ a }) => {
      await a.discard(2 * BLOCK, 3 * BLOCK);
      await a.flush();
    },
  ],
];

t.test('a full pool that lets writes wait', async t => {
  for (const [name, heal] of HEALING) {
    await t.test(name, async t => {
      const options = { onFull: 'queue', noSpaceTimeout: 0 } as const;
      const all = await stage(t, scratch(t, 'full').path('pool'), options);
      const { dir, pool, a } = all;
      const b = pool.volume('b');
      await b.write(0, pattern(3 * BLOCK, 9));
      await b.close();
      for (let block = 0; block < 13; block++) await a.write(block * BLOCK, pattern(BLOCK, block));
      const full = new Promise(resolve => pool.once('mode', resolve));
      let done = 0;
      const waiting = [100, 101, 102].map(async block => {
        await a.write(block * BLOCK, pattern(BLOCK, block));
        done++;
      });
      t.equal(await full, 'out_of_data_space');
      await holds(t, a, 1);
      await a.write(BLOCK, pattern(BLOCK, 200));
      await a.flush();
      t.equal(done, 0, 'they wait');
      await clean(t, dir, 'while they wait');
      await heal(all);
      await Promise.all(waiting);
      t.equal(pool.status().mode, 'rw');
      await a.flush();
      for (const [block, seed] of [
        [1, 200],
        [12, 12],
        [100, 100],
        [101, 101],
        [102, 102],
      ] as const) {
        await holds(t, a, block, seed);
      }
      await clean(t, dir, 'at the end');
    });
  }
});

t.test('waiting ends', async t => {
  const options = { onFull: 'queue', noSpaceTimeout: 300 } as const;
  const { dir, pool, a } = await stage(t, scratch(t, 'full').path('pool'), options);
  const begun = performance.now();
  t.equal(await fill(t, a), 16);
  t.ok(performance.now() - begun >= 290, 'with the time-out');
  const again = performance.now();
  t.equal(await outcomeOf(() => a.write(50 * BLOCK, Buffer.alloc(BLOCK, 1))), 'ENOSPC');
  t.ok(performance.now() - again < 200, 'and is over then');
  await pool.grow(17 * BLOCK);
  t.equal(await outcomeOf(() => a.write(50 * BLOCK, Buffer.alloc(BLOCK, 1))), 'done');
  await a.flush();
  await clean(t, dir, 'at the end');
});

t.test('the limit of the metadata is reached', async t => {
  const options = { size: 64 * MIB, metadataLimit: 2 * MIB };
  const { dir, pool, a } = await stage(t, scratch(t, 'full').path('pool'), options);
  await pool.createVolume({ name: 'c', size: 2 ** 40 });
  const c = pool.volume('c');
  await a.write(0, pattern(2 * BLOCK, 0));
  await a.flush();
  let pages = 0;
  // A page of the map for each.
  while ((await outcomeOf(() => c.write(pages * 512 * BLOCK, Buffer.alloc(512, 1)))) === 'done') {
    if (++pages % 32 === 0 && (await outcomeOf(() => c.flush())) !== 'done') break;
  }
  t.ok(pages > 200 && pages < 512, `${pages} pages fit`);
  t.equal(await outcomeOf(() => c.flush()), 'ENOSPC');
  t.equal(pool.status().mode, 'out_of_metadata_space');
  await a.write(0, pattern(BLOCK, 600));
  await holds(t, a, 0, 600);
  t.equal(await outcomeOf(() => a.write(9 * BLOCK, pattern(BLOCK, 9))), 'ENOSPC', 'nothing new');
  await clean(t, dir, 'at the limit');
  await pool.configure({ metadataLimit: 4 * MIB });
  await c.flush();
  t.equal(pool.status().mode, 'rw', 'a higher limit heals');
  await a.write(9 * BLOCK, pattern(BLOCK, 9));
  await a.flush();
  await c.close();
  await removed(pool, 'c');
  await holds(t, a, 0, 600);
  await holds(t, a, 9);
  await clean(t, dir, 'at the end');
});

/** Small file systems: [name, how one of so many MiB is mounted on a directory of the scratch place]. */
const FILE_SYSTEMS: readonly (readonly [string, (place: Scratch, on: string, mib: number) => void])[] = [
  ['tmpfs', (_, on, mib) => sh(`mount -t tmpfs -o size=${mib}M tmpfs ${on}`)],
  [
    'ext4',
    (place, on, mib) => {
      const image = place.path('image');
      sh(`truncate -s ${mib}M ${image}; mkfs.ext4 -q -m 0 ${image}; mount -o loop ${image} ${on}`);
    },
  ],
];

function sh(script: string): void {
  execFileSync('bash', ['-ec', script], { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Takes all bytes of a file system. */
function ballast(path: string): void {
  try {
    for (let length = MIB; length >= 512; length /= 2) {
      for (;;) if (!appended(path, length)) break;
    }
  } finally {
    sh(`sync -f ${path}`);
  }
}

function appended(path: string, length: number): boolean {
  try {
    writeFileSync(path, Buffer.alloc(length, 1), { flag: 'a' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') return false;
    throw error;
  }
}

for (const [name, mounted] of FILE_SYSTEMS) {
  t.test(`the file system under the data is full: ${name}`, async t => {
    const place = scratch(t, 'full');
    const disk = place.mkdir('disk');
    mounted(place, disk, 16);
    const { dir, pool, a } = await stage(t, place.path('pool'), { size: 64 * MIB, data: `${disk}/data` });
    const b = pool.volume('b');
    await b.write(0, pattern(10 * BLOCK, 9));
    await b.close();
    const fitted = await fill(t, a);
    t.ok(fitted > 50 && fitted < 256, `${fitted} blocks fit`);
    await holds(t, a, fitted - 1);
    await a.write(4 * BLOCK, pattern(BLOCK, 400));
    await a.flush();
    await clean(t, dir, 'when it is full');
    await removed(pool, 'b');
    const more = await fill(t, a, 1000);
    t.ok(more >= 9, `removing makes room for ${more}`);
    await a.flush();
    await clean(t, dir, 'after that');

    await pool.configure({ onFull: 'queue', noSpaceTimeout: 0 });
    const waiting = a.write(2000 * BLOCK, pattern(BLOCK, 2000));
    await a.discard(0, 3 * BLOCK);
    await a.flush();
    await waiting;
    await a.flush();
    for (const [block, seed] of [
      [4, 400],
      [fitted - 1, fitted - 1],
      [1000, 1000],
      [2000, 2000],
    ] as const) {
      await holds(t, a, block, seed);
    }
    await clean(t, dir, 'at the end');
  });

  t.test(`the disk of the database is full: ${name}`, async t => {
    const place = scratch(t, 'full');
    const disk = place.mkdir('disk');
    mounted(place, disk, 64);
    const dir = `${disk}/pool`;
    const { pool, a } = await stage(t, dir, { size: 256 * MIB, data: place.path('data') });
    await pool.createVolume({ name: 'c', size: 2 ** 40 });
    const c = pool.volume('c');
    // Far apart: a page of the map for each.
    for (let i = 0; i < 300; i++) await c.write(i * 512 * BLOCK, Buffer.alloc(512, i));
    await a.write(0, pattern(8 * BLOCK, 0));
    await a.write(0, pattern(BLOCK, 500));
    await a.flush();
    await c.close();
    ballast(`${disk}/ballast`);

    // What is mapped while commits fail may be lost, but must say so.
    let error: unknown;
    for (let i = 0; i < 4000 && error === undefined; i++) {
      try {
        await a.write(i * BLOCK, pattern(BLOCK, 1000 + i));
        if (i % 64 === 63) await a.flush();
      } catch (thrown) {
        error = thrown;
      }
    }
    t.ok(error instanceof SysError && error.errno === E.ENOSPC, String(error));
    t.equal(await outcomeOf(() => a.flush()), 'ENOSPC', 'a flush says so');
    t.equal(pool.status().mode, 'out_of_metadata_space');
    await holds(t, a, 1, 1001);
    await a.write(BLOCK, pattern(BLOCK, 501));
    await holds(t, a, 1, 501);
    t.equal(await outcomeOf(() => a.write(4090 * BLOCK, Buffer.alloc(BLOCK, 1))), 'ENOSPC', 'nothing new');
    t.equal(await outcomeOf(() => pool.createVolume({ name: 'd', size: BLOCK })), 'ENOSPC');
    t.notOk(pool.list().some(({ name }) => name === 'd'));
    await clean(t, dir, 'when it is full');

    t.equal(await outcomeOf(() => pool.remove('c')), 'done', 'deleting works');
    await pool.reclaimed();
    t.notOk(pool.list().some(({ name }) => name === 'c'));
    await clean(t, dir, 'after a volume was removed');
    rmSync(`${disk}/ballast`);
    await a.flush();
    t.equal(pool.status().mode, 'rw', 'with room again');
    await a.write(4090 * BLOCK, pattern(BLOCK, 4090));
    await a.flush();
    await a.close();
    await pool.close();
    await clean(t, dir, 'when it is closed');
    const again = await Pool.open(dir);
    const volume = again.volume('a');
    await holds(t, volume, 1, 501);
    await holds(t, volume, 4090);
    await volume.close();
    await again.close();
  });
}
