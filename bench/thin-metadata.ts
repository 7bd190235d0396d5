// What maps cost: a volume with 1 TiB mapped (restored from XML that says so; its data is a sparse file), opened, snapshotted,
// written to and the snapshot removed, in a process of its own.
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sh } from './subjects.js';

const BLOCKS = 2 ** 24;
const MAIN = resolve(process.env.LAMINA_MAIN ?? 'dist/cli/main.js');
const LIBRARY = resolve(MAIN, '../../thin/index.js');

const PROBE = fileURLToPath(new URL('thin-probe.js', import.meta.url));

export interface Figure {
  readonly name: string;
  readonly value: string;
}

export function metadataFigures(dir: string): Figure[] {
  const xml = `<superblock uuid="" time="0" transaction="0" version="2" data_block_size="128" nr_data_blocks="${2 * BLOCKS}">
  <device dev_id="1" mapped_blocks="${BLOCKS}" transaction="0" creation_time="0" snap_time="0">
    <range_mapping origin_begin="0" data_begin="0" length="${BLOCKS}" time="0"/>
  </device>
</superblock>
`;
  const begun = performance.now();
  sh('printf %s "$X" | "$N" "$M" pool restore big', dir, { X: xml, N: process.execPath, M: MAIN });
  const restored = performance.now() - begun;
  const perBlock = statSync(`${dir}/big/pool.db`).size / BLOCKS;
  const found = JSON.parse(
    sh('"$N" "$P" "$L" big thin-1', dir, { P: PROBE, L: LIBRARY, N: process.execPath }),
  ) as Record<string, number>;
  const ms = (key: string): string => `${found[key]!.toFixed(1)} ms`;
  return [
    { name: '1 TiB mapped: restore from XML', value: `${(restored / 1000).toFixed(1)} s` },
    { name: '1 TiB mapped: metadata', value: `${perBlock.toFixed(1)} bytes a block` },
    { name: '1 TiB mapped: open', value: `${ms('open')}, ${found.rss!.toFixed(0)} MiB resident` },
    {
      name: '1 TiB mapped: snapshot',
      value: `${ms('first')} the first, ${ms('slowest')} the slowest of five`,
    },
    { name: '1 TiB mapped: snapshot writes', value: `${(found.bytes! / 1024).toFixed(0)} KiB to the log` },
    { name: '1 TiB mapped: first write after it, flushed', value: ms('write') },
    { name: '1 TiB mapped: removal of it', value: ms('remove') },
    { name: '1 TiB mapped: most memory', value: `${found.peak!.toFixed(0)} MiB resident` },
  ];
}
