// Repair: mends what check finds and what has one right answer (reference counts, counters, leaked pages), in one SQLite
// transaction, and reports the rest. Nobody else may have the pool; a pool that cannot be mended stays as it was.
import { resolve } from 'node:path';
import { type Database, sqlite } from '../sys/index.js';
import { type CheckOptions, type CheckReport, inTurns, openForCheck, reportOf, unreadable } from './check.js';
import { Inspection } from './check-inspect.js';
import { checkPoolDirectory } from './create.js';
import { FileData } from './datafile.js';
import { lockPool, unlockPool } from './lock.js';
import type { PoolOptions } from './options.js';
import { type Freed, mend } from './repair-mend.js';
import type { PoolRow } from './schema.js';

export interface RepairReport {
  /** What was found. */
  readonly before: CheckReport;
  /** What is left. */
  readonly after: CheckReport;
  /** Data blocks that were counted as used and are free now. */
  readonly freedBlocks: number;
}

/**
 * Repairs the pool in `dir`. `progress` runs once for the check before and once for the one after; `finding` tells what
 * was found before. SysError: EBUSY when a process has the pool, and those of checkPool.
 */
export async function repairPool(dir: string, options: CheckOptions = {}): Promise<RepairReport> {
  await checkPoolDirectory(dir);
  const database = openForCheck(dir, 'write');
  if (!('pragma' in database)) {
    const report = unreadable(database.what, options);
    return { before: report, after: report, freedBlocks: 0 };
  }
  try {
    const lock = lockPool(dir, false);
    try {
      return await repairDatabase(dir, database, options);
    } finally {
      unlockPool(lock);
    }
  } finally {
    database.close();
  }
}

async function repairDatabase(dir: string, database: Database, options: CheckOptions): Promise<RepairReport> {
  const found = new Inspection(dir, database, options.finding);
  sqlite(dir, () => database.exec('BEGIN IMMEDIATE'));
  await inTurns(found.run(), options);
  const before = reportOf(found);
  // A database that SQLite itself finds damaged is not written to.
  if (before.clean || found.walk === undefined || before.counts.database !== undefined) {
    return { before, after: before, freedBlocks: 0 };
  }
  const untouched = changes(database);
  const freed = sqlite(dir, () => mend(found));
  const left = new Inspection(dir, database);
  await inTurns(left.run(), options);
  const after = settle(database, reportOf(left));
  if (changes(database) === untouched) return { before, after: before, freedBlocks: 0 };
  sqlite(dir, () => database.exec('COMMIT'));
  if (freed.length > 0 && before.counts['data-file'] === undefined) await punch(dir, found.pool!, freed);
  return { before, after, freedBlocks: freed.reduce((sum, { first, end }) => sum + end - first, 0) };
}

/** Rows that this connection has changed so far. */
function changes(database: Database): unknown {
  return database.prepare('SELECT total_changes()').pluck().get();
}

/** Clears the flag that asked for a check when nothing else is left. */
function settle(database: Database, report: CheckReport): CheckReport {
  if (report.clean || report.total !== report.counts['needs-check']) return report;
  database.exec('UPDATE thin_pool SET needs_check = 0');
  return { ...report, clean: true, findings: [], total: 0, counts: {} };
}

/** Gives the space of freed blocks back, as the pool does, unless it was told not to. */
async function punch(dir: string, pool: PoolRow, freed: readonly Freed[]): Promise<void> {
  const { discards } = JSON.parse(pool.options) as Partial<PoolOptions>;
  if ((discards ?? 'passdown') !== 'passdown') return;
  const data = new FileData(resolve(dir, pool.data));
  try {
    for (const { first, end } of freed) {
      await data.punch(first * pool.block_size, (end - first) * pool.block_size);
    }
  } finally {
    data.close();
  }
}
