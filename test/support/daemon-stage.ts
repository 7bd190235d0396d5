// The stage of one test: a scratch directory with lower layers, upper, work and mount point, mounted by one of the kinds.
// `eachKind` plays the same test over lamina and over kernel overlayfs, and checks after it what must hold after every
// test: the lower layers are what they were, nothing is left in the work directory, and kernel overlayfs shows the same tree
// from the same layers.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { defaultConfig, Union } from '../../src/union/index.js';
import { type Scratch, scratch } from './cleanup.js';
import { type Kind, kinds, type Mounted, overlayfs, type Shell, sh, type View } from './daemon.js';
import { fingerprint, rubbish, tree } from './daemon-tree.js';

export interface Stage {
  readonly t: Test;
  readonly kind: Kind;
  readonly scratch: Scratch;
  readonly lowers: string[];
  readonly upper: string;
  readonly work: string;
  readonly mnt: string;
  /** Mounts the stage; what is mounted already is unmounted first. */
  mount(view?: Partial<View>): Mounted;
  umount(): void;
  /** Runs a bash script in the mount; variables L (top lower), U, W, M and S (scratch) are set. */
  in(script: string, shell?: Shell): string;
  /** Runs a bash script in the scratch directory, with the same variables. */
  sh(script: string, shell?: Shell): string;
  /** Runs a Python script in the mount, for system calls that no command makes; gives what it prints, trimmed. */
  python(script: string): string;
}

export interface StageOptions {
  /** Bash script that fills the lower layers; runs in the scratch directory, which has l1 (top), l2, ... */
  layers: string;
  /** Number of lower layers; 1 unless told. */
  count?: number;
  /** Where the scratch directory is; on disk unless told. */
  in?: 'disk' | 'memory';
  /** Directory, below the scratch directory, that holds upper and work; made by `layers` if it is a mount. */
  upperIn?: string;
  /** Options for lamina only, beside those that both have. */
  lamina?: readonly string[];
  /** False where kernel overlayfs cannot mount this upper, or would show it otherwise. */
  interchange?: boolean;
}

const PYTHON = `
import os, sys, errno, mmap, fcntl, socket, ctypes
def rename2(a, b, flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, a.encode(), -100, b.encode(), flags): return errno.errorcode[ctypes.get_errno()]
    return 'ok'
def attempt(call, *args):
    try: call(*args)
    except OSError as e: return errno.errorcode[e.errno]
    return 'ok'
`;

export function setStage(t: Test, kind: Kind, options: StageOptions): Stage {
  const s = scratch(t, 'stage', { in: options.in ?? 'disk' });
  const lowers = Array.from({ length: options.count ?? 1 }, (_, i) => s.mkdir(`l${i + 1}`));
  const variables = { L: lowers[0]!, S: s.dir, M: s.mkdir('mnt') };
  sh(options.layers, { cwd: s.dir, env: variables });
  // Old times everywhere, so that what the test changes can be told from what it must not change.
  sh('find l* -exec touch -h -d @1600000000 {} +', { cwd: s.dir });
  const upper = s.path(options.upperIn ?? '', 'upper');
  const work = s.path(options.upperIn ?? '', 'work');
  for (const dir of [upper, work]) mkdirSync(dir, { recursive: true });
  const env = { ...variables, U: upper, W: work };
  let mounted: Mounted | undefined;
  const umount = (): void => {
    mounted?.umount();
    mounted = undefined;
  };
  return {
    t,
    kind,
    scratch: s,
    lowers,
    upper,
    work,
    mnt: variables.M,
    umount,
    mount(view = {}) {
      umount();
      const own = kind.name === 'lamina' && options.lamina ? { options: options.lamina } : {};
      mounted = kind.mount({ lowers, upper, work, mountpoint: variables.M, ...own, ...view });
      return mounted;
    },
    in: (script, shell) => sh(script, { cwd: variables.M, ...shell, env: { ...env, ...shell?.env } }),
    python: script => sh('python3 -', { cwd: variables.M, env, input: `${PYTHON}\n${script}` }).trim(),
    sh: (script, shell) => sh(script, { cwd: s.dir, ...shell, env: { ...env, ...shell?.env } }),
  };
}

/** The stage's layers as a union in this process, which nobody mounts. */
export function openUnion({ lowers, upper, work }: Stage): Union {
  return Union.open({ ...defaultConfig(), lowers, upper, work });
}

/** Plays `play` over every kind, as subtests of a test called `name`. The stage is mounted when `play` begins. */
export function eachKind(
  t: Test,
  name: string,
  options: StageOptions,
  play: (stage: Stage) => void | Promise<void>,
): Promise<unknown> {
  return t.test(name, async t => {
    for (const kind of kinds) {
      await t.test(kind.name, async t => {
        const stage = setStage(t, kind, options);
        const before = fingerprint(...stage.lowers);
        stage.mount();
        await play(stage);
        checkAfter(stage, before, options.interchange ?? true);
      });
    }
  });
}

/** What must hold after every test of a stage whose lowers had the fingerprint `before`. */
export function checkAfter(stage: Stage, before: string, interchange: boolean): void {
  const { t, lowers, upper, work, mnt } = stage;
  stage.mount();
  const seen = tree(mnt);
  stage.umount();
  t.equal(fingerprint(...lowers), before, 'the lower layers are what they were');
  if (stage.kind.name === 'overlayfs') return;
  t.strictSame(rubbish(work), [], 'nothing is left in the work directory');
  if (!interchange) return;
  const kernel = overlayfs.mount({ lowers, upper, work, mountpoint: mnt });
  // The notes that laminafs keeps in its uppers are private to it; the kernel does not know them.
  const shown = tree(mnt).filter(line => !/ trusted\.lamina\./.test(line));
  t.strictSame(shown, seen, 'kernel overlayfs shows the same tree');
  kernel.umount();
  t.strictSame(rubbish(join(work)), [], 'and finds nothing to clean up');
}
