// Podman with `lamina` as its mount program, beside fuse-overlayfs and kernel overlayfs: the life of an image and of
// containers, step by step, with the same output.
import t from 'tap';
import { ENDED, playSteps, type Step } from '../support/engine-steps.js';
import { openStore, subjects } from '../support/engine-store.js';

const SHOWN = "grep -oE '^STEP.*|Using cache|^COMMIT.*'";
const STEPS = [
  'STEP 1/6: FROM localhost/base:1\n',
  'STEP 2/6: RUN mkdir /d && echo x >/d/x && echo y >/d/y\n',
  'STEP 3/6: COPY a /d/a\n',
  'STEP 4/6: RUN rm /d/x && echo more >>/etc/conf\n',
  'STEP 5/6: COPY b /d/b\n',
  'STEP 6/6: RUN rm -r /dir && mkdir /dir && echo n >/dir/new\n',
];

/** What a build shows when the results of the steps 2 to `cached` are found. */
function built(cached: number): string {
  const lines = STEPS.map((line, i) => line + (i > 0 && i < cached ? 'Using cache\n' : ''));
  return `${lines.join('')}COMMIT localhost/app:1\n`;
}

const CHANGE = `echo new >/new; echo more >>/etc/conf; rm -r /d; mkdir /d; echo z >/d/z; mv /dir/new /dir/moved
  ln -s x /link; chmod 700 /etc/passwd; mkfifo -m 604 /pipe; touch /dir/own; chown 5:6 /dir/own; chmod 4750 /dir/own`;

/** What of it `podman diff` shows of a union that deletes name by name. */
const CHANGED = `A /d/z
A /dir/moved
A /dir/own
A /link
A /new
A /pipe
C /d
C /dir
C /etc
C /etc/conf
C /etc/passwd
D /d/a
D /d/b
D /d/y
D /dir/new
`;

/** What the commit adds and changes beside what it deletes. */
const LAYER = `-rw-r--r-- 0/0 5 dir/host
-rw-r--r-- 0/0 6 dir/moved
-rwsr-x--- 5/6 0 dir/own
drwxr-xr-x 0/0 0 etc/
-rw-r--r-- 0/0 19 etc/conf
lrwxrwxrwx 0/0 0 etc/mtab -> /proc/mounts
-rwx------ 0/0 22 etc/passwd
lrwxrwxrwx 0/0 0 link -> x
-rw-r--r-- 0/0 4 new
prw----r-- 0/0 0 pipe
drwxr-xr-x 0/0 0 run/
-rwxr-xr-x 0/0 0 run/.containerenv
drwxrwxrwt 0/0 0 tmp/
drwxr-xr-x 0/0 0 tmp/context/
-rw-r--r-- 0/0 177 tmp/context/Dockerfile
-rw-r--r-- 0/0 6 tmp/context/a
-rw-r--r-- 0/0 6 tmp/context/b
`;

/**
 * Waits until what podman does behind a container's end (conmon, and the clean-up that it becomes) has ended; 1: it had. podman 4.3
 * now and then leaves the /dev/shm of a container with --uidmap mounted, whoever mounts its root, and cannot remove it then.
 */
const CLEANED = `timeout 60 pidwait -f -- "[c]onmon .*$PWD/root|$PWD/root .*container [c]leanup" || [ $? = 1 ]
  for shm in $(findmnt -rno TARGET | grep "^$PWD/root/overlay-containers/.*/userdata/shm$"); do umount $shm; done`;

const images: Step[] = [
  {
    name: 'info',
    run: `podman info --format '{{.Store.GraphDriverName}} {{index .Store.GraphStatus "Native Overlay Diff"}}'`,
    says: 'overlay false\n',
    overlay: 'overlay true\n',
  },
  {
    name: 'import',
    run: 'podman import -q - localhost/base:1 <rootfs.tar >/dev/null; podman images --format "{{.Repository}}:{{.Tag}}"',
    says: 'localhost/base:1\n',
  },
  { name: 'build', run: `podman build -t localhost/app:1 context | ${SHOWN}`, says: built(0) },
  { name: 'build again', run: `podman build -t localhost/app:1 context | ${SHOWN}`, says: built(6) },
  {
    name: 'build with a copied file changed',
    run: `echo other >context/b; podman build -t localhost/app:1 context | ${SHOWN}`,
    says: built(4),
  },
  {
    name: 'layers and content of the image',
    run: `podman inspect -f '{{len .RootFS.Layers}}' localhost/app:1
      podman run --rm localhost/app:1 sh -c 'cat /d/* /etc/conf; ls -A /d /dir'`,
    says: '6\nfirst\nother\ny\nold\nmore\n/d:\na\nb\ny\n\n/dir:\nnew\n',
  },
  {
    name: "deletions are in the engine's AUFS form",
    run: "find $R -path '*/diff/*' -name '.wh.*' -printf '%f\\n' | sort -u",
    says: '.wh.one\n.wh.three\n.wh.two\n.wh.x\n',
    overlay: '',
  },
  {
    name: 'no container and no layer is left of run --rm',
    run: `find $R -mindepth 2 -maxdepth 2 -name diff | wc -l; podman run --rm localhost/app:1 touch /new
      find $R -mindepth 2 -maxdepth 2 -name diff | wc -l; podman ps -aq`,
    says: '8\n8\n',
  },
];

const containers: Step[] = [
  {
    name: 'run',
    run: `podman run --name work localhost/app:1 sh -c '${CHANGE}; cat /etc/conf; ls -A / /dir'; ${CLEANED}`,
    says: 'old\nmore\nmore\n/:\nbin\nd\ndev\ndir\netc\nlink\nnew\npipe\nproc\nrun\nsys\ntmp\n\n/dir:\nmoved\nown\n',
  },
  {
    name: 'a new file is in the writable layer and not in the image',
    run: `cat $(upper work)/new; podman run --rm localhost/app:1 ls /new 2>&1 || true`,
    says: 'new\nls: /new: No such file or directory\n',
  },
  {
    name: 'appending copies up, and the image keeps what it had',
    run: `cat $(upper work)/etc/conf; podman run --rm localhost/app:1 cat /etc/conf`,
    says: 'old\nmore\nmore\nold\nmore\n',
  },
  {
    name: 'diff',
    run: 'podman diff work | sort',
    says: CHANGED,
    without: ['fuse-overlayfs'],
    overlay: `A /d/z
A /dir/moved
A /dir/own
A /link
A /new
A /pipe
C /dir
C /etc
C /etc/conf
C /etc/passwd
D /d
D /dir/new
`,
  },
  {
    // fuse-overlayfs marks a directory that was made anew as opaque, or not, as it comes.
    name: 'diff, but for a directory made anew',
    run: "podman diff work | sort | grep -v '^D /d/'",
    says: CHANGED.replace(/^D \/d\/.*\n/gm, ''),
    without: ['lamina', 'overlay'],
  },
  {
    name: 'mount, umount',
    run: `m=$(podman mount work); ls -A $m/d; echo host >$m/dir/host; podman mount work >/dev/null; podman umount work >/dev/null
      cat $m/dir/host; podman umount work >/dev/null; gone $m; test -e $m || echo unmounted; cat $(upper work)/dir/host`,
    says: 'z\nhost\nunmounted\nhost\n',
  },
  {
    name: 'cp, both ways',
    run: `podman cp context work:/tmp/context; podman cp context/a work:/dir/moved; podman cp work:/dir - | listing
      podman cp work:/new out; cat out; podman run --rm localhost/app:1 ls /tmp`,
    says: `drwxr-xr-x 0/0 0 dir
-rw-r--r-- 0/0 5 dir/host
-rw-r--r-- 0/0 6 dir/moved
-rwsr-x--- 0/0 0 dir/own
new
`,
  },
  {
    name: 'export',
    run: `podman export work | listing | grep -v ' bin/.'`,
    says: `drwxr-xr-x 0/0 0 bin/
drwxr-xr-x 0/0 0 d/
-rw-r--r-- 0/0 2 d/z
drwxr-xr-x 0/0 0 dev/
drwxr-xr-x 0/0 0 dir/
-rw-r--r-- 0/0 5 dir/host
-rw-r--r-- 0/0 6 dir/moved
-rwsr-x--- 5/6 0 dir/own
drwxr-xr-x 0/0 0 etc/
-rw-r--r-- 0/0 14 etc/conf
-rwxr-xr-x 0/0 0 etc/hostname
-rwxr-xr-x 0/0 0 etc/hosts
lrwxrwxrwx 0/0 0 etc/mtab -> /proc/mounts
-rwx------ 0/0 22 etc/passwd
-rwxr-xr-x 0/0 0 etc/resolv.conf
lrwxrwxrwx 0/0 0 link -> x
-rw-r--r-- 0/0 4 new
prw----r-- 0/0 0 pipe
drwxr-xr-x 0/0 0 proc/
drwxr-xr-x 0/0 0 run/
-rwxr-xr-x 0/0 0 run/.containerenv
drwxr-xr-x 0/0 0 sys/
drwxrwxrwt 0/0 0 tmp/
drwxr-xr-x 0/0 0 tmp/context/
-rw-r--r-- 0/0 177 tmp/context/Dockerfile
-rw-r--r-- 0/0 6 tmp/context/a
-rw-r--r-- 0/0 6 tmp/context/b
`,
  },
  {
    name: 'start again',
    run: `podman start work >/dev/null; podman wait work >/dev/null; ${CLEANED}; podman logs work 2>/dev/null | tail -n 2`,
    says: 'moved\nown\n',
  },
  {
    name: 'commit, and the layer that it makes',
    run: `podman commit -q work localhost/app:2 >/dev/null; mkdir saved
      podman save -q --format docker-dir -o saved localhost/app:2
      top=$(podman inspect -f '{{json .RootFS.Layers}}' localhost/app:2 | grep -oE '[0-9a-f]{64}' | tail -n 1)
      for blob in saved/*; do if [ "$(basename $blob)" = $top ]; then listing <$blob; fi; done`,
    says: `drwxr-xr-x 0/0 0 d/
---------- 0/0 0 d/.wh.a
---------- 0/0 0 d/.wh.b
---------- 0/0 0 d/.wh.y
-rw-r--r-- 0/0 2 d/z
drwxr-xr-x 0/0 0 dir/
---------- 0/0 0 dir/.wh.new
${LAYER}`,
    without: ['fuse-overlayfs'],
    overlay: `drwxr-xr-x 0/0 0 d/
-rwxr-xr-x 0/0 0 d/.wh..wh..opq
-rw-r--r-- 0/0 2 d/z
drwxr-xr-x 0/0 0 dir/
---------- 0/0 0 dir/.wh.new
${LAYER}`,
  },
  {
    name: 'commit, and the layer that it makes, but for a directory made anew',
    run: `podman commit -q work localhost/app:2 >/dev/null; mkdir saved
      podman save -q --format docker-dir -o saved localhost/app:2
      top=$(podman inspect -f '{{json .RootFS.Layers}}' localhost/app:2 | grep -oE '[0-9a-f]{64}' | tail -n 1)
      for blob in saved/*; do if [ "$(basename $blob)" = $top ]; then listing <$blob | grep -v ' d/.wh.'; fi; done`,
    says: `drwxr-xr-x 0/0 0 d/
-rw-r--r-- 0/0 2 d/z
drwxr-xr-x 0/0 0 dir/
---------- 0/0 0 dir/.wh.new
${LAYER}`,
    without: ['lamina', 'overlay'],
  },
];

const MAPPED = '--uidmap 0:100000:65536 --gidmap 0:100000:65536';
const OWNERS = `stat -c "%n %u:%g %a" / /etc/mtab /dir/three /d /d/m /e`;

// fuse-overlayfs 1.10 cannot start such a container. Kernel overlayfs can, and commits the ids of the host.
const mapped: Step[] = [
  {
    name: 'run --uidmap',
    run: `podman run --name mapped ${MAPPED} localhost/base:1 sh -c 'echo a >>/dir/three; mkdir /d; echo m >/d/m; chown 5:6 /d/m
      chmod 4711 /d/m; rm /dir/one; touch /e; ${OWNERS}; cat /proc/self/uid_map' | sed 's/  */ /g'; ${CLEANED}`,
    says: '/ 0:0 555\n/etc/mtab 0:0 777\n/dir/three 12:34 640\n/d 0:0 755\n/d/m 5:6 4711\n/e 0:0 644\n 0 100000 65536\n',
    without: ['fuse-overlayfs'],
  },
  {
    name: '--uidmap: diff, start again',
    run: `podman diff mapped | sort; podman start -a mapped | tail -n 2 | sed 's/  */ /g'; ${CLEANED}`,
    says: 'A /d\nA /d/m\nA /e\nC /dir\nC /dir/three\nC /etc\nD /dir/one\n/e 0:0 644\n 0 100000 65536\n',
    overlay: 'A /d\nA /d/m\nA /e\nC /dir\nC /dir/three\nC /etc\nD /dir/one\n/e 0:0 644\n 0 100000 65536\n',
    without: ['fuse-overlayfs'],
  },
  {
    name: '--uidmap: the image that is committed has the owners of the container, whoever runs it',
    run: `podman commit -q mapped localhost/mapped:1 >/dev/null; podman rm mapped >/dev/null
      for map in '' '${MAPPED}' '--uidmap 0:1000:65536 --gidmap 0:1000:65536'; do
        podman run --rm $map localhost/mapped:1 sh -c '${OWNERS}; ls -A /dir'; done`,
    says: `/ 0:0 555
/etc/mtab 0:0 777
/dir/three 12:34 640
/d 0:0 755
/d/m 5:6 4711
/e 0:0 644
three
two
`.repeat(3),
    without: ['fuse-overlayfs', 'overlay'],
  },
  {
    name: '--uidmap with a single id',
    run: `podman run --rm --uidmap 0:1000:1 --gidmap 0:1000:1 localhost/base:1 sh -c 'echo x >/x; stat -c "%n %u:%g" /x /dir/three'`,
    says: '/x 0:0\n/dir/three 0:0\n',
    without: ['fuse-overlayfs', 'overlay'],
  },
];

const ends: Step[] = [
  {
    name: 'image mount',
    run: `m=$(podman image mount localhost/app:2); ls -A $m/d; { touch $m/x 2>&1 || true; } | grep -o 'Read-only.*'; podman image umount localhost/app:2 >/dev/null
      gone $m; test -e $m || echo unmounted`,
    says: 'z\nRead-only file system\nunmounted\n',
  },
  {
    name: 'save, rmi, load',
    run: `podman save -q -o saved.tar localhost/app:2; podman rmi localhost/app:2 >/dev/null; podman load -q -i saved.tar
      podman run --rm localhost/app:2 sh -c 'stat -c "%n %u:%g %a" /d/z /dir/* /pipe'`,
    says: 'Loaded image: localhost/app:2\n/d/z 0:0 644\n/dir/host 0:0 644\n/dir/moved 0:0 644\n/dir/own 5:6 4750\n/pipe 0:0 604\n',
  },
  {
    name: 'rm: the file vanishes and the daemon ends',
    run: `podman run -d --name still localhost/app:2 sh -c 'echo 1 >/here; sleep 1000' >/dev/null; podman exec still sh -c 'until test -e /here; do sleep 0.1; done'
      m=$(podman inspect -f '{{.GraphDriver.Data.MergedDir}}' still); u=$(upper still); ls $u; test -z "$(daemon $m)" || echo served
      podman rm -f -t 0 still >/dev/null; gone $m; test ! -e $u && echo vanished`,
    says: 'here\nserved\nvanished\n',
    overlay: 'here\nvanished\n',
  },
  {
    name: 'rmi: nothing is left',
    run: `${CLEANED}; podman rm -a >/dev/null; podman rmi -a -f >/dev/null; ls $R/l; find $R -mindepth 2 -maxdepth 2 -name diff`,
    says: '',
  },
];

t.jobs = subjects.length;
for (const subject of subjects) {
  void t.test(subject.name, { timeout: 600_000 }, async t => {
    const store = openStore(t, subject);
    await playSteps(t, store, [...images, ...containers, ...mapped, ...ends, ENDED]);
  });
}
