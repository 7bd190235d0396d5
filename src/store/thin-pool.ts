// The store's thin pool: made at first use, opened once, reachable for `lamina pool` and `lamina volume` while this process has
// it, and its volumes' file systems mounted through one private place.
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { E, isErrno, SysError, toText } from '../base/index.js';
import { ControlServer, OPERATIONS, PoolFilesystems, tool } from '../export/index.js';
import { listMounts } from '../sys/index.js';
import { Pool, type PoolOptions } from '../thin/index.js';
import type { Places } from './places.js';
import { checkThinOptions, THIN_DEFAULTS, type ThinOptions } from './thin-options.js';

export interface ThinPoolHost {
  readonly places: Places;
  readonly options: ThinOptions;
  warn(message: string): void;
}

export class ThinPool {
  private scratches = 0;

  private constructor(
    private readonly host: ThinPoolHost,
    readonly pool: Pool,
    readonly filesystems: PoolFilesystems,
    private readonly control: ControlServer<Pool>,
  ) {}

  /**
   * Opens the pool, and makes it when it is not there. What a process that died had mounted of it leaves the tree. SysError:
   * EINVAL (options, or those of the pool that is there are others), EBUSY (another process has it), and those of mounting.
   */
  static async open(host: ThinPoolHost): Promise<ThinPool> {
    const { places, options, warn } = host;
    checkThinOptions(options);
    await tidy(places);
    if (!existsSync(places.pool)) await create(places.pool, options);
    const pool = await Pool.open(places.pool);
    const undo: (() => Promise<unknown>)[] = [() => pool.close()];
    try {
      await adjust(pool, options);
      tell(pool, warn);
      const defect = (error: unknown, what: string) => warn(`${what}: ${String(error)}`);
      const filesystems = await PoolFilesystems.open(pool, places.disks, { defect });
      undo.push(() => filesystems.close());
      const control = await ControlServer.listen(pool.dir, { subject: pool, table: OPERATIONS, defect });
      return new ThinPool(host, pool, filesystems, control);
    } catch (error) {
      for (const step of undo.reverse()) await step();
      throw error;
    }
  }

  /** A directory for a mount that nobody else knows of; `removePlace` takes it away. */
  makePlace(): string {
    const place = join(this.host.places.scratch, String(this.scratches++));
    mkdirSync(place, { mode: 0o700 });
    return place;
  }

  removePlace(place: string): void {
    rmdirSync(place);
  }

  /** SysError ENOSPC when less is free than there must be for something new. */
  checkRoom(): void {
    const { options, places } = this.host;
    const least = options.minFreeSpace ?? THIN_DEFAULTS.minFreeSpace;
    const { dataBlocks, usedBlocks, metadataTotal, metadataUsed } = this.pool.status();
    for (const [what, total, used] of [
      ['data', dataBlocks, usedBlocks],
      ['metadata', metadataTotal, metadataUsed],
    ] as const) {
      const free = Math.floor((100 * (total - used)) / total);
      if (free >= least) continue;
      const rule = `and ${least} % are needed for anything new: remove something, or lamina pool grow`;
      throw new SysError(
        E.ENOSPC,
        `the pool ${places.pool} has ${free} % of its ${what} space free, ${rule}`,
      );
    }
  }

  /** Nothing of it is mounted any more, unless somebody has a mount that has left the tree: it loses its storage. */
  async close(): Promise<void> {
    await this.control.close(true);
    await this.filesystems.close();
    await this.pool.close();
  }
}

/** The pool, opened when somebody needs it, once. */
export class ThinPoolOnce {
  private opened: Promise<ThinPool> | null = null;

  constructor(private readonly host: ThinPoolHost) {}

  /** As ThinPool.open. */
  get(): Promise<ThinPool> {
    this.opened ??= ThinPool.open(this.host).catch((error: unknown) => {
      this.opened = null;
      throw error;
    });
    return this.opened;
  }

  async close(): Promise<void> {
    await (await this.opened)?.close();
  }
}

async function tidy(places: Places): Promise<void> {
  const dead = await PoolFilesystems.tidy(places.disks).then(
    () => null,
    (error: unknown) => error,
  );
  if (dead !== null && !isErrno(dead, E.ENOENT)) throw dead;
  for (const dir of [places.disks, places.scratch]) mkdirSync(dir, { recursive: true, mode: 0o700 });
  const left = listMounts().map(({ mountpoint }) => toText(mountpoint));
  for (const place of left.filter(path => path.startsWith(`${places.scratch}/`)).reverse())
    await tool('umount', '--lazy', '--', place);
  for (const name of readdirSync(places.scratch)) rmdirSync(join(places.scratch, name));
}

async function create(dir: string, options: ThinOptions): Promise<void> {
  const { dataSize: size, blockSize, growThreshold, growPercent, onFull } = { ...THIN_DEFAULTS, ...options };
  await Pool.create(dir, { size, blockSize, growThreshold, growPercent, onFull });
}

/** What was asked for of a pool that is there already. */
async function adjust(pool: Pool, options: ThinOptions): Promise<void> {
  const { dir, blockSize } = pool;
  if (options.blockSize !== undefined && options.blockSize !== blockSize)
    throw new SysError(E.EINVAL, `the pool ${dir} has blocks of ${blockSize} bytes, which cannot be changed`);
  const size = pool.status().dataBlocks * blockSize;
  // A pool that has grown by itself is larger than what it was made with.
  if (options.dataSize !== undefined && options.dataSize - size >= blockSize)
    await pool.grow(options.dataSize);
  const { growThreshold, growPercent, onFull } = options;
  const changes: { -readonly [K in keyof PoolOptions]?: PoolOptions[K] } = {};
  if (growThreshold !== undefined) changes.growThreshold = growThreshold;
  if (growPercent !== undefined) changes.growPercent = growPercent;
  if (onFull !== undefined) changes.onFull = onFull;
  if (Object.keys(changes).length > 0) await pool.configure(changes);
}

function tell(pool: Pool, warn: (message: string) => void): void {
  pool.on('grown', blocks => warn(`the pool ${pool.dir} has grown to ${blocks} blocks`));
  pool.on('mode', mode => warn(`the pool ${pool.dir} is in mode ${mode} now`));
  pool.on('commitError', error => warn(`the pool ${pool.dir}: commit failed: ${error.message}`));
}
