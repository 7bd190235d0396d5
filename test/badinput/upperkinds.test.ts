// Uppers that cannot hold everything, and changes that must fail without a trace: an upper without extended attributes, a
// read-only view, a read-only upper file system, names that the layers cannot hold.
import t from 'tap';
import { laminafs, sh } from '../support/daemon.js';
import { checkAfter, eachKind, setStage } from '../support/daemon-stage.js';
import { fingerprint } from '../support/daemon-tree.js';

const content = 'mkdir -p l1/d; echo 1 >l1/d/f; echo 2 >l1/h; setfattr -n user.x -v 1 l1/h';

void t.test('an upper without extended attributes', async t => {
  const stage = setStage(t, laminafs, {
    layers: `${content}; mkdir fs; mount -t ramfs ramfs fs`,
    upperIn: 'fs',
  });
  const before = fingerprint(...stage.lowers);
  stage.mount();
  stage.in('echo more >>h; rm -r d; mkdir d; ls -A d');
  t.equal(stage.in('cat h; ls -A d'), '2\nmore\n', 'changes and removal work');
  t.match(
    stage.in('setfattr -n user.new -v 1 h 2>&1 || true'),
    /not supported/i,
    'a new attribute is refused',
  );
  stage.mount();
  t.equal(stage.in('cat h; ls -A d'), '2\nmore\n', 'also after a remount');
  stage.umount();
  t.equal(fingerprint(...stage.lowers), before);
});

void eachKind(
  t,
  'a view without an upper is read-only',
  { layers: content, count: 2, interchange: false },
  stage => {
    const { t } = stage;
    stage.umount();
    const mounted = stage.kind.mount({ lowers: stage.lowers, mountpoint: stage.mnt, options: [] });
    for (const change of [
      'echo >>h',
      'rm h',
      'mkdir n',
      'mv h i',
      'chmod 600 h',
      'setfattr -n user.a -v 1 h',
      'ln h j',
      'touch h',
    ]) {
      t.match(stage.in(`(${change}) 2>&1 || true`), /Read-only file system/, change);
    }
    t.equal(stage.in('cat h d/f'), '2\n1\n');
    mounted.umount();
  },
);

void t.test('an upper on a read-only file system', async t => {
  const stage = setStage(t, laminafs, {
    layers: `${content}; mkdir -p fs; mount -t tmpfs tmpfs fs; mkdir fs/upper fs/work; mount -o remount,ro fs`,
    upperIn: 'fs',
  });
  const before = fingerprint(...stage.lowers);
  t.throws(() => stage.mount(), /read-only|EROFS/i, 'is refused by name');
  sh('mount -o remount,rw fs', { cwd: stage.scratch.dir });
  stage.mount();
  checkAfter(stage, before, true);
});

void eachKind(t, 'names that are too long, empty or odd', { layers: content }, stage => {
  const { t } = stage;
  t.equal(
    stage.python(`
long = 'x' * 256
for call in (os.mkdir, long), (os.stat, long), (os.unlink, long), (os.rename, 'h', long), (os.symlink, 'a', long), (os.symlink, '', 'e'), (os.mkdir, ''): print(attempt(*call))
os.mkdir('y' * 255); os.mkdir(b'\\xff\\xfe bad utf-8'); os.symlink('t' * 4095, 'link'); print(len(os.readlink('link')))`),
    'ENAMETOOLONG\nENAMETOOLONG\nENAMETOOLONG\nENAMETOOLONG\nENAMETOOLONG\nENOENT\nENOENT\n4095',
  );
  stage.mount();
  t.equal(stage.in('ls -b | tail -n 1; ls | grep -c y'), '\\377\\376\\ bad\\ utf-8\n1\n');
});
