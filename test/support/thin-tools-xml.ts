// Random pools as XML that thin_restore takes: many devices, some of them changed copies of others, gaps of all sizes,
// data blocks that several map. The same seed gives the same text.
import { Random } from './random.js';

interface Mapping {
  readonly begin: number;
  readonly block: number;
  readonly length: number;
  readonly time: number;
}

/** Times of the pool and of its volumes are below this. */
const TIMES = 6;

/** Data blocks that the pools have. */
export const RANDOM_BLOCKS = 50_000;

/** The opening of a pool's XML. */
export function superblock(blocks: number, attributes = 'time="6" transaction="9" flags="0"'): string {
  return `<superblock uuid="" ${attributes} version="2" data_block_size="128" nr_data_blocks="${blocks}">\n`;
}

/** A device with mappings. */
export function device(
  id: number,
  mappings: readonly Mapping[],
  more = 'creation_time="0" snap_time="0"',
): string {
  const mapped = mappings.reduce((sum, { length }) => sum + length, 0);
  const lines = mappings.map(
    ({ begin, block, length, time }) =>
      `    <range_mapping origin_begin="${begin}" data_begin="${block}" length="${length}" time="${time}"/>\n`,
  );
  return `  <device dev_id="${id}" mapped_blocks="${mapped}" transaction="0" ${more}>\n${lines.join('')}  </device>\n`;
}

/** A pool with one device for each entry, its mappings as [begin, block, length] of time 0. */
export function poolXml(
  blocks: number,
  devices: Readonly<Record<number, readonly (readonly number[])[]>>,
): string {
  const texts = Object.entries(devices).map(([id, mappings]) =>
    device(
      Number(id),
      mappings.map(([begin, block, length]) => ({ begin: begin!, block: block!, length: length!, time: 0 })),
    ),
  );
  return `${superblock(blocks)}${texts.join('')}</superblock>\n`;
}

export function randomXml(seed: number): string {
  const random = new Random(seed);
  const devices: Mapping[][] = [];
  const count = 1 + random.below(8);
  for (let i = 0; i < count; i++) {
    const origin = devices.length > 0 && !random.oneIn(3) ? random.pick(devices) : [];
    devices.push(origin.length > 0 ? changed(random, origin) : fresh(random));
  }
  const times = (): string => `creation_time="${random.below(TIMES)}" snap_time="${random.below(TIMES)}"`;
  const texts = devices.map((mappings, i) => device(i * i * 7 + random.below(3), mappings, times()));
  return `${superblock(RANDOM_BLOCKS)}${texts.join('')}</superblock>\n`;
}

function fresh(random: Random): Mapping[] {
  const mappings: Mapping[] = [];
  let at = gap(random);
  for (let runs = random.below(120); runs > 0; runs--) {
    const length = random.weighted([
      [5, 1],
      [4, 1 + random.below(20)],
      [1, 1 + random.below(1500)],
    ] as const);
    mappings.push({ begin: at, length, ...place(random, length) });
    at += length + gap(random);
  }
  return mappings;
}

/** As a snapshot that was written to: mostly the same, some runs elsewhere or gone, something behind. */
function changed(random: Random, origin: readonly Mapping[]): Mapping[] {
  const mappings: Mapping[] = [];
  for (const mapping of origin) {
    if (random.oneIn(20)) continue;
    mappings.push(random.oneIn(6) ? { ...mapping, ...place(random, mapping.length) } : mapping);
  }
  const { begin, length } = origin.at(-1)!;
  if (random.oneIn(2)) mappings.push({ begin: begin + length + gap(random), length: 3, ...place(random, 3) });
  return mappings;
}

function place(random: Random, length: number): { block: number; time: number } {
  return { block: random.below(RANDOM_BLOCKS - length), time: random.below(TIMES) };
}

function gap(random: Random): number {
  return random.weighted([
    [8, 0],
    [6, 1 + random.below(10)],
    [2, random.below(3000)],
    [1, random.below(2 ** 27)],
  ] as const);
}
