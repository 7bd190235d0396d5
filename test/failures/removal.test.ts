// Failure classes 2, 14 and 29: directories that will not be empty, lower entries that shine through directories that
// were made again, moves of large trees that copy them.
import t from 'tap';
import { kinds, overlayfs, sh } from '../support/daemon.js';
import { checkAfter, eachKind, setStage } from '../support/daemon-stage.js';
import { fingerprint, tree } from '../support/daemon-tree.js';

const wide = `for l in l1 l2; do mkdir -p $l/d/sub; for i in {1..60}; do echo $l >$l/d/$l.$i; echo $l >$l/d/both.$i; echo >$l/d/sub/$i; done; done`;

void eachKind(
  t,
  'a directory whose lower children were deleted can be removed',
  { layers: wide, count: 2 },
  stage => {
    const { t } = stage;
    stage.in(
      '(while [ -e d ]; do ls -R . >/dev/null 2>&1 || :; done) & find d -type f -exec rm {} \\; ; rmdir d/sub d; wait',
    );
    t.equal(stage.in('ls -A'), '');
    stage.mount();
    t.equal(stage.in('ls -A'), '', 'still gone after a remount');
  },
);

void eachKind(t, 'rm -rf takes all, also what was made before it', { layers: wide, count: 2 }, stage => {
  const { t } = stage;
  stage.in('mkdir -p d/sub/new/er; echo >d/sub/new/file; mv d/both.1 d/sub/new; rm -rf d');
  t.equal(stage.in('ls -A'), '');
});

const nested = `mkdir -p l1/a/b/c l2/a/b/c l3/a/b/c; for l in l1 l2 l3; do echo $l >$l/a/$l; echo $l >$l/a/b/$l; echo $l >$l/a/b/c/$l; done`;

void eachKind(t, 'a directory that is made again is empty', { layers: nested, count: 3 }, stage => {
  const { t } = stage;
  stage.in('rm -rf a; mkdir a');
  t.equal(stage.in('find a'), 'a\n');
  stage.in('mkdir -p a/b/c; echo new >a/b/c/l2');
  stage.mount();
  t.equal(stage.in('find a -type f | xargs cat'), 'new\n', 'nested ones too, after a remount');
});

void eachKind(
  t,
  'a directory that moves into a new one takes its own content along',
  { layers: nested, count: 3 },
  stage => {
    const { t } = stage;
    stage.in('mv a/b/c z; rm -rf a; mkdir -p a/b; mv z a/b/c');
    t.equal(stage.in('find a -type f | sort'), 'a/b/c/l1\na/b/c/l2\na/b/c/l3\n');
    stage.mount();
    t.equal(stage.in('find a -type f | sort'), 'a/b/c/l1\na/b/c/l2\na/b/c/l3\n', 'after a remount');
  },
);

// Both marks of the middle layer hide what is below it, and nothing beside it.
const middle = `${nested}; setfattr -n trusted.overlay.opaque -v y l2/a/b; mknod l2/a/l3 c 0 0; mknod l2/a/never-there c 0 0`;

void eachKind(
  t,
  'opaque directories and whiteouts in a middle layer',
  { layers: middle, count: 3 },
  stage => {
    const { t } = stage;
    t.equal(stage.in('find a -type f | sort'), 'a/b/c/l1\na/b/c/l2\na/b/l1\na/b/l2\na/l1\na/l2\n');
    stage.in('rm a/b/l2 a/l1; rmdir a/b/nothing 2>/dev/null || mkdir a/never-there');
    t.equal(stage.in('find a | sort'), 'a\na/b\na/b/c\na/b/c/l1\na/b/c/l2\na/b/l1\na/l2\na/never-there\n');
  },
);

void t.test('an upper of one implementation goes on in the other', async t => {
  const [ours] = kinds;
  const stage = setStage(t, ours!, { layers: nested, count: 3 });
  const before = fingerprint(...stage.lowers);
  const view = { lowers: stage.lowers, upper: stage.upper, work: stage.work, mountpoint: stage.mnt };
  const steps = [
    'rm -rf a/b; mkdir -p a/b/c',
    'mv a/b x; mkdir a/b; mv a/l1 x/c',
    'rm -r x/c; ln a/l2 x/l2',
    'mv a y; mv y/l3 x',
  ];
  steps.forEach((step, i) => {
    const kind = i % 2 === 0 ? ours! : overlayfs;
    const mounted = kind.mount(view);
    sh(step, { cwd: stage.mnt });
    const seen = tree(stage.mnt);
    mounted.umount();
    const other = (i % 2 === 0 ? overlayfs : ours!).mount(view);
    t.strictSame(tree(stage.mnt), seen, `after "${step}" by ${kind.name}`);
    other.umount();
  });
  checkAfter(stage, before, true);
});

const large =
  'mkdir -p l1/big; cd l1/big; for d in {1..50}; do mkdir $d; (cd $d; touch {1..100}; echo x >data); done';

void eachKind(t, 'moving a large lower tree copies none of it', { layers: large }, stage => {
  const { t } = stage;
  stage.in('mv big other; mkdir in; mv other in/deep; mv in/deep/7 in/deep/8/seven');
  t.ok(Number(stage.sh('find $U | wc -l')) < 15, 'the upper holds the directories that moved and no files');
  stage.mount();
  t.equal(stage.in('find in/deep -type f | wc -l').trim(), '5050');
});
