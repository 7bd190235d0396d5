// The union suite: small files, open files, layers, mounts and memory, compared with kernel overlayfs. Every trial is a
// process, a mount and an ext4 image of its own; the layers are on another one.
import { fileURLToPath } from 'node:url';
import { markOf } from '../place.js';
import { bash, run } from '../shell.js';
import type { Session, Settings, Suite } from '../suite.js';
import { clearTrial, unionSubjects } from './subjects.js';
import { FULL, QUICK } from './trees.js';
import { gapsOf } from './workload.js';
import { unionWorkloads } from './workloads.js';

const TRIAL = fileURLToPath(new URL('trial.js', import.meta.url));
/** Milliseconds that a trial may take: lookups of unionfs-fuse under 500 layers would take a quarter of an hour. */
const LIMIT = 300_000;

async function open({ dir, quick }: Settings): Promise<Session> {
  await bash(
    'mkdir lowers; truncate -s 8G lowers.img; mkfs.ext4 -q -N 1400000 lowers.img; mount -o loop lowers.img lowers',
    { cwd: dir },
  );
  return {
    async trial(workload, subject, number) {
      const argv = [process.execPath, TRIAL, workload, subject, dir, quick ? 'quick' : 'full'];
      const mark = markOf(dir, number);
      try {
        return Number(await run(argv, { env: mark, limit: LIMIT }));
      } catch (error) {
        // What was killed has not tidied up, and the next trial is to find nothing.
        await clearTrial(dir, Object.values(mark)[0]!);
        throw error;
      }
    },
    close: async () => {},
  };
}

export const unionSuite: Suite = {
  name: 'union',
  title: 'Union file systems',
  needsRoot: true,
  space: quick => (quick ? 1 : 6) * 2 ** 30,
  tools: {
    fio: 'fio',
    gcc: 'gcc',
    git: 'git',
    make: 'make',
    perl: 'perl',
    sqlite3: 'sqlite3',
    'mkfs.ext4': 'e2fsprogs',
  },
  subjects: unionSubjects,
  quickSubjects: ['plain', 'overlay2', 'fuse-overlayfs', 'lamina'],
  workloads: quick =>
    unionWorkloads(quick ? QUICK : FULL).map(each => ({ ...each, gaps: gapsOf(each, unionSubjects()) })),
  open,
};
