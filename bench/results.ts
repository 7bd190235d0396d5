// The results of all suites, in one format: what the table, the page, the picture and --check are made from. A figure's
// meaning is its row's; ratios are of elapsed time, so 2 is twice as slow whether the row has milliseconds or MB/s.

export type Unit = 'ms' | 's' | 'MB/s' | 'kIOPS' | 'MiB' | 'KiB' | 'fds' | 'bytes';

/** Units of which more is better; of all others less is. */
const MORE_IS_BETTER: ReadonlySet<Unit> = new Set(['MB/s', 'kIOPS']);

/** A point of a growth curve: `x` of what `axis` says, and how many operations the row's figure stands for. */
export interface CurvePoint {
  readonly name: string;
  readonly axis: string;
  readonly x: number;
  readonly per?: number;
}

/** What is known of a workload before it ran. */
export interface WorkloadInfo {
  readonly name: string;
  readonly group: string;
  /** What is done, with its numbers, in a few words. */
  readonly about: string;
  readonly unit: Unit;
  /** The subjects with which others are compared: the first of them that has a figure is. None: no ratios. */
  readonly bases: readonly string[];
  readonly curve?: CurvePoint;
}

export interface Row extends WorkloadInfo {
  /** Figures of each subject in the order in which they were taken. */
  readonly figures: Readonly<Record<string, readonly number[]>>;
  /** Subjects that have no figure, and why. */
  readonly gaps: Readonly<Record<string, string>>;
  /** Subjects that should have one and failed, and how. */
  readonly failures: Readonly<Record<string, string>>;
}

export interface SubjectInfo {
  readonly name: string;
  readonly about: string;
}

export interface SuiteResults {
  readonly name: string;
  readonly title: string;
  readonly subjects: readonly SubjectInfo[];
  /** Subjects that are not on this machine, and what would bring them. */
  readonly missing: Readonly<Record<string, string>>;
  readonly rows: readonly Row[];
}

export interface Results {
  readonly format: 1;
  /** When it began, in ISO 8601, and how many seconds it took. */
  readonly taken: string;
  readonly seconds: number;
  readonly trials: number;
  readonly quick: boolean;
  /** What it ran on, by name: processor, memory, kernel, filesystem, versions. */
  readonly machine: Readonly<Record<string, string>>;
  readonly suites: readonly SuiteResults[];
}

export function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Half the distance from the least to the greatest figure, in percent of the median. */
export function spread(figures: readonly number[]): number {
  return ((Math.max(...figures) - Math.min(...figures)) / 2 / median(figures)) * 100;
}

/** What a row's figures are compared with: the subject, or undefined when there is none with a figure. */
export function baseOf(row: Row): string | undefined {
  return row.bases.find(name => (row.figures[name]?.length ?? 0) > 0);
}

/** Elapsed time of `figure` by that of `base`, in a row of this unit. */
export function elapsedRatio(unit: Unit, figure: number, base: number): number {
  return MORE_IS_BETTER.has(unit) ? base / figure : figure / base;
}

/** The ratio of the medians of a subject and of the row's base. */
export function ratioOf(row: Row, subject: string): number | undefined {
  const base = baseOf(row);
  const mine = row.figures[subject];
  if (base === undefined || !mine?.length) return undefined;
  return elapsedRatio(row.unit, median(mine), median(row.figures[base]!));
}

export const plainNumber = (value: number): string =>
  value >= 100 || value === 0 ? value.toFixed(0) : value.toPrecision(3);

export const ratioText = (ratio: number): string =>
  `${ratio >= 10 ? ratio.toFixed(0) : ratio.toPrecision(2)}×`;
