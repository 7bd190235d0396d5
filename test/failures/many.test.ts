// Failure classes 17, 18 and 19: many opens under a small descriptor limit, large directories and trees, 500 layers with
// long and awkward paths.
import { readdirSync } from 'node:fs';
import t from 'tap';
import { laminafs, sh, waitUntil } from '../support/daemon.js';
import { setStage } from '../support/daemon-stage.js';
import { fingerprint } from '../support/daemon-tree.js';

const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;
const files = 'for d in {1..100}; do mkdir -p $d; (cd $d; for f in {1..100}; do echo $f >$f; done); done';

void t.test('twenty thousand opens and mkdirs with 1024 descriptors', async t => {
  const stage = setStage(t, laminafs, { layers: `cd l1; ${files}`, in: 'memory' });
  const { daemon } = stage.mount({ through: ['prlimit', '--nofile=1024'] });
  const idle = descriptors(daemon!);
  stage.in(`find . -type f -exec cat {} + >/dev/null; mkdir new; cd new; ${files}`);
  const used = descriptors(daemon!);
  t.ok(used < 900, `descriptors stay far from the limit: ${idle} before, ${used} after`);
  stage.in('for d in {1..100}; do for f in {1..10}; do echo >>$d/$f; mv $d/$f $d/x$f; done; done');
  stage.in(`cp -r new again; rm -r again`);
  waitUntil(
    () => descriptors(daemon!) < used + 64,
    'descriptors as few as before copy-ups, renames and a copy',
    10,
  );
  t.equal(
    stage.python(`
files = [open('new/1/%d' % (i % 100 + 1)) for i in range(150)]
maps = [mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) for f in files]
print(sum(m[0] for m in maps) > 0)`),
    'True',
    'as many open files as fit',
  );
  // The kernel releases files in its own time.
  waitUntil(() => descriptors(daemon!) < used + 64, 'the descriptors of closed files come back', 10);
  t.pass('and their descriptors come back');
});

void t.test('more open files than the daemon may have is an error, not the end', async t => {
  const layers = 'cd l1; mkdir {1..7}; touch {1..7}/{1..100}; echo 7 >7/7';
  const stage = setStage(t, laminafs, { layers, in: 'memory' });
  stage.mount({ through: ['prlimit', '--nofile=128'] });
  const outcome = stage.python(`
files, told = [], 'ok'
for i in range(600):
    try: files.append(open('%d/%d' % (i // 100 + 1, i % 100 + 1)))
    except OSError as e: told = errno.errorcode[e.errno]; break
print(told)`);
  t.match(outcome, /^(ok|EMFILE|ENFILE)$/);
  t.equal(stage.in('cat 7/7; echo new >>7/7; cat 7/7'), '7\n7\nnew\n', 'the mount goes on');
});

const flat =
  'mkdir l1/d l2/d; seq 1 60000 | (cd l1/d; xargs touch); seq 50001 100000 | (cd l2/d; xargs touch)';

void t.test('a directory of 100 000 entries', async t => {
  const stage = setStage(t, laminafs, { layers: flat, count: 2, in: 'memory' });
  const view = stage.mount();
  t.equal(
    stage.in('find d | wc -l; ls d | sort -u | wc -l; du --inodes -s d | cut -f1'),
    '100001\n100000\n100001\n',
  );
  stage.in('cd d; rm 1 55000 99999; touch new; mv 2 two; ls -U | sed -n 1,5p | xargs rm');
  t.equal(stage.in('ls d | wc -l'), '99993\n');
  stage.in('rm -rf d; mkdir d');
  t.equal(stage.in('ls -A d'), '');
  waitUntil(() => descriptors(view.daemon!) < 100, 'no descriptor is kept for any of them', 10);
});

void t.test('500 layers with paths of 200 bytes, and every awkward character', async t => {
  const odd = 'a:b,c\\d e"f\'g=h';
  const stage = setStage(t, laminafs, { layers: 'true', in: 'memory' });
  const lowers = Array.from({ length: 500 }, (_, i) => {
    const layer = stage.scratch.mkdir(`${odd}${'x'.repeat(180)}`.slice(0, 195), `${i}`);
    stage.scratch.write(`${layer.slice(stage.scratch.dir.length + 1)}/all`, `${i}\n`);
    stage.scratch.write(`${layer.slice(stage.scratch.dir.length + 1)}/d/own${i}`, `${i}\n`);
    return layer;
  });
  const before = fingerprint(lowers[0]!, lowers[499]!);
  const upper = stage.scratch.mkdir(`${odd}-upper`);
  const work = stage.scratch.mkdir(`${odd}-work`);
  const mountpoint = stage.scratch.mkdir(`${odd}-mnt`);
  const mounted = laminafs.mount({ lowers, upper, work, mountpoint });
  const inside = (script: string): string => sh(script, { cwd: mountpoint });
  t.equal(inside('cat all; ls d | wc -l; cat d/own0 d/own499'), '0\n500\n0\n499\n');
  inside('echo new >all; rm d/own250; mv d/own499 last; rm -r d; mkdir d; ls d');
  t.equal(inside('cat all last; ls d | wc -l'), 'new\n499\n0\n');
  mounted.umount();
  t.equal(fingerprint(lowers[0]!, lowers[499]!), before);
  t.throws(() => laminafs.mount({ lowers: [...lowers, upper], mountpoint }), /500/, 'one more is refused');
});
