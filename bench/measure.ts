// Runs a suite: every workload on every subject that can do it, round by round, and in each round the subjects in another
// order, so that a slow minute of the machine hits all of them. What fails is noted and the rest goes on.
import { mkdirSync } from 'node:fs';
import type { Flags } from './flags.js';
import { UsageError } from './place.js';
import type { Row, SuiteResults } from './results.js';
import { succeeds } from './shell.js';
import type { Session, Subject, Suite, Workload } from './suite.js';

/** What of a suite will be measured. */
export interface Plan {
  readonly suite: Suite;
  readonly subjects: readonly Subject[];
  readonly missing: Readonly<Record<string, string>>;
  readonly workloads: readonly Workload[];
}

function chosen(suite: Suite, flags: Flags): readonly Subject[] {
  const names = flags.subjects ?? (flags.quick ? suite.quickSubjects : undefined);
  return suite.subjects().filter(({ name }) => names === undefined || names.includes(name));
}

function toolsOf(suite: Suite): void {
  const lacking = Object.entries(suite.tools).filter(
    ([program]) => !succeeds('command -v "$P"', { P: program }),
  );
  if (lacking.length === 0) return;
  const packages = [...new Set(lacking.map(([, name]) => name))].join(' ');
  const programs = lacking.map(([program]) => program).join(', ');
  throw new UsageError(`the workloads of ${suite.name} need ${programs}: apt-get install ${packages}`);
}

/** Throws UsageError when nothing would be measured, a word matches nothing anywhere, or it needs root and this is not. */
export function plan(suites: readonly Suite[], flags: Flags, root: boolean): Plan[] {
  const known = new Set(suites.flatMap(suite => suite.subjects().map(({ name }) => name)));
  const strange = flags.subjects?.find(name => !known.has(name));
  if (strange !== undefined)
    throw new UsageError(`--subjects ${strange}: there are ${[...known].join(', ')}`);
  const plans = suites.map((suite): Plan => {
    const subjects = chosen(suite, flags);
    const absent = subjects.filter(({ missing }) => missing !== undefined);
    return {
      suite,
      subjects: subjects.filter(({ missing }) => missing === undefined),
      missing: {
        ...Object.fromEntries(absent.map(({ name, missing }) => [name, missing!])),
        ...suite.absent?.(),
      },
      workloads: suite
        .workloads(flags.quick)
        .filter(
          ({ name, quick }) =>
            flags.only.test(name) && (quick || !flags.quick || flags.only.source !== '(?:)'),
        ),
    };
  });
  const used = plans.filter(({ subjects, workloads }) => subjects.length > 0 && workloads.length > 0);
  if (used.length === 0)
    throw new UsageError('nothing to measure: --list names the workloads and the subjects');
  for (const { suite } of used) {
    if (suite.needsRoot && !root)
      throw new UsageError(
        `--suite ${suite.name} mounts file systems: run it as root (as a user, --suite thin runs)`,
      );
    toolsOf(suite);
  }
  return used;
}

/** What is told while it is measured. */
export interface Progress {
  row(row: Row, subjects: readonly Subject[]): void;
  failure(workload: string, subject: string, reason: string): void;
}

/** The last line of an error that may hold a whole script and its output: there is what went wrong. */
function reasonOf(message: string): string {
  const lines = message.split('\n').map(line => line.trim());
  return (
    lines
      .filter(line => line !== '' && !/^at |^Node\.js v/.test(line))
      .at(-1)
      ?.slice(0, 200) ?? 'failed'
  );
}

class Measurement {
  private trials = 0;

  constructor(
    private readonly session: Session,
    private readonly plan: Plan,
    private readonly rounds: number,
    private readonly progress: Progress,
    private readonly abort: AbortSignal,
  ) {}

  async row(workload: Workload): Promise<Row> {
    const { quick: _, gaps: cannot, name, group, about, unit, bases, curve } = workload;
    const figures: Record<string, number[]> = {};
    const failures: Record<string, string> = {};
    const names = this.plan.subjects.map(subject => subject.name);
    const able = names.filter(subject => cannot[subject] === undefined);
    for (let round = 0; round < this.rounds; round++) {
      for (let i = 0; i < able.length; i++) {
        const subject = able[(round + i) % able.length]!;
        if (failures[subject] !== undefined) continue;
        try {
          const figure = await this.trial(name, subject);
          figures[subject] = [...(figures[subject] ?? []), figure];
        } catch (error) {
          this.abort.throwIfAborted();
          const message = error instanceof Error ? error.message : String(error);
          failures[subject] = reasonOf(message);
          delete figures[subject];
          this.progress.failure(name, subject, message);
        }
      }
    }
    const gaps = Object.fromEntries(Object.entries(cannot).filter(([subject]) => names.includes(subject)));
    const point = curve === undefined ? {} : { curve };
    return { name, group, about, unit, bases, ...point, figures, gaps, failures };
  }

  private async trial(workload: string, subject: string): Promise<number> {
    this.abort.throwIfAborted();
    const figure = await this.session.trial(workload, subject, this.trials++);
    if (!Number.isFinite(figure)) throw new Error(`the trial printed no figure`);
    return figure;
  }
}

/** Measures what the plan says in `dir`, a directory for all suites. Rejects with the abort's reason. */
export async function measure(
  plan: Plan,
  flags: Flags,
  dir: string,
  abort: AbortSignal,
  progress: Progress,
): Promise<SuiteResults> {
  const { suite, subjects, missing, workloads } = plan;
  const own = `${dir}/${suite.name}`;
  mkdirSync(own);
  const names = subjects.map(({ name }) => name);
  const session = await suite.open({ dir: own, quick: flags.quick, subjects: names });
  const rows: Row[] = [];
  try {
    const measurement = new Measurement(session, plan, flags.trials, progress, abort);
    for (const workload of workloads) {
      const row = await measurement.row(workload);
      progress.row(row, subjects);
      rows.push(row);
    }
  } finally {
    await session.close();
  }
  const known = subjects.map(({ name, about }) => ({ name, about }));
  return { name: suite.name, title: suite.title, subjects: known, missing, rows };
}
