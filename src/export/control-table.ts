// The operations on a pool, by name: what a command runs in the process that opened the pool, and what a control socket serves.
import type { Pool } from '../thin/index.js';
import type { Operation } from './control-operation.js';
import { POOL_OPERATIONS } from './control-pool.js';
import { SERVICE_OPERATIONS } from './control-service.js';
import { TRANSFER_OPERATIONS } from './control-transfer.js';
import { VOLUME_OPERATIONS } from './control-volume.js';

export type PoolOperation = Operation<Pool, unknown, unknown>;

export const OPERATIONS = {
  ...POOL_OPERATIONS,
  ...VOLUME_OPERATIONS,
  ...TRANSFER_OPERATIONS,
  ...SERVICE_OPERATIONS,
};
