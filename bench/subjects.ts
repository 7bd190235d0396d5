// What is measured: the ways to get a union view, and a plain copy of the same tree as the floor. Each mounts from scratch
// and says which process serves it.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const MAIN = resolve(process.env.LAMINA_MAIN ?? 'dist/cli/main.js');

/** Where one trial takes place; all paths are absolute. Lowers are top first. */
export interface Place {
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly mnt: string;
}

export interface Subject {
  readonly name: string;
  mount(place: Place): void;
  /** Does it keep a process that can be looked at? */
  readonly daemon: boolean;
}

/** Runs bash to its end; its output, or an error with all that it said. */
export function sh(script: string, cwd = '/', env: Record<string, string> = {}): string {
  const options = {
    cwd,
    env: { ...process.env, LC_ALL: 'C', ...env },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  } as const;
  const result = spawnSync('bash', ['-euo', 'pipefail', '-c', script], options);
  if (result.status !== 0) throw new Error(`${script}\n${result.stdout}\n${result.stderr}`);
  return result.stdout;
}

function command(argv: string[]): void {
  const result = spawnSync(argv[0]!, argv.slice(1), {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (result.status !== 0) throw new Error(`${argv.join(' ').slice(0, 300)}: ${result.stderr}`);
}

function layers(place: Place): string {
  return `lowerdir=${place.lowers.join(':')},upperdir=${place.upper},workdir=${place.work}`;
}

const plain: Subject = {
  name: 'plain',
  daemon: false,
  // The bottom layer first, as a union would see it. A copy is no mount, so what mounting costs is not measured for it.
  mount(place) {
    for (const lower of [...place.lowers].reverse())
      command(['cp', '-a', '--reflink=never', `${lower}/.`, place.mnt]);
    command(['sync']);
  },
};

const overlay2: Subject = {
  name: 'overlay2',
  daemon: false,
  mount(place) {
    // mount(2) takes a page of options: with short relative names a hundred layers fit.
    const cwd = resolve(place.lowers[0]!, '..');
    const lowers = place.lowers.map(lower => lower.slice(cwd.length + 1)).join(':');
    sh('mount -t overlay overlay -o "$O" "$M"', cwd, {
      O: layers({ ...place, lowers: [lowers] }),
      M: place.mnt,
    });
  },
};

const fuseOverlayfs: Subject = {
  name: 'fuse-overlayfs',
  daemon: true,
  mount: place => command(['fuse-overlayfs', '-o', layers(place), place.mnt]),
};

const lamina: Subject = {
  name: 'lamina',
  daemon: true,
  mount: place => command([process.execPath, MAIN, 'mount', '-o', layers(place), place.mnt]),
};

export const SUBJECTS: readonly Subject[] = [plain, overlay2, fuseOverlayfs, lamina];

/** The process that was started in this trial (BENCH_TRIAL is in its environment) and serves the mount. */
export function daemonPid(): number {
  const mark = `BENCH_TRIAL=${process.env.BENCH_TRIAL}`;
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name) && Number(name) !== process.pid);
  const found = pids.filter(pid => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(mark);
    } catch (error) {
      // It has ended meanwhile, or is not ours to look at.
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return false;
      throw error;
    }
  });
  if (found.length !== 1) throw new Error(`expected one daemon, found ${found.length}`);
  return Number(found[0]);
}

/** Resident memory of a process in MiB, anonymous and file pages together. */
export function residentMiB(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1]) / 1024;
}

export function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
