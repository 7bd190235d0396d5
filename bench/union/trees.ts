// The lower layers of the workloads, made once per run on an ext4 image of their own and never written again.
import { existsSync } from 'node:fs';
import { sh } from '../shell.js';

/** How large trees are. */
export interface Scale {
  /** Directories of the small files' tree; each holds a hundred files. */
  readonly dirs: number;
  /** MiB of the file that is read and written. */
  readonly data: number;
  /** MiB of the file whose first write is measured. */
  readonly big: number;
  /** Directories of a thousand empty files each. */
  readonly thousands: number;
  /** C files of the program that is compiled. */
  readonly sources: number;
}

export const FULL: Scale = { dirs: 200, data: 256, big: 1024, thousands: 1000, sources: 40 };
export const QUICK: Scale = { dirs: 20, data: 32, big: 64, thousands: 20, sources: 8 };

export type TreeName =
  | 'tree'
  | 'repository'
  | 'sources'
  | 'data'
  | 'big'
  | 'many'
  | 'empty'
  | `layers${number}`;

interface Tree {
  readonly count: number;
  /** Bash in a directory with the directories 1 to `count`, the top layer first. */
  readonly make: string;
}

/** Two layers that share half of the directories; the files have 0 to 4 KiB. */
const small = (dirs: number): string =>
  `perl -e 'for my $d (1..${dirs}) { for my $l (1, 2) { next if $l == 2 && $d > ${dirs / 2}; mkdir "$l/d$d" or die;
    for my $f (1..100) { next if $f % 2 && $l == 2; open F, ">", "$l/d$d/$f" or die; print F "x" x ($f * 41); close F } } }'`;

/** The files of the small tree without their content, dealt out to `count` layers; and in each layer of its own `d`. */
const dealt = (dirs: number, count: number): string =>
  `perl -e 'for my $l (1..${count}) { mkdir "$l/d" or die }
    for my $d (1..${dirs}) { for my $f (0..99) { my $l = ($d * 100 + $f) % ${count} + 1; mkdir "$l/d$d";
      open F, ">", "$l/d$d/$f" or die; close F } }'`;

const program = (files: number): string =>
  `perl -e 'for my $h (1..50) { open F, ">", "1/h$h.h"; print F "struct s$h { int a, b; };\\nstatic inline int f$h(struct s$h *s) { return s->a * s->b + $h; }\\n"; close F }
    for my $c (1..${files}) { open F, ">", "1/c$c.c"; print F "#include \\"h$_.h\\"\\n" for 1..50;
      print F "int g${'$'}{c}_$_(int x) { struct s$_ s = { x, $c }; return f$_(&s); }\\n" for 1..50; close F }'`;

function tree(name: TreeName, scale: Scale): Tree {
  if (name.startsWith('layers')) {
    const count = Number(name.slice('layers'.length));
    return { count, make: dealt(scale.dirs, count) };
  }
  switch (name as Exclude<TreeName, `layers${number}`>) {
    case 'tree':
      return { count: 2, make: small(scale.dirs) };
    case 'repository':
      // All in the lower of two layers, as a container's image has it.
      return {
        count: 2,
        make: `${small(scale.dirs)}; cp -a 2/. 1; rm -r 2; mkdir 3; mv 1 2; mv 3 1; cd 2;
          export GIT_CONFIG_GLOBAL=/dev/null; git init -q; git add -A; git -c user.name=x -c user.email=x@localhost commit -q -m x; cd ..`,
      };
    case 'sources':
      return { count: 1, make: program(scale.sources) };
    case 'data':
      return { count: 1, make: `head -c ${scale.data}M /dev/urandom >1/data` };
    case 'big':
      return { count: 1, make: `head -c ${scale.big}M /dev/urandom >1/big` };
    case 'many':
      return {
        count: 1,
        make: `perl -e 'for my $d (1..${scale.thousands}) { mkdir "1/$d"; for (1..1000) { open F, ">", "1/$d/$_" or die; close F } }'`,
      };
    case 'empty':
      return { count: 1, make: 'mkdir 1/d' };
  }
}

/**
 * The layers called `name` below `dir`, a mount of their own, top first; made at the first call. Between calls the mount is read-only:
 * nothing that is measured can leave other layers to those that come after it.
 */
export function lowersOf(dir: string, name: TreeName, scale: Scale): string[] {
  const { count, make } = tree(name, scale);
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  if (!existsSync(`${dir}/${name}`)) {
    sh('mount -o remount,rw .', dir);
    const steps = `rm -rf "$N.making"; mkdir "$N.making"; cd "$N.making"; mkdir ${numbers.join(' ')}; ${make}; cd ..; mv "$N.making" "$N"`;
    sh(steps, dir, { N: name });
    sh('sync -f .; mount -o remount,ro .', dir);
  }
  return numbers.map(i => `${dir}/${name}/${i}`);
}
