// `npm run bench:engines`: what engines do, on lamina and on their own storage, trials interleaved; medians of elapsed time,
// spread, and the ratio to the engine's own overlayfs. Then the memory of one `lamina serve` with a hundred containers.
//   --trials N  (3)   --only REGEX  workloads   --subjects REGEX  (.)   --json FILE   --dir DIR  (/var/tmp)
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { type Engine, type EngineSubject, engineSubjects } from './engine-subjects.js';
import { ENGINE_WORKLOADS, type EngineWorkload, PREPARE, type Steps } from './engine-workloads.js';
import { median, plainNumber, spread } from './figures.js';
import { residentMiB, sh } from './subjects.js';

const { values: flags } = parseArgs({
  options: {
    trials: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    subjects: { type: 'string', default: '' },
    dir: { type: 'string', default: '/var/tmp' },
    json: { type: 'string' },
  },
});

/** An image in the form of docker save: $1 its name, $2 the layer, $3 the archive. */
const IMAGE = `mkdir i; cp "$2" i/layer.tar; id=$(sha256sum <"$2" | cut -d' ' -f1)
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"2026-01-01T00:00:00Z"}]}' "$id" >i/config.json
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$1" >i/manifest.json
tar -C i -cf "$3" .; rm -r i`;

/** A root with busybox, and one with 20 000 small files besides; as layers and as images. */
const SOURCES = `mkdir -p root/bin root/files root/tmp; cp /usr/bin/busybox root/bin/
for a in sh true echo seq cat; do ln -s busybox root/bin/$a; done
tar -C root -cf small.tar .
for d in $(seq 0 99); do mkdir root/files/d$d; for f in $(seq 0 199); do echo "file $f of $d" >root/files/d$d/f$f; done; done
tar -C root -cf big.tar .
image() { ${IMAGE}
}
image bench.local/small:1 small.tar small-image.tar; image bench.local/big:1 big.tar big-image.tar`;

interface Started {
  readonly subject: EngineSubject;
  readonly engine: Engine;
}

type Figures = Record<string, number[]>;

function seconds(engine: Engine, steps: Steps, dir: string): number {
  const env = { D: dir };
  if (steps.before !== undefined) engine.run(steps.before, env);
  // What was written before is not to be measured.
  sh('sync -f .', dir);
  const begun = performance.now();
  engine.run(steps.measured, env);
  const elapsed = (performance.now() - begun) / 1000;
  if (steps.after !== undefined) engine.run(steps.after, env);
  return elapsed;
}

function measure(workload: EngineWorkload, started: readonly Started[], dir: string): Figures {
  const figures: Figures = {};
  for (let round = 0; round < Number(flags.trials); round++) {
    for (const { subject, engine } of started) {
      const steps = workload.steps[subject.family];
      if (steps === undefined) continue;
      figures[subject.name] = [...(figures[subject.name] ?? []), seconds(engine, steps, dir)];
    }
  }
  return figures;
}

function print(name: string, figures: Figures, started: readonly Started[]): void {
  console.log(name);
  for (const { subject } of started) {
    const mine = figures[subject.name];
    if (mine === undefined) continue;
    const base = started.find(each => each.subject.family === subject.family && each.subject.base)?.subject
      .name;
    const ratio = base === undefined ? '' : ` ${(median(mine) / median(figures[base]!)).toFixed(2)}x`;
    console.log(
      `  ${subject.name.padEnd(24)} ${plainNumber(median(mine))} s ±${spread(mine).toFixed(0)}%${ratio}`,
    );
  }
}

/** A hundred containers that sleep; what the process that serves them takes. */
function memory({ subject, engine }: Started): string | null {
  if (engine.storage === null || subject.family !== 'docker') return null;
  engine.run('for i in $(seq 100); do $E run -d --name m$i --network none big /bin/busybox sleep 1000; done');
  const resident = residentMiB(engine.storage);
  engine.run('$E rm -f $(seq -f m%g 100)');
  return `${subject.name}: ${resident.toFixed(0)} MiB with a hundred running containers`;
}

async function main(): Promise<void> {
  const dir = mkdtempSync(`${flags.dir}/lamina-bench-`);
  const started: Started[] = [];
  const machine = `${cpus().length} x ${cpus()[0]?.model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, node ${process.version}`;
  try {
    sh('mkdir disk; truncate -s 40G disk.img; mkfs.ext4 -q disk.img; mount -o loop disk.img disk', dir);
    const disk = `${dir}/disk`;
    sh(SOURCES, disk);
    for (const subject of engineSubjects(disk)) {
      if (!new RegExp(flags.subjects).test(subject.name)) continue;
      const own = `${disk}/${subject.name.replace(/\W+/g, '-')}`;
      mkdirSync(own);
      const engine = await subject.start(own);
      started.push({ subject, engine });
      engine.run(PREPARE[subject.family], { D: disk });
    }
    console.log(`${machine}; median of ${flags.trials}, spread, ratio to the engine's own overlayfs\n`);
    const results: { workload: string; figures: Figures }[] = [];
    for (const workload of ENGINE_WORKLOADS.filter(each => new RegExp(flags.only).test(each.name))) {
      const figures = measure(workload, started, disk);
      print(workload.name, figures, started);
      results.push({ workload: workload.name, figures });
    }
    const memories = new RegExp(flags.only).test('memory')
      ? started.map(memory).filter(line => line !== null)
      : [];
    for (const line of memories) console.log(line);
    if (flags.json) writeFileSync(flags.json, `${JSON.stringify({ machine, results, memories }, null, 2)}\n`);
  } finally {
    for (const { engine } of started.reverse()) await engine.stop();
    sh('! mountpoint -q disk || umount disk; rm -rf --one-file-system "$D"', dir, { D: dir });
  }
}

await main();
