// Failure classes 24 and 34: a union over a union, as when engines run in containers: kernel overlayfs and laminafs over
// our mount, as its lower and as its upper, and committed afterwards.
import t from 'tap';
import { laminafs, overlayfs, sh } from '../support/daemon.js';
import { checkAfter, setStage } from '../support/daemon-stage.js';
import { fingerprint, tree } from '../support/daemon-tree.js';

const layers = 'mkdir -p l1/img/a/b; echo 1 >l1/img/a/f; echo 2 >l1/img/a/b/g; ln l1/img/a/f l1/img/link';
const changes = `rm a/f; echo new >>a/b/g; mkdir a/h; mv a/b moved; rm -rf a; mkdir a; echo again >a/f; ln link link2
  setfattr -n user.x -v 1 link; chmod 4755 moved/g; mkfifo p; ln -s t s`;

for (const inner of [overlayfs, laminafs]) {
  void t.test(`${inner.name} with our mount as its lower`, async t => {
    const stage = setStage(t, laminafs, { layers });
    const before = fingerprint(...stage.lowers);
    stage.mount();
    stage.in('echo upper >>img/a/b/g; rm img/link; mkdir img/new');
    const s = stage.scratch;
    const view = {
      lowers: [s.path('mnt/img')],
      upper: s.mkdir('u2'),
      work: s.mkdir('w2'),
      mountpoint: s.mkdir('m2'),
    };
    const mounted = inner.mount({ ...view, options: [] });
    sh('cat a/b/g; echo x >>a/f; rm -r a/b; mkdir a/b; ls -A . a/b; mkdir new/sub', { cwd: view.mountpoint });
    t.equal(
      sh('cat a/f; ls -A a a/b new', { cwd: view.mountpoint }),
      '1\nx\na:\nb\nf\n\na/b:\n\nnew:\nsub\n',
    );
    mounted.umount();
    t.equal(stage.in('cat img/a/b/g img/a/f'), '2\nupper\n1\n', 'our mount is unchanged by it');
    checkAfter(stage, before, true);
  });

  void t.test(`${inner.name} with our mount as its upper`, async t => {
    const stage = setStage(t, laminafs, { layers });
    const before = fingerprint(...stage.lowers);
    stage.mount();
    stage.in('mkdir -p inner/u inner/w inner/m');
    const lower = stage.scratch.mkdir('l9');
    sh('cp -a ../l1/img/. .', { cwd: lower });
    const view = {
      lowers: [lower],
      upper: `${stage.mnt}/inner/u`,
      work: `${stage.mnt}/inner/w`,
      options: [],
    };
    const mountpoint = stage.scratch.mkdir('m9');
    const mounted = inner.mount({ ...view, mountpoint });
    sh(changes, { cwd: mountpoint });
    const seen = tree(mountpoint);
    t.match(seen.join('\n'), /\.\/a\/f/);
    mounted.umount();
    // The outer mount is committed: its upper becomes a layer of another one, and the inner one runs again.
    const again = inner.mount({ ...view, mountpoint });
    t.strictSame(tree(mountpoint), seen, 'mounted again');
    again.umount();
    stage.umount();
    const upper = stage.scratch.mkdir('u8');
    const outer = { lowers: [stage.upper, ...stage.lowers], upper, work: stage.scratch.mkdir('w8') };
    const committed = laminafs.mount({ ...outer, mountpoint: stage.mnt });
    const last = inner.mount({ ...view, mountpoint });
    t.strictSame(tree(mountpoint), seen, 'mounted from the committed image');
    last.umount();
    committed.umount();
    checkAfter(stage, before, true);
  });
}
