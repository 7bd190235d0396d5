// What is done to a union, as a table: one row per workload. Trees of many small files here; open files, layers, mounts and
// memory in files of their own.
import { layerWorkloads } from './layers.js';
import { memoryWorkloads } from './memory.js';
import { openFileWorkloads } from './openfile.js';
import type { Scale } from './trees.js';
import { counted, type UnionWorkload, workload } from './workload.js';

const WALK = 'find . -printf "%s %n\\n" | wc -l >../count';
const READ = 'find . -type f -print0 | xargs -0 -n 500 cat | wc -c >../count';
/** The system calls alone: perl's own open asks whether it is a terminal, and root's unlink, without -U, what it is. */
const perl = 'perl -U -MPOSIX -e';

function reading(scale: Scale): UnionWorkload[] {
  const files = scale.dirs * 100;
  const group = `Reading ${counted(files)} small files`;
  const entries = files + scale.dirs + 1;
  const bytes = scale.dirs * 41 * 5050;
  const count = (expected: number) => `[ $(cat ../count) = ${expected} ]`;
  const names = 'find . -type f >../names';
  const opened = `${perl} 'open N, "<", "../names"; while (<N>) { chomp; my $f = POSIX::open($_) // die "$_: $!"; POSIX::close($f); $n++ } die $n unless $n == ${files}'`;
  const row = (given: Omit<Parameters<typeof workload>[0], 'group' | 'tree'>) =>
    workload({ group, tree: 'tree', ...given });
  return [
    row({
      name: 'walk, cold',
      about: 'find with stat of every file, caches dropped',
      cold: true,
      run: WALK,
      after: count(entries),
      quick: true,
    }),
    row({
      name: 'walk, warm',
      about: 'the same, three times, after one that is not timed',
      before: WALK,
      run: `${WALK}; ${WALK}; ${WALK}`,
      after: count(entries),
      quick: true,
    }),
    row({
      name: 'read all, cold',
      about: 'cat of every file, caches dropped',
      cold: true,
      run: READ,
      after: count(bytes),
      quick: true,
    }),
    row({
      name: 'read all, warm',
      about: 'the same, the second time',
      before: READ,
      run: READ,
      after: count(bytes),
    }),
    row({
      name: 'tar out',
      about: 'tar of the tree to a pipe, in a fresh mount',
      run: 'tar cf - . | wc -c >../count',
      after: `[ $(cat ../count) -gt ${bytes} ]`,
      quick: true,
    }),
    row({
      name: 'parallel stat',
      about: 'four processes that walk the tree at once, warm, three times each',
      before: WALK,
      run: `for i in 1 2 3 4; do (for j in 1 2 3; do find . -printf "%s %n\\n" | wc -l >../count$i; done) & p[$i]=$!; done; for i in 1 2 3 4; do wait \${p[$i]}; done`,
      after: `[ "$(cat ../count{1,2,3,4} | uniq)" = ${entries} ]`,
    }),
    row({
      name: 'open and close',
      about: 'open(2) and close(2) of every file, warm',
      before: `${WALK}; ${names}`,
      run: opened,
      quick: true,
    }),
    workload({
      name: 'git status',
      group,
      tree: 'repository',
      about: 'a clean repository of the files, warm, its index fresh',
      before: 'git status --porcelain >/dev/null',
      run: 'git status --porcelain >../status',
      after: '[ ! -s ../status ]',
    }),
    workload({
      name: 'compile',
      group,
      tree: 'sources',
      about: `make of ${scale.sources} C files with 50 headers each, two at a time`,
      before: `printf 'O := $(patsubst %%.c,%%.o,$(wildcard *.c))\\nall: $(O)\\n' >Makefile`,
      run: 'make -s -j2 CFLAGS=-O1',
      after: `[ $(ls *.o | wc -l) = ${scale.sources} ]`,
    }),
  ];
}

function changing(scale: Scale): UnionWorkload[] {
  const files = scale.dirs * 100;
  const few = Math.min(20, scale.dirs / 4);
  const row = (given: Omit<Parameters<typeof workload>[0], 'group' | 'tree'>) =>
    workload({ group: 'Changing what is in lower layers', tree: 'tree', asks: ['copy-up'], ...given });
  return [
    row({
      name: 'rm -rf lower',
      about: 'the whole tree',
      run: 'rm -rf ./*',
      after: '[ -z "$(ls)" ]',
      quick: true,
    }),
    row({
      name: 'chmod -R lower',
      about: 'the whole tree: every file is copied up',
      run: 'chmod -R go-r .',
      after: `[ $(find . -type f -perm 600 | wc -l) = ${files} ]`,
    }),
    row({
      name: 'append to lower files',
      about: `${counted(few * 100)} files: each is copied up`,
      run: `perl -e 'for my $d (1..${few}) { for (1..100) { open F, ">>", "d$d/$_" or die "$!"; print F "more\\n"; close F or die } }'`,
      after: `[ $(find . -type f -exec tail -qn 1 {} + | grep -c 'more$') = ${few * 100} ]`,
      quick: true,
    }),
    row({
      name: 'rename lower files',
      about: `${counted(few * 100)} files: each is copied up`,
      run: `perl -e 'for my $d (1..${few}) { rename("d$d/$_", "d$d/r$_") or die "$!" for 1..100 }'`,
      after: `[ $(find d* -name 'r*' -type f | wc -l) = ${few * 100} ] && [ $(find d* -type f | wc -l) = ${files} ]`,
    }),
    row({
      name: 'first write to a large lower file',
      tree: 'big',
      about: `4 KiB into a file of ${scale.big} MiB, and fsync`,
      run: 'dd if=/dev/zero of=big bs=4k count=1 conv=notrunc,fsync status=none',
      after: `[ $(stat -c %s big) = ${scale.big * 2 ** 20} ] && [ "$(head -c 4096 big | tr -d '\\0' | wc -c)" = 0 ]`,
    } as Parameters<typeof row>[0]),
  ];
}

function adding(scale: Scale): UnionWorkload[] {
  const files = scale.dirs * 100;
  const some = files / 4;
  const row = (given: Omit<Parameters<typeof workload>[0], 'group' | 'tree'>) =>
    workload({ group: 'Adding to the upper layer', tree: 'empty', ...given });
  const create = `for (1..${some}) { my $f = POSIX::creat("n$_", 0644) // die "$!"; POSIX::close($f) }`;
  return [
    row({
      name: 'untar in',
      tree: 'tree',
      about: `the ${counted(files)} files, into a new directory`,
      before: 'tar cf ../in.tar .; mkdir in',
      run: 'tar xf ../in.tar -C in',
      after: `[ $(find in -type f | wc -l) = ${files} ]`,
      quick: true,
    } as Parameters<typeof row>[0]),
    row({
      name: 'create and unlink',
      about: `${counted(some)} empty files`,
      run: `${perl} '${create} unlink("n$_") or die "$!" for 1..${some}'`,
      after: '[ "$(ls)" = d ]',
      quick: true,
    }),
    row({
      name: 'rename',
      about: `${counted(some)} files, to another directory`,
      before: `${perl} '${create} mkdir "to" or die'`,
      run: `perl -e 'rename("n$_", "to/m$_") or die "$!" for 1..${some}'`,
      after: `[ $(ls to | wc -l) = ${some} ]`,
    }),
    row({
      name: 'SQLite commits',
      about: 'inserts of one row each, with fsync',
      before:
        'sqlite3 db "create table t (n, x)"; for i in {1..200}; do echo "insert into t values ($i, hex(randomblob(50)));"; done >../sql',
      run: 'sqlite3 db <../sql',
      after: '[ $(sqlite3 db "select count(*) from t") = 200 ]',
      quick: true,
    }),
  ];
}

/** All rows of the table, in the order in which they are measured and shown. */
export function unionWorkloads(scale: Scale): UnionWorkload[] {
  return [
    ...reading(scale),
    ...changing(scale),
    ...adding(scale),
    ...openFileWorkloads(scale),
    ...layerWorkloads(scale),
    ...memoryWorkloads(scale),
  ];
}
