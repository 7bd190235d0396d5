// `npm run bench`: workloads times subjects, of one suite or all, and what was found as a table, as JSON, as a page and as its
// picture. `npm run bench -- --help` says how. Status 2 is a wrong word or a machine that cannot, 1 a failure or a missed target.
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { enginesSuite } from './engines/suite.js';
import { type Flags, HELP, parseFlags } from './flags.js';
import { describeMachine } from './machine.js';
import { measure, type Plan, plan } from './measure.js';
import { Interrupted, makePlace, removePlace, UsageError, watchSignals } from './place.js';
import { printHead, printList, printMachine, printMisses, printRow } from './print.js';
import { findBrowser, takePicture } from './report/browser.js';
import { pageOf } from './report/page.js';
import type { Results, SuiteResults } from './results.js';
import { thinSuite } from './thin/suite.js';
import { unionSuite } from './union/suite.js';

const SUITES = [unionSuite, thinSuite, enginesSuite];

/** 128 and the signal's number, as a shell reports it. */
const STATUS: Partial<Record<NodeJS.Signals, number>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

const progress = {
  row: printRow,
  failure(workload: string, subject: string, reason: string): void {
    console.error(`${workload} on ${subject} failed: ${reason}`);
  },
};

async function measureAll(plans: readonly Plan[], flags: Flags): Promise<Results> {
  const space = Math.max(...plans.map(({ suite }) => suite.space(flags.quick)));
  const dir = makePlace(flags.dir, space);
  const abort = watchSignals();
  const begun = Date.now();
  try {
    const used = plans.map(({ suite }) => suite);
    const machine = describeMachine(dir, used);
    printMachine(machine);
    const suites: SuiteResults[] = [];
    for (const each of plans) {
      printHead(each.suite.title, each.missing, each.subjects);
      suites.push(await measure(each, flags, dir, abort, progress));
    }
    const taken = new Date(begun).toISOString();
    const seconds = Math.round((Date.now() - begun) / 1000);
    return { format: 1, taken, seconds, trials: flags.trials, quick: flags.quick, machine, suites };
  } catch (error) {
    // Whatever was killed by it failed in its own way.
    throw abort.aborted ? abort.reason : error;
  } finally {
    await removePlace(dir);
  }
}

/** Throws UsageError for a file that could not be written when everything has been measured. */
function checkOutputs({ json, html, picture }: Flags): void {
  for (const [flag, path] of Object.entries({ json, html, picture })) {
    if (path === undefined) continue;
    try {
      accessSync(dirname(resolve(path)), constants.W_OK);
    } catch (error) {
      throw new UsageError(`--${flag} ${path}: ${(error as Error).message}`);
    }
  }
  if (picture !== undefined) findBrowser();
}

function readResults(path: string): Results {
  try {
    const results = JSON.parse(readFileSync(path, 'utf8')) as Results;
    if (results.format === 1) return results;
  } catch (error) {
    throw new UsageError(`--from ${path}: ${(error as Error).message}`);
  }
  throw new UsageError(`--from ${path}: not the results of this bench`);
}

async function show(results: Results, flags: Flags): Promise<void> {
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(results, null, 1)}\n`);
  if (flags.html !== undefined) writeFileSync(flags.html, pageOf(results));
  if (flags.picture !== undefined) await takePicture(pageOf(results), flags.picture);
}

function printStored(results: Results): void {
  printMachine(results.machine);
  for (const { title, missing, subjects, rows } of results.suites) {
    printHead(title, missing, subjects);
    for (const row of rows) printRow(row, subjects);
  }
}

async function main(): Promise<number> {
  const flags = parseFlags(
    process.argv.slice(2),
    SUITES.map(({ name }) => name),
  );
  const suites = SUITES.filter(({ name }) => flags.suites.includes(name));
  if (flags.help) {
    console.log(HELP);
    return 0;
  }
  if (flags.list) {
    printList(suites, flags.quick);
    return 0;
  }
  checkOutputs(flags);
  const results =
    flags.from === undefined
      ? await measureAll(plan(suites, flags, process.geteuid!() === 0), flags)
      : readResults(flags.from);
  if (flags.from !== undefined) printStored(results);
  await show(results, flags);
  const failed = results.suites.some(({ rows }) =>
    rows.some(({ failures }) => Object.keys(failures).length > 0),
  );
  const misses = flags.check ? printMisses(results) : 0;
  return failed || misses > 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`bench: ${error.message}`);
    process.exitCode = 2;
  } else if (error instanceof Interrupted) {
    console.error(`bench: ${error.message}`);
    process.exitCode = STATUS[error.signal] ?? 1;
  } else throw error;
}
