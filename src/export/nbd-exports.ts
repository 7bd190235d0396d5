// The volumes of a pool as NBD exports. A connection activates its volume, and gives it back when it ends.
import type { NbdExport } from '../nbd/index.js';
import type { MountableSource } from './disks-mount.js';

/**
 * The named volumes in this order, the first also as the default export; or all. A name keeps its place when its volume is
 * gone: opening it is then ENOENT, and no other volume is served in its stead.
 */
export function nbdExports(pool: MountableSource, names?: readonly string[]): NbdExport[] {
  const offered = names ?? pool.list().map(({ name }) => name);
  return offered.map(name => ({
    name,
    description: `volume of the pool ${pool.dir}`,
    open: () => pool.volume(name),
  }));
}
