// dmtest's snapshot tests with file systems: images of ext4 and xfs are written to thins, snapshotted and written over, and
// read back whole; the file systems' own checkers have the last word.
import { spawnSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { BlockDevice } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import type { Pool } from '../../src/thin/index.js';
import { fileDevice } from '../support/block-devices.js';
import type { Scratch } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { MIB, openHere, pattern, piecesOf, poolStage } from '../support/thin-pool.js';

needs('mkfs.ext4', 'mkfs.xfs', 'e2fsck', 'xfs_repair');

const PIECE = MIB;

interface FileSystem {
  readonly name: string;
  readonly size: number;
  /** Makes a file system on `image` with what is in `tree` (a directory, or a protofile for xfs). */
  make(image: string, tree: Tree): string[];
  check(image: string): string[];
}

interface Tree {
  readonly folder: string;
  readonly proto: string;
}

const FILE_SYSTEMS: readonly FileSystem[] = [
  {
    name: 'ext4',
    size: 64 * MIB,
    make: (image, tree) => ['mkfs.ext4', '-q', '-F', '-d', tree.folder, image],
    check: image => ['e2fsck', '-fn', image],
  },
  {
    name: 'xfs',
    size: 320 * MIB,
    make: (image, tree) => ['mkfs.xfs', '-q', '-f', '-p', tree.proto, image],
    check: image => ['xfs_repair', '-n', image],
  },
];

function command(argv: readonly string[]): void {
  const result = spawnSync(argv[0]!, argv.slice(1), { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${argv.join(' ')}: ${result.stdout}${result.stderr}`);
}

/** Files of patterned data, as a directory and as a protofile (mkfs.xfs(8)). */
function tree(scratch: Scratch, seed: number): Tree {
  const folder = scratch.mkdir(`tree${seed}`);
  const lines = ['x', '1 1', 'd--755 0 0'];
  for (let i = 0; i < 8; i++) {
    writeFileSync(`${folder}/f${i}`, pattern(100_000 + seed * 10_000 + i, seed * 10 + i));
    lines.push(`f${i} ---644 0 0 ${folder}/f${i}`);
  }
  return { folder, proto: scratch.write(`proto${seed}`, `${lines.join('\n')}\n$\n`) };
}

/** Copies all that is no hole; holes become holes. */
async function copy(from: BlockDevice, to: BlockDevice): Promise<void> {
  const buffer = Buffer.alloc(PIECE);
  let at = 0;
  for (const [length, hole] of piecesOf(from)) {
    if (hole) await to.zero(at, length, true);
    else
      for (let done = 0; done < length; done += PIECE) {
        const bytes = Math.min(PIECE, length - done);
        await from.read(at + done, bytes, buffer, 0);
        await to.write(at + done, buffer.subarray(0, bytes));
      }
    at += length;
  }
  await from.close();
  await to.close();
}

function writeImage(pool: Pool, name: string, image: string): Promise<void> {
  return copy(fileDevice(image), pool.volume(name));
}

/** The volume as an image. */
async function readImage(pool: Pool, name: string, image: string): Promise<string> {
  writeFileSync(image, '');
  truncateSync(image, pool.info(name).size);
  await copy(pool.volume(name), fileDevice(image));
  return image;
}

interface Place {
  readonly pool: Pool;
  readonly images: readonly [string, string];
  /** The volume must hold this image, and the file system on it be sound. */
  holds(name: string, image: string): Promise<void>;
  finish(): Promise<void>;
}

async function stage(t: Test, system: FileSystem): Promise<Place> {
  const { pool, scratch, dir, close } = await poolStage(t, { size: 1024 * MIB }, path => openHere(path));
  const make = (seed: number): string => {
    const image = scratch.write(`image${seed}`, '');
    truncateSync(image, system.size);
    command(system.make(image, tree(scratch, seed)));
    return image;
  };
  await pool.createVolume({ name: 'origin', size: system.size });
  return {
    pool,
    images: [make(1), make(2)],
    async holds(name, image) {
      const copy = await readImage(pool, name, scratch.path('copy'));
      const same = spawnSync('cmp', [copy, image], { encoding: 'utf8' });
      t.equal(same.status, 0, `${name} holds ${image} ${same.stdout}`);
      command(system.check(copy));
    },
    async finish() {
      await close();
      t.same((await checkPool(dir)).findings, []);
    },
  };
}

for (const system of FILE_SYSTEMS) {
  t.test(`overwrite_${system.name}`, async t => {
    const { pool, images, holds, finish } = await stage(t, system);
    for (const image of [images[0], images[1], images[0]]) {
      await writeImage(pool, 'origin', image);
      await holds('origin', image);
    }
    await finish();
  });

  t.test(`create_snap_${system.name}`, async t => {
    const { pool, images, holds, finish } = await stage(t, system);
    await writeImage(pool, 'origin', images[0]);
    await pool.snapshot([{ origin: 'origin', name: 'snap' }]);
    await writeImage(pool, 'origin', images[1]);
    await holds('origin', images[1]);
    await holds('snap', images[0]);
    await finish();
  });

  t.test(`break_sharing_${system.name}`, async t => {
    const { pool, images, holds, finish } = await stage(t, system);
    await writeImage(pool, 'origin', images[0]);
    await pool.snapshot([{ origin: 'origin', name: 'snap' }]);
    const used = pool.status().usedBlocks;
    // The file system of the snapshot is changed in place: a file of it is written over, block by block.
    const file = readFileSync(images[0]).indexOf(pattern(100_000 + 10_000, 10).subarray(0, 64));
    const changed = `${images[0]}.changed`;
    command(['cp', '--sparse=always', images[0], changed]);
    const devices = [pool.volume('snap'), fileDevice(changed)];
    const data = pattern(100_000, 77);
    for (const device of devices) {
      for (let at = 0; at < data.length; at += 4096)
        await device.write(file + at, data.subarray(at, at + 4096));
      await device.close();
    }
    t.ok(pool.status().usedBlocks - used <= 3, 'two or three blocks are shared no more');
    await holds('snap', changed);
    await holds('origin', images[0]);
    await finish();
  });
}
