// Podman as an ordinary user, with `lamina`, fuse-overlayfs and kernel overlayfs: the same steps, the same output.
import t from 'tap';
import { playRootless } from '../support/engine-rootless.js';
import { ENDED, type Step } from '../support/engine-steps.js';
import { subjects } from '../support/engine-store.js';

const OWNERS = 'stat -c "%n %u:%g %a" / /etc/mtab /dir/three';

const steps: Step[] = [
  {
    name: 'who it is',
    run: `id -u; podman info --format '{{.Host.Security.Rootless}} {{.Store.GraphDriverName}}' 2>/dev/null`,
    says: '7777\ntrue overlay\n',
  },
  {
    name: 'import, run',
    run: `podman import -q - localhost/base:1 <rootfs.tar >/dev/null
      podman run --rm localhost/base:1 sh -c 'id; ${OWNERS}; echo more >>/etc/conf; cat /etc/conf; chown 5:6 /etc/conf; rm -r /dir; mkdir /dir
        ls -A /dir; mv /tmp /moved; mkfifo /pipe; stat -c "%u:%g" /etc/conf; dd if=/dev/zero of=/x bs=1M count=1 2>/dev/null; stat -c %s /x'`,
    says: 'uid=0(root) gid=0\n/ 0:0 555\n/etc/mtab 0:0 777\n/dir/three 12:34 640\nold\nmore\n5:6\n1048576\n',
  },
  {
    name: '--uidmap',
    run: `podman run --rm --uidmap 0:1:1000 --gidmap 0:1:1000 localhost/base:1 sh -c '${OWNERS}; touch /new; chown 5:6 /new
      stat -c "%n %u:%g" /new; cat /proc/self/uid_map' | sed 's/  */ /g'`,
    says: '/ 0:0 555\n/etc/mtab 0:0 777\n/dir/three 12:34 640\n/new 5:6\n 0 1 1000\n',
  },
  {
    name: '--userns=keep-id',
    run: `podman run --rm --userns=keep-id localhost/base:1 sh -c 'id -u; ${OWNERS}; touch /new 2>&1 || true; touch /tmp/new; stat -c %u /tmp/new'`,
    says: '7777\n/ 0:0 555\n/etc/mtab 0:0 777\n/dir/three 12:34 640\ntouch: /new: Permission denied\n7777\n',
  },
  {
    name: 'build, with the cache',
    run: `podman build -q -t localhost/app:1 context >/dev/null; echo other >context/b
      podman build -t localhost/app:1 context | grep -c 'Using cache'; podman run --rm localhost/app:1 sh -c 'cat /d/* /etc/conf; ls -A /dir'`,
    says: '3\nfirst\nother\ny\nold\nmore\nnew\n',
  },
  {
    name: 'diff, commit, image mount',
    run: `podman run --name work localhost/app:1 sh -c 'rm /d/y; echo m >>/etc/conf; echo 1 >/dir/fresh; chown 3:4 /dir/fresh'; podman diff work | sort
      podman commit -q work localhost/app:2 >/dev/null; podman rm work >/dev/null
      podman unshare sh -c 'm=$(podman image mount localhost/app:2); stat -c "%u:%g" $m/dir/fresh; ls -A $m/d; podman image umount localhost/app:2 >/dev/null'`,
    says: 'A /dir/fresh\nC /d\nC /dir\nC /etc\nC /etc/conf\nD /d/y\n3:4\na\nb\n',
  },
  {
    name: 'rm: the daemon ends',
    run: `podman run -d --name still localhost/app:1 sleep 1000 >/dev/null; m=$(podman inspect -f '{{.GraphDriver.Data.MergedDir}}' still)
      test -z "$(daemon $m)" || echo served; podman rm -f -t 0 still >/dev/null; gone $m; podman rmi -a -f >/dev/null; ls $R/l`,
    says: 'served\n',
    overlay: '',
  },
];

t.jobs = subjects.length;
for (const subject of subjects) {
  void t.test(subject.name, { timeout: 300_000 }, t => playRootless(t, subject, [...steps, ENDED]));
}
