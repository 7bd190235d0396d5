// Failure class 25: layers on file systems that cannot hold what overlayfs needs: NTFS below, exFAT (no links, modes or
// attributes) and ramfs (no attributes) above, and tmpfs.
import t from 'tap';
import { laminafs, sh } from '../support/daemon.js';
import { checkAfter, type StageOptions, setStage } from '../support/daemon-stage.js';
import { fingerprint } from '../support/daemon-tree.js';
import { needs } from '../support/needs.js';

needs('ntfs-3g', 'mkntfs', 'mkfs.exfat', 'mount.exfat-fuse');

const content =
  'mkdir -p l1/d/e; echo 1 >l1/d/f; echo 2 >l1/d/e/g; echo 3 >l1/h; head -c 300000 /dev/urandom >l1/big';

const work = `echo more >>d/f; rm h; rm -r d/e; mkdir d/e; echo new >d/e/new; mv d/f moved; printf X | dd of=big bs=1 seek=99999 conv=notrunc status=none; mkdir n; mv n n2`;
const shown = 'find . -type f -printf "%P %s\\n" | sort; cat moved d/e/new';
const expected = 'big 300000\nd/e/new 4\nmoved 7\n1\nmore\nnew\n';

void t.test('NTFS as a lower layer', async t => {
  const stage = setStage(t, laminafs, {
    count: 2,
    layers: `${content}; mv l1/* l2; truncate -s 32M img; mkfs.ntfs -q -F img; ntfs-3g img l1; echo top >l1/h; mkdir -p l1/d; echo ntfs >l1/d/n; setfattr -n user.x -v 1 l1/h`,
  });
  const before = fingerprint(...stage.lowers);
  stage.mount();
  t.equal(stage.in('cat h d/n d/f; getfattr -n user.x --only-values h'), 'top\nntfs\n1\n1');
  stage.in('echo more >>h; mv d/n n; rm -r d; mkdir d; chmod 600 n; chown 5:6 n');
  t.equal(stage.in('cat h n; stat -c "%a %u:%g" n; ls d'), 'top\nmore\nntfs\n600 5:6\n');
  checkAfter(stage, before, true);
});

async function upperOn(t: import('tap').Test, name: string, make: string): Promise<void> {
  await t.test(`${name} as the upper layer`, async t => {
    const options: StageOptions = { layers: `${content}; mkdir fs; ${make}`, upperIn: 'fs' };
    const stage = setStage(t, laminafs, options);
    const before = fingerprint(...stage.lowers);
    stage.mount();
    stage.in(work);
    t.equal(stage.in(shown), expected);
    stage.mount();
    t.equal(stage.in(shown), expected, 'after a remount');
    stage.in('rm -rf d; mkdir d; rm moved; echo h >h');
    stage.mount();
    t.equal(stage.in('ls -A . d; cat h'), '.:\nbig\nd\nh\nn2\n\nd:\nh\n', 'and after another');
    stage.umount();
    t.equal(fingerprint(...stage.lowers), before, 'the lower layer is what it was');
    t.equal(
      sh('find . -mindepth 1 -not -path "./work*" -not -path "./index*" | wc -l', { cwd: stage.work }),
      '0\n',
    );
  });
}

void (async () => {
  await upperOn(
    t,
    'exFAT',
    'truncate -s 32M img; mkfs.exfat img >/dev/null; mount.exfat-fuse $(losetup -f --show img) fs >/dev/null',
  );
  await upperOn(t, 'ramfs', 'mount -t ramfs ramfs fs');
  await upperOn(t, 'tmpfs', 'mount -t tmpfs tmpfs fs');
})();
