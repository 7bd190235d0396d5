// A pool as its users see it: open it, ask it, change it, take volumes from it.
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { E, isErrno, SysError } from '../base/index.js';
import { Core, type OpenOptions, type Wrappers } from './core.js';
import { type CreateOptions, checkPoolDirectory, createPool } from './create.js';
import type { ThinDevice } from './device.js';
import { lockPool, unlockPool } from './lock.js';
import { poolBlocks } from './names.js';
import { type NewVolume, Operations, type SnapshotRequest } from './operations.js';
import { type PoolOptions, withOptions } from './options.js';
import { type PartialRequest, PartialVolume } from './partial.js';
import type { VolumeRow } from './schema.js';
import type { PoolMode, PoolStatus } from './status.js';
import { differing, type Usage, usageOf } from './usage.js';
import { Volume, type VolumeHost } from './volume.js';

export interface VolumeInfo {
  readonly id: number;
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Mapped blocks. */
  readonly mapped: number;
  readonly readOnly: boolean;
  readonly active: boolean;
  readonly guid: string;
  readonly transactionId: number;
  readonly creationTime: number;
  readonly snapTime: number;
  /** The volume that this is a snapshot of, if it is still there. */
  readonly origin: string | null;
  /** External origin. */
  readonly external: string | null;
}

export interface PoolEvents {
  /** Fewer blocks are free than the low-water mark; once until the pool grows. */
  lowWater: [free: number];
  mode: [mode: PoolMode];
  /** The pool has so many blocks now. */
  grown: [blocks: number];
  commitError: [error: SysError];
}

export class Pool extends EventEmitter<PoolEvents> {
  /** Makes a pool in `dir`. */
  static create(dir: string, options: CreateOptions): Promise<void> {
    return createPool(dir, options);
  }

  /**
   * Opens a pool. SysError: ENOENT (no pool), EBUSY (another process has it), EUCLEAN (damaged), EMEDIUMTYPE, EPROTO.
   * A lost process's half-made volumes are removed.
   */
  static open(dir: string, options: OpenOptions = {}): Promise<Pool> {
    return Pool.openWith(dir, options, {});
  }

  /** `open`, with something between the pool and its files. */
  static async openWith(dir: string, options: OpenOptions, wrappers: Wrappers): Promise<Pool> {
    await checkPoolDirectory(dir);
    const readOnly = options.readOnly === true;
    const lock = lockPool(dir, readOnly);
    try {
      const pool = new Pool(dir, readOnly, lock, wrappers);
      await pool.recover();
      return pool;
    } catch (error) {
      unlockPool(lock);
      throw error;
    }
  }

  readonly blockSize: number;
  private readonly core: Core;
  private readonly operations: Operations;
  private readonly host: VolumeHost;
  private closing: Promise<void> | null = null;

  private constructor(
    readonly dir: string,
    readOnly: boolean,
    private readonly lock: number,
    wrappers: Wrappers,
  ) {
    super();
    this.core = new Core(dir, readOnly, wrappers, {
      mode: mode => this.emit('mode', mode),
      lowWater: free => this.emit('lowWater', free),
      grown: blocks => this.emit('grown', blocks),
      commitError: error => this.emit('commitError', error),
      recovered: () => this.operations.sweep(),
    });
    this.blockSize = this.core.blockSize;
    this.operations = new Operations(this.core);
    this.host = {
      blockSize: this.blockSize,
      refusal: () => this.core.refusal(),
      isClosed: () => this.core.isClosed,
      commit: () => this.core.commit(),
      closed: (device: ThinDevice) => this.core.closed(device),
    };
  }

  /** Makes good what an earlier process left: half-made volumes go, doomed pages are taken apart. */
  private async recover(): Promise<void> {
    if (this.core.refusal() !== null) return;
    for (const row of [...this.core.state.volumes.values()]) {
      if (row.partial === 0) continue;
      try {
        await this.operations.abandon(row);
      } catch (error) {
        // On a full disk it stays hidden until there is room: what there is can be read.
        if (isErrno(error, E.ENOSPC)) continue;
        await this.core.close();
        throw error;
      }
    }
    this.core.reclaimer.kick();
  }

  status(): PoolStatus {
    this.checkOpen();
    const { state, store } = this.core;
    const { pool } = state;
    return {
      uuid: pool.uuid,
      transactionId: pool.transaction_id,
      time: pool.time,
      blockSize: this.blockSize,
      dataBlocks: pool.data_blocks,
      usedBlocks: state.dataCounts.used,
      metadataUsed: store.used(),
      metadataTotal: this.core.options().metadataLimit,
      held: pool.held_time !== null,
      mode: this.core.mode(),
      options: this.core.options(),
      needsCheck: pool.needs_check === 1,
      volumes: this.rows().length,
      data: this.core.dataPath,
      reclaiming: state.tree.doomed.size,
    };
  }

  /** All volumes by id. */
  list(): VolumeInfo[] {
    return this.rows()
      .sort((a, b) => a.id - b.id)
      .map(row => this.infoOf(row));
  }

  info(name: string): VolumeInfo {
    this.checkOpen();
    return this.infoOf(this.operations.find(name));
  }

  nameOf(id: number): string {
    const row = this.core.state.volumes.get(id);
    if (row === undefined || row.partial === 1)
      throw new SysError(E.ENOENT, `${this.dir} has no volume with the id ${id}`);
    return row.name;
  }

  async createVolume(volume: NewVolume): Promise<VolumeInfo> {
    return this.infoOf(await this.operations.create(volume));
  }

  /** Snapshots, all of one instant. */
  async snapshot(requests: readonly SnapshotRequest[]): Promise<VolumeInfo[]> {
    return (await this.operations.snapshot(requests)).map(row => this.infoOf(row));
  }

  /** Removes a volume; its space is freed after that (`reclaimed`). SysError EBUSY while it is in use. */
  async remove(name: string): Promise<void> {
    this.checkOpen();
    await this.operations.remove(() => this.operations.find(name));
  }

  /** Resolves when the space of everything that was removed is free again. */
  async reclaimed(): Promise<void> {
    for (let work = this.core.reclaimer.work(); work !== null; work = this.core.reclaimer.work()) await work;
    await this.core.transactions.settled();
  }

  /** Gives `name` the content that `snapshot` has now. SysError EBUSY while `name` is in use. */
  rollback(name: string, snapshot: string): Promise<void> {
    return this.operations.rollback(name, snapshot);
  }

  resizeVolume(name: string, size: number): Promise<void> {
    return this.operations.resize(name, size);
  }

  /** A volume that becomes writable, or read-only, gets a new guid: its content has no name any more, or a new one. */
  setReadOnly(name: string, readOnly: boolean): Promise<void> {
    return this.operations.alone(async () => {
      const row = this.operations.find(name);
      if ((row.read_only === 1) === readOnly) return;
      this.operations.checkIdle(row, readOnly ? 'made read-only' : 'made writable');
      const fields = { read_only: readOnly ? 1 : 0, guid: randomUUID() };
      await this.operations.unused([row], () => this.operations.change(row, fields));
    });
  }

  rename(name: string, to: string): Promise<void> {
    return this.operations.alone(async () => {
      const row = this.operations.find(name);
      this.operations.checkFree(to);
      await this.operations.change(row, { name: to });
    });
  }

  /** Compare and swap, for tools that change a pool and something else together. SysError EINVAL when `current` is wrong. */
  setTransactionId(current: number, next: number): Promise<void> {
    return this.operations.alone(async () => {
      const { pool } = this.core.state;
      if (pool.transaction_id !== current) {
        throw new SysError(E.EINVAL, `the transaction id is ${pool.transaction_id}, not ${current}`);
      }
      if (!Number.isSafeInteger(next) || next < 0)
        throw new SysError(E.EINVAL, `a transaction id is a number from 0, not ${next}`);
      await this.changePool({ transaction_id: next });
    });
  }

  /** Keeps the maps of all volumes as they are now for tools to read, until it is released. SysError EBUSY when there is one. */
  reserveMetadataSnapshot(): Promise<void> {
    return this.operations.alone(async () => {
      const { state } = this.core;
      if (state.pool.held_time !== null)
        throw new SysError(E.EBUSY, `${this.dir} already has a metadata snapshot`);
      const open = await this.core.quiesce(this.rows());
      let durable: Promise<void>;
      try {
        durable = this.holdMaps();
      } finally {
        open();
      }
      await durable;
    });
  }

  private holdMaps(): Promise<void> {
    const { state } = this.core;
    const rows = this.rows().map(row => ({ ...row }));
    for (const row of rows) state.tree.share(row);
    state.setHeld(rows);
    const { time, transaction_id } = state.pool;
    return this.changePool({ held_time: time, held_transaction_id: transaction_id }, () => {
      for (const row of rows) state.tree.release(row.root, row.depth);
      state.setHeld([]);
    });
  }

  releaseMetadataSnapshot(): Promise<void> {
    return this.operations.alone(async () => {
      const { state, reclaimer } = this.core;
      if (state.pool.held_time === null) throw new SysError(E.EINVAL, `${this.dir} has no metadata snapshot`);
      const rows = [...state.heldVolumes];
      const roots = rows.filter(row => row.root !== 0);
      for (const row of roots) {
        state.tree.pinned.add(row.root);
        state.tree.release(row.root, row.depth);
      }
      state.setHeld([]);
      await this.changePool({ held_time: null, held_transaction_id: null }, () => {
        for (const row of roots) state.tree.unrelease(row.root);
        state.setHeld(rows);
      }).finally(() => {
        for (const row of roots) reclaimer.unpin(row.root);
      });
    });
  }

  /** Makes the pool larger, to so many bytes. SysError EINVAL when it is smaller, ENOSPC when the device is not that large. */
  grow(size: number): Promise<void> {
    return this.operations.alone(async () => {
      const blocks = poolBlocks(size, this.blockSize);
      const now = this.core.state.pool.data_blocks;
      if (blocks < now) {
        throw new SysError(
          E.EINVAL,
          `${this.dir} has ${now * this.blockSize} bytes and cannot shrink to ${size}`,
        );
      }
      await this.core.grow(blocks);
    });
  }

  configure(changes: Partial<PoolOptions>): Promise<void> {
    return this.operations.alone(async () => {
      const before = this.core.options();
      this.core.setOptions(withOptions(before, changes));
      await this.operations.durable({ result: undefined, undo: () => this.core.setOptions(before) });
      this.core.space.released();
    });
  }

  /** What a volume has mapped, alone and shared. Walks its map. */
  async usage(name: string): Promise<Usage> {
    const { id } = this.operations.find(name);
    await this.core.commit();
    return usageOf(this.dir, id);
  }

  /** Blocks in which a volume differs from a snapshot, by their maps. */
  async writtenSince(name: string, snapshot: string): Promise<number> {
    const [left, right] = [this.operations.find(name), this.operations.find(snapshot)];
    await this.core.commit();
    return differing(this.dir, right.id, left.id);
  }

  /** A handle on a volume, which is in use until all its handles are closed. */
  volume(name: string): Volume {
    this.checkOpen();
    return new Volume(this.host, this.core.acquire(this.operations.find(name)));
  }

  /** A volume that nobody sees until it is finished; gone if this process ends before that. */
  partialVolume(request: PartialRequest): Promise<PartialVolume> {
    return PartialVolume.make(this.host, this.core, this.operations, request, row => this.infoOf(row));
  }

  /** Everything that was done is durable when this resolves. */
  commit(): Promise<void> {
    this.checkOpen();
    return this.core.commit();
  }

  /** Commits and closes, with all handles. Throws what the commit threw; it is closed all the same. */
  close(): Promise<void> {
    this.core.beginClose();
    this.closing ??= this.operations
      .idle()
      .then(() => this.core.close())
      .finally(() => unlockPool(this.lock));
    return this.closing;
  }

  private rows(): VolumeRow[] {
    this.checkOpen();
    return [...this.core.state.volumes.values()].filter(row => row.partial === 0);
  }

  private async changePool(
    fields: Partial<Pick<Core['state']['pool'], 'transaction_id' | 'held_time' | 'held_transaction_id'>>,
    undo: () => void = () => {},
  ): Promise<void> {
    const { state } = this.core;
    const before = { ...state.pool };
    Object.assign(state.pool, fields);
    state.changePool();
    await this.operations.durable({
      result: undefined,
      undo: () => {
        const { transaction_id, held_time, held_transaction_id } = before;
        Object.assign(state.pool, { transaction_id, held_time, held_transaction_id });
        undo();
      },
    });
  }

  private infoOf(row: VolumeRow): VolumeInfo {
    const named = row.origin === null ? undefined : this.core.state.volumes.get(row.origin);
    // Another volume may have its id by now: an origin was made before the instant of its snapshot.
    const origin = named !== undefined && named.creation_time < row.creation_time ? named : undefined;
    return {
      id: row.id,
      name: row.name,
      size: this.core.sizeOf(row),
      mapped: row.mapped,
      readOnly: row.read_only === 1,
      active: this.core.active.has(row.id),
      guid: row.guid,
      transactionId: row.transaction_id,
      creationTime: row.creation_time,
      snapTime: row.snap_time,
      origin: origin?.name ?? null,
      external: row.external,
    };
  }

  private checkOpen(): void {
    if (this.core.isClosed) throw new SysError(E.EBADF, `${this.dir} is closed`);
  }
}
