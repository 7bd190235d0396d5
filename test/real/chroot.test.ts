// Real work in a real root file system: a Debian system in two layers, used as a container uses it. Each test plays over
// lamina and over kernel overlayfs, and the lower layers must be untouched afterwards.
import { existsSync } from 'node:fs';
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { type Kind, kinds, type Mounted, overlayfs, sh } from '../support/daemon.js';
import { fingerprint, rubbish, tree } from '../support/daemon-tree.js';
import { debianLayers } from '../support/rootfs.js';

type Test = import('tap').Test;

interface System {
  readonly t: Test;
  readonly root: string;
  readonly mounted: Mounted;
  /** Runs a script in the chroot. */
  in(script: string): string;
}

async function inDebian(t: Test, kind: Kind, play: (system: System) => void): Promise<void> {
  const s = scratch(t, 'debian');
  const lowers = debianLayers();
  const before = fingerprint(...lowers);
  const view = { lowers, upper: s.mkdir('upper'), work: s.mkdir('work'), mountpoint: s.mkdir('root') };
  const mounted = kind.mount(view);
  sh(
    `mount -t proc proc proc; mount --bind /dev dev; mount -t tmpfs tmpfs run
     cp -L /etc/resolv.conf etc/resolv.conf; echo 127.0.0.1 localhost >etc/hosts`,
    { cwd: view.mountpoint },
  );
  const environment = { DEBIAN_FRONTEND: 'noninteractive', HOME: '/root', root: view.mountpoint };
  const options = { cwd: view.mountpoint, env: environment, timeout: 300_000 };
  play({ t, root: view.mountpoint, mounted, in: script => sh(`chroot . bash -euc '${script}'`, options) });
  sh('umount proc dev run', { cwd: view.mountpoint });
  const seen = tree(view.mountpoint);
  mounted.umount();
  t.equal(fingerprint(...lowers), before, 'the lower layers are what they were');
  if (kind.name === 'overlayfs') return;
  t.strictSame(rubbish(view.work), [], 'nothing is left in the work directory');
  const kernel = overlayfs.mount(view);
  t.strictSame(tree(view.mountpoint), seen, 'kernel overlayfs shows the same system');
  kernel.umount();
}

function packages(system: System): void {
  const { t, root } = system;
  system.in('apt-get -q update; cd /root; apt-get -q download hello hostname');
  system.in('dpkg -i /root/hello_*.deb');
  t.match(system.in('hello -g "it runs"; dpkg -s hello'), /it runs[\s\S]*install ok installed/, 'dpkg -i');
  system.in('dpkg -i /root/hostname_*.deb; dpkg --verify hostname');
  t.pass('a package of the base is replaced by itself');
  system.in('apt-get -q -y --no-install-recommends install less ed');
  t.match(
    system.in('printf "%s\\n" a b | ed -s /dev/stdin; less --version; dpkg --audit'),
    /less \d/,
    'apt-get install',
  );
  system.in('apt-get -q -y purge ed hello; apt-get -q -y --allow-remove-essential autoremove');
  t.notOk(existsSync(`${root}/usr/bin/hello`), 'apt-get purge');
  t.equal(
    system.in('dpkg --verify 2>&1 | grep -v " c " || true'),
    '',
    'every file of every package is what dpkg wrote',
  );
}

function programs(system: System): void {
  const { t } = system;
  system.in(`mkdir /src; cd /src; for i in {1..40}; do echo "int f$i(int x) { return x + $i; }" >f$i.c; done
    { for i in {1..40}; do echo "int f$i(int);"; done; echo "#include <stdio.h>"; echo "int main(void) { int x = 0;"
    for i in {1..40}; do echo "x = f$i(x);"; done; echo "printf(\\"%d\\\\n\\", x); return 0; }"; } >main.c
    for f in *.c; do gcc -O1 -c $f; done; gcc -o sum *.o`);
  t.equal(system.in('/src/sum'), '820\n', 'a C program is compiled, linked and run');
  system.in(
    'cp /bin/ls /usr/bin/gcc /src; strip /src/ls; rm /usr/bin/gcc; mv /src/gcc /usr/bin/gcc; gcc --version',
  );
  t.pass('a lower program is replaced while it is there');
  system.in(
    'cp -a /usr/lib/git-core /gc; rm -rf /usr/lib/git-core; mkdir /usr/lib/git-core; cp -a /gc/. /usr/lib/git-core',
  );
  t.equal(
    system.in('diff -r /gc /usr/lib/git-core && git --exec-path'),
    '/usr/lib/git-core\n',
    'rm -rf and recreate',
  );
}

function repository(system: System): void {
  const { t } = system;
  const files = system.in(
    'cd /usr; git init -q; git config user.email a@b; git config user.name n; git config gc.auto 0; git add share include; git ls-files | wc -l',
  );
  t.ok(Number(files) > 3000, `${files.trim()} files are added to a repository over a lower tree`);
  system.in('cd /usr; git commit -qm first; git status --porcelain -uno');
  t.equal(
    system.in('cd /usr; git status --porcelain -- share include'),
    '',
    'nothing has changed after the commit',
  );
  system.in(
    'cd /usr; echo x >>share/common-licenses/GPL-3; rm include/stdio.h; git mv include/stdlib.h include/s.h',
  );
  t.equal(
    system.in('cd /usr; git status --porcelain -- share include | sort'),
    ' D include/stdio.h\n M share/common-licenses/GPL-3\nR  include/stdlib.h -> include/s.h\n',
  );
  system.in(
    'cd /usr; git checkout -q -- include/stdio.h share; git mv include/s.h include/stdlib.h; git fsck --no-progress; git gc -q',
  );
  t.equal(system.in('cd /usr; git status --porcelain -- share include'), '', 'and back');
}

for (const [name, play] of Object.entries({ packages, programs, repository })) {
  void t.test(name, { timeout: 600_000 }, async t => {
    for (const kind of kinds) await t.test(kind.name, t => inDebian(t, kind, play));
  });
}
