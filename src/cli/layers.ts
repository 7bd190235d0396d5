// `lamina layer diff`, `apply` and `complete`: the words of the command line; the work is in layer.ts.
import type { Command } from 'commander';
import { type ByteString, fromText } from '../base/index.js';
import { absolutePath } from '../union/index.js';
import { type LayerStreams, layerApply, layerComplete, layerDiff } from './layer.js';

interface DiffFlags {
  lower?: ByteString[];
  base?: true;
  tar?: true;
  output?: ByteString;
  json?: true;
}

export function define(command: Command): void {
  const collect = (value: string, before: string[] = []) => [...before, value];
  command
    .command('diff')
    .argument('<upper>', 'the layer directory')
    .description(
      'List what an upper layer adds (A), changes (C) and deletes (D), or write it as an OCI layer tar.',
    )
    .option('-l, --lower <directory>', 'a layer below it; repeated, the topmost first', collect)
    .option('--base', 'nothing lies below it: everything is added')
    .option('--tar', 'the changes as an OCI layer tar, on stdout')
    .option('-o, --output <file>', 'the tar goes into this file, which appears when it is whole')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', DIFF_HELP)
    .action(diff);
  command
    .command('apply')
    .argument('<tar>', 'an OCI layer tar, plain or gzip; - is stdin')
    .argument('<directory>', 'where it goes')
    .description(
      'Unpack an OCI layer tar. Its deletions become whiteouts, so that the directory can be a lower layer.',
    )
    .option('--flat', 'carry the deletions out instead: the directory is a plain tree')
    .addHelpText('after', APPLY_HELP)
    .action(apply);
  command
    .command('complete')
    .description('Bring the data of files that were copied up without it (metacopy=on) into an upper layer.')
    .requiredOption('-o, --options <list>', 'its mount options; may be repeated', collect)
    .addHelpText('after', COMPLETE_HELP)
    .action(complete);
}

async function diff(upper: ByteString, flags: DiffFlags): Promise<void> {
  const absolute = (path: ByteString) => absolutePath(path, fromText(process.cwd()));
  const lowers = flags.base === true ? [] : flags.lower?.map(absolute);
  const output = flags.output === undefined ? null : absolute(flags.output);
  const { tar = false, json = false } = flags;
  await layerDiff({ upper: absolute(upper), lowers, tar, output, json }, STREAMS);
}

async function apply(source: ByteString, directory: ByteString, flags: { flat?: true }): Promise<void> {
  await layerApply({ source, directory, flat: flags.flat === true }, STREAMS);
}

async function complete(flags: { options: ByteString[] }): Promise<void> {
  await layerComplete({ options: flags.options, cwd: fromText(process.cwd()) }, STREAMS);
}

const STREAMS: LayerStreams = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };

const DIFF_HELP = `
Without --lower and --base, a whiteout counts as a deletion and what was copied up as changed.

Examples:
  lamina layer diff /w/upper --lower /layers/app --lower /layers/base
  lamina layer diff /w/upper --lower /layers/base -o changes.tar`;

const COMPLETE_HELP = `
The upper must not be mounted. Afterwards kernel overlayfs mounts it without metacopy=on.

Example:
  lamina layer complete -o lowerdir=/layers/app:/layers/base,upperdir=/w/upper,workdir=/w/work`;

const APPLY_HELP = `
Examples:
  lamina layer apply layer.tar.gz /layers/app
  skopeo copy docker://debian dir:/tmp/d && lamina layer apply /tmp/d/LAYER /layers/debian`;
