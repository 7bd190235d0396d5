// What a union says that its upper holds is what du says, after any sequence of operations. LAMINA_SEED is the first seed (given
// alone, the only one), LAMINA_SEEDS how many, LAMINA_OPS how many operations for each.
import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { ok, SysError } from '../../src/base/index.js';
import { native } from '../../src/sys/index.js';
import { defaultConfig, Union } from '../../src/union/index.js';
import { FuseClient } from '../support/fuse-client.js';
import { Random } from '../support/random.js';
import { Scratch } from '../support/subject-scratch.js';
import { compareWithDu, du, inMemory, mounted, type Start } from '../support/usage.js';

t.setTimeout(1_200_000);

const number = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);
const first = number('LAMINA_SEED', 0);
const count = number('LAMINA_OPS', 400);

function seeds(otherwise: number): number[] {
  const length = number('LAMINA_SEEDS', first === 0 ? otherwise : 1);
  return Array.from({ length }, (_, i) => (first || 1) + i);
}

interface Row {
  readonly name: string;
  readonly upperOn: 'ext4' | 'tmpfs' | 'ramfs';
  readonly start: Start;
  readonly seeds: number;
  readonly options?: readonly string[];
}

const rows: readonly Row[] = [
  { name: 'memory, ext4', upperOn: 'ext4', start: inMemory, seeds: 12 },
  { name: 'memory, tmpfs', upperOn: 'tmpfs', start: inMemory, seeds: 12 },
  {
    name: 'memory, ramfs without extended attributes',
    upperOn: 'ramfs',
    start: inMemory,
    seeds: 6,
    options: ['index=off', 'redirect_dir=off', 'metacopy=off'],
  },
  { name: 'mounted, ext4, passthrough', upperOn: 'ext4', start: mounted, seeds: 4 },
  { name: 'mounted, tmpfs, passthrough', upperOn: 'tmpfs', start: mounted, seeds: 4 },
  {
    name: 'mounted, ext4, limited',
    upperOn: 'ext4',
    start: mounted,
    seeds: 3,
    options: ['size=1G', 'inodes=1000000'],
  },
];

for (const row of rows) {
  void t.test(row.name, async t => {
    for (const seed of seeds(row.seeds)) {
      const scratch = new Scratch();
      try {
        const upper = join(row.upperOn === 'ext4' ? scratch.ext4() : scratch.path, 'u');
        const mountpoint = join(scratch.path, 'mnt');
        for (const dir of [upper, mountpoint]) mkdirSync(dir);
        if (row.upperOn === 'ramfs') ok(native.mount('ramfs', upper, 'ramfs', 0, ''), 'mount ramfs');
        const place = { lowers: scratch.path, upper, mountpoint };
        const found = await compareWithDu(
          seed,
          count,
          place,
          row.start,
          row.options,
          row.upperOn === 'ramfs',
        );
        t.equal(found, null, `seed ${seed}`);
      } finally {
        if (row.upperOn === 'ramfs') ok(native.umount(join(scratch.path, 'u'), 0), 'umount ramfs');
        scratch.remove();
      }
    }
  });
}

void t.test('an upper that is changed while it is counted', async t => {
  const scratch = new Scratch('ext4');
  t.teardown(() => scratch.remove());
  const at = (name: string) => join(scratch.path, name);
  for (const name of ['l', 'u', 'w']) mkdirSync(at(name));
  for (let d = 0; d < 60; d++) {
    mkdirSync(at(`u/d${d}/sub`), { recursive: true });
    for (let f = 0; f < 80; f++)
      writeFileSync(at(`u/d${d}/${f % 2 ? 'sub/' : ''}f${f}`), 'x'.repeat(f * 100));
    linkSync(at(`u/d${d}/f0`), at(`u/link${d}`));
  }
  const union = Union.open({
    ...defaultConfig(),
    lowers: [at('l')],
    upper: at('u'),
    work: at('w'),
    usage: 'count',
  });
  const client = await FuseClient.start(union);
  const random = new Random(7);
  let changes = 0;
  for (; !union.usage()!.exact; changes++) {
    await turn();
    const [from, to] = [`/d${random.below(60)}`, `/d${random.below(60)}`];
    const change = random.pick([
      () => client.rename(from, `${to}/sub/moved${changes}`, 0),
      () => client.rename(`${from}/sub`, `${to}/sub${changes}`, 0),
      () => client.rename(`${from}/f${2 * random.below(40)}`, `${to}/g${changes}`, 0),
      () => client.unlink(`${from}/f${2 * random.below(40)}`),
      () => client.unlink(`/link${random.below(60)}`),
      () => client.mkdir(`${to}/new${changes}`, 0o755),
      () => client.link(`${from}/f${2 * random.below(40)}`, `${to}/l${changes}`),
      () => client.setattr(`${from}/sub/f${2 * random.below(40) + 1}`, { size: 9000 * random.below(2) }),
    ]);
    await change().catch((error: unknown) => {
      if (!(error instanceof SysError)) throw error;
    });
  }
  await union.counted();
  const { bytes, inodes } = union.usage()!;
  t.same({ bytes, inodes }, du(at('u')), `after ${changes} changes`);
  t.ok(changes > 5, 'it was changed while it was counted');
  await client.unmount();
  t.match(union.usage(), { bytes, inodes, exact: true }, 'known after the end');
});
