// A table of contract rows as a test: first over kernel overlayfs, which must do what the rows say and whose upper the
// command then mounts; then over every subject, each of whose uppers the kernel then mounts.
import { readFileSync } from 'node:fs';
import type { Test } from 'tap';
import {
  type Blur,
  batchesOf,
  checkExchange,
  checkOracle,
  checkRow,
  exact,
  type Ran,
  runBatch,
} from './oracle.js';
import { type Feature, needsOf, type Row } from './oracle-row.js';
import { kernel, lamina, type Subject } from './subject.js';

export type { Blur };

/** A subject with what it cannot carry. */
export interface Candidate {
  readonly subject: Subject;
  /** Rows that need one of these are not run. */
  readonly lacks: ReadonlySet<Feature>;
  /** What it cannot show in any row. */
  readonly blur?: Blur;
}

/** Declares one subtest for each subject, and in it one for each row. */
export function contract(test: Test, rows: readonly Row[], candidates: readonly Candidate[]): void {
  const names = new Set(rows.map(row => row.name));
  if (names.size !== rows.length) throw new Error('two rows of this table have one name');
  const written = readFileSync(new URL('../contract/differences.md', import.meta.url), 'utf8');
  for (const row of rows) {
    if (row.differs !== undefined && !written.includes(`\`${row.name}\``)) {
      throw new Error(`differences.md does not tell of: ${row.name}`);
    }
  }
  const oracle = new Map<Row, Ran>();
  test.test('kernel', async sub => {
    for (const batch of batchesOf(rows)) {
      const run = await runBatch(batch, kernel, lamina.available() === null ? lamina : null);
      for (const [row, ran] of run.rows) {
        oracle.set(row, ran);
        await sub.test(row.name, async one => {
          checkOracle(one, row, ran);
          if (!row.differs?.tree) checkExchange(one, ran);
        });
      }
      sub.same(run.damage, [], 'lower layers unchanged');
    }
  });
  for (const { subject, lacks, blur = exact } of candidates) {
    const carried = rows.filter(row => ![...needsOf(row)].some(feature => lacks.has(feature)));
    test.test(subject.name, async sub => {
      sub.equal(subject.available(), null, 'can run here');
      subject.prepare?.(sub);
      for (const batch of batchesOf(carried)) {
        const run = await runBatch(batch, subject, kernel);
        for (const [row, ran] of run.rows) {
          await sub.test(row.name, async one => checkRow(one, row, ran, oracle.get(row)!, blur));
        }
        sub.same(run.damage, [], 'lower layers unchanged, no rubbish in the work directory');
      }
      const left = rows.length - carried.length;
      sub.comment(`${carried.length} rows; ${left} need what ${subject.name} cannot carry`);
    });
  }
}
