// thin_ls's table: a column for each field, to the byte what Debian's thin_ls 0.9.0 prints. HIGHEST_* are those of newer
// ones; NAME and SIZE are ours.
import { E, SysError } from '../base/index.js';
import { viewOf } from './dump.js';
import { usageOf, type VolumeUsage } from './ls-usage.js';
import { SECTOR } from './names.js';
import type { MetadataReader } from './reader.js';

export interface LsOptions {
  /** Default: DEV, MAPPED, CREATE_TIME, SNAP_TIME. SysError EINVAL when there is none such. */
  readonly fields?: readonly string[];
  /** Default: true. */
  readonly headers?: boolean;
  /** Of the metadata snapshot; SysError EINVAL when none is held. */
  readonly held?: boolean;
}

type Cell = (usage: VolumeUsage, blockSize: number) => string | number;

/** A count of blocks in each unit: its fields. */
function measures(name: string, blocks: (usage: VolumeUsage) => number): [string, Cell][] {
  return [
    [`${name}_BLOCKS`, usage => blocks(usage)],
    [`${name}_SECTORS`, (usage, size) => (blocks(usage) * size) / SECTOR],
    [`${name}_BYTES`, (usage, size) => blocks(usage) * size],
    [name, (usage, size) => readableSize(blocks(usage) * size)],
  ];
}

/** The last thing of the last mapped block, counted in a unit of so many bytes. */
function lastOf({ highest }: VolumeUsage, size: number, unit: number): number {
  return highest === null ? 0 : ((highest + 1) * size) / unit - 1;
}

const FIELDS: ReadonlyMap<string, Cell> = new Map<string, Cell>([
  ['DEV', ({ volume }) => volume.id],
  ['NAME', ({ volume }) => volume.name],
  ['SIZE', ({ volume }) => volume.size],
  ...measures('MAPPED', ({ volume }) => volume.mapped),
  ...measures('EXCLUSIVE', ({ exclusive }) => exclusive),
  ...measures('SHARED', ({ shared }) => shared),
  ['HIGHEST_BLOCK', ({ highest }) => highest ?? 0],
  ['HIGHEST_SECTOR', (usage, size) => lastOf(usage, size, SECTOR)],
  ['HIGHEST_BYTE', (usage, size) => lastOf(usage, size, 1)],
  ['HIGHEST_MAPPED', (usage, size) => readableSize(lastOf(usage, size, 1))],
  ['TRANSACTION', ({ volume }) => volume.transaction_id],
  ['CREATE_TIME', ({ volume }) => volume.creation_time],
  ['SNAP_TIME', ({ volume }) => volume.snap_time],
]);

const DEFAULT_FIELDS = ['DEV', 'MAPPED', 'CREATE_TIME', 'SNAP_TIME'];

/** Names of all fields. */
export const LS_FIELDS: readonly string[] = [...FIELDS.keys()];

/** Fields for programs: plain numbers, from which the others can be made. */
const PLAIN_FIELDS = [
  ...['DEV', 'NAME', 'SIZE', 'MAPPED_BLOCKS', 'EXCLUSIVE_BLOCKS', 'SHARED_BLOCKS', 'HIGHEST_BLOCK'],
  ...['TRANSACTION', 'CREATE_TIME', 'SNAP_TIME'],
];

/** The cells of each volume, by id. */
function cellsOf(reader: MetadataReader, fields: readonly string[], held: boolean): (string | number)[][] {
  const cells = fields.map(field => {
    const cell = FIELDS.get(field);
    if (cell === undefined) {
      throw new SysError(E.EINVAL, `there is no field ${field}; there are ${LS_FIELDS.join(', ')}`);
    }
    return cell;
  });
  return volumesUsage(reader, held).map(usage => cells.map(cell => cell(usage, reader.pool.block_size)));
}

/** An object for each volume by id, its fields by their names. Without `fields`: all that are plain. */
export function volumesFields(
  reader: MetadataReader,
  { fields = PLAIN_FIELDS, held = false }: Omit<LsOptions, 'headers'> = {},
): Record<string, string | number>[] {
  return cellsOf(reader, fields, held).map(row =>
    Object.fromEntries(row.map((cell, column) => [fields[column]!, cell])),
  );
}

/** The table as text, a line for each volume by id. */
export function volumesTable(reader: MetadataReader, options: LsOptions = {}): string {
  const { fields = DEFAULT_FIELDS, headers = true, held = false } = options;
  const rows = cellsOf(reader, fields, held).map(row => row.map(String));
  if (headers) rows.unshift([...fields]);
  const widths = fields.map((_, column) => Math.max(...rows.map(row => row[column]!.length)));
  return rows
    .map(row => `${row.map((text, column) => `${text.padStart(widths[column]!)} `).join('')}\n`)
    .join('');
}

/** What each volume maps, and what of it is its own. */
export function volumesUsage(reader: MetadataReader, held = false): VolumeUsage[] {
  return usageOf(reader, viewOf(reader, held).volumes);
}

const UNITS = ['', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Bytes in the unit in which thin_ls says them: up to 8192 of it, rounded. */
export function readableSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value > 2 ** 20; unit++) value = Math.floor(value / 1024);
  if (value > 8 * 1024) {
    value = Math.round(value / 1024);
    unit++;
  }
  return `${value}${UNITS[unit]}`;
}
