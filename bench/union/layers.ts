// What more layers cost: the same lookups in the same files, dealt out to 2, 10, 100 and 500 layers. And mounting itself.
import { sh } from '../shell.js';
import type { Scale, TreeName } from './trees.js';
import { counted, type Mounted, timed, type UnionWorkload, workload } from './workload.js';

const COUNTS = [2, 10, 100, 500];

function lookups(count: number, scale: Scale): UnionWorkload[] {
  const files = scale.dirs * 100;
  const entries = files + scale.dirs + 2;
  const tree: TreeName = `layers${count}`;
  const group = 'Lookups under many layers';
  const quick = count === 10 || count === 100;
  const curve = (name: string) => ({ name, axis: 'layers', x: count, per: files });
  const words = `${counted(files)} files in ${count} layers`;
  const stat = `perl -e 'open N, "<", "../names"; while (<N>) { chomp; lstat or die "$_: $!" }'`;
  return [
    workload({
      name: `missing names, ${count} layers`,
      group,
      about: `${counted(files)} lookups of names that no layer has`,
      tree,
      before: 'ls d >/dev/null',
      run: `perl -e 'for (1..${files}) { die if -e "d/none$_" }'`,
      curve: curve('missing names'),
      quick,
    }),
    workload({
      name: `cold walk, ${count} layers`,
      group,
      about: `find with stat of ${words}, caches dropped`,
      tree,
      cold: true,
      run: 'find . -printf "%s %n\\n" | wc -l >../count',
      after: `[ $(cat ../count) = ${entries} ]`,
      curve: curve('cold walk'),
      quick,
    }),
    workload({
      name: `names, ${count} layers`,
      group,
      about: `first lstat of ${words}, by name, in a fresh mount`,
      tree,
      before: `perl -e 'for my $d (1..${scale.dirs}) { print "d$d/$_\\n" for 0..99 }' >../names`,
      run: stat,
      curve: curve('names'),
    }),
    workload({
      name: `mount, ${count} layers`,
      group: 'Mounting',
      about: `until the mount of ${count} layers answers`,
      tree,
      asks: ['mount'],
      run: ({ mountTime }) => mountTime,
      curve: { name: 'mount', axis: 'layers', x: count },
      quick: count === 2,
    }),
  ];
}

/** What a container's end takes: the mount has been used, nothing is dirty. */
function unmount({ site }: Mounted): number {
  sh('find . >/dev/null; echo x >new; sync -f .', site.mnt);
  return timed('umount "$PWD"/mnt', `${site.mnt}/..`);
}

export function layerWorkloads(scale: Scale): UnionWorkload[] {
  const byCount = COUNTS.map(count => lookups(count, scale));
  return [
    ...[0, 1, 2, 3].flatMap(i => byCount.map(rows => rows[i]!)),
    workload({
      name: 'unmount',
      group: 'Mounting',
      about: 'umount(8) of a mount of two layers that was walked and written to',
      tree: 'tree',
      asks: ['mount'],
      run: unmount,
      quick: true,
    }),
  ];
}
