// What a test can mount: kernel overlayfs, the `lamina` command over /dev/fuse, the same over fuse-native, and (in
// subject-memory.ts) the union without a kernel. All take the same specification and give trees that run the same operations,
// so a table of cases runs over each, and kernel overlayfs says what is right.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ok, SysError } from '../../src/base/index.js';
import { AT, native, O } from '../../src/sys/index.js';
import { type Op, type Outcome, SystemRunner } from './ops.js';
import { ringOn } from './ring-switch.js';
import { startDaemon } from './subject-daemon.js';
import { type Awaitable, SystemView, type View } from './tree.js';

/** Paths are absolute; `lowers` top first. `options` are as in mount(8), such as 'index=on'. */
export interface MountSpec {
  readonly lowers: readonly string[];
  readonly upper?: string;
  readonly work?: string;
  readonly options?: readonly string[];
  readonly mountpoint: string;
}

/** A mounted tree, or a part of it, to act on and to look at. */
export interface Tree {
  readonly view: View;
  run(step: Op): Awaitable<Outcome>;
  /** Closes what operations left open. */
  close(): Awaitable<void>;
}

export interface Mounted {
  /** The tree below a directory of the mount; '' is the whole. */
  tree(path: string): Tree;
  /** Resolves when the mount is gone and nobody writes to its layers any more. */
  unmount(): Promise<void>;
}

export interface Subject {
  readonly name: string;
  /** It is overlayfs: it leaves its shared whiteout in the work directory, and over layers that it did not write its inode
   * numbers may contradict each other. */
  readonly isOverlayfs?: boolean;
  /** Makes the machine ready for it until the test ends. */
  prepare?(t: { teardown(task: () => void): void }): void;
  /** Why it cannot run here, or null. */
  available(): string | null;
  /** Rejects with a SysError or an Error that carries the subject's message when the mount is refused. */
  mount(spec: MountSpec): Promise<Mounted>;
}

/** The option string of a specification, as mount(8) takes it. */
export function optionString(spec: MountSpec): string {
  const options = [`lowerdir=${spec.lowers.join(':')}`];
  if (spec.upper !== undefined) options.push(`upperdir=${spec.upper}`);
  if (spec.work !== undefined) options.push(`workdir=${spec.work}`);
  return [...options, ...(spec.options ?? [])].join(',');
}

class SystemTree implements Tree {
  readonly view: SystemView;
  private readonly runner: SystemRunner;

  constructor(private readonly root: number) {
    this.view = new SystemView(root);
    this.runner = new SystemRunner(root);
  }

  run(step: Op): Outcome {
    return this.runner.run(step);
  }

  close(): void {
    this.runner.close();
    native.close(this.root);
  }
}

/** A mounted tree by system calls. */
export function systemTree(mountpoint: string, path: string): Tree {
  const whole = path === '' ? mountpoint : `${mountpoint}/${path}`;
  return new SystemTree(ok(native.openat2(AT.FDCWD, whole, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0, 0), whole));
}

function umount(mountpoint: string): void {
  ok(native.umount(mountpoint, 0), `umount ${mountpoint}`);
}

/** Kernel overlayfs: the oracle. */
export const kernel: Subject = {
  name: 'kernel',
  isOverlayfs: true,
  available: () => (process.getuid?.() === 0 ? null : 'mounting kernel overlayfs needs root'),
  async mount(spec) {
    const rc = native.mount('overlay', spec.mountpoint, 'overlay', 0, optionString(spec));
    if (rc < 0) throw new SysError(-rc, `mount overlay ${optionString(spec)}`);
    return {
      tree: path => systemTree(spec.mountpoint, path),
      async unmount() {
        umount(spec.mountpoint);
      },
    };
  },
};

/** The command under test. */
export const command =
  process.env.LAMINA_MAIN ?? fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

function daemonSubject(name: string, extra: readonly string[]): Subject {
  return {
    name,
    available() {
      if (process.getuid?.() !== 0) return 'the comparison with kernel overlayfs needs root';
      if (!existsSync('/dev/fuse')) return 'there is no /dev/fuse';
      return existsSync(command) ? null : `${command} is not built; run 'npm run build'`;
    },
    async mount(spec) {
      const options = optionString({ ...spec, options: [...(spec.options ?? []), ...extra] });
      const daemon = await startDaemon(
        [command, 'mount', '-f', '-o', options, spec.mountpoint],
        spec.mountpoint,
      );
      return {
        tree: path => systemTree(spec.mountpoint, path),
        async unmount() {
          umount(spec.mountpoint);
          await daemon.ended();
        },
      };
    },
  };
}

/** The real command over /dev/fuse. */
export const lamina: Subject = daemonSubject('lamina', ['channel=dev']);

/** The real command over io_uring. */
export const laminaRing: Subject = { ...daemonSubject('lamina-ring', ['channel=io_uring']), prepare: ringOn };

/** The real command over libfuse 2. */
export const fuseNative: Subject = daemonSubject('fuse-native', ['transport=fuse-native']);
