// kill -9 of the daemon at every step of a change. The daemon writes down the crash points that it passes
// (LAMINA_CRASH_TRACE) and dies at the N-th (LAMINA_CRASH_AT), so the steps are enumerated and none is left to chance.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import type { Test } from 'tap';
import { type Scratch, scratch } from '../support/cleanup.js';
import {
  isRunning,
  killDaemon,
  laminaChild,
  type Mounted,
  overlayfs,
  run,
  sh,
  type View,
} from '../support/daemon.js';
import { fingerprint, rubbish, tree } from '../support/daemon-tree.js';
import { LAYERS, SCENARIOS, type Scenario } from './scenarios.js';

interface Scene extends View {
  upper: string;
  work: string;
}

interface Rehearsal {
  before: string[];
  after: string[];
  /** Names of the crash points passed, in order. */
  points: string[];
}

/** Runs the scenarios of one group, each dying at each of its steps. */
export async function crashAtEveryStep(t: Test, group: string): Promise<void> {
  const s = scratch(t, 'crash', { in: 'memory' });
  const lowers = [s.mkdir('l1'), s.mkdir('l2')];
  sh(`${LAYERS}; find l1 l2 -exec touch -h -d @1600000000 {} +`, { cwd: s.dir });
  const before = fingerprint(...lowers);
  const mountpoint = s.mkdir('mnt');
  for (const scenario of SCENARIOS[group]!) {
    await t.test(scenario.name, async t => {
      const first = prepare(s, scenario, lowers, mountpoint);
      const rehearsal = rehearse(s, scenario, first);
      t.ok(rehearsal.points.length > 0, `it passes ${rehearsal.points.join(', ')}`);
      rehearsal.points.forEach((_, i) => {
        dieAt(t, scenario.change, copyOf(s, first, 'crash'), i + 1, rehearsal);
      });
      t.equal(fingerprint(...lowers), before, 'the lower layers are what they were');
    });
  }
}

/** An upper in which `scenario.prepare` was done, and then unmounted. */
function prepare(s: Scratch, scenario: Scenario, lowers: readonly string[], mountpoint: string): Scene {
  rmSync(s.path('first'), { recursive: true, force: true });
  const scene = { lowers, upper: s.mkdir('first', 'upper'), work: s.mkdir('first', 'work'), mountpoint };
  const mounted = laminaChild.mount(scene);
  sh(`mkdir durable; echo synced >durable/file; sync durable/file durable; ${scenario.prepare ?? ''}`, {
    cwd: mountpoint,
  });
  mounted.umount();
  return scene;
}

/** The trees before and after the change, both as kernel overlayfs shows them, and the steps in between. */
function rehearse(s: Scratch, scenario: Scenario, first: Scene): Rehearsal {
  const before = kernelTree(copyOf(s, first, 'before'));
  const scene = copyOf(s, first, 'after');
  const trace = s.path('trace');
  rmSync(trace, { force: true });
  const mounted = laminaChild.mount({ ...scene, env: { LAMINA_CRASH_TRACE: trace } });
  sh(scenario.change, { cwd: scene.mountpoint });
  mounted.umount();
  const points = existsSync(trace) ? readFileSync(trace, 'utf8').trim().split('\n') : [];
  return { before, after: kernelTree(scene), points };
}

/**
 * A copy of upper and work, hard links and all. Origins stay right, as the lower layers are the same; the index loses the
 * handle of its upper directory, which is that of another inode now.
 */
function copyOf(s: Scratch, scene: Scene, name: string): Scene {
  const target = s.path(`copy-${name}`);
  sh(
    `rm -rf "$TO"; cp -a "$FROM" "$TO"; [ ! -d "$TO/work/index" ] ||
     for x in upper origin; do setfattr -x trusted.overlay.$x "$TO/work/index" 2>/dev/null || :; done`,
    { env: { FROM: s.path('first'), TO: target } },
  );
  return { ...scene, upper: `${target}/upper`, work: `${target}/work` };
}

function kernelTree(scene: Scene): string[] {
  const mounted = overlayfs.mount(scene);
  const seen = tree(scene.mountpoint);
  mounted.umount();
  return seen;
}

function dieAt(
  t: Test,
  change: string,
  scene: Scene,
  at: number,
  { before, after, points }: Rehearsal,
): void {
  const where = `dead at step ${at}, ${points[at - 1]}`;
  const acknowledged = runUntilDeath(t, change, scene, at, where);
  const mounted = laminaChild.mount(scene);
  const seen = tree(scene.mountpoint);
  mounted.umount();
  const isNew = same(seen, after);
  if (!isNew) t.strictSame(seen, before, `${where}: the tree is the old one`);
  else t.pass(`${where}: the tree is the new one`);
  if (acknowledged && !isNew) t.fail(`${where}: the change had been acknowledged and is not there`);
  t.strictSame(rubbish(scene.work), [], `${where}: the work directory is clean after the next mount`);
  const kernel = overlayfs.mount(scene);
  t.strictSame(tree(scene.mountpoint), seen, `${where}: kernel overlayfs shows the same`);
  if (!isNew) {
    sh(change, { cwd: scene.mountpoint });
    t.strictSame(tree(scene.mountpoint), after, `${where}: and the change can be made now`);
  }
  kernel.umount();
}

/** Mounts, makes the change and dies; true when the program that made it was told of success. */
function runUntilDeath(t: Test, change: string, scene: Scene, at: number, where: string): boolean {
  let mounted: Mounted;
  try {
    mounted = laminaChild.mount({ ...scene, env: { LAMINA_CRASH_AT: `${at}` } });
  } catch (error) {
    // The point lies in the mount itself.
    t.match(String(error), /killed by signal 9$/, where);
    sh('! mountpoint -q "$M" || umount "$M"', { env: { M: scene.mountpoint } });
    return false;
  }
  const changed = run(['bash', '-euc', change], { cwd: scene.mountpoint, timeout: 60_000 });
  if (isRunning(mounted.daemon!)) mounted.umount();
  else killDaemon(mounted);
  t.equal(changed.signal, null, `${where}: the program that made the change got an answer`);
  return changed.status === 0;
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.join('\n') === b.join('\n');
}
