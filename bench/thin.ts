// `npm run bench:thin`: volumes over NBD, lamina beside qemu-nbd on raw and qcow2 files on the same disk; trials interleaved,
// medians, spreads and ratios. Then what a snapshot of a large volume costs (thin-metadata.ts).
//   --trials N   trials of each (3)    --only REGEX   workloads whose name matches    --size MIB   of the volume (512)
//   --json FILE  every figure          --dir DIR      where (/var/tmp)
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { median, plainNumber, spread } from './figures.js';
import { sh } from './subjects.js';
import { metadataFigures } from './thin-metadata.js';
import { start, THIN_SUBJECTS, type ThinSubject } from './thin-subjects.js';
import { THIN_WORKLOADS, type ThinWorkload } from './thin-workloads.js';

const { values: flags } = parseArgs({
  options: {
    trials: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    size: { type: 'string', default: '512' },
    dir: { type: 'string', default: '/var/tmp' },
    json: { type: 'string' },
  },
});

type Figures = Record<string, number[]>;

async function trial(
  workload: ThinWorkload,
  subject: ThinSubject,
  place: string,
  image: string,
): Promise<number> {
  const dir = mkdtempSync(`${place}/trial-`);
  const size = Number(flags.size) * 2 ** 20;
  try {
    subject.prepare(dir, workload.content, image, size);
    // What was written to prepare is not to be measured.
    sh('sync -f .', dir);
    const served = await start(subject, dir);
    try {
      return workload.run(served.uri, image, size);
    } finally {
      await served.end();
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function row(workload: ThinWorkload, figures: Figures): string {
  const ours = median(figures['lamina nbd']!);
  const cells = THIN_SUBJECTS.map(({ name }) => {
    const found = figures[name];
    if (found === undefined) return '-';
    const ratio = name === 'lamina nbd' ? '' : ` (${(ours / median(found)).toFixed(2)}x)`;
    return `${plainNumber(median(found))} ±${spread(found).toFixed(0)}%${ratio}`;
  });
  return `| ${workload.name} | ${workload.unit} | ${cells.join(' | ')} |`;
}

async function main(): Promise<void> {
  const place = mkdtempSync(`${flags.dir}/lamina-bench-`);
  const machine = `${cpus().length} x ${cpus()[0]?.model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, node ${process.version}`;
  try {
    const image = `${place}/image`;
    sh(`head -c ${flags.size}M /dev/urandom >image`, place);
    console.log(`${machine}; median of ${flags.trials}, spread; in brackets: lamina's figure by this one\n`);
    console.log(`| workload | unit | ${THIN_SUBJECTS.map(subject => subject.name).join(' | ')} |`);
    console.log(`|---|---|${THIN_SUBJECTS.map(() => '---:|').join('')}`);
    const results: { workload: string; unit: string; figures: Figures }[] = [];
    for (const workload of THIN_WORKLOADS.filter(each => new RegExp(flags.only).test(each.name))) {
      const figures: Figures = {};
      for (let round = 0; round < Number(flags.trials); round++) {
        for (const subject of THIN_SUBJECTS) {
          if (workload.content === 'snapshotted' && !subject.snapshots) continue;
          const figure = await trial(workload, subject, place, image);
          figures[subject.name] = [...(figures[subject.name] ?? []), figure];
        }
      }
      console.log(row(workload, figures));
      results.push({ workload: workload.name, unit: workload.unit, figures });
    }
    const metadata = new RegExp(flags.only).test('metadata') ? metadataFigures(place) : [];
    for (const { name, value } of metadata) console.log(`${name}: ${value}`);
    if (flags.json) writeFileSync(flags.json, `${JSON.stringify({ machine, results, metadata }, null, 2)}\n`);
  } finally {
    rmSync(place, { recursive: true });
  }
}

await main();
