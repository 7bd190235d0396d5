// The parts of an open pool put together: state, data file, transactions, space, reclaim, and the devices in use. What
// users may ask of it is in pool.ts and operations.ts.
import { join, resolve } from 'node:path';
import { E, SysError } from '../base/index.js';
import { Allocator } from './allocator.js';
import type { DeviceHost } from './content.js';
import { type DataFile, FileData } from './datafile.js';
import { ThinDevice } from './device.js';
import { External } from './external.js';
import { Inflight } from './inflight.js';
import { type MetadataStore, SqliteStore } from './metadata.js';
import { DEFAULTS, type PoolOptions, withOptions } from './options.js';
import { DATABASE } from './places.js';
import { Reclaimer } from './reclaim.js';
import type { VolumeRow } from './schema.js';
import { Space } from './space.js';
import { State } from './state.js';
import type { PoolMode } from './status.js';
import { Transactions } from './transactions.js';

export interface OpenOptions {
  /** Nothing is changed; shares the pool with other readers. */
  readonly readOnly?: boolean;
}

/** Puts something between the pool and its files, for tests. */
export interface Wrappers {
  data?(file: DataFile): DataFile;
  store?(store: MetadataStore): MetadataStore;
}

export interface CoreEvents {
  mode(mode: PoolMode): void;
  lowWater(free: number): void;
  grown(blocks: number): void;
  commitError(error: SysError): void;
  /** Commits work again. */
  recovered(): void;
}

interface Active {
  readonly device: ThinDevice;
  handles: number;
}

export class Core implements DeviceHost {
  readonly blockSize: number;
  readonly state: State;
  readonly data: DataFile;
  readonly dataPath: string;
  readonly store: MetadataStore;
  readonly allocator: Allocator;
  readonly inflight = new Inflight();
  readonly transactions: Transactions;
  readonly space: Space;
  readonly reclaimer: Reclaimer;
  /** Devices in use by volume id. */
  readonly active = new Map<number, Active>();
  /** Volumes whose content is being exchanged: nobody may begin to use them. */
  readonly changing = new Set<number>();
  /** Where volumes end as long as a larger size is not durable: nobody writes beyond that yet. */
  readonly ends = new Map<number, number>();
  /** Volumes whose changes are held back, with what lets those of each device go on. */
  private readonly holding = new Map<number, (() => void)[]>();
  isClosed = false;
  private isClosing = false;
  private growing: Promise<void> = Promise.resolve();
  private current: PoolOptions;
  private lastMode: PoolMode = 'rw';
  private broken: SysError | null = null;

  constructor(
    readonly dir: string,
    readonly readOnly: boolean,
    wrappers: Wrappers,
    private readonly events: CoreEvents,
  ) {
    const limit = (): number => this.options().metadataLimit;
    const store = new SqliteStore(dir, readOnly, limit, () => this.active.size > 0);
    this.store = wrappers.store?.(store) ?? store;
    let data: FileData | null = null;
    try {
      this.state = new State(
        this.guarded(this.store),
        block => {
          this.allocator.free(block);
          this.space.freeing();
        },
        () => this.transactions.touched(),
        error => this.distrust(error),
      );
      const { pool } = this.state;
      this.blockSize = pool.block_size;
      this.current = withOptions(DEFAULTS, JSON.parse(pool.options) as Partial<PoolOptions>);
      this.dataPath = resolve(dir, pool.data);
      data = new FileData(this.dataPath, readOnly);
      this.checkData(data);
    } catch (error) {
      data?.close();
      this.store.close();
      throw error instanceof SyntaxError
        ? new SysError(E.EUCLEAN, `${join(dir, DATABASE)}: ${error.message}`)
        : error;
    }
    this.data = wrappers.data?.(data) ?? data;
    this.allocator = new Allocator(this.state.dataCounts, this.data, this.blockSize);
    this.transactions = new Transactions(
      this.state,
      this.store,
      this.data,
      this.allocator,
      this.inflight,
      () => this.options().discards === 'passdown',
      { failing: error => this.failing(error), released: () => this.space.released() },
    );
    this.reclaimer = new Reclaimer(this.state, this.transactions, error => this.failing(error));
    this.space = new Space(this.state, this.allocator, this.transactions, {
      options: () => this.options(),
      refusal: () => this.refusal(),
      grow: blocks => this.grow(blocks),
      reclaiming: () => this.reclaimer.work(),
      lowWater: free => events.lowWater(free),
      full: () => this.modeMayHaveChanged(),
    });
  }

  options(): PoolOptions {
    return this.current;
  }

  setOptions(options: PoolOptions): void {
    this.current = options;
    this.state.pool.options = JSON.stringify(options);
    this.state.changePool();
  }

  doomed(): void {
    this.reclaimer.kick();
  }

  mode(): PoolMode {
    if (this.broken !== null) return 'fail';
    if (this.refusal() !== null) return 'ro';
    if (this.transactions.failed !== null) return 'out_of_metadata_space';
    return this.space.isFull ? 'out_of_data_space' : 'rw';
  }

  /** Why nothing may be changed now, or null. */
  refusal(): SysError | null {
    if (this.isClosed || this.isClosing) return new SysError(E.EBADF, `${this.dir} is closed`);
    if (this.broken !== null) return new SysError(E.EIO, `${this.dir} has failed (${this.broken.message})`);
    if (this.readOnly) return new SysError(E.EROFS, `${this.dir} was opened read-only`);
    if (this.state.pool.needs_check === 0) return null;
    return new SysError(E.EROFS, `${this.dir} needs a check: run lamina pool check, and lamina pool repair`);
  }

  commit(): Promise<void> {
    if (this.readOnly) return Promise.resolve();
    return this.transactions.commit();
  }

  /** Makes the pool larger; one after the other. */
  grow(blocks: number): Promise<void> {
    const mine = this.growing.then(() => this.growNow(blocks));
    this.growing = mine.catch(() => {});
    return mine;
  }

  private async growNow(blocks: number): Promise<void> {
    await this.data.grow(blocks * this.blockSize);
    const { pool, dataCounts } = this.state;
    const before = pool.data_blocks;
    if (blocks <= before) return;
    pool.data_blocks = blocks;
    const shrink = dataCounts.grow(blocks);
    this.state.changePool();
    try {
      await this.transactions.commit();
    } catch (error) {
      pool.data_blocks = before;
      shrink();
      this.state.changePool();
      throw error;
    }
    this.allocator.limit = blocks;
    this.space.grown();
    this.events.grown(blocks);
  }

  /** The device of a volume, made when it is not in use; every call needs a `release`. */
  acquire(row: VolumeRow): ThinDevice {
    let active = this.active.get(row.id);
    if (this.changing.has(row.id)) throw new SysError(E.EBUSY, `${row.name} is being changed`);
    if (active === undefined) {
      active = { device: this.newDevice(this, row), handles: 0 };
      this.active.set(row.id, active);
      this.holding.get(row.id)?.push(active.device.hold());
    }
    active.handles++;
    return active.device;
  }

  /**
   * Holds the changes of volumes back, also those through handles that are opened meanwhile; resolves when none is under
   * way. What shares a volume's map waits for that: a block in which a write is under way must stay its own. The result
   * lets them go on. One at a time.
   */
  async quiesce(rows: readonly VolumeRow[]): Promise<() => void> {
    const openers: (() => void)[] = [];
    const pending: Promise<void>[] = [];
    for (const id of new Set(rows.map(row => row.id))) {
      this.holding.set(id, openers);
      const device = this.active.get(id)?.device;
      if (device === undefined) continue;
      openers.push(device.hold());
      pending.push(device.calm());
    }
    await Promise.all(pending);
    return () => {
      this.holding.clear();
      for (const open of openers.splice(0)) open();
    };
  }

  sizeOf(row: VolumeRow): number {
    return this.ends.get(row.id) ?? row.size;
  }

  /** A device that does not queue for space, for an operation on a volume that nobody uses. */
  impatientDevice(row: VolumeRow): ThinDevice {
    const { blockSize, state, data, allocator, inflight } = this;
    const { impatient: space } = this.space;
    const options = (): PoolOptions => this.options();
    const doomed = (): void => this.doomed();
    const sizeOf = (): number => row.size;
    const host = { blockSize, state, data, allocator, inflight, space, options, doomed, sizeOf };
    return this.newDevice(host, row);
  }

  private newDevice(host: DeviceHost, row: VolumeRow): ThinDevice {
    return new ThinDevice(host, row, row.external === null ? null : new External(row.external));
  }

  closed(device: ThinDevice): void {
    const active = this.active.get(device.row.id);
    if (active?.device !== device || --active.handles > 0) return;
    this.active.delete(device.row.id);
    device.close();
  }

  /** Nothing new begins, and whoever waits for space is told. */
  beginClose(): void {
    this.isClosing = true;
    this.space.released();
  }

  /** Commits, and lets go of everything; what the commit throws comes after that. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    await this.reclaimer.stop();
    for (const { device } of this.active.values()) {
      device.hold();
      await device.calm();
    }
    this.isClosed = true;
    try {
      await this.inflight.drained();
      if (!this.readOnly) await this.transactions.close();
    } finally {
      for (const { device } of this.active.values()) device.end(this.refusal()!);
      this.active.clear();
      await this.letGo();
    }
  }

  private async letGo(): Promise<void> {
    try {
      await this.allocator.close(!this.readOnly && this.options().discards === 'passdown');
    } finally {
      this.data.close();
      await this.store.close();
    }
  }

  private checkData(data: DataFile): void {
    const needed = this.state.pool.data_blocks * this.blockSize;
    if (data.size >= needed) return;
    throw new SysError(
      E.EUCLEAN,
      `${this.dataPath} has ${data.size} bytes, and the pool needs ${needed}: it was cut off`,
    );
  }

  /** The store, but what is found damaged there is remembered. */
  private guarded(store: MetadataStore): MetadataStore {
    const guard = <T>(read: () => T): T => {
      try {
        return read();
      } catch (error) {
        if (error instanceof SysError) this.distrust(error);
        throw error;
      }
    };
    return {
      opening: () => store.opening(),
      page: id => guard(() => store.page(id)),
      counts: (kind, chunk) => guard(() => store.counts(kind, chunk)),
      commit: batch => store.commit(batch),
      used: () => store.used(),
      close: () => store.close(),
    };
  }

  /**
   * Metadata could not be read or contradicts itself, perhaps in the middle of a change: what is in memory must not reach
   * the disk. What is damaged there is remembered, so that the pool is read-only until it has been checked.
   */
  private distrust(error: SysError): void {
    if (this.readOnly || this.broken !== null) return;
    this.broken = error;
    this.transactions.refuse(error, error.errno === E.EUCLEAN);
    this.events.commitError(error);
    this.modeMayHaveChanged();
    this.space.released();
  }

  private failing(error: SysError | null): void {
    if (error !== null) {
      if (error.errno === E.EIO) this.broken = error;
      this.events.commitError(error);
      // Whoever waits for space would wait for ever.
      if (this.broken !== null) this.space.released();
    } else {
      this.space.released();
      this.reclaimer.kick();
      this.events.recovered();
    }
    this.modeMayHaveChanged();
  }

  private modeMayHaveChanged(): void {
    const mode = this.mode();
    if (mode === this.lastMode) return;
    this.lastMode = mode;
    this.events.mode(mode);
  }
}
