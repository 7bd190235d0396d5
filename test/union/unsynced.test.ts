// Copies that are named before they are on the disk: what is made of them after a crash of the process, and of the machine;
// and that nobody takes them for whole before.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { ok } from '../../src/base/index.js';
import { close, O, openPath, uniqueMountId } from '../../src/sys/index.js';
import { kinds, laminafs, optionString, overlayfs, run } from '../support/daemon.js';
import { type Stage, setStage } from '../support/daemon-stage.js';

const BOOT = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
const OTHER_BOOT = '00000000-0000-4000-8000-000000000000';

/** What marks on the mount of `path` say of it. */
function mountOf(path: string): string {
  const fd = ok(openPath(path, O.PATH), path);
  const id = uniqueMountId(fd);
  close(fd);
  return `${BOOT}.${id}`;
}
const LAYERS =
  'mkdir -p l1/d/e; for f in torn whole fsynced; do echo old $f >l1/d/e/$f; done; echo old >l1/d/plain';

/** Leaves behind what a daemon that died would: two copies of a batch, one without its data, and one of an earlier batch. */
function leave(stage: Stage, where: string): void {
  const mark = `lamina.${where}.1.x.1`;
  stage.mount();
  stage.in('chmod 600 d/e/torn d/e/whole d/e/fsynced d/plain; echo more >>d/e/fsynced');
  stage.umount();
  stage.sh(`mkdir -p $W/work/incompat/${mark}; truncate -s 0 $U/d/e/torn; truncate -s 9 $U/d/e/torn
    setfattr -n trusted.overlay.lamina.unsynced -v ${mark} $U/d/e/torn $U/d/e/whole
    setfattr -n trusted.overlay.lamina.unsynced -v lamina.${where}.1.x.0 $U/d/plain
    touch -d @1500000000 $U/d/e`);
}

t.test('after a crash of the machine the lower files show again', t => {
  const stage = setStage(t, laminafs, { layers: LAYERS });
  leave(stage, mountOf(stage.upper).replace(BOOT, OTHER_BOOT));
  const { lowers, upper, work, mnt: mountpoint } = stage;
  const options = optionString({ lowers, upper, work, mountpoint });
  const refused = run(['mount', '-t', 'overlay', 'overlay', '-o', options, mountpoint]);
  t.not(refused.status, 0, 'kernel overlayfs does not take it');
  stage.mount();
  t.equal(
    stage.in('cat d/e/torn d/e/whole; stat -c %a d/e/torn d/e/whole; stat -c %Y d/e'),
    'old torn\nold whole\n644\n644\n1500000000\n',
    'noted copies are gone, and their directory has its times',
  );
  t.equal(
    stage.in('cat d/e/fsynced d/plain; stat -c %a d/e/fsynced d/plain'),
    'old fsynced\nmore\nold\n600\n600\n',
    'others are not: without a note, or with that of a batch that was done',
  );
  stage.in('chmod 640 d/e/torn; rm d/e/whole');
  stage.umount();
  const kernel = overlayfs.mount({ lowers, upper, work, mountpoint });
  t.equal(stage.in('cat d/e/torn; stat -c %a d/e/torn; ls d/e'), 'old torn\n640\nfsynced\ntorn\n');
  kernel.umount();
  t.end();
});

t.test('and when the disk had gone meanwhile, and was mounted anew', t => {
  const stage = setStage(t, laminafs, { layers: LAYERS });
  leave(stage, `${BOOT}.1`);
  stage.mount();
  t.equal(stage.in('cat d/e/torn; stat -c %a d/e/torn d/e/whole d/plain'), 'old torn\n644\n644\n600\n');
  stage.umount();
  t.end();
});

t.test('after a crash of the process alone they are whole', t => {
  const stage = setStage(t, laminafs, { layers: LAYERS });
  leave(stage, mountOf(stage.upper));
  stage.mount();
  t.equal(stage.in('cat d/e/whole; stat -c %a d/e/torn d/e/whole d/plain'), 'old whole\n600\n600\n600\n');
  stage.umount();
  t.equal(
    stage.sh('getfattr -m - $U/d/e/whole | grep unsynced || true; ls $W/work'),
    '',
    'nothing is left of it',
  );
  t.end();
});

t.test('a mark of another kind is refused as before', t => {
  const stage = setStage(t, laminafs, { layers: LAYERS });
  stage.mount();
  stage.umount();
  stage.sh(`mkdir -p $W/work/incompat/volatile $W/work/incompat/lamina.${BOOT}.1.x.1`);
  t.throws(() => stage.mount(), /volatile/);
  stage.sh('rmdir $W/work/incompat/*');
  stage.mount();
  t.end();
});

// What may happen to a copy while it waits for its group: each, and then a remount.
const MEANWHILE: readonly [string, string, string][] = [
  ['removed', 'echo more >>f; rm f', 'cat f 2>&1 || true'],
  ['removed while it is open', 'exec 3>>f; rm f; echo more >&3', 'cat f 2>&1 || true'],
  ['removed and made again', 'chmod 600 f; rm f; echo new >f', 'cat f; stat -c %a f'],
  ['renamed', 'chmod 600 f; mv f g', 'cat g; ls; stat -c %a g'],
  ['renamed over', 'chmod 600 f; echo new >n; mv n f', 'cat f; ls'],
  ['linked', 'chmod 600 f; ln f g; echo x >>g', 'cat f g; stat -c %h f'],
  ['its directory renamed', 'chmod 600 d/f; mv d e', 'cat e/f; stat -c %a e/f'],
  ['its directory removed', 'chmod 600 d/f; rm -r d', 'ls'],
  [
    'written synchronously',
    'dd if=/dev/zero of=f bs=1 count=3 oflag=sync conv=notrunc status=none',
    'od -c f',
  ],
  ['copied up by two', 'chmod 600 f & echo x >>f; wait', 'cat f; stat -c %a f'],
  ['made immutable', 'chmod 600 f; chattr +i f; lsattr f; chattr -i f', 'cat f; stat -c %a f'],
  ['truncated', 'chmod 600 f; : >f', 'stat -c "%s %a" f'],
];

t.test('what happens to a copy while it waits', t => {
  const seen = kinds.map(kind => {
    const layers = 'mkdir l1/d; echo old >l1/f; echo old >l1/d/f';
    const stage = setStage(t, kind, { layers });
    return MEANWHILE.map(([name, change, look]) => {
      stage.mount();
      const now = stage.in(`${change}; ${look}`);
      stage.umount();
      const left = stage.sh('ls $W/work; getfattr -R -m - $U | grep unsynced || true');
      stage.mount();
      const then = stage.in(look);
      stage.umount();
      stage.sh('rm -rf $U $W; mkdir $U $W');
      return { name, now, then, left: kind.name === 'lamina' ? left : '' };
    });
  });
  for (const [i, lamina] of seen[0]!.entries())
    t.strictSame(lamina, { ...seen[1]![i]!, left: '' }, lamina.name);
  t.end();
});
