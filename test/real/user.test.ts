// As an ordinary user, through fusermount3: mount, change, white out, unmount, remount. Everything runs in one mount
// namespace in which /dev/fuse is open to all, as udev makes it on an ordinary machine.
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { MAIN, overlayfs, run, sh } from '../support/daemon.js';
import { fingerprint } from '../support/daemon-tree.js';

/** Where this checkout is may be closed to others; the user sees it elsewhere. */
const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

const PLAY = `
  cd "$S"
  lamina() { "$NODE" "$MAIN" "$@"; }
  mount_it() { lamina mount -o lowerdir=l1:l2,upperdir=upper,workdir=work$1 mnt; }
  mount_it ''; cd mnt
  cat a/one a/two; echo more >>a/two; rm a/one; rm -r dir; mkdir dir; echo n >dir/n; mv top a/moved; mkdir -m 750 own; ln a/two own/two
  chmod 600 a/two; ln -s x link; mkfifo pipe; setfattr -n user.mine -v 1 a/two
  chown root own 2>/dev/null && echo "chown worked"; ls -A . a dir
  cd ..; lamina umount mnt; mount_it ''; cd mnt
  echo again; ls -A . a dir; cat a/two dir/n; stat -c "%a %U" a/two own; stat -c %h a/two; getfattr --only-values -n user.mine a/two; echo
  rm -rf a; cd ..; fusermount3 -u mnt; mount_it ''; echo last; ls -A mnt; fusermount3 -u mnt; ls -A mnt
  mount_it ,size=2M; head -c 3M /dev/zero 2>&1 >mnt/big | grep -o "No space left"; rm mnt/big; echo fits >mnt/pipe2; rm mnt/pipe2
  [ $(($(stat -f -c "%b * %S" mnt))) = 2097152 ]; fusermount3 -u mnt`;

void t.test('an ordinary user', async t => {
  const s = scratch(t, 'user');
  for (const [file, text] of Object.entries({
    'l1/a/one': '1\n',
    'l2/a/two': '2\n',
    'l2/dir/old': 'o\n',
    'l2/top': 't\n',
  })) {
    s.write(file, text);
  }
  for (const dir of ['upper', 'work', 'mnt']) chownSync(s.mkdir(dir), 65534, 65534);
  sh('chown -R 65534:65534 l1 l2', { cwd: s.dir });
  chmodSync(s.dir, 0o755);
  const before = fingerprint(s.path('l1'), s.path('l2'));
  const setup = `mknod -m 666 "$S/fuse" c 10 229; mount --bind "$S/fuse" /dev/fuse
    mkdir "$S/checkout"; mount --bind "$CHECKOUT" "$S/checkout"
    exec setpriv --reuid 65534 --regid 65534 --clear-groups bash -euc "$PLAY"`;
  const env = {
    S: s.dir,
    NODE: process.execPath,
    MAIN: MAIN.replace(CHECKOUT, s.path('checkout')),
    CHECKOUT,
    PLAY,
  };
  const played = run(['unshare', '-m', 'bash', '-euc', setup], { env });
  t.equal(played.status, 0, played.stderr);
  const listing = '.:\na\ndir\nlink\nown\npipe\n\na:\nmoved\ntwo\n\ndir:\nn\n';
  t.equal(
    played.stdout,
    `1\n2\n${listing}again\n${listing}2\nmore\nn\n600 nobody\n750 nobody\n2\n1\nlast\ndir\nlink\nown\npipe\nNo space left\n`,
  );
  t.equal(fingerprint(s.path('l1'), s.path('l2')), before, 'the lower layers are what they were');
  const view = { lowers: [s.path('l1'), s.path('l2')], upper: s.path('upper'), work: s.path('work') };
  const kernel = overlayfs.mount({ ...view, mountpoint: s.path('mnt'), options: ['userxattr'] });
  t.equal(
    spawnSync('ls', ['-A', s.path('mnt')], { encoding: 'utf8' }).stdout,
    'dir\nlink\nown\npipe\n',
    'the kernel agrees',
  );
  kernel.umount();
});
