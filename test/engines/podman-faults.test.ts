// What podman says and does when a mount of `lamina` cannot be made or its daemon is killed, and containers with force_mask.
import t from 'tap';
import { ENDED, playSteps, type Step } from '../support/engine-steps.js';
import { alone, lamina, openStore } from '../support/engine-store.js';

const IMPORT: Step = {
  name: 'import',
  run: 'podman import -q - localhost/base:1 <rootfs.tar >/dev/null',
  says: '',
};

// The lines of podman's errors that come from the mount program.
const OURS = "grep -oE 'lamina: .*' | sed -E 's#/[^ ]*/(l/[A-Z0-9]+|merged)#PATH#g' | sort -u";

const refused: Step[] = [
  IMPORT,
  {
    name: 'a layer is missing: podman shows the sentence',
    run: `podman create --name broken localhost/base:1 cat /etc/conf >/dev/null
      low=$(podman inspect -f '{{.GraphDriver.Data.LowerDir}}' broken); mv $low aside
      { podman start broken 2>&1 || true; } | ${OURS}; mv aside $low; podman start -a broken`,
    says: 'lamina: lowerdir: PATH does not exist\nold\n',
  },
  {
    name: 'a bad option',
    run: `sed -i 's/^skip_mount_home.*/&\\nmountopt = "redirect_dir=sideways"/' storage.conf
      { podman run --rm localhost/base:1 true 2>&1 || true; } | ${OURS}; podman ps -aq | wc -l`,
    says: 'lamina: redirect_dir: must be one of on, follow, nofollow, off, not "sideways"\n1\n',
  },
  {
    name: 'options of the kernel and of nobody',
    run: `sed -i 's/sideways/on,nodev,metacopy=on,fsync=0,lazytime,nobodys=1/' storage.conf; podman run --rm localhost/base:1 cat /etc/conf`,
    says: 'old\n',
  },
];

const START = `podman run -d --name hit localhost/base:1 sh -c 'echo "$$" >>/here; sync; sleep 1000' >/dev/null
      podman exec hit sh -c 'until test -e /here; do sleep 0.1; done'; m=$(podman inspect -f '{{.GraphDriver.Data.MergedDir}}' hit)`;
const KILL = `m=$(podman inspect -f '{{.GraphDriver.Data.MergedDir}}' hit); kill -9 $(daemon $m); gone $m`;

const killed: Step[] = [
  IMPORT,
  {
    name: "the daemon holds none of its caller's streams",
    run: `${START}; for fd in 0 1 2; do readlink /proc/$(daemon $m)/fd/$fd; done`,
    says: '/dev/null\n'.repeat(3),
  },
  {
    name: 'kill -9: podman says that the daemon has died',
    run: `${KILL}; podman exec hit cat /here >/dev/null 2>&1 || echo "nothing runs any more"
      { podman diff hit 2>&1 || true; } | ${OURS}`,
    says: 'nothing runs any more\nlamina: mount point PATH is a mount whose daemon has died; unmount it first: ENOTCONN\n',
  },
  {
    name: 'it stops, and starts again with what it had written',
    run: `podman stop -t 0 hit >/dev/null; podman start hit >/dev/null
      podman exec hit sh -c 'until test $(wc -l </here) = 2; do sleep 0.1; done; cat /here'`,
    says: '1\n1\n',
  },
  {
    name: 'killed again: podman rm -f leaves nothing',
    run: `${KILL}; podman rm -f -t 0 hit >/dev/null; test -e $m || echo removed; grep -c $m /proc/self/mountinfo || true
      podman ps -aq; ls -d $R/*/ | grep -v '/l/$' | wc -l`,
    says: 'removed\n0\n1\n',
  },
  {
    name: 'the same with a container that syncs nothing',
    run: `podman run -d --rm --name hit localhost/base:1 sleep 1000 >/dev/null; ${KILL}; podman rm -f -t 0 hit >/dev/null
      podman run --rm localhost/base:1 cat /etc/conf; ls -d $R/*/ | grep -v '/l/$' | wc -l`,
    says: 'old\n1\n',
  },
];

// c/storage 1.43 keeps no setuid, setgid and sticky bits in its notes; a container of the image shows what is left.
const masked: Step[] = [
  IMPORT,
  {
    name: 'force_mask: owners and modes of the image are shown, and can be changed',
    run: `podman run --name masked localhost/base:1 sh -c 'stat -c "%n %u:%g %a" /dir/three; echo more >>/dir/three
      echo n >/new; chown 5:6 /new; chmod 4751 /new; mkfifo -m 604 /pipe; chown 7:8 /pipe; ln -s x /link; stat -c "%n %u:%g %a" /dir/three /new /pipe /link; rm /pipe'`,
    says: '/dir/three 12:34 640\n/dir/three 12:34 640\n/new 5:6 4751\n/pipe 7:8 604\n/link 0:0 777\n',
  },
  {
    name: 'force_mask: the files themselves are of who runs podman',
    run: `stat -c '%u:%g' $(upper masked)/new $(upper masked)/dir/three; getfattr --only-values -n user.containers.override_stat $(upper masked)/new 2>/dev/null`,
    says: '0:0\n0:0\n5:6:4751',
  },
  {
    name: 'force_mask: diff, and an image of it',
    run: `podman diff masked | sort; podman commit -q masked localhost/masked:1 >/dev/null
      podman run --rm localhost/masked:1 sh -c 'stat -c "%n %u:%g %a" /dir/three /new; cat /dir/three'`,
    says: 'A /link\nA /new\nC /dir\nC /dir/three\nC /etc\n/dir/three 12:34 640\n/new 5:6 751\nthree\nmore\n',
  },
];

const ended: Step[] = [
  IMPORT,
  {
    name: 'the mount has a process of its own, which ends with it',
    run: `${START}; ps -o args= -p $(daemon $m) | grep -o '^lamina mount /'; podman rm -f -t 0 hit >/dev/null; gone $m; test -e $m || echo removed`,
    says: 'lamina mount /\nremoved\n',
  },
];

const shared: Step[] = [
  IMPORT,
  {
    name: 'containers of a store share a process; the end of one takes nothing from another',
    run: `for name in one two; do podman run -d --name $name localhost/base:1 sleep 1000 >/dev/null; done
      of() { daemon $(podman inspect -f '{{.GraphDriver.Data.MergedDir}}' $1); }
      p=$(of one); test $p = $(of two) && ps -o args= -p $p | grep -c "^lamina mounts $R$"
      m=$(podman inspect -f '{{.GraphDriver.Data.MergedDir}}' one); podman rm -f -t 0 one >/dev/null; gone $m; podman exec two cat /etc/conf; test $p = $(of two)`,
    says: '1\nold\n',
  },
  {
    name: 'killed: all of them see it, and all start again with one new process',
    run: `podman run -d --name one localhost/base:1 sleep 1000 >/dev/null; kill -9 $(daemon $(podman inspect -f '{{.GraphDriver.Data.MergedDir}}' two))
      for name in one two; do podman exec $name cat /etc/conf >/dev/null 2>&1 || echo gone; podman stop -t 0 $name >/dev/null; podman start $name >/dev/null; podman exec $name cat /etc/conf; done
      pgrep -f "^lamina mounts $R$" | wc -l; podman rm -f -a -t 0 >/dev/null`,
    says: 'gone\nold\ngone\nold\n1\n',
  },
  ENDED,
];

const TABLES = { refused, killed, masked, shared, 'of its own': ended };
t.jobs = 3;
for (const [name, steps] of Object.entries(TABLES)) {
  void t.test(name, { timeout: 300_000 }, async t => {
    const options = name === 'masked' ? ['force_mask = "700"'] : [];
    await playSteps(t, openStore(t, name === 'of its own' ? alone : lamina, options), steps);
  });
}
