// What the process that serves a mount holds: memory when idle, after walks of ever more files, and once the kernel has
// forgotten them; and descriptors.
import { readdirSync, readFileSync } from 'node:fs';
import { markedProcesses, ownMark } from '../place.js';
import { sh } from '../shell.js';
import type { Scale } from './trees.js';
import { counted, type Mounted, type UnionWorkload, workload } from './workload.js';

/** The process that was started in this trial and serves the mount. */
function daemon(): number {
  const [pid, ...others] = markedProcesses(ownMark());
  if (pid === undefined || others.length > 0)
    throw new Error(`one daemon expected, found ${1 + others.length}`);
  return pid;
}

/** Resident memory of a process in MiB, anonymous and file pages together. */
export function residentMiB(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1]) / 1024;
}

/** Resident memory once it has stopped changing: the kernel forgets in its own time, and says nothing of it. */
function settled(pid: number): number {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let last = residentMiB(pid); ; ) {
    Atomics.wait(pause, 0, 0, 2000);
    const now = residentMiB(pid);
    if (Math.abs(now - last) < 0.5) return now;
    last = now;
  }
}

/** Walks the first `dirs` directories twice. */
function walk({ site }: Mounted, dirs: number): void {
  // Inode numbers of two file systems may be the same, and find(1) takes that for a loop: what it prints counts.
  sh(
    `for i in 1 2; do for d in $(seq ${dirs}); do (cd $d; find . -printf "%s %n\\n"); done | wc -l >../count; done; [ $(cat ../count) = ${dirs * 1001} ]`,
    site.mnt,
  );
}

function row(given: {
  name: string;
  about: string;
  run: UnionWorkload['run'];
  dirs?: number;
  more?: Partial<UnionWorkload>;
}): UnionWorkload {
  const { dirs, more, ...rest } = given;
  const curve = dirs === undefined ? {} : { curve: { name: 'memory', axis: 'files walked', x: dirs * 1000 } };
  return workload({
    group: 'The process that serves a mount',
    tree: 'many',
    unit: 'MiB',
    bases: [],
    asks: ['daemon'],
    ...curve,
    ...rest,
    ...more,
  });
}

export function memoryWorkloads({ thousands }: Scale): UnionWorkload[] {
  const steps = [...new Set([1 / 100, 1 / 10, 1].map(part => Math.ceil(thousands * part)))];
  const words = (dirs: number) => `${counted(dirs * 1000)} files`;
  return [
    row({
      name: 'memory, idle',
      about: 'resident, of a mount that nobody has used',
      run: () => residentMiB(daemon()),
      more: { tree: 'empty', quick: true },
    }),
    ...steps.map((dirs, i) =>
      row({
        name: `memory, ${words(dirs)}`,
        about: 'resident, after two walks of them',
        dirs,
        run(mounted) {
          walk(mounted, dirs);
          return residentMiB(daemon());
        },
        more: { quick: i === steps.length - 1 },
      }),
    ),
    row({
      name: 'memory, forgotten',
      about: `resident, ${words(thousands)} later, when the kernel has dropped its caches`,
      run(mounted) {
        walk(mounted, thousands);
        sh('sync; echo 3 >/proc/sys/vm/drop_caches');
        return settled(daemon());
      },
    }),
    row({
      name: 'descriptors',
      about: `open, after two walks of ${words(thousands)}`,
      run(mounted) {
        walk(mounted, thousands);
        return readdirSync(`/proc/${daemon()}/fd`).length;
      },
      more: { unit: 'fds' },
    }),
  ];
}
