// What maps cost: a volume with 1 TiB mapped (restored from XML that says so; its data is a sparse file), opened, snapshotted,
// written to and the snapshot removed, in a process of its own (probe.ts). One restore gives all the figures.
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Unit, WorkloadInfo } from '../results.js';
import { bash, MAIN, run } from '../shell.js';

const LIBRARY = fileURLToPath(new URL('../thin/index.js', `file://${MAIN}`));
const PROBE = fileURLToPath(new URL('probe.js', import.meta.url));

/** Every figure: its key in what is found, its name, what it is, its unit. */
const FIGURES: readonly (readonly [key: string, name: string, about: string, unit: Unit])[] = [
  ['restore', 'restore', 'lamina pool restore of its XML', 's'],
  ['perBlock', 'metadata per block', 'size of the pool’s database by its blocks', 'bytes'],
  ['open', 'open', 'until the pool is open', 'ms'],
  ['rss', 'memory', 'resident, of a process that has it open', 'MiB'],
  ['first', 'first snapshot', 'the first after opening', 'ms'],
  ['slowest', 'slowest snapshot', 'of five', 'ms'],
  ['bytes', 'written by a snapshot', 'to the metadata’s log', 'KiB'],
  ['write', 'first write after it', '4 KiB into a shared block, flushed', 'ms'],
  ['remove', 'removal of the volume', 'its snapshots stay', 'ms'],
  ['peak', 'most memory', 'resident, through all of it', 'MiB'],
];

const nameOf = (name: string): string => `1 TiB: ${name}`;

export const METADATA_WORKLOADS: readonly WorkloadInfo[] = FIGURES.map(([, name, about, unit]) => ({
  name: nameOf(name),
  group: 'A volume with 1 TiB mapped',
  about,
  unit,
  bases: [],
}));

/** All figures of one restored pool in the directory `dir`, which is emptied, by the names of their workloads. */
export async function measureMetadata(dir: string, gibibytes: number): Promise<ReadonlyMap<string, number>> {
  const blocks = gibibytes * 2 ** 14;
  const xml = `<superblock uuid="" time="0" transaction="0" version="2" data_block_size="128" nr_data_blocks="${2 * blocks}">
  <device dev_id="1" mapped_blocks="${blocks}" transaction="0" creation_time="0" snap_time="0">
    <range_mapping origin_begin="0" data_begin="0" length="${blocks}" time="0"/>
  </device>
</superblock>
`;
  const begun = performance.now();
  await bash('rm -rf big; printf %s "$X" | "$N" "$M" pool restore big', {
    cwd: dir,
    env: { X: xml, N: process.execPath, M: MAIN },
  });
  const restore = (performance.now() - begun) / 1000;
  const perBlock = statSync(`${dir}/big/pool.db`).size / blocks;
  const output = await run([process.execPath, PROBE, LIBRARY, `${dir}/big`, 'thin-1']);
  const found = { restore, perBlock, ...(JSON.parse(output) as Record<string, number>) };
  return new Map(
    FIGURES.map(([key, name]) => {
      const figure = (found as Record<string, number>)[key]!;
      return [nameOf(name), key === 'bytes' ? figure / 1024 : figure];
    }),
  );
}
