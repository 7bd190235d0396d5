// `lamina volume mount` as a function: what is there while a volume is mounted, and that nothing is left after, whoever
// ends it and whatever failed.
import { readdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import t, { type Test } from 'tap';
import { E, isErrno, SysError } from '../../src/base/index.js';
import { type Loop, listLoops } from '../../src/export/loop.js';
import { announceSize, mountpointsOf, snapshotFrozen } from '../../src/export/loop-volumes.js';
import {
  mountVolume,
  unmountVolume,
  type VolumeMount,
  type VolumeMountOptions,
  volumeMounts,
} from '../../src/export/volumemount.js';
import { mountsBelow } from '../support/cleanup.js';
import { MiB, type Stage, setStage } from './stage.js';

const SIZE = 64 * MiB;

function mounting(stage: Stage, options: VolumeMountOptions = {}) {
  const defect = (error: unknown): never => {
    throw error;
  };
  return { stateDir: stage.scratch.path('run'), defect, ...options };
}

async function loopOf({ device }: VolumeMount): Promise<Loop | undefined> {
  return (await listLoops()).find(loop => loop.device === device);
}

/** Nothing of a mount is left: no loop device, no mount, no note, no open volume. */
async function nothingLeft(t: Test, { scratch, pool }: Stage): Promise<void> {
  const loops = await listLoops();
  t.same(
    loops.filter(loop => loop.file.startsWith(scratch.dir)),
    [],
    'no loop device',
  );
  t.same(mountsBelow(scratch.dir), [], 'no mount');
  t.same(readdirSync(scratch.path('run')), [], 'no note');
  t.same(
    pool.list().filter(({ active }) => active),
    [],
    'no open volume',
  );
}

async function failsWith(t: Test, operation: Promise<unknown>, errno: number, what: RegExp): Promise<void> {
  const error = await operation.then(
    () => null,
    (reason: unknown) => reason,
  );
  t.ok(isErrno(error, errno), String(error));
  t.match(error instanceof SysError ? error.what : '', what);
}

t.test('formatted, used, unmounted by somebody, mounted again', async t => {
  const stage = await setStage(t, { v: SIZE });
  const { pool, sh, scratch } = stage;
  const mnt = scratch.mkdir('mnt');
  const order: string[] = [];
  const finished = async (): Promise<void> => {
    order.push(`finished, noted: ${readdirSync(scratch.path('run')).length}`);
  };
  const first = await mountVolume(pool, 'v', mnt, mounting(stage, { format: 'ext4', finished }));
  t.match(first, { mountpoint: mnt, device: /^\/dev\/loop\d+$/ });
  t.match(volumeMounts({ stateDir: scratch.path('run') }), [
    { pool: pool.dir, volume: 'v', mountpoint: mnt, device: first.device, pid: process.pid, alive: true },
  ]);
  t.equal(await sh('findmnt -n -o FSTYPE $S/mnt; stat -c %a $S/run/volume-*'), 'ext4\n700\n');
  t.match(await loopOf(first), { directIo: true });
  await sh('echo kept > $S/mnt/file; umount $S/mnt');
  await first.closed;
  t.same(order, ['finished, noted: 1']);
  const again = mounting(stage, { options: 'ro,noatime', directIo: false });
  const second = await mountVolume(pool, 'v', mnt, again);
  t.equal(await sh('cat $S/mnt/file; findmnt -n -o VFS-OPTIONS $S/mnt'), 'kept\nro,noatime\n');
  t.match(await loopOf(second), { directIo: false });
  await second.unmount();
  await nothingLeft(t, stage);
});

t.test('snapshots of a live xfs, mounted beside it', async t => {
  const stage = await setStage(t, { v: 320 * MiB });
  const { pool, sh, scratch } = stage;
  const origin = await mountVolume(pool, 'v', scratch.mkdir('mnt'), mounting(stage, { format: 'xfs' }));
  await sh('echo before > $S/mnt/file');
  await snapshotFrozen(pool, [
    { origin: 'v', name: 'snap' },
    { origin: 'v', name: 'ro', readOnly: true },
  ]);
  await sh('echo after > $S/mnt/file');
  const snap = await mountVolume(pool, 'snap', scratch.mkdir('snap'), mounting(stage));
  const ro = await mountVolume(
    pool,
    'ro',
    scratch.mkdir('ro'),
    mounting(stage, { options: 'ro,norecovery' }),
  );
  t.equal(await sh('cat $S/mnt/file $S/snap/file $S/ro/file'), 'after\nbefore\nbefore\n');
  await t.rejects(sh('touch $S/ro/new'), /Read-only/);
  await Promise.all([origin.unmount(), snap.unmount(), ro.unmount()]);
  await nothingLeft(t, stage);
});

t.test('busy, and mounted elsewhere as well', async t => {
  const stage = await setStage(t, { v: SIZE });
  const { pool, sh, scratch } = stage;
  const mnt = scratch.mkdir('mnt');
  const stateDir = scratch.path('run');
  const mount = await mountVolume(pool, 'v', mnt, mounting(stage, { format: 'ext4' }));
  await sh('mkfifo $S/go $S/here');
  const holding = sh('cd $S/mnt; echo > $S/here; read < $S/go; touch still');
  await sh('read < $S/here');
  await failsWith(t, mount.unmount(), E.EBUSY, /target is busy/);
  await failsWith(t, unmountVolume(mnt, { stateDir }), E.EBUSY, /target is busy/);
  await sh('echo > $S/go');
  await holding;
  let closed = false;
  const end = mount.closed.then(() => {
    closed = true;
  });
  await sh(
    'mkdir $S/other; mount --bind $S/mnt $S/other; umount $S/mnt; dd if=/dev/zero of=$S/other/x bs=1M count=4 conv=fsync status=none',
  );
  t.notOk(closed, 'a bind mount of it keeps it');
  await sh('umount $S/other');
  await end;
  await nothingLeft(t, stage);
});

t.test('what is refused changes nothing', async t => {
  const stage = await setStage(t, { v: SIZE, raw: SIZE, empty: SIZE });
  const { pool, sh, scratch } = stage;
  const mnt = scratch.mkdir('mnt');
  const first = await mountVolume(pool, 'v', mnt, mounting(stage, { format: 'ext4' }));
  await sh('echo kept > $S/mnt/file');
  const stateDir = scratch.path('run');
  await unmountVolume(mnt, { stateDir });
  await first.closed;
  const disks = await stage.mount();
  await sh('echo data | dd of=$S/disks/raw bs=1 seek=5000000 conv=notrunc status=none');
  await disks.unmount();
  writeFileSync(scratch.path('file'), '');
  const rows: readonly (readonly [string, string, VolumeMountOptions, number, RegExp])[] = [
    ['v', mnt, { format: 'ext4' }, E.EEXIST, /v holds ext4/],
    ['v', mnt, { format: 'xfs' }, E.EEXIST, /v holds ext4/],
    ['raw', mnt, { format: 'ext4' }, E.EEXIST, /raw holds data/],
    ['v', mnt, { format: 'ntfs' }, E.EINVAL, /format ntfs: one of ext2, /],
    ['v', mnt, { format: 'toString' }, E.EINVAL, /one of/],
    ['none', mnt, {}, E.ENOENT, /none/],
    ['empty', mnt, {}, E.EINVAL, /empty holds nothing that can be mounted/],
    ['raw', mnt, {}, E.EINVAL, /raw holds nothing that can be mounted/],
    ['v', mnt, { options: 'nonsense' }, E.EIO, /mount: .*wrong fs type, bad option/],
    ['v', scratch.path('nowhere'), {}, E.ENOENT, /mount point .*nowhere/],
    ['v', scratch.path('file'), {}, E.ENOTDIR, /mount point .*file/],
  ];
  for (const [name, where, options, errno, what] of rows)
    await failsWith(t, mountVolume(pool, name, where, mounting(stage, options)), errno, what);
  await failsWith(t, unmountVolume(mnt, { stateDir }), E.EINVAL, /no volume is mounted at/);
  await failsWith(t, unmountVolume('/', { stateDir }), E.EINVAL, /no volume is mounted at/);
  const kept = await mountVolume(pool, 'v', mnt, mounting(stage));
  t.equal(await sh('cat $S/mnt/file'), 'kept\n');
  await kept.unmount();
  const forced = await mountVolume(pool, 'v', mnt, mounting(stage, { format: 'ext4', force: true }));
  t.equal(await sh('ls $S/mnt'), 'lost+found\n');
  await forced.unmount();
  await nothingLeft(t, stage);
});

t.test('a volume is mounted once, and nobody else has it open then', async t => {
  const stage = await setStage(t, { v: SIZE, w: SIZE });
  const { pool, sh, scratch } = stage;
  const mnt = scratch.mkdir('mnt');
  const other = scratch.mkdir('other');
  const attempts = await Promise.allSettled(
    [mnt, other].map(where => mountVolume(pool, 'v', where, mounting(stage, { format: 'ext4' }))),
  );
  const made = attempts.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []));
  t.equal(made.length, 1, 'of two at one time one is mounted');
  const [mount] = made as [VolumeMount];
  const free = mount.mountpoint === mnt ? other : mnt;
  await failsWith(t, mountVolume(pool, 'v', free, mounting(stage)), E.EBUSY, /volume v is mounted at/);
  const there = mountVolume(pool, 'w', mount.mountpoint, mounting(stage, { format: 'ext4' }));
  await failsWith(t, there, E.EBUSY, /volume v is mounted at/);
  const reader = pool.volume('w');
  await failsWith(t, mountVolume(pool, 'w', free, mounting(stage)), E.EBUSY, /volume w is in use/);
  await reader.close();
  await pool.rename('v', 'renamed');
  await pool.resizeVolume('renamed', 2 * SIZE);
  await announceSize(pool, 'renamed');
  t.equal(await sh(`blockdev --getsize64 ${mount.device}`), `${2 * SIZE}\n`, 'found under its new name');
  t.same(await mountpointsOf(pool, 'renamed'), [mount.mountpoint]);
  await mount.unmount();
  for (const covering of [
    pool.dir,
    dirname(pool.dir),
    scratch.path('run'),
    scratch.dir,
    '/usr/bin',
    '/proc',
    '/',
  ]) {
    await failsWith(t, mountVolume(pool, 'renamed', covering, mounting(stage)), E.EINVAL, /would cover/);
  }
  await nothingLeft(t, stage);
});
