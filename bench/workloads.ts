// What is done, as a table: one row per workload. `layers` names the tree it runs on (see trees.ts); `before` prepares
// outside the clock, `run` is timed or gives its own figure. Scripts are bash, run in the mount.
import { daemonPid, descriptors, type Place, residentMiB, sh } from './subjects.js';

export type Unit = 'ms' | 'MB/s' | 'kIOPS' | 'MiB' | 'fds';

export interface Workload {
  readonly name: string;
  readonly layers: 'tree' | 'data' | 'two' | 'hundred' | 'million' | 'empty';
  readonly unit: Unit;
  readonly before?: string;
  /** Drops the kernel's caches before the clock starts. */
  readonly cold?: boolean;
  /** A script whose wall time counts, or a function that gives the figure. */
  readonly run: string | ((place: Place) => number);
  /** Only for subjects with a process of their own. */
  readonly daemonOnly?: boolean;
  /** Not for a plain copy, where it means nothing. */
  readonly notPlain?: boolean;
}

const WALK = 'find . -printf "%s %n\\n" >/dev/null';
const READ_ALL = 'find . -type f -print0 | xargs -0 -n 500 cat >/dev/null';

/** fio on one file of 256 MiB for two seconds; the file is in the lower layer unless `before` wrote it. */
function fio(mode: string, size: string, unit: 'MB/s' | 'kIOPS') {
  return (place: Place): number => {
    const script = `fio --name=x --filename=data --rw=${mode} --bs=${size} --size=256M --runtime=2 --time_based --output-format=terse --terse-version=3 --invalidate=0 --fallocate=none`;
    const fields = sh(script, place.mnt).trim().split(';');
    // Terse version 3: field 7 and 48 are read and write bandwidth in KiB/s, 8 and 49 the IOPS.
    const write = mode.includes('write');
    const value = Number(fields[unit === 'MB/s' ? (write ? 47 : 6) : write ? 48 : 7]);
    return unit === 'MB/s' ? (value * 1024) / 1e6 : value / 1000;
  };
}

const OPEN_FILE: Workload[] = [];
const REWRITE = 'dd if=/dev/zero of=data bs=1M conv=notrunc count=256 status=none; sync data';
for (const [where, before] of [
  ['lower', 'cat data >/dev/null'],
  ['upper', REWRITE],
] as const) {
  OPEN_FILE.push(
    { name: `read ${where}, 128k`, layers: 'data', unit: 'MB/s', before, run: fio('read', '128k', 'MB/s') },
    {
      name: `randread ${where}, 4k`,
      layers: 'data',
      unit: 'kIOPS',
      before,
      run: fio('randread', '4k', 'kIOPS'),
    },
  );
}
for (const [mode, size, unit] of [
  ['write', '128k', 'MB/s'],
  ['randwrite', '4k', 'kIOPS'],
] as const) {
  const run = fio(mode, size, unit);
  OPEN_FILE.push({ name: `${mode} upper, ${size}`, layers: 'data', unit, before: REWRITE, run });
}

const missing = `perl -e 'for (1..20000) { die if -e "d/none$_" }'`;

/** Resident memory once it has stopped changing: the kernel forgets in its own time. */
function settled(pid: number): number {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let last = residentMiB(pid); ; ) {
    Atomics.wait(pause, 0, 0, 2000);
    const now = residentMiB(pid);
    if (Math.abs(now - last) < 0.5) return now;
    last = now;
  }
}

/** Walks twice and has the kernel forget; `moment` says when which figure is taken. */
function memory(moment: 'idle' | 'walked' | 'forgotten' | 'descriptors') {
  return (place: Place): number => {
    const pid = daemonPid();
    if (moment === 'idle') return residentMiB(pid);
    // fuse-overlayfs gives inode numbers of two file systems as they are, and find may take that for a loop.
    sh(`for i in 1 2; do ${WALK} 2>&1 || :; done`, place.mnt);
    if (moment === 'walked') return residentMiB(pid);
    if (moment === 'descriptors') return descriptors(pid);
    sh('sync; echo 3 >/proc/sys/vm/drop_caches');
    return settled(pid);
  };
}

export const WORKLOADS: readonly Workload[] = [
  { name: 'walk, cold', layers: 'tree', unit: 'ms', cold: true, run: WALK },
  { name: 'walk, warm', layers: 'tree', unit: 'ms', before: WALK, run: `${WALK}; ${WALK}; ${WALK}` },
  { name: 'read all files, cold', layers: 'tree', unit: 'ms', cold: true, run: READ_ALL },
  { name: 'read all files, warm', layers: 'tree', unit: 'ms', before: READ_ALL, run: READ_ALL },
  { name: 'tar out', layers: 'tree', unit: 'ms', run: 'tar cf - . | cat >/dev/null' },
  {
    name: 'untar in',
    layers: 'tree',
    unit: 'ms',
    before: 'tar cf ../in.tar .; mkdir in',
    run: 'tar xf ../in.tar -C in',
  },
  { name: 'rm -rf lower', layers: 'tree', unit: 'ms', run: 'rm -rf ./*' },
  {
    name: 'rename 2 000 lower files',
    layers: 'tree',
    unit: 'ms',
    run: `perl -e 'for my $d (1..20) { rename("d$d/$_", "d$d/r$_") or die for 1..100 }'`,
  },
  {
    name: 'create and unlink 5 000',
    layers: 'empty',
    unit: 'ms',
    run: `perl -e 'for (1..5000) { open F, ">", "n$_" or die; close F } unlink "n$_" for 1..5000'`,
  },
  ...OPEN_FILE,
  {
    name: '20 000 missing names, 2 layers',
    layers: 'two',
    unit: 'ms',
    before: 'ls d >/dev/null',
    run: missing,
  },
  {
    name: '20 000 missing names, 100 layers',
    layers: 'hundred',
    unit: 'ms',
    before: 'ls d >/dev/null',
    run: missing,
  },
  { name: 'mount until ready', layers: 'empty', unit: 'ms', notPlain: true, run: '' },
  { name: 'memory, idle', layers: 'empty', unit: 'MiB', daemonOnly: true, run: memory('idle') },
  {
    name: 'memory, a million files walked twice',
    layers: 'million',
    unit: 'MiB',
    daemonOnly: true,
    run: memory('walked'),
  },
  {
    name: 'memory, after the kernel forgot',
    layers: 'million',
    unit: 'MiB',
    daemonOnly: true,
    run: memory('forgotten'),
  },
  {
    name: 'descriptors after it',
    layers: 'million',
    unit: 'fds',
    daemonOnly: true,
    run: memory('descriptors'),
  },
];
