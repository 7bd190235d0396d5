// Operations on a pool as a whole.
import type { Pool, PoolOptions, PoolStatus } from '../thin/index.js';
import { type Fields, operation } from './control-operation.js';

/** Options as a caller gives them: the low-water mark in bytes, since only the pool knows its block size. */
export interface GivenOptions extends Partial<Omit<PoolOptions, 'lowWater'>> {
  readonly lowWaterBytes?: number;
}

const NUMBERS = [
  'noSpaceTimeout',
  'growThreshold',
  'growPercent',
  'metadataLimit',
  'lowWaterBytes',
] as const satisfies readonly (keyof GivenOptions)[];

function givenOptions(fields: Fields): GivenOptions {
  const given: { -readonly [K in keyof GivenOptions]: GivenOptions[K] } = {};
  for (const name of NUMBERS) if (fields.has(name)) given[name] = fields.number(name);
  if (fields.has('zeroing')) given.zeroing = fields.flag('zeroing');
  if (fields.has('onFull')) given.onFull = fields.oneOf('onFull', ['queue', 'error']);
  if (fields.has('discards')) {
    given.discards = fields.oneOf('discards', ['passdown', 'nopassdown', 'ignore']);
  }
  return given;
}

/** The pool's own options for blocks of `blockSize` bytes. */
export function poolOptions(given: GivenOptions, blockSize: number): Partial<PoolOptions> {
  const { lowWaterBytes, ...options } = given;
  return lowWaterBytes === undefined
    ? options
    : { ...options, lowWater: Math.ceil(lowWaterBytes / blockSize) };
}

const nothing = () => ({});

export const POOL_OPERATIONS = {
  'pool.status': operation(nothing, (pool): PoolStatus => pool.status()),
  'pool.commit': operation(nothing, (pool: Pool) => pool.commit()),
  'pool.grow': operation(
    fields => ({ size: fields.number('size') }),
    async (pool, { size }) => {
      await pool.grow(size);
      return pool.status();
    },
  ),
  'pool.set': operation(givenOptions, async (pool, given) => {
    await pool.configure(poolOptions(given, pool.blockSize));
    return pool.status();
  }),
  'pool.reserveSnapshot': operation(nothing, pool => pool.reserveMetadataSnapshot()),
  'pool.releaseSnapshot': operation(nothing, pool => pool.releaseMetadataSnapshot()),
  'pool.setTransactionId': operation(
    fields => ({ current: fields.number('current'), next: fields.number('next') }),
    (pool, { current, next }) => pool.setTransactionId(current, next),
  ),
};
