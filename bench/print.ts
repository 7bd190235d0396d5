// What the bench says on the terminal: Markdown tables that grow as rows are measured, what is missing, and the targets.
import {
  baseOf,
  median,
  plainNumber,
  type Results,
  type Row,
  ratioOf,
  ratioText,
  type SubjectInfo,
  spread,
} from './results.js';
import type { Suite } from './suite.js';
import { TARGETS } from './targets.js';

export function printMachine(machine: Results['machine']): void {
  for (const [name, words] of Object.entries(machine)) console.log(`${name}: ${words}`);
}

export function printHead(
  title: string,
  missing: Readonly<Record<string, string>>,
  subjects: readonly SubjectInfo[],
): void {
  console.log(`\n## ${title}`);
  for (const [name, install] of Object.entries(missing))
    console.log(`${name} is left out: it needs ${install}`);
  console.log(`\n| workload | unit | ${subjects.map(({ name }) => name).join(' | ')} |`);
  console.log(`|---|---|${subjects.map(() => '---:|').join('')}`);
}

function cell(row: Row, name: string): string {
  const mine = row.figures[name];
  if (!mine?.length) return row.failures[name] === undefined ? '–' : 'failed';
  const noise = mine.length > 1 ? ` ±${spread(mine).toFixed(0)}%` : '';
  const ratio = ratioOf(row, name);
  return `${plainNumber(median(mine))}${noise}${ratio === undefined || name === baseOf(row) ? '' : ` ${ratioText(ratio)}`}`;
}

/** Median, spread, and how many times the base's elapsed time that is. */
export function printRow(row: Row, subjects: readonly SubjectInfo[]): void {
  console.log(`| ${row.name} | ${row.unit} | ${subjects.map(({ name }) => cell(row, name)).join(' | ')} |`);
}

export function printList(suites: readonly Suite[], quick: boolean): void {
  for (const suite of suites) {
    console.log(`${suite.name}: ${suite.title}\n  subjects`);
    for (const { name, about, missing } of suite.subjects())
      console.log(`    ${name.padEnd(16)} ${about}${missing === undefined ? '' : ` (not here: ${missing})`}`);
    let group = '';
    for (const row of suite.workloads(quick)) {
      if (row.group !== group) console.log(`  ${row.group}`);
      group = row.group;
      console.log(`    ${row.name.padEnd(38)} ${row.about}${row.quick ? '; quick' : ''}`);
    }
  }
}

/** Lists the rows in which lamina is behind its target, and those without a figure; the number of them. */
export function printMisses(results: Results): number {
  let misses = 0;
  const missed = (text: string): void => {
    misses++;
    console.log(text);
  };
  console.log('\nTargets that are missed (elapsed time as a ratio to overlay2):');
  for (const row of results.suites.flatMap(suite => suite.rows)) {
    const target = TARGETS[row.name];
    if (target === undefined) continue;
    const ratio = ratioOf(row, 'lamina');
    if (ratio === undefined) missed(`  ${row.name}: no ratio, target ${target}`);
    else if (ratio > target) missed(`  ${row.name}: ${ratio.toFixed(2)}, target ${target}`);
  }
  if (misses === 0) console.log('  none');
  return misses;
}
