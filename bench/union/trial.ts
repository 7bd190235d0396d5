// One trial, in a process of its own: `trial.js WORKLOAD SUBJECT DIR SCALE`. Makes a fresh ext4 image for the upper, mounts,
// prepares, measures, checks that the work was done, prints the figure and takes everything off. DIR/lowers has the layers.
import { ownMark } from '../place.js';
import { printTrial, sh } from '../shell.js';
import { clearTrial, makeSite, type UnionSubject, unionSubjects } from './subjects.js';
import { FULL, lowersOf, QUICK } from './trees.js';
import { timed, type UnionWorkload } from './workload.js';
import { unionWorkloads } from './workloads.js';

const [workloadName, subjectName, dir, scaleName] = process.argv.slice(2);
const scale = scaleName === 'quick' ? QUICK : FULL;
const found = unionWorkloads(scale).find(each => each.name === workloadName);
const subject = unionSubjects().find(each => each.name === subjectName);
if (!found || !subject || !dir) throw new Error('usage: trial.js WORKLOAD SUBJECT DIR SCALE');

function measure(workload: UnionWorkload, subject: UnionSubject, disk: string): number {
  const site = makeSite(disk, lowersOf(`${dir}/lowers`, workload.tree, scale));
  // Whatever was measured before, the layers are in the page cache, or are not.
  if (!workload.cold && workload.tree !== 'many')
    sh('find "$T" -type f -print0 | xargs -0r cat >/dev/null', `${dir}/lowers`, { T: workload.tree });
  // Nothing of the trial before is to be written back in this one.
  sh('sync');
  const begun = process.hrtime.bigint();
  subject.mount(site);
  sh('stat . >/dev/null', site.mnt);
  const mountTime = Number(process.hrtime.bigint() - begun) / 1e6;
  if (workload.before !== undefined) sh(workload.before, site.mnt);
  sh(workload.cold ? 'sync; echo 3 >/proc/sys/vm/drop_caches' : 'sync -f .', disk);
  const { run } = workload;
  const figure = typeof run === 'string' ? timed(run, site.mnt) : run({ site, mountTime, scale });
  if (workload.after !== undefined) sh(workload.after, site.mnt);
  return figure;
}

const disk = `${dir}/disk`;
await printTrial(async () => {
  try {
    sh(
      'mkdir disk; truncate -s 6G image; mkfs.ext4 -q -F -N 100000 -E lazy_itable_init=0 image; mount -o loop image disk',
      dir,
    );
    return measure(found, subject, disk);
  } finally {
    await clearTrial(dir, ownMark());
  }
});
