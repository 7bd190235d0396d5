// Loop devices on the files of a mounted pool, with and without direct I/O, and the file systems that people make there.
import { statfs } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { attachLoop, detachLoop, listLoops } from '../../src/export/loop.js';
import { announceSize, frozen, mountpointsOf, snapshotFrozen } from '../../src/export/loop-volumes.js';
import { MAIN } from '../support/daemon.js';
import { MiB, type Stage, setStage } from './stage.js';

interface Kind {
  readonly format: 'ext4' | 'xfs';
  readonly size: number;
  /** What a snapshot needs to be mounted beside its origin. */
  readonly options: string;
  /** Checks the unmounted file system on $D. */
  readonly check: string;
  /** Grows it; mounted on $S/mnt from $D. ext4 grows while mounted only for those who have CAP_SYS_RESOURCE. */
  readonly grow: string;
}

const KINDS: readonly Kind[] = [
  {
    format: 'ext4',
    size: 128 * MiB,
    options: 'ro',
    check: 'e2fsck -fn $D',
    grow: 'umount $S/mnt; e2fsck -fp $D; resize2fs $D; mount $D $S/mnt',
  },
  {
    format: 'xfs',
    size: 320 * MiB,
    options: 'ro,nouuid',
    check: 'xfs_repair -n $D',
    grow: 'xfs_growfs $S/mnt',
  },
];

/** Space that is in use and free once more: it falls by most of what was deleted. */
async function fillAndTrim(t: Test, { pool, sh }: Stage): Promise<void> {
  await sh('dd if=/dev/urandom of=$S/mnt/big bs=1M count=48 conv=fsync status=none; sync -f $S/mnt');
  const full = pool.status().usedBlocks;
  t.ok(full * pool.blockSize >= 48 * MiB, `${full} blocks are used`);
  await sh('truncate -s 0 $S/mnt/big; sync -f $S/mnt; fstrim $S/mnt');
  const left = pool.status().usedBlocks;
  t.ok((full - left) * pool.blockSize >= 44 * MiB, `fstrim leaves ${left} of ${full} blocks`);
}

async function snapshotLive(t: Test, stage: Stage, kind: Kind): Promise<void> {
  const { pool, sh, scratch } = stage;
  await sh('echo before > $S/mnt/file; mkdir $S/snap');
  t.same(await mountpointsOf(pool, 'v'), [scratch.path('mnt')]);
  await snapshotFrozen(pool, [{ origin: 'v', name: 'snap' }]);
  await sh('echo after > $S/mnt/file; sync -f $S/mnt');
  const device = await attachLoop(scratch.path('disks/snap'));
  // Recovery of what the freeze left in the journal writes to the device, whatever the mount is.
  await sh(`mount -o ${kind.options} ${device} $S/snap`);
  t.equal(await sh('cat $S/snap/file $S/mnt/file'), 'before\nafter\n');
  await sh(`umount $S/snap; D=${device}; ${kind.check}`);
  await detachLoop(device);
}

for (const directIo of [true, false]) {
  for (const kind of KINDS) {
    t.test(`${kind.format}, direct I/O ${directIo ? 'on' : 'off'}`, async t => {
      const stage = await setStage(t, { v: kind.size });
      const { pool, sh, scratch } = stage;
      await stage.mount();
      const device = await attachLoop(scratch.path('disks/v'), { directIo });
      t.match(
        (await listLoops()).find(loop => loop.device === device),
        { file: scratch.path('disks/v'), directIo },
      );
      await sh(`mkfs.${kind.format} -q ${device}; mkdir $S/mnt; mount ${device} $S/mnt`);
      await fillAndTrim(t, stage);
      await snapshotLive(t, stage, kind);
      await pool.resizeVolume('v', 2 * kind.size);
      await announceSize(pool, 'v');
      await sh(`D=${device}; ${kind.grow}`);
      const { blocks, bsize } = await statfs(scratch.path('mnt'));
      t.ok(blocks * bsize > 1.7 * kind.size, `${blocks} blocks of ${bsize} bytes after growing`);
      await sh(
        `dd if=/dev/urandom of=$S/mnt/data bs=1M count=8 status=none; md5sum < $S/mnt/data > $S/sum; umount $S/mnt`,
      );
      await sh(
        `D=${device}; ${kind.check}; mount ${device} $S/mnt; md5sum < $S/mnt/data | cmp - $S/sum; umount $S/mnt`,
      );
      await detachLoop(device);
    });
  }
}

t.test('a read-only volume gives a read-only loop device', async t => {
  const { pool, sh, scratch, mount } = await setStage(t, { v: MiB });
  await pool.snapshot([{ origin: 'v', name: 'ro', readOnly: true }]);
  await mount();
  const device = await attachLoop(scratch.path('disks/ro'), { readOnly: true });
  t.equal(await sh(`blockdev --getro ${device}`), '1\n');
  await t.rejects(sh(`dd if=/dev/zero of=${device} count=1`), /not permitted|Read-only/);
  await detachLoop(device);
});

t.test('a FUSE server that does not answer holds up nobody who has another', { timeout: 60_000 }, async t => {
  const { pool, sh, scratch, mount } = await setStage(t, { v: 64 * MiB });
  await mount();
  const device = await attachLoop(scratch.path('disks/v'));
  await sh(`mkfs.ext4 -q ${device}; mkdir $S/mnt $S/their; mount ${device} $S/mnt`);
  const lamina = `env -u NODE_OPTIONS ${process.execPath} ${MAIN}`;
  await sh(`${lamina} pool create $S/other --size 1G; ${lamina} volume create $S/other/v --size 1G`);
  await sh(`${lamina} pool mount $S/other $S/their`);
  const server = Number(await sh('cat $S/other/lock'));
  const theirs = await attachLoop(scratch.path('their/v'));
  // And a mount that is nowhere any more: its file could be anybody's.
  await sh('mkdir $S/away; mount --bind $S/their $S/away');
  const away = await attachLoop(scratch.path('away/v'));
  await sh('umount -l $S/away');
  process.kill(server, 'SIGSTOP');
  try {
    t.same(await mountpointsOf(pool, 'v'), [scratch.path('mnt')]);
    const loops = await listLoops();
    t.equal(loops.find(loop => loop.device === theirs)?.file, scratch.path('their/v'));
    t.equal(loops.find(loop => loop.device === away)?.file, '/v');
  } finally {
    process.kill(server, 'SIGCONT');
  }
  for (const each of [away, theirs]) await detachLoop(each);
  await sh(`${lamina} umount $S/their; umount $S/mnt`);
  await detachLoop(device);
});

t.test('freezing fails for what is no mount, and what was frozen before is thawed', async t => {
  const { scratch, sh, mount } = await setStage(t, { v: 64 * MiB });
  await mount();
  const device = await attachLoop(scratch.path('disks/v'));
  await sh(`mkfs.ext4 -q ${device}; mkdir $S/mnt; mount ${device} $S/mnt`);
  let ran = false;
  const both = frozen([scratch.path('mnt'), '/nowhere'], async () => {
    ran = true;
  });
  await t.rejects(both, /nowhere/);
  t.notOk(ran);
  await t.rejects(
    frozen([scratch.path('mnt')], () => Promise.reject(new Error('in the middle'))),
    /in the middle/,
  );
  await sh(`timeout 5 touch $S/mnt/writable; umount $S/mnt`);
  await detachLoop(device);
});
