// The rows of the pool and its volumes: whether their values can be, by themselves and together.
import { E, isErrno } from '../base/index.js';
import type { Report } from './check-kinds.js';
import type { Walk } from './check-walk.js';
import { MAX_DEPTH, MAX_PAGE } from './check-walk.js';
import { depthFor, MAX_DATA_BLOCKS, MAX_TIME } from './entry.js';
import { checkBlockSize, checkId, checkName, checkSize, MAX_ID } from './names.js';
import { DEFAULTS, withOptions } from './options.js';
import type { PoolRow, VolumeRow } from './schema.js';

/** Runs one of the rules by which rows are made. */
function obeys(rule: () => void): boolean {
  try {
    rule();
    return true;
  } catch (error) {
    if (isErrno(error, E.EINVAL)) return false;
    throw error;
  }
}

function within(value: unknown, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
}

type Rule<T> = readonly [field: keyof T & string, holds: (row: T) => boolean];

const POOL_RULES: readonly Rule<PoolRow>[] = [
  ['uuid', row => typeof row.uuid === 'string'],
  ['block_size', row => obeys(() => checkBlockSize(row.block_size))],
  ['data_blocks', row => within(row.data_blocks, 0, MAX_DATA_BLOCKS)],
  ['data', row => typeof row.data === 'string' && row.data !== ''],
  ['time', row => within(row.time, 0, MAX_TIME)],
  ['transaction_id', row => within(row.transaction_id, 0, Number.MAX_SAFE_INTEGER)],
  ['needs_check', row => within(row.needs_check, 0, 1)],
  ['options', row => isOptions(row.options)],
];

const VOLUME_RULES: readonly Rule<VolumeRow>[] = [
  ['id', row => obeys(() => checkId(row.id))],
  ['guid', row => typeof row.guid === 'string' && row.guid !== ''],
  ['size', row => obeys(() => checkSize(row.size))],
  ['root', row => within(row.root, 0, MAX_PAGE)],
  ['mapped', row => within(row.mapped, 0, Number.MAX_SAFE_INTEGER)],
  ['transaction_id', row => within(row.transaction_id, 0, Number.MAX_SAFE_INTEGER)],
  ['creation_time', row => within(row.creation_time, 0, MAX_TIME)],
  ['snap_time', row => within(row.snap_time, 0, MAX_TIME)],
  ['read_only', row => within(row.read_only, 0, 1)],
  ['partial', row => within(row.partial, 0, 1)],
  ['origin', row => row.origin === null || within(row.origin, 0, MAX_ID)],
  ['external', row => row.external === null || typeof row.external === 'string'],
];

function isOptions(json: unknown): boolean {
  if (typeof json !== 'string') return false;
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && obeys(() => withOptions(DEFAULTS, value));
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

/** The fields of the pool's row; false when no map can be judged by it. */
export function checkPoolRow(pool: PoolRow, report: Report): boolean {
  const wrong = POOL_RULES.filter(([, holds]) => !holds(pool));
  for (const [field] of wrong) report('pool', 'pool', `${field} is ${String(pool[field])}`);
  return wrong.every(([field]) => !['block_size', 'data_blocks', 'time'].includes(field));
}

/** A volume of the pool, or of the metadata snapshot, as others call it. */
export function placeOf(volume: VolumeRow, held: boolean): string {
  return `volume ${String(volume.name)} (${volume.id})${held ? ' of the metadata snapshot' : ''}`;
}

/** The fields of a volume's row. True when its map can be walked. */
export function checkVolumeRow(volume: VolumeRow, pool: PoolRow, place: string, report: Report): boolean {
  const wrong = VOLUME_RULES.filter(([, holds]) => !holds(volume));
  for (const [field] of wrong) report('volume-row', place, `${field} is ${String(volume[field])}`);
  if (wrong.some(([field]) => field === 'size' || field === 'root')) return false;
  for (const field of ['creation_time', 'snap_time'] as const) {
    if (volume[field] > pool.time)
      report('volume-time', place, `${field} ${volume[field]} after ${pool.time}`);
  }
  const depth = depthFor(Math.ceil(volume.size / pool.block_size));
  if (volume.depth === depth && depth <= MAX_DEPTH) return true;
  report('depth', place, `${volume.depth} instead of ${depth}`);
  return false;
}

/** What a volume's row says about its map against what the walk found there. */
export function checkVolumeMap(
  volume: VolumeRow,
  walk: Walk,
  blockSize: number,
  place: string,
  report: Report,
): void {
  const { mapped, end, whole } = walk.below(volume.root);
  const blocks = Math.ceil(volume.size / blockSize);
  if (end > blocks) report('beyond-end', place, `block ${end - 1} of ${blocks}`);
  if (whole && mapped !== volume.mapped) report('mapped', place, `${volume.mapped} instead of ${mapped}`);
}

/** Names and guids of all volumes together. */
export function checkNames(volumes: readonly VolumeRow[], report: Report): void {
  const names = new Set<string>();
  const writable = new Map<string, boolean>();
  for (const volume of volumes) {
    const place = placeOf(volume, false);
    if (volume.partial !== 1 && !isName(volume.name)) report('volume-name', place, 'no name');
    else if (names.has(volume.name)) report('volume-name', place, 'taken twice');
    names.add(volume.name);
    if (volume.partial === 1) continue;
    const other = writable.get(volume.guid);
    const mayChange = volume.read_only === 0;
    if (other !== undefined && (other || mayChange)) report('volume-guid', place, volume.guid);
    writable.set(volume.guid, mayChange || other === true);
  }
}

function isName(name: unknown): boolean {
  if (typeof name !== 'string') return false;
  return obeys(() => checkName(name));
}

/** The metadata snapshot is there as a whole or not at all. */
export function checkHeld(pool: PoolRow, held: readonly VolumeRow[], report: Report): void {
  const place = 'metadata snapshot';
  if (pool.held_time === null) {
    if (held.length > 0) report('held', place, `${held.length} volumes of none`);
    if (pool.held_transaction_id !== null) report('held', place, 'a transaction id of none');
    return;
  }
  if (!within(pool.held_time, 0, pool.time)) report('held', place, `its time is ${pool.held_time}`);
  if (!within(pool.held_transaction_id, 0, Number.MAX_SAFE_INTEGER)) {
    report('held', place, `its transaction id is ${String(pool.held_transaction_id)}`);
  }
}
