// `npm run bench`: every workload on every subject, trials interleaved so that a slow minute of the machine hits all of
// them, medians with their spread and the ratio to kernel overlayfs. As root.
//   --trials N   trials of each (5)          --only REGEX  workloads whose name matches
//   --subjects a,b                           --json FILE   every figure
import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median, plainNumber, spread } from './figures.js';
import { SUBJECTS, type Subject, sh } from './subjects.js';
import { WORKLOADS, type Workload } from './workloads.js';

const TRIAL = fileURLToPath(new URL('trial.js', import.meta.url));

const { values: flags } = parseArgs({
  options: {
    trials: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    subjects: { type: 'string', default: SUBJECTS.map(subject => subject.name).join(',') },
    json: { type: 'string' },
  },
});

interface Result {
  readonly workload: string;
  readonly unit: string;
  /** Figures of each subject in the order in which they were taken. */
  readonly figures: Record<string, number[]>;
}

function applies(workload: Workload, subject: Subject): boolean {
  if (workload.daemonOnly) return subject.daemon;
  return !(workload.notPlain && subject.name === 'plain');
}

function trial(workload: Workload, subject: Subject, dir: string, number: number): number {
  const env = { ...process.env, BENCH_TRIAL: `${process.pid}-${number}` };
  const child = spawnSync(process.execPath, [TRIAL, workload.name, subject.name, dir], {
    encoding: 'utf8',
    env,
  });
  if (child.status !== 0) throw new Error(`${workload.name} on ${subject.name}: ${child.stderr}`);
  return Number(child.stdout);
}

function measureAll(dir: string): Result[] {
  const subjects = SUBJECTS.filter(subject => flags.subjects.split(',').includes(subject.name));
  const workloads = WORKLOADS.filter(workload => new RegExp(flags.only).test(workload.name));
  let number = 0;
  return workloads.map(workload => {
    const figures: Record<string, number[]> = {};
    for (let round = 0; round < Number(flags.trials); round++) {
      for (const subject of subjects.filter(each => applies(workload, each))) {
        figures[subject.name] = [...(figures[subject.name] ?? []), trial(workload, subject, dir, number++)];
      }
    }
    const result = { workload: workload.name, unit: workload.unit, figures };
    console.log(row(result, subjects));
    return result;
  });
}

/** One line of the table: median, spread, and the ratio to overlay2 where that was measured. */
function row({ workload, unit, figures }: Result, subjects: readonly Subject[]): string {
  const base = figures.overlay2 ? median(figures.overlay2) : undefined;
  const cells = subjects.map(({ name }) => {
    const mine = figures[name];
    if (!mine) return '-';
    const ratio = base === undefined || name === 'overlay2' ? '' : ` ${(median(mine) / base).toFixed(2)}x`;
    return `${plainNumber(median(mine))} ±${spread(mine).toFixed(0)}%${ratio}`;
  });
  return `| ${workload} | ${unit} | ${cells.join(' | ')} |`;
}

function main(): void {
  const dir = mkdtempSync('/var/tmp/lamina-bench-');
  const machine = `${cpus().length} x ${cpus()[0]?.model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, node ${process.version}`;
  try {
    sh(
      'mkdir lowers; truncate -s 8G lowers.img; mkfs.ext4 -q -N 1300000 lowers.img; mount -o loop lowers.img lowers',
      dir,
    );
    const names = flags.subjects.split(',');
    console.log(
      `${machine}; median of ${flags.trials}, spread, ratio to overlay2\n\n| workload | unit | ${names.join(' | ')} |`,
    );
    console.log(`|---|---|${names.map(() => '---:|').join('')}`);
    const results = measureAll(dir);
    if (flags.json) writeFileSync(flags.json, `${JSON.stringify({ machine, results }, null, 2)}\n`);
  } finally {
    sh('! mountpoint -q lowers || umount lowers; rm -rf --one-file-system "$D"', dir, { D: dir });
  }
}

main();
