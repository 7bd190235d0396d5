// `lamina pool`: the words of its commands. What reads or mends the metadata beside the pool is in pool-tools.ts.
import type { Command } from 'commander';
import { type ByteString, toText } from '../base/index.js';
import { type GivenOptions, poolOptions } from '../export/index.js';
import { type CreateOptions, Pool, statusLine } from '../thin/index.js';
import { say, UserError } from './output.js';
import { absoluteText } from './pool-address.js';
import { callPool } from './pool-call.js';
import { addPoolOptions, givenOptions, type OptionFlags } from './pool-options.js';
import { poolStatusRows } from './pool-print.js';
import { definePoolTools } from './pool-tools.js';
import { type ServiceFlags, serviceOptions, startService } from './service.js';
import { parseSize, parseWhole } from './size.js';

const BLOCK_SIZE = 64 << 10;
/** Transaction ids are dm-thin's: any number that JavaScript holds exactly. */
const LARGEST_ID = Number.MAX_SAFE_INTEGER;

interface CreateFlags extends OptionFlags {
  size?: ByteString;
  blockSize?: ByteString;
  data?: ByteString;
}

export function define(command: Command): void {
  command.addHelpText('after', HELP);
  addPoolOptions(
    command
      .command('create')
      .argument('<directory>', 'made, or empty; it then holds the pool')
      .description('Make a pool.')
      .requiredOption('--size <size>', 'how much data it can hold; the data file takes space as it is used')
      .option('--block-size <size>', 'unit of allocation: a multiple of 64K up to 1G (default 64K)')
      .option(
        '--data <path>',
        'a file or block device for the data (default: the file "data" in the directory)',
      ),
  ).action(create);
  command
    .command('status')
    .argument('<directory>')
    .description("Show a pool's state: dm-thin's status line, and what it means.")
    .option('--json', 'for programs')
    .action(status);
  command
    .command('grow')
    .argument('<directory>')
    .argument('<size>', 'the new size')
    .description('Make a pool larger; whoever waits for space goes on.')
    .action(grow);
  addPoolOptions(
    command.command('set').argument('<directory>').description("Change a pool's options."),
  ).action(set);
  defineSnapshots(command);
  serviceOptions(
    command
      .command('mount')
      .argument('<directory>')
      .argument('<mountpoint>')
      .description('Show the volumes as files, for loop devices (ended by lamina umount).')
      .option('-r, --read-only', 'nothing can be written')
      .option('--allow-other', "other users may look; the files stay their owner's"),
  ).action(mount);
  definePoolTools(command);
}

function defineSnapshots(command: Command): void {
  command
    .command('reserve-metadata-snapshot')
    .argument('<directory>')
    .description('Keep the metadata as it is now, for tools that read it with --metadata-snapshot.')
    .action((dir: ByteString) => callPool(absoluteText(dir), 'pool.reserveSnapshot', {}));
  command
    .command('release-metadata-snapshot')
    .argument('<directory>')
    .description('Let go of it.')
    .action((dir: ByteString) => callPool(absoluteText(dir), 'pool.releaseSnapshot', {}));
  command
    .command('set-transaction-id')
    .argument('<directory>')
    .argument('<current>', 'what the id must be now')
    .argument('<new>')
    .description("Change the pool's transaction id, if it is the one expected.")
    .action(setTransactionId);
}

async function create(dir: ByteString, flags: CreateFlags): Promise<void> {
  await Pool.create(absoluteText(dir), createOptions(flags));
}

/** Also for `pool restore`, where the XML has the sizes. */
export function createOptions(flags: CreateFlags): CreateOptions {
  const blockSize = flags.blockSize === undefined ? BLOCK_SIZE : parseSize(flags.blockSize, '--block-size');
  return {
    size: parseSize(flags.size!, '--size'),
    blockSize,
    ...(flags.data === undefined ? {} : { data: absoluteText(flags.data) }),
    ...poolOptions(givenOptions(flags), blockSize),
  };
}

async function status(word: ByteString, flags: { json?: true }): Promise<void> {
  const dir = absoluteText(word);
  const found = await callPool(dir, 'pool.status', {});
  const line = statusLine(found);
  if (flags.json) return say(JSON.stringify({ ...found, line }, null, 2));
  for (const row of [line, ...poolStatusRows(dir, found)]) say(row);
}

async function grow(dir: ByteString, size: ByteString): Promise<void> {
  await callPool(absoluteText(dir), 'pool.grow', { size: parseSize(size, 'the size') });
}

async function set(dir: ByteString, flags: OptionFlags): Promise<void> {
  const given: GivenOptions = givenOptions(flags);
  if (Object.keys(given).length === 0) {
    throw new UserError(`nothing to set for ${toText(dir)}: name an option (lamina pool set --help)`);
  }
  await callPool(absoluteText(dir), 'pool.set', given);
}

async function setTransactionId(dir: ByteString, current: ByteString, next: ByteString): Promise<void> {
  await callPool(absoluteText(dir), 'pool.setTransactionId', {
    current: parseWhole(current, 'the current id', 0, LARGEST_ID),
    next: parseWhole(next, 'the new id', 0, LARGEST_ID),
  });
}

interface MountFlags extends ServiceFlags {
  readOnly?: true;
  allowOther?: true;
}

async function mount(dir: ByteString, mountpoint: ByteString, flags: MountFlags): Promise<void> {
  await startService(
    {
      dir: absoluteText(dir),
      operation: 'pool.mount',
      params: {
        mountpoint: absoluteText(mountpoint),
        readOnly: flags.readOnly === true,
        allowOther: flags.allowOther === true,
      },
      title: `lamina pool mount ${absoluteText(mountpoint)}`,
    },
    flags,
  );
}

const HELP = `
DIR is the directory that holds the pool; its volumes are named DIR/NAME (lamina help volume).
Sizes are written 4096, 64K, 100M, 10G or 1T.

Examples:
  lamina pool create /srv/pool --size 100G --grow-threshold 80
  lamina pool status /srv/pool
  lamina pool mount /srv/pool /mnt/disks && losetup -f --show /mnt/disks/db
  lamina pool dump /srv/pool >pool.xml && lamina pool restore /srv/copy <pool.xml`;
