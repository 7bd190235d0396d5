// The engines suite: what Docker, containerd and Podman do, on lamina and on their own overlayfs. The engines run on throughout;
// each trial is a client's process, and containers, layers and mounts that are new.
import { mkdirSync } from 'node:fs';
import { bash, succeeds } from '../shell.js';
import type { Session, Settings, Subject, Suite, Workload } from '../suite.js';
import { residentMiB } from '../union/memory.js';
import { SOURCES } from './sources.js';
import { type Engine, engineKinds, FAMILIES, type Family, STORAGE } from './subjects.js';
import { ENGINE_WORKLOADS, PREPARE, type Steps } from './workloads.js';

const MEMORY = 'memory, 100 containers';
const BASES = ['overlayfs'];
const TITLES: Record<Family, string> = { docker: 'Docker', containerd: 'containerd', podman: 'Podman' };

const ALL = Object.keys(FAMILIES) as Family[];

const installed = (family: Family): boolean =>
  FAMILIES[family].programs.every(program => succeeds('command -v "$P"', { P: program }));

const subjects = (): Subject[] => [
  { name: 'overlayfs', about: 'the engine’s own driver, on kernel overlayfs' },
  {
    name: 'fuse-overlayfs',
    about: 'Podman with fuse-overlayfs',
    ...(succeeds('command -v fuse-overlayfs') ? {} : { missing: 'apt-get install fuse-overlayfs' }),
  },
  { name: 'lamina', about: 'lamina serve, or lamina as Podman’s mount program' },
  { name: 'lamina-thin', about: 'lamina serve --backend thin' },
];

const nameOf = (family: Family, workload: string): string => `${family}: ${workload}`;

/** Subjects that have no figure in a family, and why. */
function gaps(family: Family, memory = false): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { name } of subjects()) {
    if (!STORAGE[family].includes(name)) found[name] = `not measured with ${TITLES[family]}`;
    else if (memory && !name.startsWith('lamina')) found[name] = 'the kernel has no process for it';
  }
  return found;
}

function workloads(): Workload[] {
  return ALL.filter(installed).flatMap(family => {
    const group = TITLES[family];
    const rows: Workload[] = ENGINE_WORKLOADS.filter(({ steps }) => steps[family]).map(({ name, about }) => ({
      name: nameOf(family, name),
      group,
      about,
      unit: 's',
      bases: BASES,
      quick: name === 'start' || name === 'import',
      gaps: gaps(family),
    }));
    if (family !== 'docker') return rows;
    const about = 'resident, of the process that serves a hundred running containers';
    const memory = {
      name: nameOf(family, MEMORY),
      group,
      about,
      unit: 'MiB',
      bases: [],
      quick: false,
    } as const;
    return [...rows, { ...memory, gaps: gaps(family, true) }];
  });
}

/** Seconds that the measured step takes. */
async function seconds(engine: Engine, steps: Steps, dir: string): Promise<number> {
  const env = { D: dir };
  if (steps.before !== undefined) await engine.run(steps.before, env);
  // What was written before is not to be measured.
  await bash('sync -f .', { cwd: dir });
  const begun = performance.now();
  await engine.run(steps.measured, env);
  const elapsed = (performance.now() - begun) / 1000;
  if (steps.after !== undefined) await engine.run(steps.after, env);
  return elapsed;
}

/** A hundred containers that sleep; what the process that serves them takes, in MiB. */
async function memory(engine: Engine): Promise<number> {
  await engine.run(
    'for i in $(seq 100); do $E run -d --name m$i --network none big /bin/busybox sleep 1000; done',
  );
  const resident = residentMiB(engine.storage!);
  await engine.run('$E rm -f $(seq -f m%g 100)');
  return resident;
}

/** Starts every engine with a storage that was asked for, in turn, when it is first needed. */
function starter(dir: string, subjects: readonly string[]) {
  const engines = new Map<string, Engine>();
  const kinds = engineKinds().filter(({ subject }) => subjects.includes(subject));
  return {
    async get(family: Family, subject: string): Promise<Engine> {
      const key = `${family}-${subject}`;
      const running = engines.get(key);
      if (running !== undefined) return running;
      const own = `${dir}/${key}`;
      mkdirSync(own);
      const kind = kinds.find(each => each.family === family && each.subject === subject)!;
      const engine = await kind.start(own);
      engines.set(key, engine);
      await engine.run(PREPARE[family], { D: dir });
      return engine;
    },
    async stop(): Promise<void> {
      for (const engine of [...engines.values()].reverse()) await engine.stop();
    },
  };
}

async function open({ dir, subjects }: Settings): Promise<Session> {
  await bash('mkdir disk; truncate -s 40G disk.img; mkfs.ext4 -q disk.img; mount -o loop disk.img disk', {
    cwd: dir,
  });
  const disk = `${dir}/disk`;
  await bash(SOURCES, { cwd: disk });
  const engines = starter(disk, subjects);
  return {
    async trial(workload, subject) {
      const [family, name] = workload.split(': ') as [Family, string];
      const engine = await engines.get(family, subject);
      if (name === MEMORY) return memory(engine);
      return seconds(engine, ENGINE_WORKLOADS.find(each => each.name === name)!.steps[family]!, disk);
    },
    close: () => engines.stop(),
  };
}

export const enginesSuite: Suite = {
  name: 'engines',
  title: 'Container engines',
  needsRoot: true,
  space: () => 6 * 2 ** 30,
  tools: { busybox: 'busybox-static', 'mkfs.ext4': 'e2fsprogs' },
  absent: () =>
    Object.fromEntries(
      ALL.filter(family => !installed(family)).map(family => [
        family,
        `apt-get install ${FAMILIES[family].packages}`,
      ]),
    ),
  subjects,
  quickSubjects: ['overlayfs', 'lamina'],
  workloads,
  open,
};
