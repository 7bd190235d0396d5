// Failure classes 10, 22 and 23 of the reference: hard links that break, wrong link counts, directories that change
// while tar reads them, inode numbers that readdir and stat tell differently.
import t from 'tap';
import { eachKind } from '../support/daemon-stage.js';

const linked = 'cd l1; echo old >a; ln a b; mkdir d; ln a d/c';

void eachKind(t, 'hard links stay linked over copy-up, remount and removal', { layers: linked }, stage => {
  const { t } = stage;
  stage.in('echo new >>a');
  t.equal(stage.in('cat b d/c'), 'old\nnew\nold\nnew\n', 'written through one name, read through the others');
  t.equal(stage.in('stat -c %h a b d/c'), '3\n3\n3\n');
  stage.in('rm a; echo more >>b');
  t.equal(stage.in('cat d/c; stat -c %h b'), 'old\nnew\nmore\n2\n');
  stage.in('ln b e');
  stage.mount();
  t.equal(stage.in('stat -c %h b e d/c'), '3\n3\n3\n', 'counted over a remount');
  t.equal(stage.in('stat -c %i b e d/c | sort -u | wc -l').trim(), '1', 'one inode');
});

void eachKind(t, 'tar and rsync -H copy hard links as links', { layers: linked }, stage => {
  const { t } = stage;
  stage.in('chmod 600 b; echo x >new; ln new d/new');
  stage.in('tar cf $S/out.tar .; mkdir $S/tar $S/rsync; tar xf $S/out.tar -C $S/tar; rsync -aH ./ $S/rsync/');
  for (const copy of ['tar', 'rsync']) {
    t.equal(stage.sh(`cd ${copy}; stat -c %h a b d/c new d/new`), '3\n3\n3\n2\n2\n', copy);
  }
});

const tree = `for l in l1 l2; do mkdir -p $l/a/b/$l $l/c; for i in {1..40}; do echo $l $i >$l/a/f$i; echo $l >$l/c/$l.$i; done; done`;

void eachKind(t, 'tar never says that a file changed as it read it', { layers: tree, count: 2 }, stage => {
  const { t } = stage;
  stage.in('echo changed >>a/f1; rm a/f2; mv c/l2.3 a/b/moved; chmod 700 a/b');
  const archive = (): string =>
    stage.in('tar cf $S/$N.tar --sort=name . 2>&1; sha256sum <$S/$N.tar', { env: { N: 'x' } });
  const first = archive();
  t.notMatch(first, /changed|removed/);
  t.equal(archive(), first, 'and the second archive is the same, byte for byte');
  stage.mount();
  t.equal(archive(), first, 'also after a remount');
});

void eachKind(
  t,
  'the times of a directory do not change when a child is copied up',
  { layers: tree, count: 2 },
  stage => {
    const times = (): string => stage.in('stat -c "%n %Y %s" . a c');
    const before = times();
    stage.in('echo more >>a/f1; chmod 600 a/f2; touch c/l1.1');
    stage.t.equal(times(), before);
  },
);

void eachKind(t, 'readdir and stat agree about inode numbers', { layers: tree, count: 2 }, stage => {
  const { t } = stage;
  const disagreeing = (): string =>
    stage.python(`
for d, _, _ in os.walk('.'):
    for e in os.scandir(d):
        if e.inode() != e.stat(follow_symlinks=False).st_ino: print(e.path, e.inode(), e.stat().st_ino)`);
  t.equal(disagreeing(), '');
  const numbers = (): string => stage.in('find . ! -name moved -printf "%p %i\\n" | sort');
  const before = numbers();
  stage.in('echo x >>a/f1; chmod 700 a a/b; touch a/b/l1');
  t.equal(disagreeing(), '', 'after copy-up');
  t.equal(numbers(), before, 'and the numbers are what they were');
  stage.mount();
  t.equal(numbers(), before, 'after a remount too');
  t.equal(stage.in('find . -inum $(stat -c %i a/f7)').trim(), './a/f7');
  t.equal(stage.in('find . -printf "%i\\n" | sort | uniq -d'), '', 'no two files share a number');
  t.equal(stage.in('find . -printf "%D\\n" | sort -u | wc -l').trim(), '1', 'and all are on one device');
});
