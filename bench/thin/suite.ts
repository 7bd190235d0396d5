// The thin suite: volumes of lamina beside qemu-nbd and a plain loop device on the same disk, each trial a server and clients of
// its own; then what a snapshot of a volume of 1 TiB costs.
import { fileURLToPath } from 'node:url';
import { markOf } from '../place.js';
import { bash, run } from '../shell.js';
import type { Session, Settings, Suite, Workload } from '../suite.js';
import { METADATA_WORKLOADS, measureMetadata } from './metadata.js';
import { thinSubjects } from './subjects.js';
import { THIN_WORKLOADS } from './workloads.js';

const TRIAL = fileURLToPath(new URL('trial.js', import.meta.url));
/** Milliseconds that a trial may take. */
const LIMIT = 600_000;
const sizeOf = (quick: boolean): number => (quick ? 64 : 512) * 2 ** 20;

function workloads(): Workload[] {
  const gaps = (snapshots: boolean) =>
    Object.fromEntries(
      thinSubjects().flatMap(({ name, noSnapshots }) =>
        snapshots && noSnapshots !== undefined ? [[name, noSnapshots]] : [],
      ),
    );
  const others = thinSubjects().filter(({ name }) => name !== 'lamina-nbd');
  const own = Object.fromEntries(others.map(({ name }) => [name, 'only the pool itself is looked at']));
  return [
    ...THIN_WORKLOADS.map(({ run: _, ...each }) => ({ ...each, gaps: gaps(each.content === 'snapshotted') })),
    ...METADATA_WORKLOADS.map(each => ({ ...each, gaps: own, quick: false })),
  ];
}

async function open({ dir, quick }: Settings): Promise<Session> {
  const size = sizeOf(quick);
  await bash(`head -c ${size} /dev/urandom >image`, { cwd: dir });
  const metadata = new Set(METADATA_WORKLOADS.map(({ name }) => name));
  /** The n-th trial of any figure of a pool's metadata is of the n-th pool. */
  const pools: ReadonlyMap<string, number>[] = [];
  const taken = new Map<string, number>();
  const poolFigure = async (name: string): Promise<number> => {
    const n = taken.get(name) ?? 0;
    taken.set(name, n + 1);
    pools[n] ??= await measureMetadata(dir, 1024);
    return pools[n].get(name)!;
  };
  return {
    async trial(workload, subject, number) {
      if (metadata.has(workload)) return poolFigure(workload);
      const argv = [process.execPath, TRIAL, workload, subject, dir, String(size)];
      return Number(await run(argv, { env: markOf(dir, number), limit: LIMIT }));
    },
    close: async () => {},
  };
}

export const thinSuite: Suite = {
  name: 'thin',
  title: 'Thin volumes',
  needsRoot: false,
  space: quick => 6 * sizeOf(quick) + 2 ** 29,
  tools: { fio: 'fio', nbdcopy: 'libnbd-bin' },
  subjects: thinSubjects,
  quickSubjects: ['qemu-raw', 'qemu-qcow2', 'loop', 'lamina-nbd', 'lamina-loop'],
  workloads,
  open,
};
