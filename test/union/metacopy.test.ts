// Copies of metadata alone: made and completed as kernel overlayfs does it, read whoever made them, and EIO where the data is
// nowhere. The random test has them too, exchanged with kernel overlayfs.
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { killDaemon, laminafs, overlayfs } from '../support/daemon.js';
import { type Stage, setStage } from '../support/daemon-stage.js';

const LAMINA = `${process.execPath} ${fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))}`;
const META = ['metacopy=on', 'redirect_dir=on'];
const LAYERS = `mkdir -p l1/d; head -c 3000000 /dev/urandom >l1/d/big; echo small >l1/d/small; : >l1/d/empty; echo x >l1/d/xattrs
  setfattr -n user.large -v $(head -c 3000 /dev/zero | tr '\\0' v) l1/d/xattrs; echo linked >l1/d/h1; ln l1/d/h1 l1/d/h2`;
const NOTED =
  "{ getfattr -R -n trusted.overlay.metacopy $U 2>/dev/null || true; } | sed -n 's/# file: .*\\(d\\/.*\\)/\\1/p' | sort | paste -sd ' '";

function stageOf(t: Parameters<typeof setStage>[0], lamina: readonly string[] = META): Stage {
  return setStage(t, laminafs, { layers: LAYERS, lamina });
}

function kernel(stage: Stage, options: readonly string[] = META) {
  const { lowers, upper, work, mnt: mountpoint } = stage;
  return overlayfs.mount({ lowers, upper, work, mountpoint, options });
}

t.test('a change of attributes copies no data; writing does', t => {
  const stage = stageOf(t);
  stage.mount();
  const sums = stage.in(
    'chmod 600 d/big d/small d/xattrs; chown 5:6 d/empty; setfattr -n user.a -v b d/big; md5sum d/*',
  );
  t.equal(stage.sh('cd $L; md5sum d/*'), sums);
  t.equal(
    stage.in('stat -c "%b %s" d/big'),
    stage.sh('cd $L; stat -c "%b %s" d/big'),
    'with the blocks of its data',
  );
  t.equal(stage.sh(NOTED), 'd/big d/small d/xattrs\n');
  t.ok(Number(stage.sh('stat -c %b $U/d/big')) <= 8, 'no more than a block of attributes');
  t.equal(
    stage.in(`exec 3<d/small 4<d/small; head -c 2 <&3; echo more >>d/small; cat <&3; cat <&4; fsync d/big 2>/dev/null || sync d/big
      cat d/small`),
    'small\nmore\nsmall\nmore\nsmall\nmore\n',
    'readers see what is written',
  );
  stage.in('printf Z | dd of=d/big bs=1 seek=7 conv=notrunc status=none; : >d/xattrs');
  t.equal(stage.sh(NOTED), '\n', 'all have their data');
  t.equal(
    stage.sh('cmp <(tail -c +9 $U/d/big) <(tail -c +9 $L/d/big); stat -c %s $U/d/big $U/d/xattrs'),
    '3000000\n0\n',
  );
  stage.umount();
  t.end();
});

t.test('renamed, linked, removed, opened while it is completed', t => {
  const stage = stageOf(t);
  stage.mount();
  t.equal(
    stage.in('chmod 600 d/small; mv d/small d/moved; cat d/moved; ln d/moved d/link; cat d/link'),
    'small\nsmall\n',
  );
  t.equal(
    stage.in(
      'chmod 600 d/big; for i in 1 2 3 4; do { printf $i >>d/big; } & done; wait; tail -c 4 d/big | fold -w 1 | sort | paste -sd ""',
    ),
    '1234\n',
  );
  t.equal(
    stage.in(
      'chmod 600 d/xattrs; exec 3<d/xattrs; rm d/xattrs; cat <&3; chmod 640 d/h1; cat d/h2; stat -c %a d/h2',
    ),
    'x\nlinked\n640\n',
  );
  const tree = stage.in('md5sum d/* | sort');
  stage.mount();
  t.equal(stage.in('md5sum d/* | sort'), tree, 'after a remount');
  stage.umount();
  const mounted = kernel(stage);
  t.equal(stage.in('md5sum d/* | sort'), tree, 'and in kernel overlayfs');
  mounted.umount();
  t.end();
});

t.test('those that the kernel has made are read, with the option and without', t => {
  for (const options of [META, []]) {
    const stage = stageOf(t, options);
    let mounted = kernel(stage);
    stage.in('chmod 600 d/big d/small; mv d/small d/moved; mkdir e; mv d/big e/far; chown 7:8 e/far');
    const shown = stage.in('md5sum d/* e/*; stat -c "%n %a %u %b" d/moved e/far');
    mounted.umount();
    stage.mount();
    t.equal(stage.in('md5sum d/* e/*; stat -c "%n %a %u %b" d/moved e/far'), shown, options.join());
    stage.in('printf Z | dd of=e/far bs=1 seek=7 conv=notrunc status=none; chmod 640 d/moved');
    const changed = stage.in('md5sum d/* e/*');
    stage.umount();
    mounted = kernel(stage);
    t.equal(stage.in('md5sum d/* e/*'), changed);
    mounted.umount();
    // As a lower layer of a read-only union, under an upper of its own.
    const { lowers, upper, mnt: mountpoint } = stage;
    const readonly = laminafs.mount({ lowers: [upper, ...lowers], mountpoint });
    t.equal(stage.in('md5sum d/* e/*'), changed, 'in a lower layer');
    readonly.umount();
  }
  t.end();
});

t.test('data that is nowhere is EIO, not zeros', t => {
  const stage = stageOf(t);
  stage.mount();
  stage.in('chmod 600 d/big');
  stage.umount();
  stage.sh('mv $L/d/big $S/aside');
  stage.mount();
  t.match(stage.in('cat d/big 2>&1 || true; ls d'), /Input\/output error\nbig\nempty\n/);
  stage.umount();
  stage.sh('mv $S/aside $L/d/big');
  t.end();
});

t.test('a daemon that dies while data comes leaves the copy as it was', t => {
  const stage = stageOf(t);
  stage.mount();
  stage.in('chmod 600 d/big');
  stage.umount();
  const { lowers, upper, work, mnt: mountpoint } = stage;
  for (const [step, left] of [
    ['1', 'd/big'],
    ['2', ''],
  ] as const) {
    const mounted = laminafs.mount({
      ...{ lowers, upper, work, mountpoint, options: META },
      env: { LAMINA_CRASH_AT: step },
    });
    stage.sh('(printf x >>mnt/d/big) 2>/dev/null || true');
    killDaemon(mounted);
    t.equal(stage.sh(NOTED), `${left}\n`, `after step ${step}`);
    stage.mount();
    t.equal(stage.in('cmp d/big $L/d/big; stat -c %a d/big'), '600\n');
    stage.umount();
  }
  t.end();
});

t.test('all that lacks its data is completed when asked', t => {
  const stage = stageOf(t);
  stage.mount();
  const change =
    'chmod 600 d/big d/small d/h1; mkdir -p new/er; mv d/xattrs new/er/x; chmod 604 d/empty; rm d/h2; ln -s big d/link';
  const shown = stage.in(`${change}; md5sum d/big d/small d/h1 new/er/x; stat -c '%n %a %y' d/*`);
  stage.umount();
  const { lowers, upper, work } = stage;
  const options = `lowerdir=${lowers.join(':')},upperdir=${upper},workdir=${work}`;
  const complete = () => stage.sh(`${LAMINA} layer complete -o ${options}`);
  t.not(stage.sh(NOTED), '\n');
  t.match(complete(), /^[12345] files completed\n$/);
  t.equal(stage.sh(NOTED), '\n');
  t.equal(complete(), '0 files completed\n', 'once is enough');
  const mounted = kernel(stage, ['metacopy=off', 'redirect_dir=on']);
  t.equal(stage.in(`md5sum d/big d/small d/h1 new/er/x; stat -c '%n %a %y' d/*`), shown, 'as it was');
  mounted.umount();
  t.equal(stage.sh('cd $U; md5sum d/big | cut -c-32'), `${shown.slice(0, 32)}\n`);
  t.throws(() => stage.sh(`${LAMINA} layer complete -o lowerdir=${lowers.join(':')} 2>&1`));
  t.end();
});
