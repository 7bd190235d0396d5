// A table of contract rows as a test: first over kernel overlayfs, which must do what the rows say and whose upper the
// command then mounts; then over every subject, each of whose uppers the kernel then mounts.
import type { Test } from 'tap';
import { batchesOf, checkExchange, checkOracle, checkRow, type Ran, runBatch } from './oracle.js';
import type { Feature, Row } from './oracle-row.js';
import { kernel, lamina, type Subject } from './subject.js';

/** A subject with what it cannot carry. */
export interface Candidate {
  readonly subject: Subject;
  readonly lacks: ReadonlySet<Feature>;
}

/** Declares one subtest for each subject, and in it one for each row. */
export function contract(test: Test, rows: readonly Row[], candidates: readonly Candidate[]): void {
  const names = new Set(rows.map(row => row.name));
  if (names.size !== rows.length) throw new Error('two rows of this table have one name');
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
  for (const { subject, lacks } of candidates) {
    const carried = rows.filter(row => !row.needs?.some(feature => lacks.has(feature)));
    test.test(subject.name, async sub => {
      sub.equal(subject.available(), null, 'can run here');
      for (const batch of batchesOf(carried)) {
        const run = await runBatch(batch, subject, kernel);
        for (const [row, ran] of run.rows) {
          await sub.test(row.name, async one => checkRow(one, row, ran, oracle.get(row)!));
        }
        sub.same(run.damage, [], 'lower layers unchanged, no rubbish in the work directory');
      }
      const left = rows.length - carried.length;
      sub.comment(`${carried.length} rows; ${left} need what ${subject.name} cannot carry`);
    });
  }
}
