// The options of a pool as the command line spells them, for `pool create`, `pool restore` and `pool set`.
import { type Command, Option } from 'commander';
import type { ByteString } from '../base/index.js';
import type { GivenOptions } from '../export/index.js';
import { parseSize, parseWhole, parseWord } from './size.js';

export interface OptionFlags {
  onFull?: ByteString;
  /** True when it is not given: commander takes --no-space-timeout for the opposite of --space-timeout. */
  spaceTimeout?: ByteString | true;
  lowWater?: ByteString;
  growThreshold?: ByteString;
  growPercent?: ByteString;
  zeroing?: boolean;
  discards?: ByteString;
  metadataLimit?: ByteString;
}

/** Seconds that a write may be made to wait: what a timer can count, 24 days. */
const LONGEST_WAIT = 2_147_483;

/** Adds the options; each is left alone unless it is given. */
export function addPoolOptions(command: Command): Command {
  return command
    .option('--on-full <what>', 'writes that find no space: queue (wait, the default) or error')
    .option('--no-space-timeout <seconds>', 'how long they wait; 0 is for ever (default 60)')
    .option('--low-water <size>', 'say so when less than this is free')
    .option('--grow-threshold <percent>', 'grow when so much is used; 100 is never (the default)')
    .option('--grow-percent <percent>', 'by how much of its size (default 20)')
    .addOption(
      new Option('--zeroing', 'new blocks that are partly written read as zeros elsewhere').default(
        undefined,
      ),
    )
    .addOption(
      new Option('--no-zeroing', 'new blocks keep what the data file had: faster, and less safe').default(
        undefined,
      ),
    )
    .option(
      '--discards <how>',
      'passdown (space goes back to the data file, the default), nopassdown or ignore',
    )
    .option('--metadata-limit <size>', 'how large pool.db may become (default 16G)');
}

/** What was given. UserError names the option and its rule. */
export function givenOptions(flags: OptionFlags): GivenOptions {
  const given: { -readonly [K in keyof GivenOptions]: GivenOptions[K] } = {};
  if (flags.zeroing !== undefined) given.zeroing = flags.zeroing;
  if (flags.onFull !== undefined) given.onFull = parseWord(flags.onFull, '--on-full', ['queue', 'error']);
  if (flags.discards !== undefined) {
    given.discards = parseWord(flags.discards, '--discards', ['passdown', 'nopassdown', 'ignore']);
  }
  const whole = (text: ByteString | undefined, what: string, least: number, most: number) =>
    text === undefined ? undefined : parseWhole(text, what, least, most);
  const timeout = flags.spaceTimeout === true ? undefined : flags.spaceTimeout;
  const seconds = whole(timeout, '--no-space-timeout', 0, LONGEST_WAIT);
  if (seconds !== undefined) given.noSpaceTimeout = seconds * 1000;
  const threshold = whole(flags.growThreshold, '--grow-threshold', 1, 100);
  if (threshold !== undefined) given.growThreshold = threshold;
  const percent = whole(flags.growPercent, '--grow-percent', 1, 1000);
  if (percent !== undefined) given.growPercent = percent;
  if (flags.lowWater !== undefined) given.lowWaterBytes = parseSize(flags.lowWater, '--low-water');
  if (flags.metadataLimit !== undefined) {
    given.metadataLimit = parseSize(flags.metadataLimit, '--metadata-limit');
  }
  return given;
}
