// Check: everything that can be wrong with a pool, found and named (check-kinds.ts); nothing is changed. Reads one
// consistent view, so it may run while another process has the pool. Memory: 4 bytes a data block, 22 a page.
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { E, isErrno } from '../base/index.js';
import { type Database, openDatabase, sqlite } from '../sys/index.js';
import { Inspection, type Progress } from './check-inspect.js';
import { type Finding, type FindingKind, findingOf } from './check-kinds.js';
import { checkPoolDirectory } from './create.js';
import { DATABASE } from './places.js';
import { APPLICATION_ID, SCHEMA_VERSION } from './schema.js';

export interface CheckOptions {
  /** Now and then: pages read, and pages that there are. */
  readonly progress?: (done: number, total: number) => void;
  /** Every finding when it is found, also those past the first thousand. */
  readonly finding?: (finding: Finding) => void;
}

export interface CheckReport {
  /** Nothing was found. */
  readonly clean: boolean;
  /** The first thousand, in the order in which they were found. */
  readonly findings: readonly Finding[];
  /** How many there are, and how many of each kind. */
  readonly total: number;
  readonly counts: Readonly<Partial<Record<FindingKind, number>>>;
  /** Volumes and pages that were looked at. */
  readonly volumes: number;
  readonly pages: number;
}

/**
 * Checks the pool in `dir`. Damage is never an error, but findings. SysError: ENOENT (no pool), EMEDIUMTYPE (another
 * program's database), EPROTO (of a newer version), EACCES.
 */
export async function checkPool(dir: string, options: CheckOptions = {}): Promise<CheckReport> {
  await checkPoolDirectory(dir);
  const database = openForCheck(dir, 'read');
  if (!('pragma' in database)) return unreadable(database.what, options);
  try {
    const inspection = new Inspection(dir, database, options.finding);
    database.exec('BEGIN');
    await inTurns(inspection.run(), options);
    return reportOf(inspection);
  } finally {
    database.close();
  }
}

/** The database, or what SQLite says when it is too damaged to be opened. */
export function openForCheck(dir: string, mode: 'read' | 'write'): Database | { readonly what: string } {
  const path = join(dir, DATABASE);
  try {
    const expected = { applicationId: APPLICATION_ID, version: SCHEMA_VERSION };
    return sqlite(path, () => openDatabase(path, { mode, ...expected }));
  } catch (error) {
    if (isErrno(error, E.EUCLEAN)) return { what: (error as Error).message };
    throw error;
  }
}

/** The report when nothing can be read. */
export function unreadable(what: string, options: CheckOptions): CheckReport {
  const finding = findingOf('database', DATABASE, what);
  options.finding?.(finding);
  return { clean: false, findings: [finding], total: 1, counts: { database: 1 }, volumes: 0, pages: 0 };
}

export function reportOf({ findings, total, counts, volumes, walk }: Inspection): CheckReport {
  const pages = walk?.visited ?? 0;
  return { clean: total === 0, findings, total, counts, volumes: volumes.length, pages };
}

/** Runs an inspection in turns, so that others have theirs. */
export async function inTurns(run: Generator<Progress>, { progress }: CheckOptions): Promise<void> {
  for (const { done, total } of run) {
    progress?.(done, total);
    await setImmediate();
  }
}
