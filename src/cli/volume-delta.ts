// `lamina volume delta`: thin_delta's XML of two volumes of a pool, or the same as JSON.
import type { Command } from 'commander';
import { type ByteString, E, SysError } from '../base/index.js';
import { deltaJson, deltaXml, type MetadataReader, type VolumeRow } from '../thin/index.js';
import { UserError } from './output.js';
import { volumesOfOnePool } from './pool-address.js';
import { withReader, writeAll } from './pool-tools.js';

export function defineDelta(command: Command): void {
  command
    .command('delta')
    .argument('<left>', 'DIR/A')
    .argument('<right>', 'DIR/B')
    .description("Show where two volumes differ, as thin_delta's XML.")
    .option('--verbose', 'with the data blocks of each range')
    .option('--json', 'for programs, with the data blocks')
    .option('-o, --output <file>', 'into this file, which appears when it is whole (default: stdout)')
    .action(delta);
}

async function delta(
  left: ByteString,
  right: ByteString,
  flags: { verbose?: true; json?: true; output?: ByteString },
): Promise<void> {
  const { json = false, verbose = false, output = null } = flags;
  if (json && verbose) throw new UserError('--json has the data blocks, and --verbose is for the XML');
  const { dir, names } = volumesOfOnePool([left, right]);
  await withReader(dir, reader => {
    const [first, second] = [row(reader, dir, names[0]!), row(reader, dir, names[1]!)];
    return writeAll(
      json ? deltaJson(reader, first, second) : deltaXml(reader, first, second, { verbose }),
      output,
    );
  });
}

function row(reader: MetadataReader, dir: string, name: string): VolumeRow {
  const found = reader.volumes().find(each => each.name === name && each.partial === 0);
  if (found === undefined) throw new SysError(E.ENOENT, `pool ${dir} has no volume ${name}`);
  return found;
}
