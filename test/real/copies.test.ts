// Programs that read a whole system: find, du, tar and rsync must see over the mount what they see over kernel
// overlayfs, twice the same, and copies made through the mount must be complete.
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { type Kind, laminafs, overlayfs, sh } from '../support/daemon.js';
import { debianLayers } from '../support/rootfs.js';

type Test = import('tap').Test;

// What each program says about the system after the changes; every one is one line of the comparison.
const REPORTS: Record<string, string> = {
  find: 'find . -xdev | sort | sha256sum',
  'find with attributes': 'find . -not -type d -printf "%p %y %m %U %G %s %n %l\\n" | sort | sha256sum',
  'find on one device': 'find . -printf "%D\\n" | sort -u | wc -l',
  du: 'du -s --apparent-size --inodes . | cut -f1; du -sb --exclude=. . | cut -f1',
  'ls -lR': 'ls -lR --time-style=+ . | grep -v -E "^(total|d)" | sha256sum',
  'md5sum of all': 'find . -type f -print0 | sort -z | xargs -0 md5sum | md5sum',
};

const CHANGES = `rm -r usr/share/doc/a*; mkdir usr/share/doc/apt; echo new >usr/share/doc/apt/x; mv usr/include usr/inc
  chmod -R g+w usr/lib/git-core; ln usr/bin/perl usr/bin/perl-link; chown 1:1 usr/bin/git; rm -rf var/lib/dpkg/info
  truncate -s 1M etc/sparse; cp -a bin/bash etc/alternatives usr/`;

function report(t: Test, kind: Kind, copies: string): Record<string, string> {
  const s = scratch(t, 'copies');
  const view = {
    lowers: debianLayers(),
    upper: s.mkdir('upper'),
    work: s.mkdir('work'),
    mountpoint: s.mkdir('root'),
  };
  const mounted = kind.mount(view);
  const inside = (script: string): string => sh(script, { cwd: view.mountpoint, env: { S: s.dir } });
  inside(CHANGES);
  const reports = Object.fromEntries(Object.entries(REPORTS).map(([name, script]) => [name, inside(script)]));
  if (copies === 'tar') {
    const archive = 'tar --sort=name --xattrs --acls -cf - . | sha256sum';
    const first = inside(archive);
    t.equal(inside(archive), first, 'a second archive is the same, byte for byte');
    inside(
      'mkdir $S/out; tar --xattrs --acls -cf - . | tar --xattrs --acls -xpf - -C $S/out; diff -r --no-dereference -x dev . $S/out',
    );
    t.equal(
      inside('cd $S/out; find . -links +1 -type f | wc -l'),
      inside('find . -links +1 -type f | wc -l'),
      'links',
    );
  } else {
    inside('mkdir $S/out; rsync -aHAX --exclude=/dev ./ $S/out/');
    t.equal(
      inside('rsync -aHAXni --checksum --exclude=/dev ./ $S/out/'),
      '',
      'rsync finds nothing more to copy',
    );
    t.equal(inside('rsync -aHAXni --exclude=/dev $S/out/ ./'), '', 'nor to copy back');
  }
  mounted.umount();
  return reports;
}

for (const copies of ['tar', 'rsync']) {
  void t.test(`${copies}, and what find, du and ls say`, { timeout: 600_000 }, async t => {
    const ours = report(t, laminafs, copies);
    const kernels = report(t, overlayfs, copies);
    for (const name of Object.keys(REPORTS)) t.equal(ours[name], kernels[name], name);
  });
}
