// Buildah with `lamina` as its mount program, beside fuse-overlayfs and kernel overlayfs: the same steps, the same output.
import t from 'tap';
import { ENDED, playSteps, type Step } from '../support/engine-steps.js';
import { openStore, subjects } from '../support/engine-store.js';

const MAPS = '--userns-uid-map 0:100000:65536 --userns-gid-map 0:100000:65536';

const steps: Step[] = [
  {
    name: 'from, run',
    run: `podman import -q - localhost/base:1 <rootfs.tar >/dev/null; buildah from --name work localhost/base:1
      buildah run work -- sh -c 'echo new >/new; echo more >>/etc/conf; rm /dir/two; mkfifo /pipe; chown 5:6 /new; ls -A /dir'
      buildah run work -- cat /etc/conf`,
    says: 'work\none\nthree\nold\nmore\n',
  },
  {
    name: 'copy, mount, umount',
    run: `buildah copy -q work context /context >/dev/null; buildah copy -q --chown 7:8 work context/a /dir/a >/dev/null
      m=$(buildah mount work); ls -A $m; ls -A $m/context; stat -c %u:%g $m/dir/a; echo host >$m/dir/host; buildah umount work >/dev/null; gone $m
      test -e $m/dir || echo unmounted`,
    says: 'bin\ncontext\ndev\ndir\netc\nnew\npipe\nproc\nrun\nsys\ntmp\nDockerfile\na\nb\n7:8\nunmounted\n',
  },
  {
    name: 'commit: the layer, and a container of the image',
    run: `buildah commit -q work localhost/made:1 >/dev/null; buildah rm work >/dev/null; mkdir saved
      podman save -q --format docker-dir -o saved localhost/made:1
      top=$(podman inspect -f '{{json .RootFS.Layers}}' localhost/made:1 | grep -oE '[0-9a-f]{64}' | tail -n 1); listing <saved/$top | grep -v ' context'
      podman run --rm localhost/made:1 sh -c 'cat /dir/* /etc/conf'`,
    says: `drwxr-xr-x 0/0 0 dev/
drwxr-xr-x 0/0 0 dir/
---------- 0/0 0 dir/.wh.two
-rw-r--r-- 7/8 6 dir/a
-rw-r--r-- 0/0 5 dir/host
drwxr-xr-x 0/0 0 etc/
-rw-r--r-- 0/0 9 etc/conf
-rwxr-xr-x 0/0 0 etc/hostname
-rwxr-xr-x 0/0 0 etc/hosts
-rwxr-xr-x 0/0 0 etc/resolv.conf
-rw-r--r-- 5/6 4 new
prw-r--r-- 0/0 0 pipe
drwxr-xr-x 0/0 0 proc/
drwxr-xr-x 0/0 0 run/
drwxr-xr-x 0/0 0 sys/
first
host
one
three
old
more
`,
  },
  {
    name: 'bud, without and with layers',
    run: `buildah bud -q -t localhost/app:1 context >/dev/null; podman inspect -f '{{len .RootFS.Layers}}' localhost/app:1
      buildah bud -q --layers -t localhost/app:2 context >/dev/null; echo other >context/b
      buildah bud --layers -t localhost/app:2 context | grep -c 'Using cache'; podman inspect -f '{{len .RootFS.Layers}}' localhost/app:2
      for app in 1 2; do podman run --rm localhost/app:$app sh -c 'cat /d/* /etc/conf; ls -A /dir'; done`,
    says: '2\n3\n6\nfirst\nsecond\ny\nold\nmore\nnew\nfirst\nother\ny\nold\nmore\nnew\n',
  },
  {
    // fuse-overlayfs cannot run it. With kernel overlayfs its root may not write to /, and the ids of the host are committed.
    name: 'a container with mapped ids, and an image of it',
    run: `buildah from --name mapped ${MAPS} localhost/base:1; buildah copy -q mapped context/a /a >/dev/null
      buildah run mapped -- sh -c 'echo m >>/dir/three; touch /own; chown 5:6 /own; stat -c "%n %u:%g" /a /dir/three /own'
      buildah commit -q mapped localhost/mapped:1 >/dev/null; buildah rm mapped >/dev/null
      podman run --rm localhost/mapped:1 stat -c '%n %u:%g' /a /dir/three /own`,
    says: `mapped\n${'/a 0:0\n/dir/three 12:34\n/own 5:6\n'.repeat(2)}`,
    without: ['fuse-overlayfs', 'overlay'],
  },
  {
    name: 'nothing is left',
    run: 'buildah containers -q; buildah rmi -a -f >/dev/null; ls $R/l; grep -c "$R/.*/merged" /proc/self/mountinfo || true',
    says: '0\n',
  },
];

t.jobs = subjects.length;
for (const subject of subjects) {
  void t.test(subject.name, { timeout: 300_000 }, t =>
    playSteps(t, openStore(t, subject), [...steps, ENDED]),
  );
}
