// Defects that were found by reading the code, each as a test named after it.
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Stat } from '../../src/base/index.js';
import { O } from '../../src/sys/index.js';
import { laminafs } from '../support/daemon.js';
import { eachKind, openUnion, setStage } from '../support/daemon-stage.js';

const ROOT = { uid: 0, gid: 0, pid: 1, umask: 0 };
const TRUNCATE = O.WRONLY | O.TRUNC;

const CHAIN = `mkdir -p l2/old/origsub l1/new/sub upper/x upper/new; echo f >l2/old/origsub/f
  mknod l1/old c 0 0; mknod upper/new/sub c 0 0
  setfattr -n trusted.overlay.redirect -v old l1/new; setfattr -n trusted.overlay.redirect -v origsub l1/new/sub
  setfattr -n trusted.overlay.redirect -v /new/sub upper/x`;

void eachKind(t, 'a redirect through a redirected directory', { layers: CHAIN, count: 2 }, stage => {
  stage.t.equal(
    stage.in('find . -mindepth 1 | sort; cat x/f'),
    './new\n./new/origsub\n./new/origsub/f\n./x\n./x/f\nf\n',
  );
});

const UNRESOLVED = `mkdir l1/a upper; truncate -s 1M upper/meta; setfattr -n trusted.overlay.metacopy -v "" upper/meta`;

void t.test('an entry that cannot be looked up does not hide the others', t => {
  const stage = setStage(t, laminafs, { layers: UNRESOLVED });
  stage.mount();
  t.equal(stage.in('ls; stat meta 2>/dev/null || echo no'), 'a\nmeta\nno\n');
  t.end();
});

void eachKind(
  t,
  'a rename over an emptied directory that fails leaves the directory usable',
  { layers: 'mkdir l1/B; echo f >l1/B/f', interchange: false },
  stage => {
    stage.in(
      'rm B/f; mkdir -p p/A; chattr +a p; mv -T p/A B 2>/dev/null && exit 1; touch B/x B/f; chattr -a p',
    );
    stage.t.equal(stage.in('ls B p'), 'B:\nf\nx\n\np:\nA\n');
  },
);

void t.test('without xattrs, a rename over an empty opaque directory', t => {
  const stage = setStage(t, laminafs, {
    layers: 'mkdir l1/B fs; echo f >l1/B/f; mount -t ramfs ramfs fs',
    upperIn: 'fs',
  });
  stage.mount();
  stage.in('rm B/f; mkdir A C D; mv -T A B; mv -T C D; rmdir D');
  t.equal(stage.in('ls -A . B'), '.:\nB\n\nB:\n');
  stage.mount();
  t.equal(stage.in('ls -A . B'), '.:\nB\n\nB:\n', 'after a remount');
  t.end();
});

void t.test('a copy-up while a big directory is being listed is not forgotten', async t => {
  const stage = setStage(t, laminafs, {
    layers:
      'mkdir l1/d l1/d/sub; (cd l1/d; seq -f %0200.0f 1 4000 | xargs touch); echo old >l1/d/f; : >l1/d/sub/g',
  });
  t.ok(statSync(join(stage.lowers[0]!, 'd')).size >= 512 * 1024, 'the directory is a big one');
  const union = openUnion(stage);
  const out = new Stat();
  const dir = union.lookup(union.root, 'd', out)!;
  const file = union.lookup(dir, 'f', out)!;
  // Its listing is on a worker now.
  const opened = await union.open(ROOT, file, TRUNCATE, false);
  union.release(opened.handle);
  const sub = union.lookup(dir, 'sub', out)!;
  await union.setattr(ROOT, sub, null, { mode: 0o700 }, out);
  const handle = union.opendir(dir);
  let names = 0;
  await union.readdir(handle, 0, { wantsNodes: false, entry: () => ++names > 0, plus: () => true });
  union.releasedir(handle);
  t.equal(names, 4004, 'the listing is whole');
  await union.unlink(dir, 'f');
  await union.unlink(sub, 'g');
  await union.rmdir(dir, 'sub');
  t.equal(union.lookup(dir, 'f', out), null);
  await union.destroy();
  stage.mount();
  t.equal(stage.in('[ ! -e d/f ] && [ ! -e d/sub ] && ls d | wc -l'), '4000\n', 'after a remount');
});

void t.test('names of a big directory that mean deletions are not seen before it is listed', t => {
  const stage = setStage(t, laminafs, {
    layers: 'mkdir l1/d; (cd l1/d; seq -f %0200.0f 1 4000 | xargs touch; : >.wh.gone)',
  });
  stage.mount();
  t.notOk(existsSync(join(stage.mnt, 'd/.wh.gone')));
  t.end();
});

void t.test('a reader that holds a directory open while names come and go sees those that stay, once', t => {
  const stage = setStage(t, laminafs, { layers: 'mkdir l1/d; touch l1/d/{1..300}' });
  stage.mount();
  const seen = stage.python(`
import collections
it = os.scandir('d'); first = next(it).name; names = [first]
for round in range(20):
    for i in range(100): open(f'd/t{round}.{i}', 'w').close()
    for i in range(100): os.unlink(f'd/t{round}.{i}')
names += [e.name for e in it if not e.name.startswith('t')]
print(len(names), max(collections.Counter(names).values()), len(os.listdir('d')))`);
  t.equal(seen, '300 1 300');
  t.end();
});

void t.test('a directory that may be searched but not read', t => {
  const stage = setStage(t, laminafs, { layers: 'mkdir l1/d; echo f >l1/d/f; chmod 711 l1/d; chmod 755 l1' });
  writeFileSync(stage.scratch.path('play'), PLAY);
  stage.sh('chown 65534:65534 upper work mnt; chmod 755 .');
  const said = stage.sh(
    `mknod -m 666 fuse c 10 229; mkdir checkout
    exec unshare -m bash -euc 'mount --bind fuse /dev/fuse; mount --bind "$CHECKOUT" checkout
      exec setpriv --reuid 65534 --regid 65534 --clear-groups bash -eu play'`,
    {
      env: { CHECKOUT: process.cwd(), NODE: process.execPath },
    },
  );
  t.equal(said, 'f\nno listing\nno other\n');
  t.end();
});

const PLAY = `
  "$NODE" checkout/dist/cli/main.js mount -o lowerdir=l1,upperdir=upper,workdir=work mnt
  cat mnt/d/f; ls mnt/d 2>/dev/null || echo no listing; cat mnt/d/other 2>/dev/null || echo no other
  fusermount3 -u mnt`;

void t.test('a directory keeps its change time when its files are copied up, and changes with it', t => {
  const stage = setStage(t, laminafs, { layers: 'mkdir l1/d; echo f >l1/d/f; echo g >l1/d/g' });
  stage.mount();
  const changed = (): string => stage.in('stat -c %z d');
  const before = changed();
  stage.in('chmod 600 d/f; echo more >>d/g; stat d/f d/g');
  t.equal(changed(), before, 'copies are no change');
  for (const change of ['chmod 700 d', 'touch d/new', 'rm d/f', 'setfattr -n user.x -v y d', 'mv d/g d/h']) {
    const last = changed();
    stage.in(change);
    t.not(changed(), last, change);
  }
  t.end();
});

void eachKind(
  t,
  'file capabilities are seen after they were known to be absent, and go with a write',
  { layers: 'echo old >l1/f' },
  stage => {
    const capabilities = 'getcap f | grep -o cap_net_raw || echo none';
    stage.t.equal(stage.in(`echo new >>f; ${capabilities}`), 'none\n');
    stage.t.equal(stage.in(`setcap cap_net_raw+ep f; ${capabilities}`), 'cap_net_raw\n');
    stage.t.equal(stage.in(`echo newer >>f; ${capabilities}`), 'none\n');
  },
);
