// `lamina pool check|repair|dump|restore|rmap|ls`: what reads the metadata beside the process that has the pool, and what makes
// or mends it when nobody has. A process that has it is asked to commit first.
import type { Command } from 'commander';
import { type ByteString, E, isErrno, toText } from '../base/index.js';
import { poolOptions } from '../export/index.js';
import {
  type CheckReport,
  checkPool,
  dump,
  type Finding,
  MetadataReader,
  parseRegion,
  type Region,
  repairPool,
  restore,
  reverseRuns,
  rmap,
  volumesFields,
  volumesTable,
} from '../thin/index.js';
import { say, UserError } from './output.js';
import { toOutput } from './output-file.js';
import { absoluteText } from './pool-address.js';
import { askToCommit } from './pool-call.js';
import { addPoolOptions, givenOptions, type OptionFlags } from './pool-options.js';
import { LateProgress } from './progress.js';
import { parseWhole, parseWord } from './size.js';
import { fromInput } from './volume-transfer.js';

const LARGEST_ID = 2 ** 24 - 1;
/** What restore takes the low-water mark to be in, before it has read the block size: dm-thin's smallest blocks. */
const SMALLEST_BLOCK = 64 << 10;

export function definePoolTools(command: Command): void {
  const collect = (value: string, before: string[] = []) => [...before, value];
  command
    .command('check')
    .argument('<directory>')
    .description('Find everything that is wrong with the metadata, also while the pool is in use.')
    .option('--json', 'for programs')
    .addHelpText('after', '\nExit status: 0 when nothing was found, else 1.')
    .action(check);
  command
    .command('repair')
    .argument('<directory>', 'of a pool that nobody uses')
    .description('Mend leaks and counters, and say what cannot be mended.')
    .option('--json', 'for programs')
    .action(repair);
  command
    .command('dump')
    .argument('<directory>')
    .description("Write the metadata as thin_dump's XML, also while the pool is in use.")
    .option('-m, --metadata-snapshot', 'the reserved metadata snapshot instead of what there is now')
    .option('-f, --format <format>', 'xml (the default) or human_readable')
    .option('-o, --output <file>', 'into this file, which appears when it is whole (default: stdout)')
    .option('--dev-id <id>', 'only this volume; may be repeated', collect)
    .option('--skip-mappings', 'volumes without what they map')
    .option('--names', 'also names and sizes, as comments that lamina pool restore reads')
    .action(dumpPool);
  addPoolOptions(
    command
      .command('restore')
      .argument('<directory>', 'made by this')
      .description("Make a pool from thin_dump's XML.")
      .option('-i, --input <file>', 'from this file (default: stdin)')
      .option('--data <path>', 'the file or block device with the data, which stays as it is')
      .option('--json', 'say for programs what was made'),
  ).action(restorePool);
  command
    .command('rmap')
    .argument('<directory>')
    .description('Show which volumes use a range of data blocks.')
    .requiredOption(
      '--region <range>',
      'A..B, the first block and the one after the last; may be repeated',
      collect,
    )
    .option('--json', 'for programs')
    .action(rmapPool);
  command
    .command('ls')
    .argument('<directory>')
    .description("List volumes with thin_ls's columns.")
    .option('-o, --format <fields>', 'such as DEV,MAPPED,EXCLUSIVE_BLOCKS,NAME')
    .option('--no-headers', 'rows only')
    .option('-m, --metadata-snapshot', 'the reserved metadata snapshot instead of what there is now')
    .option(
      '--json',
      'for programs: an object for each volume (default: all fields that are numbers of one unit)',
    )
    .action(ls);
}

async function check(word: ByteString, flags: { json?: true }): Promise<void> {
  const dir = absoluteText(word);
  await askToCommit(dir);
  const report = await withBar(hooks => checkPool(dir, hooks), flags.json !== true);
  if (flags.json) say(JSON.stringify(report, null, 2));
  else say(summary(report));
  if (!report.clean) process.exitCode = 1;
}

async function repair(word: ByteString, flags: { json?: true }): Promise<void> {
  const dir = absoluteText(word);
  const report = await withBar(hooks => repairPool(dir, hooks), false).catch(inUse(dir));
  const { before, after, freedBlocks } = report;
  if (!after.clean) process.exitCode = 1;
  if (flags.json) return say(JSON.stringify(report, null, 2));
  for (const finding of after.findings) say(`cannot be mended: ${findingText(finding)}`);
  const mended = before.total - after.total;
  say(
    before.clean
      ? summary(before)
      : `mended ${mended} of ${before.total}; ${freedBlocks} blocks are free again`,
  );
}

/** A pool that is in use is repaired by nobody. */
function inUse(dir: string): (error: unknown) => never {
  return error => {
    if (!isErrno(error, E.EBUSY)) throw error;
    throw new UserError(
      `pool ${dir} is in use: end what uses it (lamina umount, lamina nbd) before it is repaired`,
    );
  };
}

interface Hooks {
  readonly progress: (done: number, total: number) => void;
  readonly finding?: (finding: Finding) => void;
}

/** Runs a check with a bar on a terminal; `tell`: findings are printed when they are found. */
async function withBar<T>(body: (hooks: Hooks) => Promise<T>, tell: boolean): Promise<T> {
  const bar = new LateProgress(pages => `${pages} pages`);
  const progress = (done: number, total: number) => bar.update(done, total);
  const finding = (found: Finding) => say(findingText(found));
  try {
    return await body(tell ? { progress, finding } : { progress });
  } finally {
    await bar.stop();
  }
}

function findingText({ place, text }: Finding): string {
  return `${place}: ${text}`;
}

function summary({ clean, total, volumes, pages }: CheckReport): string {
  const looked = `${volumes} volumes, ${pages} pages`;
  return clean
    ? `${looked}: nothing is wrong`
    : `${looked}: ${total} findings; lamina pool repair mends leaks`;
}

/** Calls `body` with a consistent view of the metadata. */
export async function withReader<T>(
  dir: string,
  body: (reader: MetadataReader) => T | Promise<T>,
): Promise<T> {
  await askToCommit(dir);
  const reader = MetadataReader.open(dir);
  try {
    return await body(reader);
  } finally {
    reader.close();
  }
}

interface DumpFlags {
  metadataSnapshot?: true;
  format?: ByteString;
  output?: ByteString;
  devId?: ByteString[];
  skipMappings?: true;
  names?: true;
}

async function dumpPool(word: ByteString, flags: DumpFlags): Promise<void> {
  const format = parseWord(flags.format ?? 'xml', '--format', ['xml', 'human_readable']);
  const devices = flags.devId?.map(id => parseWhole(id, '--dev-id', 0, LARGEST_ID));
  await withReader(absoluteText(word), async reader => {
    const pieces = dump(reader, {
      format,
      held: flags.metadataSnapshot === true,
      skipMappings: flags.skipMappings === true,
      names: flags.names === true,
      ...(devices === undefined ? {} : { devices }),
    });
    await writeAll(pieces, flags.output ?? null);
  });
}

/** Writes pieces of text to a file or stdout, as fast as they are taken. */
export async function writeAll(pieces: Iterable<string>, output: ByteString | null): Promise<void> {
  await toOutput(output, null, async sink => {
    for (const piece of pieces) await sink(piece);
  });
}

interface RestoreFlags extends OptionFlags {
  input?: ByteString;
  data?: ByteString;
  json?: true;
}

async function restorePool(word: ByteString, flags: RestoreFlags): Promise<void> {
  const dir = absoluteText(word);
  const options = poolOptions(givenOptions(flags), SMALLEST_BLOCK);
  const data = flags.data === undefined ? {} : { data: absoluteText(flags.data) };
  const made = await fromInput(flags.input ?? null, 'XML', input =>
    restore(input, dir, { ...data, options }),
  );
  say(flags.json ? JSON.stringify(made) : `${made.volumes} volumes, ${made.mapped} mapped blocks`);
}

async function rmapPool(word: ByteString, flags: { region: ByteString[]; json?: true }): Promise<void> {
  const regions = flags.region.map(text => parseRegion(toText(text)));
  await withReader(absoluteText(word), reader =>
    flags.json ? say(rmapJson(reader, regions)) : writeAll(rmap(reader, regions), null),
  );
}

function rmapJson(reader: MetadataReader, regions: readonly Region[]): string {
  const names = new Map(reader.volumes().map(({ id, name }) => [id, name]));
  const runs = reverseRuns(reader, regions).map(({ data, volume, begin, length }) => ({
    dataBegin: data,
    dataEnd: data + length,
    dev: volume,
    name: names.get(volume),
    begin,
    end: begin + length,
  }));
  return JSON.stringify(runs, null, 2);
}

interface LsFlags {
  format?: ByteString;
  headers: boolean;
  metadataSnapshot?: true;
  json?: true;
}

async function ls(word: ByteString, flags: LsFlags): Promise<void> {
  const { headers } = flags;
  const options = {
    held: flags.metadataSnapshot === true,
    ...(flags.format === undefined ? {} : { fields: toText(flags.format).split(',') }),
  };
  const text = await withReader(absoluteText(word), reader =>
    flags.json
      ? `${JSON.stringify(volumesFields(reader, options), null, 2)}\n`
      : volumesTable(reader, { headers, ...options }),
  );
  await writeAll([text], null);
}
