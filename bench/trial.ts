// One trial, in a process of its own: `trial.js WORKLOAD SUBJECT DIR`. Makes a fresh ext4 image for the upper, mounts,
// prepares, measures, prints the figure and takes everything off again. DIR/lowers holds the layers.
import { mkdirSync } from 'node:fs';
import { type Place, SUBJECTS, sh } from './subjects.js';
import { lowersOf } from './trees.js';
import { WORKLOADS, type Workload } from './workloads.js';

function timed(task: () => void): number {
  const start = process.hrtime.bigint();
  task();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

function measure(workload: Workload, place: Place, mountTime: number): number {
  sh(workload.before ?? ':', place.mnt);
  if (workload.cold) sh('sync; echo 3 >/proc/sys/vm/drop_caches');
  const { run } = workload;
  if (run === '') return mountTime;
  return typeof run === 'string' ? timed(() => sh(run, place.mnt)) : run(place);
}

const [workloadName, subjectName, dir] = process.argv.slice(2);
const workload = WORKLOADS.find(each => each.name === workloadName);
const subject = SUBJECTS.find(each => each.name === subjectName);
if (!workload || !subject || !dir) throw new Error('usage: trial.js WORKLOAD SUBJECT DIR');
const lowers = lowersOf(`${dir}/lowers`, workload.layers);
const disk = `${dir}/disk`;
try {
  sh(
    'mkdir disk; truncate -s 2G image; mkfs.ext4 -q -F -N 60000 -E lazy_itable_init=0 image; mount -o loop image disk',
    dir,
  );
  const place = { lowers, upper: `${disk}/upper`, work: `${disk}/work`, mnt: `${disk}/mnt` };
  for (const path of [place.upper, place.work, place.mnt]) mkdirSync(path);
  const mountTime = timed(() => subject.mount(place));
  process.stdout.write(`${measure(workload, place, mountTime)}\n`);
} finally {
  sh(
    'cd /; for m in "$D/mnt" "$D"; do ! mountpoint -q "$m" || umount "$m" || umount -l "$m"; done; rm -f "$D/../image"; rmdir "$D"',
    '/',
    {
      D: disk,
    },
  );
}
