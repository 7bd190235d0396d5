// What a workload of the union suite is made of. Scripts are bash, run in the mount; `..` there is the trial's own disk.
import type { Unit } from '../results.js';
import { sh } from '../shell.js';
import type { Workload } from '../suite.js';
import type { Ability, Site, UnionSubject } from './subjects.js';
import type { Scale, TreeName } from './trees.js';

/** What a trial has mounted, and what that took in milliseconds. */
export interface Mounted {
  readonly site: Site;
  readonly mountTime: number;
  readonly scale: Scale;
}

export interface UnionWorkload extends Omit<Workload, 'gaps'> {
  /** The tree that it runs on; see trees.ts. */
  readonly tree: TreeName;
  /** Prepares outside the clock. */
  readonly before?: string;
  /** Drops the kernel's caches before the clock starts. */
  readonly cold?: boolean;
  /** A script whose wall time in milliseconds is the figure, or a function that gives it. */
  readonly run: string | ((mounted: Mounted) => number);
  /** Fails unless the work was done; outside the clock. */
  readonly after?: string;
  /** What subjects need for it. */
  readonly asks: readonly Ability[];
  /** Subjects that are known to fail at it, and how. */
  readonly fails?: Readonly<Record<string, string>>;
}

export const OVERLAY: readonly string[] = ['overlay2'];

type Given = Pick<UnionWorkload, 'name' | 'group' | 'about' | 'tree' | 'run'> & Partial<UnionWorkload>;

/** A workload with what most of them have: milliseconds, compared with overlay2, asking for nothing. */
export function workload(given: Given): UnionWorkload {
  return { unit: 'ms', bases: OVERLAY, quick: false, asks: [], ...given };
}

/** A count as it is read: 20 000. */
export const counted = (count: number): string => count.toLocaleString('en').replaceAll(',', ' ');

/** The wall time of a script in milliseconds. */
export function timed(script: string, cwd: string): number {
  const start = process.hrtime.bigint();
  sh(script, cwd);
  return Number(process.hrtime.bigint() - start) / 1e6;
}

/** Throughput in fio's terse output (version 3): fields 7 and 48 are KiB/s read and written, 8 and 49 operations a second. */
export function fioFigure(output: string, mode: string, unit: Unit): number {
  const fields = output
    .split('\n')
    .find(line => line.startsWith('3;'))
    ?.split(';');
  const first = mode.endsWith('write') ? 47 : 6;
  const value = Number(fields?.[unit === 'MB/s' ? first : first + 1]);
  if (!(value > 0)) throw new Error(`fio says nothing of its throughput: ${output.slice(0, 300)}`);
  return unit === 'MB/s' ? (value * 1024) / 1e6 : value / 1000;
}

/** The subjects that cannot do it, and why. */
export function gapsOf(work: UnionWorkload, subjects: readonly UnionSubject[]): Record<string, string> {
  const gaps: Record<string, string> = {};
  for (const { name, lacks } of subjects) {
    const reason = work.asks.map(ability => lacks[ability]).find(text => text !== undefined);
    const why = reason ?? work.fails?.[name];
    if (why !== undefined) gaps[name] = why;
  }
  return gaps;
}
