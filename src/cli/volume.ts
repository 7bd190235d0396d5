// `lamina volume`: the words of its commands. What moves a volume's content is in volume-transfer.ts.
import type { Command } from 'commander';
import { type ByteString, toText } from '../base/index.js';
import { thinStatusLine } from '../thin/index.js';
import { say, UserError, warn } from './output.js';
import { absoluteText, volumeAddress, volumesOfOnePool } from './pool-address.js';
import { callPool } from './pool-call.js';
import { volumeStatusRows, volumeTable } from './pool-print.js';
import { sizeText } from './progress.js';
import { parseSize, parseWhole } from './size.js';
import { defineVolumeMounts } from './volume-mount.js';
import { defineTransfers } from './volume-transfer.js';

/** dm-thin's device ids have 24 bits. */
const LARGEST_ID = 2 ** 24 - 1;

export function define(command: Command): void {
  command.addHelpText('after', HELP);
  defineMaking(command);
  defineLooking(command);
  defineChanging(command);
  defineTransfers(command);
  defineVolumeMounts(command);
}

function defineMaking(command: Command): void {
  command
    .command('create')
    .argument('<volume>', 'DIR/NAME')
    .description('Make a volume; it takes space as it is written.')
    .requiredOption('--size <size>', 'what it can hold; more than the pool has is fine')
    .option('--id <number>', 'its number, 0 to 16777215 (default: the first free one)')
    .option(
      '--external-origin <path>',
      'a file or device that is read where nothing is written; never changed',
    )
    .option('-r, --read-only', 'nobody can write to it')
    .action(create);
  command
    .command('snapshot')
    .argument('<names...>', 'DIR/ORIGIN DIR/NAME, and more such pairs')
    .usage('[options] DIR/ORIGIN DIR/NAME [DIR/ORIGIN2 DIR/NAME2 ...]')
    .description('Make snapshots, all of one instant. Mounted file systems are frozen for it.')
    .option('-r, --read-only', 'nobody can write to them; what `send --from` needs')
    .action(snapshot);
  command
    .command('rm')
    .argument('<volumes...>', 'DIR/NAME')
    .description('Remove volumes, in any order; what their snapshots share with them stays.')
    .action(remove);
}

function defineLooking(command: Command): void {
  command
    .command('ls')
    .argument('<directory>', 'the pool')
    .description('List the volumes of a pool.')
    .option('--json', 'for programs')
    .action(list);
  command
    .command('status')
    .argument('<volume>', 'DIR/NAME')
    .description("Show what a volume takes: dm-thin's status line, and what it means.")
    .option('--since <snapshot>', 'also what differs from this snapshot (DIR/NAME)')
    .option('--json', 'for programs')
    .action(status);
}

function defineChanging(command: Command): void {
  command
    .command('resize')
    .argument('<volume>', 'DIR/NAME')
    .argument('<size>', 'the new size')
    .description('Make a volume larger, also while it is in use; or with --force smaller.')
    .option('--force', 'lose what lies beyond the new size')
    .action(resize);
  command
    .command('rename')
    .argument('<volume>', 'DIR/NAME')
    .argument('<to>', 'DIR/NEW')
    .description('Give a volume another name.')
    .action(rename);
  command
    .command('rollback')
    .argument('<volume>', 'DIR/NAME, not in use')
    .argument('<snapshot>', 'DIR/SNAPSHOT')
    .description('Make a volume what a snapshot of it is; what it had is lost.')
    .action(rollback);
  command
    .command('set')
    .argument('<volume>', 'DIR/NAME, not in use')
    .description('Change whether a volume can be written.')
    .option('--read-only', 'nobody can write to it')
    .option('--writable', 'it can be written')
    .action(set);
}

interface CreateFlags {
  size: ByteString;
  id?: ByteString;
  externalOrigin?: ByteString;
  readOnly?: true;
}

async function create(word: ByteString, flags: CreateFlags): Promise<void> {
  const { dir, name } = volumeAddress(word);
  await callPool(dir, 'volume.create', {
    name,
    size: parseSize(flags.size, '--size'),
    readOnly: flags.readOnly === true,
    ...(flags.id === undefined ? {} : { id: parseWhole(flags.id, '--id', 0, LARGEST_ID) }),
    ...(flags.externalOrigin === undefined ? {} : { external: absoluteText(flags.externalOrigin) }),
  });
}

async function snapshot(words: ByteString[], flags: { readOnly?: true }): Promise<void> {
  if (words.length % 2 !== 0) {
    throw new UserError(`snapshots are pairs DIR/ORIGIN DIR/NAME; ${toText(words.at(-1)!)} has no partner`);
  }
  const { dir, names } = volumesOfOnePool(words);
  const requests = [];
  for (let i = 0; i < names.length; i += 2) {
    requests.push({ origin: names[i]!, name: names[i + 1]!, readOnly: flags.readOnly === true });
  }
  await callPool(dir, 'volume.snapshot', { requests });
}

async function remove(words: ByteString[]): Promise<void> {
  const { dir, names } = volumesOfOnePool(words);
  await callPool(dir, 'volume.remove', { names });
}

async function list(word: ByteString, flags: { json?: true }): Promise<void> {
  const { volumes, blockSize } = await callPool(absoluteText(word), 'volume.list', {});
  if (flags.json) return say(JSON.stringify(volumes, null, 2));
  for (const row of volumeTable(volumes, blockSize)) say(row);
}

async function status(word: ByteString, flags: { since?: ByteString; json?: true }): Promise<void> {
  const words = flags.since === undefined ? [word] : [word, flags.since];
  const { dir, names } = volumesOfOnePool(words);
  const [name, since] = names;
  const found = await callPool(dir, 'volume.status', {
    name: name!,
    ...(since === undefined ? {} : { since }),
  });
  const line = thinStatusLine(found.mapped, found.highest, found.blockSize);
  if (flags.json) return say(JSON.stringify({ ...found, line }, null, 2));
  for (const row of [line, ...volumeStatusRows(found, since ?? null)]) say(row);
}

async function resize(word: ByteString, text: ByteString, flags: { force?: true }): Promise<void> {
  const { dir, name } = volumeAddress(word);
  const size = parseSize(text, 'the size');
  const { before } = await callPool(dir, 'volume.resize', { name, size, force: flags.force === true });
  if (before > size) warn(`volume ${name} was cut by ${sizeText(before - size)}; what was there is lost`);
}

async function rename(from: ByteString, to: ByteString): Promise<void> {
  const { dir, names } = volumesOfOnePool([from, to]);
  await callPool(dir, 'volume.rename', { name: names[0]!, to: names[1]! });
}

async function rollback(volume: ByteString, origin: ByteString): Promise<void> {
  const { dir, names } = volumesOfOnePool([volume, origin]);
  await callPool(dir, 'volume.rollback', { name: names[0]!, snapshot: names[1]! });
}

async function set(word: ByteString, flags: { readOnly?: true; writable?: true }): Promise<void> {
  const { dir, name } = volumeAddress(word);
  if ((flags.readOnly === true) === (flags.writable === true)) {
    throw new UserError(`volume ${name}: say --read-only or --writable`);
  }
  await callPool(dir, 'volume.setReadOnly', { name, readOnly: flags.readOnly === true });
}

const HELP = `
A volume is named DIR/NAME, where DIR holds the pool. Sizes are written 4096, 64K, 100M, 10G or 1T.

Examples:
  lamina volume create /srv/pool/db --size 1T
  lamina volume mount /srv/pool/db /mnt/db --format ext4
  lamina volume snapshot -r /srv/pool/db /srv/pool/db.monday
  lamina volume send /srv/pool/db.monday | ssh backup lamina volume receive /srv/pool/db.monday
  lamina volume export /srv/pool/db.monday db.vhd --format vhd`;
