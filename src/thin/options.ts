// What can be set about a pool, with the rules for each value; kept in the pool's row as JSON.
import { E, SysError } from '../base/index.js';

export interface PoolOptions {
  /** New blocks are zeroed where a first write leaves parts of them out. */
  readonly zeroing: boolean;
  /** What a write does that finds no free block: wait, or ENOSPC. */
  readonly onFull: 'queue' | 'error';
  /** Milliseconds after which waiting writes get ENOSPC; 0: never. */
  readonly noSpaceTimeout: number;
  /** Free blocks below which `lowWater` is told; 0: never. */
  readonly lowWater: number;
  /** Percent used from which the pool grows by itself; 100: never. */
  readonly growThreshold: number;
  /** By how many percent. */
  readonly growPercent: number;
  /** Whether discards unmap, and whether unmapped space goes back to the data file. */
  readonly discards: 'passdown' | 'nopassdown' | 'ignore';
  /** Bytes that the database may have. */
  readonly metadataLimit: number;
}

export const DEFAULTS: PoolOptions = {
  zeroing: true,
  onFull: 'queue',
  noSpaceTimeout: 60_000,
  lowWater: 0,
  growThreshold: 100,
  growPercent: 20,
  discards: 'passdown',
  metadataLimit: 16 * 2 ** 30,
};

const MIN_METADATA = 2 * 2 ** 20;

type Rule = { readonly holds: (value: unknown) => boolean; readonly rule: string };

function whole(least: number, most: number, what: string): Rule {
  return {
    holds: value => typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most,
    rule: `${what}, from ${least}${most === Number.MAX_SAFE_INTEGER ? '' : ` to ${most}`}`,
  };
}

function oneOf(...values: readonly string[]): Rule {
  return {
    holds: value => typeof value === 'string' && values.includes(value),
    rule: `one of ${values.join(', ')}`,
  };
}

const RULES: Readonly<Record<keyof PoolOptions, Rule>> = {
  zeroing: { holds: value => typeof value === 'boolean', rule: 'true or false' },
  onFull: oneOf('queue', 'error'),
  noSpaceTimeout: whole(0, 2 ** 31 - 1, 'milliseconds'),
  lowWater: whole(0, Number.MAX_SAFE_INTEGER, 'blocks'),
  growThreshold: whole(1, 100, 'percent'),
  growPercent: whole(1, 1000, 'percent'),
  discards: oneOf('passdown', 'nopassdown', 'ignore'),
  metadataLimit: whole(MIN_METADATA, Number.MAX_SAFE_INTEGER, 'bytes'),
};

/** `changes` on top of `options`. SysError EINVAL names an option that is unknown or breaks its rule. */
export function withOptions(options: PoolOptions, changes: Partial<PoolOptions>): PoolOptions {
  for (const [name, value] of Object.entries(changes)) {
    const rule = RULES[name as keyof PoolOptions] as Rule | undefined;
    if (rule === undefined) throw new SysError(E.EINVAL, `a pool has no option ${name}`);
    if (!rule.holds(value))
      throw new SysError(E.EINVAL, `${name} must be ${rule.rule}, and is ${String(value)}`);
  }
  return { ...options, ...changes };
}
