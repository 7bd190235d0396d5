// One trial, in a process of its own: `trial.js WORKLOAD SUBJECT DIR BYTES`. Makes the volume in a new directory below DIR,
// serves it, measures, prints the figure and takes everything away. DIR/image is what full volumes hold.
import { mkdtempSync, rmSync } from 'node:fs';
import { printTrial, sh } from '../shell.js';
import { thinSubjects } from './subjects.js';
import { THIN_WORKLOADS } from './workloads.js';

const [workloadName, subjectName, place, bytes] = process.argv.slice(2);
const workload = THIN_WORKLOADS.find(each => each.name === workloadName);
const subject = thinSubjects().find(each => each.name === subjectName);
if (!workload || !subject || !place) throw new Error('usage: trial.js WORKLOAD SUBJECT DIR BYTES');

const size = Number(bytes);
await printTrial(async () => {
  const dir = mkdtempSync(`${place}/trial-`);
  try {
    subject.prepare(dir, workload.content, `${place}/image`, size);
    // What was written to prepare is not to be measured.
    sh('sync -f .', dir);
    const served = await subject.serve(dir);
    try {
      return workload.run(served.address, `${place}/image`, size);
    } finally {
      await served.end();
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});
