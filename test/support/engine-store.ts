// A container store from nothing, for podman and buildah: graph root, run root and configuration files below one scratch
// directory, with one of the storage subjects, and a small root file system from Debian's busybox to begin with.
import { dirname } from 'node:path';
import type { Test } from 'tap';
import { type Scratch, scratch } from './cleanup.js';
import { CLIENT, MAIN, run, sh } from './daemon.js';
import { needs } from './needs.js';

needs('podman', 'buildah', 'runc', 'busybox', 'fuse-overlayfs', 'fusermount3', 'newuidmap', 'pidwait');

/** Who mounts containers: a mount program, or the kernel. */
export interface Subject {
  readonly name: 'lamina' | 'fuse-overlayfs' | 'overlay';
  readonly program: string | null;
}

/** The program that asks one process for all mounts of a store. */
export const lamina: Subject = { name: 'lamina', program: CLIENT };

/** The command, which gives each mount a process of its own. */
export const alone: Subject = { name: 'lamina', program: MAIN };

/** The subject under test first, then its peers. */
export const subjects: readonly Subject[] = [
  lamina,
  { name: 'fuse-overlayfs', program: '/usr/bin/fuse-overlayfs' },
  { name: 'overlay', program: null },
];

export interface Store {
  readonly subject: Subject;
  readonly scratch: Scratch;
  /** What podman and buildah are to be called with. */
  readonly env: Readonly<Record<string, string>>;
  /** Runs a bash script in the store's directory and gives what it prints. Variables: R (graph root). */
  sh(script: string): string;
}

/** Lines of `[storage.options.overlay]` in storage.conf, beside the mount program. */
export type StorageOptions = readonly string[];

/** A store in a scratch directory; when the test ends its containers end first. */
export function openStore(t: Test, subject: Subject, options: StorageOptions = []): Store {
  const s = scratch(t, 'engine');
  makeImage(s.dir);
  const env = configure(s, s.dir, subject.program, options);
  const store = {
    subject,
    scratch: s,
    env,
    sh: (script: string) => sh(script, { cwd: s.dir, env, timeout: 300_000 }),
  };
  s.defer(() => {
    const removed = run(['podman', 'rm', '--all', '--force', '--time', '0'], { env });
    if (removed.status !== 0) throw new Error(`containers are left: ${removed.stderr}`);
  });
  return store;
}

/**
 * Writes storage.conf and containers.conf for a store in `dir` and gives the environment that names them. The limits and runc
 * are for machines without CAP_SYS_RESOURCE or with cgroup v1, where the defaults of podman do not start anything.
 */
export function configure(
  s: Scratch,
  dir: string,
  program: string | null,
  options: StorageOptions = [],
): Record<string, string> {
  const storage = `[storage]
driver = "overlay"
graphroot = "${dir}/root"
rootless_storage_path = "${dir}/root"
runroot = "${dir}/run"
[storage.options.overlay]
${program === null ? '' : `mount_program = "${program}"`}
skip_mount_home = "true"
${options.join('\n')}
`;
  const containers = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
tmp_dir = "${dir}/tmp"
volume_path = "${dir}/volumes"
`;
  return {
    CONTAINERS_STORAGE_CONF: s.write('storage.conf', storage),
    CONTAINERS_CONF: s.write('containers.conf', containers),
    BUILDAH_RUNTIME: 'runc',
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    R: `${dir}/root/overlay`,
  };
}

const IMAGE = `
  mkdir -p rootfs/bin rootfs/etc rootfs/tmp rootfs/dir context
  cp "$(command -v busybox)" rootfs/bin/busybox
  for name in sh cat chmod chown dd echo id ln ls mkdir mkfifo mv rm sleep stat sync test touch true wc; do
    ln -s busybox rootfs/bin/$name
  done
  echo old >rootfs/etc/conf; echo root:x:0:0::/:/bin/sh >rootfs/etc/passwd
  for name in one two three; do echo $name >rootfs/dir/$name; done
  chmod 1777 rootfs/tmp; chmod 755 rootfs; chmod 640 rootfs/dir/three; chown 12:34 rootfs/dir/three
  tar -C rootfs --sort=name --mtime=@1600000000 -cf rootfs.tar .
  echo first >context/a; echo second >context/b
  cat >context/Dockerfile <<END
FROM localhost/base:1
RUN mkdir /d && echo x >/d/x && echo y >/d/y
COPY a /d/a
RUN rm /d/x && echo more >>/etc/conf
COPY b /d/b
RUN rm -r /dir && mkdir /dir && echo n >/dir/new
END
`;

/** Makes rootfs.tar, an image to import, and context/, a directory to build an image of five layers more from it. */
export function makeImage(dir: string): void {
  sh(IMAGE, { cwd: dir });
}
