// What is measured: the ways to get a union view, and a plain copy of the same tree as the floor. Each mounts from scratch,
// with the options that its users give it, and says what it cannot do.
import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { endMarked, unmountBelow } from '../place.js';
import { command, MAIN, sh, succeeds, TOP } from '../shell.js';
import type { Subject } from '../suite.js';

/** Where one trial takes place; all paths are absolute. Lowers are top first. */
export interface Site {
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly mnt: string;
}

/** What a workload asks of a subject beyond reading. */
export type Ability = 'copy-up' | 'mount' | 'daemon' | 'rename';

export interface UnionSubject extends Subject {
  mount(site: Site): void;
  /** What it has not, and why. */
  readonly lacks: Partial<Record<Ability, string>>;
}

function layers(site: Site): string {
  return `lowerdir=${site.lowers.join(':')},upperdir=${site.upper},workdir=${site.work}`;
}

/** Names relative to the directory of all layers: a hundred long ones do not fit into one argument of mount(2). */
function short(site: Site): [cwd: string, lowers: string[]] {
  const cwd = dirname(site.lowers[0]!);
  return [cwd, site.lowers.map(lower => lower.slice(cwd.length + 1))];
}

const KERNEL = 'the kernel has no process for it';

const plain: UnionSubject = {
  name: 'plain',
  about: 'a copy of the merged tree on ext4',
  lacks: { mount: 'a copy is no mount', daemon: KERNEL },
  // The bottom layer first, as a union would see it.
  mount(site) {
    for (const lower of [...site.lowers].reverse())
      command(['cp', '-a', '--reflink=never', `${lower}/.`, site.mnt]);
    command(['sync', '-f', site.mnt]);
  },
};

const overlay2: UnionSubject = {
  name: 'overlay2',
  about: 'kernel overlayfs, as Docker mounts it',
  lacks: { daemon: KERNEL },
  mount(site) {
    const [cwd, lowers] = short(site);
    sh('mount -t overlay overlay -o "$O" "$M"', cwd, { O: layers({ ...site, lowers }), M: site.mnt });
  },
};

function version(script: string): string {
  return sh(`{ ${script}; } 2>/dev/null || :`)
    .trim()
    .replace(/^.*?(\d+\.\d+[\d.]*).*$/s, '$1');
}

/** A subject that is a program of a Debian package. */
function packaged(program: string, name: string, versions: string): Pick<Subject, 'missing' | 'version'> {
  if (!succeeds('command -v "$P"', { P: program })) return { missing: `apt-get install ${name}` };
  return { version: version(versions) };
}

const fuseOverlayfs = (): UnionSubject => ({
  name: 'fuse-overlayfs',
  about: 'FUSE in C, as rootless Podman mounts it',
  ...packaged('fuse-overlayfs', 'fuse-overlayfs', 'fuse-overlayfs --version 2>&1 | grep ^fuse-overlayfs'),
  lacks: {},
  mount: site => command(['fuse-overlayfs', '-o', layers(site), site.mnt]),
});

const unionfsFuse = (): UnionSubject => ({
  name: 'unionfs-fuse',
  about: 'FUSE in C, with copy-on-write (cow)',
  ...packaged('unionfs', 'unionfs-fuse', 'unionfs --version 2>&1 | grep ^unionfs-fuse'),
  lacks: {},
  mount(site) {
    const branches = [`${site.upper}=RW`, ...site.lowers.map(lower => `${lower}=RO`)].join(':');
    command(['unionfs', '-o', 'cow,allow_other,use_ino', branches, site.mnt]);
  },
});

const mergerfs = (): UnionSubject => ({
  name: 'mergerfs',
  about: 'FUSE in C++, pools disks; no whiteouts, no copy-up',
  ...packaged('mergerfs', 'mergerfs', 'mergerfs -V'),
  lacks: { 'copy-up': 'mergerfs cannot change what is in a read-only branch' },
  mount(site) {
    const branches = [`${site.upper}=RW`, ...site.lowers.map(lower => `${lower}=RO`)].join(':');
    // Its README's advice, with the first branch for what is new, no free space kept back on a small disk, and a short name: it
    // would take that from its branches, and mount(2) refuses one of 500.
    const options =
      'allow_other,use_ino,cache.files=auto-full,category.create=ff,minfreespace=0,fsname=mergerfs';
    command(['mergerfs', '-o', options, branches, site.mnt]);
  },
});

/** `lamina mount`, by one of its transports. */
function mountLamina(site: Site, more: string): void {
  command([process.execPath, MAIN, 'mount', '-o', `${layers(site)}${more}`, site.mnt]);
}

const fuseNative = (): UnionSubject => ({
  name: 'fuse-native',
  about: 'laminafs through libfuse 2 (transport=fuse-native): what its own transport is worth',
  ...(existsSync(`${TOP}/node_modules/fuse-native`) ? {} : { missing: 'npm install fuse-native' }),
  lacks: {},
  mount: site => mountLamina(site, ',transport=fuse-native'),
});

const lamina: UnionSubject = {
  name: 'lamina',
  about: 'laminafs',
  lacks: {},
  mount: site => mountLamina(site, ''),
};

/** All of them, those that are missing too; versions are asked for at the first call. */
export const unionSubjects = ((): (() => readonly UnionSubject[]) => {
  let all: readonly UnionSubject[] | undefined;
  return () => {
    all ??= [plain, overlay2, fuseOverlayfs(), unionfsFuse(), mergerfs(), fuseNative(), lamina];
    return all;
  };
})();

/** The site of a trial on a fresh file system that is mounted at `disk`. */
export function makeSite(disk: string, lowers: readonly string[]): Site {
  const site = { lowers, upper: `${disk}/upper`, work: `${disk}/work`, mnt: `${disk}/mnt` };
  for (const path of [site.upper, site.work, site.mnt]) mkdirSync(path);
  return site;
}

/** Takes off what a trial in `dir` left, and ends its daemon, which has this mark. */
export async function clearTrial(dir: string, mark: string): Promise<void> {
  unmountBelow(`${dir}/disk/mnt`);
  await endMarked(mark);
  unmountBelow(`${dir}/disk`);
  sh('rm -f image; [ ! -d disk ] || rmdir disk', dir);
}
