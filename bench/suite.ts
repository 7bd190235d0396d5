// What a suite is: subjects, workloads, and a way to do one trial of one workload on one subject. Whatever runs the trials
// and shows the results (measure.ts, print.ts, report/) knows nothing else of it.
import type { SubjectInfo, WorkloadInfo } from './results.js';

export interface Subject extends SubjectInfo {
  /** What would bring it to this machine, when it is not there. */
  readonly missing?: string;
  /** Its version, when it has one of its own. */
  readonly version?: string;
}

export interface Workload extends WorkloadInfo {
  /** Part of --quick. */
  readonly quick: boolean;
  /** Subjects that cannot do it, and why. */
  readonly gaps: Readonly<Record<string, string>>;
}

export interface Settings {
  /** A directory for the suite alone. */
  readonly dir: string;
  readonly quick: boolean;
  /** The names of the subjects that will be measured. */
  readonly subjects: readonly string[];
}

/** A suite that is ready to measure. */
export interface Session {
  /** The figure of one trial, in the workload's unit; `number` is another one each time. */
  trial(workload: string, subject: string, number: number): Promise<number>;
  close(): Promise<void>;
}

export interface Suite {
  readonly name: 'union' | 'thin' | 'engines';
  readonly title: string;
  /** Needs root whatever is measured. */
  readonly needsRoot: boolean;
  /** Bytes that its directory may come to hold. */
  readonly space: (quick: boolean) => number;
  /** Programs that its workloads cannot do without, and the Debian packages that have them. */
  readonly tools: Readonly<Record<string, string>>;
  /** What is left out because something is not on this machine, other than subjects; and what would bring it. */
  readonly absent?: () => Readonly<Record<string, string>>;
  readonly subjects: () => readonly Subject[];
  /** What --quick measures when no subjects are named. */
  readonly quickSubjects: readonly string[];
  readonly workloads: (quick: boolean) => readonly Workload[];
  open(settings: Settings): Promise<Session>;
}
