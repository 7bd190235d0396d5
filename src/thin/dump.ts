// A pool's metadata as text: thin_dump's XML to the byte (so that Debian's thin_restore takes it), or its human-readable
// form. Of the committed metadata, or of the held metadata snapshot. The text comes in pieces as the maps are read.
import { E, SysError } from '../base/index.js';
import { SECTOR } from './names.js';
import type { MetadataReader, Run } from './reader.js';
import type { PoolRow, VolumeRow } from './schema.js';
import { pieces } from './text.js';
import { FLAG_NEEDS_CHECK, startTag, THIN_VERSION, writeNote } from './xml-format.js';

export type DumpFormat = 'xml' | 'human_readable';

export interface DumpOptions {
  /** Default: xml. */
  readonly format?: DumpFormat;
  /** Of the metadata snapshot; SysError EINVAL when none is held. */
  readonly held?: boolean;
  /** Only these volumes, by id; SysError ENOENT when there is none such. */
  readonly devices?: readonly number[];
  /** Leaves the mappings out. */
  readonly skipMappings?: boolean;
  /**
   * In XML: comments that keep what restore cannot know else (names, sizes, guids, the pool's uuid and options). Debian's
   * tools read over them. Without it the text is what thin_dump would print.
   */
  readonly names?: boolean;
}

/** What a format writes, each part with its line ends. */
interface Format {
  begin(pool: PoolRow, needsCheck: number): string;
  poolNote(pool: PoolRow): string;
  device(volume: VolumeRow): string;
  volumeNote(volume: VolumeRow): string;
  run(run: Run): string;
  endDevice: string;
  end: string;
}

const FORMATS: Readonly<Record<DumpFormat, Format>> = {
  xml: {
    begin: (pool, flags) =>
      `${startTag(
        'superblock',
        ['', pool.time, pool.transaction_id, flags, THIN_VERSION, pool.block_size / SECTOR, pool.data_blocks],
        '>',
      )}\n`,
    poolNote: pool => `  ${writeNote('pool', { uuid: pool.uuid, options: pool.options })}\n`,
    device: volume => {
      const { id, mapped, transaction_id, creation_time, snap_time } = volume;
      return `  ${startTag('device', [id, mapped, transaction_id, creation_time, snap_time], '>')}\n`;
    },
    volumeNote: ({ name, size, guid, read_only, origin, external }) =>
      `    ${writeNote('volume', { name, size, guid, read_only, origin, external })}\n`,
    run: ({ begin, block, length, time }) =>
      length === 1
        ? `    ${startTag('single_mapping', [begin, block, time], '/>')}\n`
        : `    ${startTag('range_mapping', [begin, block, length, time], '/>')}\n`,
    endDevice: '  </device>\n',
    end: '</superblock>\n',
  },
  human_readable: {
    begin: (pool, flags) =>
      `begin superblock: "", ${pool.time}, ${pool.transaction_id}, ${flags}, ${THIN_VERSION}, ${
        pool.block_size / SECTOR
      }, ${pool.data_blocks}\n`,
    poolNote: () => '',
    device: ({ id, mapped, transaction_id, creation_time, snap_time }) =>
      `device: ${id}\nmapped_blocks: ${mapped}\ntransaction: ${transaction_id}\n` +
      `creation time: ${creation_time}\nsnap time: ${snap_time}\n`,
    volumeNote: () => '',
    run: ({ begin, block, length, time }) =>
      length === 1
        ? `    ${begin} -> ${block}, ${time}\n`
        : `    (${begin}..${begin + length - 1}) -> (${block}..${block + length - 1}), ${time}\n`,
    endDevice: '\n',
    end: 'end superblock\n',
  },
};

/** The text, in pieces of some tens of KiB. SysError EUCLEAN when a map is damaged. */
export function dump(reader: MetadataReader, options: DumpOptions = {}): Generator<string> {
  const { pool, volumes } = chosen(reader, options);
  return pieces(lines(reader, pool, volumes, options));
}

/** The pool's row and the volumes that are to be shown; those that are being received are nobody's yet. */
export function viewOf(reader: MetadataReader, held = false): { pool: PoolRow; volumes: VolumeRow[] } {
  if (!held) return { pool: reader.pool, volumes: reader.volumes().filter(volume => volume.partial === 0) };
  const { held_time, held_transaction_id } = reader.pool;
  if (held_time === null || held_transaction_id === null) {
    throw new SysError(E.EINVAL, 'the pool holds no metadata snapshot');
  }
  const pool = { ...reader.pool, time: held_time, transaction_id: held_transaction_id };
  return { pool, volumes: reader.held().filter(volume => volume.partial === 0) };
}

function chosen(
  reader: MetadataReader,
  { held, devices }: DumpOptions,
): { pool: PoolRow; volumes: VolumeRow[] } {
  const { pool, volumes } = viewOf(reader, held);
  const missing = devices?.find(id => !volumes.some(volume => volume.id === id));
  if (missing !== undefined) throw new SysError(E.ENOENT, `the pool has no volume with id ${missing}`);
  return { pool, volumes: volumes.filter(({ id }) => devices?.includes(id) ?? true) };
}

function* lines(
  reader: MetadataReader,
  pool: PoolRow,
  volumes: readonly VolumeRow[],
  { format = 'xml', skipMappings = false, names = false }: DumpOptions,
): Generator<string> {
  const write = FORMATS[format];
  yield write.begin(pool, pool.needs_check === 0 ? 0 : FLAG_NEEDS_CHECK);
  if (names) yield write.poolNote(pool);
  for (const volume of volumes) {
    yield write.device(volume);
    if (names) yield write.volumeNote(volume);
    if (!skipMappings) for (const run of reader.mappings(volume)) yield write.run(run);
    yield write.endDevice;
  }
  yield write.end;
}
