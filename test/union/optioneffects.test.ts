// What single options and attributes do, beyond what the contract tables and the random test reach: file flags beside
// kernel overlayfs, owners kept in notes, volatile and strict mounts, and the content that comes with a first open.
import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { kinds, lamina, laminafs, optionString, waitGone } from '../support/daemon.js';
import { setStage } from '../support/daemon-stage.js';

const TRIED = `
  no() { "$@" 2>/dev/null && echo "could $*" || echo "no $*"; }
  no bash -c 'echo x >>imm'; no bash -c ': >app'; no rm -f imm; no mv app q; no ln imm l; no chmod 700 imm; no touch imm
  no rm -f app; no rmdir idir; : >other; no mv other imm; rm other
  echo y >>noat; echo z >>app; lsattr -d noat app imm dir | cut -c5,6,8
  chattr -i imm; echo w >>imm; : >new; chattr +i new; no bash -c 'echo x >>new'; no rm -f new; chattr -i new; rm new
  chattr -a app; cat imm app noat`;
const OUTCOME = [
  'no bash -c echo x >>imm',
  'no bash -c : >app',
  'no rm -f imm',
  'no mv app q',
  'no ln imm l',
  'no chmod 700 imm',
  'no touch imm',
  'no rm -f app',
  'no rmdir idir',
  'no mv other imm',
  '--A',
  '-a-',
  'i--',
  '---',
  'no bash -c echo x >>new',
  'no rm -f new',
  ...['imm', 'w', 'app', 'z', 'noat', 'y'],
];

for (const kind of kinds) {
  void t.test(`file flags on ${kind.name}`, t => {
    const stage = setStage(t, kind, {
      layers: 'cd l1; for f in imm app noat; do echo $f >$f; done; mkdir dir idir',
    });
    stage.sh('cd l1; chattr +i imm idir; chattr +a app; chattr +A noat');
    stage.scratch.defer(() => stage.sh('chattr -i l1/imm l1/idir; chattr -a l1/app'));
    stage.mount();
    t.equal(stage.in(TRIED), `${OUTCOME.join('\n')}\n`);
    t.equal(stage.sh('lsattr -d l1/imm l1/app | cut -c5,6'), 'i-\n-a\n');
    t.end();
  });
}

void t.test('xattr_permissions keeps owners and modes in notes', t => {
  const stage = setStage(t, laminafs, {
    layers: 'echo 1 >l1/f; chown 7:8 l1/f; chmod 640 l1/f; mkdir -m 2770 l1/d; chown 9:9 l1/d',
    lamina: ['xattr_permissions=2'],
  });
  const stat = 'stat -c "%n %u:%g %a" f d n d/sub | sort';
  stage.mount();
  stage.in(
    'echo 2 >>f; touch n; chown 5:6 n; chmod 4755 n; mkdir d/sub; chmod 700 d/sub; setpriv --reuid 9 --regid 9 --clear-groups touch d/own',
  );
  const shown = 'd 9:9 2770\nd/sub 0:0 700\nf 7:8 640\nn 5:6 4755\n';
  t.equal(stage.in(stat), shown);
  t.equal(stage.in('stat -c %u:%g d/own'), '9:9\n');
  stage.mount();
  t.equal(stage.in(stat), shown, 'after a remount');
  t.equal(stage.sh('find upper -not -uid 0 -o -not -gid 0'), '', 'the real files are the daemon’s');
  t.equal(stage.in('getfattr -d -m - n 2>/dev/null'), '', 'the notes are not shown');
  t.end();
});

void t.test('what cannot hold a note keeps its owner and mode itself', t => {
  const stage = setStage(t, laminafs, {
    layers: 'mkfifo -m 640 l1/p; ln -s x l1/s; chown -h 7:8 l1/p l1/s; : >l1/white',
    lamina: ['xattr_permissions=2'],
  });
  const stat = 'stat -c "%n %u:%g %a" link made p s special white | sort';
  stage.mount();
  stage.in(
    'mkfifo -m 604 made; chown 5:6 made; mknod special c 1 3; chmod 400 special; chown -h 9:9 s; chmod 600 p',
  );
  stage.in('rm white; mkfifo -m 606 white; ln -s x link; chown -h 3:4 link');
  const shown = 'link 3:4 777\nmade 5:6 604\np 7:8 600\ns 9:9 777\nspecial 0:0 400\nwhite 0:0 606\n';
  t.equal(stage.in(stat), shown);
  stage.mount();
  t.equal(stage.in(stat), shown, 'after a remount');
  t.end();
});

void t.test('a volatile mount that did not end cleanly is not mounted again', t => {
  const stage = setStage(t, laminafs, { layers: 'echo 1 >l1/f', lamina: ['volatile'] });
  const mark = `${stage.work}/work/incompat/volatile/dirty`;
  stage.mount();
  t.ok(existsSync(mark), 'marked while it is mounted');
  stage.in('echo 2 >>f; sync f');
  stage.umount();
  t.notOk(existsSync(mark), 'a clean end takes the mark away');
  const mounted = stage.mount();
  process.kill(mounted.daemon!, 'SIGKILL');
  waitGone(mounted.daemon!);
  stage.umount();
  const { lowers, upper, work, mnt: mountpoint } = stage;
  const again = lamina(['mount', '-o', optionString({ lowers, upper, work, mountpoint }), mountpoint]);
  t.equal(again.status, 1);
  t.match(again.stderr, /volatile mount that did not end cleanly/);
  // As containers-storage does before it mounts: the directory of all such marks stays.
  stage.sh('rm -r work/work/incompat/volatile');
  stage.mount({ options: [] });
  t.equal(stage.in('cat f'), '1\n2\n');
  t.end();
});

void t.test('fsync=strict copies up, and shows the same', t => {
  const stage = setStage(t, laminafs, {
    layers: 'mkdir -p l1/a/b; echo 1 >l1/a/b/f',
    lamina: ['fsync=strict'],
  });
  stage.mount();
  t.equal(stage.in('echo 2 >>a/b/f; mkdir a/b/c; cat a/b/f; ls a/b'), '1\n2\nc\nf\n');
  t.end();
});

void t.test('trusted attributes are listed for the privileged only', t => {
  const stage = setStage(t, laminafs, {
    layers: ': >l1/f; setfattr -n trusted.x -v 1 l1/f; setfattr -n user.y -v 2 l1/f',
  });
  stage.mount();
  const list = 'getfattr -m - f 2>/dev/null | grep -v ^#; true';
  t.match(stage.in(list), 'trusted.x');
  t.notMatch(stage.in(`setpriv --reuid 1000 --regid 1000 --clear-groups bash -c '${list}'`), 'trusted.x');
  t.end();
});

void t.test('the content of a small lower file comes with its first open', t => {
  const stage = setStage(t, laminafs, {
    layers: 'echo small >l1/small; head -c 100000 /dev/urandom >l1/large; printf x%.0s {1..5000} >l1/page',
    lamina: ['debug'],
  });
  const log = stage.scratch.path('log');
  stage.mount({ env: { LAMINA_LOG: log } });
  stage.sh('for f in small page large; do cmp l1/$f mnt/$f; done; cmp l1/small mnt/small');
  const reads = () =>
    readFileSync(log, 'utf8')
      .split('\n')
      .filter(line => /\bREAD\b/.test(line)).length;
  const large = reads();
  t.ok(large > 0, 'large files are read');
  stage.sh('cmp l1/small mnt/small; cmp l1/page mnt/page');
  t.equal(reads(), large, 'small ones are not');
  stage.in('echo changed >small; cat small; echo y >>page; tail -c 2 page');
  t.equal(stage.in('cat small; wc -c <page'), 'changed\n5002\n', 'and what is written is what is read');
  t.end();
});
