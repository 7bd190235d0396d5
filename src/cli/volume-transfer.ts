// `lamina volume send|receive|export|import|delta`: streams, files and progress; the work is done where the pool is open.
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Command } from 'commander';
import { type ByteString, toText } from '../base/index.js';
import { pathBuffer, say, UserError } from './output.js';
import { endStdout, toOutput } from './output-file.js';
import { absoluteText, volumeAddress, volumesOfOnePool } from './pool-address.js';
import { type Caller, callPool } from './pool-call.js';
import { LateProgress, sizeText } from './progress.js';
import { endOnSignals } from './service.js';
import { parseSize, parseWord } from './size.js';
import { defineDelta } from './volume-delta.js';

const FORMATS = ['raw', 'vhd'] as const;

export function defineTransfers(command: Command): void {
  command
    .command('send')
    .argument('<volume>', 'DIR/NAME')
    .description('Write a volume, or what differs from another, as a checksummed stream.')
    .option('--from <base>', 'only what differs from this one (DIR/BASE); both read-only')
    .option('-o, --output <file>', 'into this file, which appears when it is whole (default: stdout)')
    .option('--dry-run', 'only say how much it would be')
    .option('--json', 'with --dry-run: for programs')
    .action(send);
  command
    .command('receive')
    .argument('<volume>', 'DIR/NAME, made by this')
    .description('Make a read-only volume from such a stream.')
    .option('--base <base>', 'what the stream was sent --from (DIR/OLD)')
    .option('-i, --input <file>', 'from this file (default: stdin)')
    .action(receive);
  command
    .command('export')
    .argument('<volume>', 'DIR/NAME')
    .argument('<file>', 'an image, replaced when the new one is whole; or a block device; - is stdout')
    .description('Write a volume as an image: raw and sparse, or a fixed VHD.')
    .option('--format <format>', 'raw (the default) or vhd')
    .action(exportImage);
  command
    .command('import')
    .argument('<volume>', 'DIR/NAME, made by this')
    .argument('<file>', 'an image or block device; - is stdin (raw, and needs --size)')
    .description('Make a volume from an image: raw, or a fixed VHD.')
    .option('--format <format>', 'raw (the default) or vhd')
    .option('--size <size>', "of the volume, if it is not to be the image's")
    .option('-r, --read-only', 'nobody can write to it')
    .action(importImage);
  defineDelta(command);
}

/** Calls with a progress bar, and so that Ctrl-C leaves nothing half made. */
async function transferring<T>(body: (caller: Caller) => Promise<T>): Promise<T> {
  const { signal, restore } = endOnSignals();
  const bar = new LateProgress();
  try {
    return await body({ signal, progress: (done, total) => bar.update(done, total) });
  } catch (error) {
    throw signal.aborted ? new UserError('interrupted') : error;
  } finally {
    await bar.stop();
    restore();
  }
}

/** The caller with something to read, which ends with an error when the caller wants no more. */
function fed(caller: Caller, input: Readable): Caller {
  const { signal } = caller;
  signal?.addEventListener('abort', () => input.destroy(new UserError('interrupted')));
  return { ...caller, input };
}

interface SendFlags {
  from?: ByteString;
  output?: ByteString;
  dryRun?: true;
  json?: true;
}

async function send(word: ByteString, flags: SendFlags): Promise<void> {
  const { dir, names } = volumesOfOnePool(flags.from === undefined ? [word] : [word, flags.from]);
  const params = { name: names[0]!, ...(names[1] === undefined ? {} : { from: names[1] }) };
  if (flags.dryRun) {
    const estimate = await callPool(dir, 'volume.estimate', params);
    if (flags.json) return say(JSON.stringify(estimate, null, 2));
    return say(
      `${sizeText(estimate.dataBytes)} of data, a stream of about ${sizeText(estimate.streamBytes)}`,
    );
  }
  if (flags.json) throw new UserError('--json says how much a --dry-run would send, and needs it');
  await toOutput(flags.output ?? null, 'a stream', sink =>
    transferring(caller =>
      callPool(dir, 'volume.send', params, {
        ...caller,
        output: sink,
        ...(flags.output === undefined ? { outputEnds: endStdout } : {}),
      }),
    ),
  );
}

async function receive(word: ByteString, flags: { base?: ByteString; input?: ByteString }): Promise<void> {
  const { dir, names } = volumesOfOnePool(flags.base === undefined ? [word] : [word, flags.base]);
  const params = { name: names[0]!, ...(names[1] === undefined ? {} : { base: names[1] }) };
  await fromInput(flags.input ?? null, 'a stream', input =>
    transferring(caller => callPool(dir, 'volume.receive', params, fed(caller, input))),
  );
}

/** Calls `body` with what is in a file, or comes from stdin, which is closed at the end, however that comes. */
export async function fromInput<T>(
  path: ByteString | null,
  what: string,
  body: (input: Readable) => Promise<T>,
): Promise<T> {
  if (path === null && process.stdin.isTTY) {
    throw new UserError(`${what} is expected on stdin: give -i FILE, or a pipe`);
  }
  const file = path === null ? null : await open(pathBuffer(path), 'r');
  const input = file === null ? process.stdin : file.createReadStream({ highWaterMark: 1 << 18 });
  try {
    return await body(input);
  } finally {
    input.destroy();
  }
}

async function exportImage(
  word: ByteString,
  file: ByteString,
  flags: { format?: ByteString },
): Promise<void> {
  const { dir, name } = volumeAddress(word);
  const format = parseWord(flags.format ?? 'raw', '--format', FORMATS);
  if (file !== '-') {
    const path = absoluteText(file);
    return transferring(caller => callPool(dir, 'volume.export', { name, path, format }, caller));
  }
  await toOutput(null, 'an image', sink =>
    transferring(caller =>
      callPool(
        dir,
        'volume.exportStream',
        { name, format },
        { ...caller, output: sink, outputEnds: endStdout },
      ),
    ),
  );
}

interface ImportFlags {
  format?: ByteString;
  size?: ByteString;
  readOnly?: true;
}

async function importImage(word: ByteString, file: ByteString, flags: ImportFlags): Promise<void> {
  const { dir, name } = volumeAddress(word);
  const format = parseWord(flags.format ?? 'raw', '--format', FORMATS);
  const readOnly = flags.readOnly === true;
  const size = flags.size === undefined ? undefined : parseSize(flags.size, '--size');
  if (file !== '-') {
    const params = {
      name,
      path: absoluteText(file),
      format,
      readOnly,
      ...(size === undefined ? {} : { size }),
    };
    await transferring(caller => callPool(dir, 'volume.import', params, caller));
    return;
  }
  if (format !== 'raw') throw new UserError(`${toText(file)}: only a raw image can come from stdin`);
  if (size === undefined) throw new UserError('an image from stdin needs --size, the size of the volume');
  await fromInput(null, 'an image', input =>
    transferring(caller =>
      callPool(dir, 'volume.importStream', { name, size, readOnly }, fed(caller, input)),
    ),
  );
}
