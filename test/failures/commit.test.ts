// Failure class 33: `diff` and commit that omit or invent entries. The layer that `lamina layer diff` writes, put on top
// of the same lowers, must show the tree that the live mount showed.
import t from 'tap';
import { lamina, laminafs } from '../support/daemon.js';
import { type Stage, setStage } from '../support/daemon-stage.js';
import { tree } from '../support/daemon-tree.js';

const LAYERS = `mkdir -p l1/a/b l2/a/c l2/gone/deep l2/again; echo 1 >l1/a/one; echo 2 >l2/a/two; echo 3 >l2/gone/deep/f
  echo 4 >l2/again/old; cp /bin/true l2/tool; setcap cap_net_raw+ep l2/tool; ln l2/a/two l2/a/link; echo s >l2/same`;

const CHANGES = `echo new >fresh; mkdir -p n/e/w; echo x >n/e/w/x; rm -r gone; rm -r again; mkdir again; echo n >again/new
  mv a/c a/moved; echo more >>a/two; chmod 700 tool; ln -s t sym; mkfifo pipe; mknod null c 1 3; rm a/one; mv fresh a/one
  echo o >"odd name,with:chars"; truncate -s 1M sparse; setfattr -n user.x -v y same; rm same; echo again >same`;

const below = (stage: Stage): string[] => stage.lowers.flatMap(lower => ['--lower', lower]);

void t.test('what is created is in the diff at once, without a sync or an unmount', async t => {
  const stage = setStage(t, laminafs, { layers: LAYERS, count: 2 });
  stage.mount();
  stage.in(CHANGES);
  const archive = stage.scratch.path('diff.tar');
  const told = lamina(['layer', 'diff', ...below(stage), '-o', archive, stage.upper]);
  t.equal(told.status, 0, told.stderr);
  const live = tree(stage.mnt);
  const committed = stage.scratch.mkdir('committed');
  const applied = lamina(['layer', 'apply', archive, committed]);
  t.equal(applied.status, 0, applied.stderr);
  const mountpoint = stage.scratch.mkdir('again');
  const again = laminafs.mount({ lowers: [committed, ...stage.lowers], mountpoint });
  t.strictSame(tree(mountpoint), live, 'the committed layer shows the live tree');
  again.umount();
});

void t.test('the list of changes has each path once, as what it is', async t => {
  const stage = setStage(t, laminafs, {
    layers: 'mkdir l1/d l1/gone; echo 1 >l1/d/f; echo 2 >l1/h; echo >l1/gone/x',
  });
  stage.mount();
  stage.in('echo >>d/f; rm h; rm -r gone; mkdir -p n/sub; echo >n/sub/file');
  const told = lamina(['layer', 'diff', ...below(stage), stage.upper]);
  t.equal(told.status, 0, told.stderr);
  const lines = told.stdout
    .trim()
    .split('\n')
    .map(line => line.replace(/\s+\/?/, ' '))
    .sort();
  t.strictSame(lines, ['A n', 'A n/sub', 'A n/sub/file', 'C d', 'C d/f', 'D gone', 'D h']);
});
