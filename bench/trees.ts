// The lower layers of the workloads, made once per run on an ext4 image of their own and never written again.
import { sh } from './subjects.js';
import type { Workload } from './workloads.js';

/** Bash that makes the layers in the working directory, and how many there are; layer 1 is the top one. */
const TREES: Record<Workload['layers'], { count: number; make: string }> = {
  // 200 directories of 100 files of 0 to 4 KiB, in two layers that share half of the directories.
  tree: {
    count: 2,
    make: `perl -e 'for my $d (1..200) { for my $l (1, 2) { next if $l == 2 && $d > 100; mkdir "$l/d$d";
      for my $f (1..100) { next if $f % 2 && $l == 2; open F, ">", "$l/d$d/$f" or die; print F "x" x ($f * 41); close F } } }'`,
  },
  data: { count: 1, make: 'head -c 256M /dev/urandom >1/data' },
  two: { count: 2, make: 'for l in 1 2; do mkdir $l/d; touch $l/d/{1..50}; done' },
  hundred: { count: 100, make: 'for l in {1..100}; do mkdir $l/d; touch $l/d/{1..50}; done' },
  million: {
    count: 1,
    make: `perl -e 'for my $d (1..1000) { mkdir "1/$d"; for (1..1000) { open F, ">", "1/$d/$_" or die; close F } }'`,
  },
  empty: { count: 1, make: 'mkdir 1/d' },
};

/** The layers called `name` below `dir`, top first; made at the first call. */
export function lowersOf(dir: string, name: Workload['layers']): string[] {
  const { count, make } = TREES[name];
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  sh(
    `[ -e "$N" ] || { mkdir "$N.making"; cd "$N.making"; mkdir ${numbers.join(' ')}; ${make}; cd ..; mv "$N.making" "$N"; sync -f "$N"; }`,
    dir,
    {
      N: name,
    },
  );
  return numbers.map(i => `${dir}/${name}/${i}`);
}
