// What changes volumes as wholes: create, snapshot, remove, roll back, resize. One at a time; each is durable when it
// resolves, and undone when its commit fails.
import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { E, SysError } from '../base/index.js';
import type { Core } from './core.js';
import { depthFor, MAX_TIME } from './entry.js';
import { External } from './external.js';
import { checkId, checkName, checkSize, MAX_ID } from './names.js';
import type { VolumeRow } from './schema.js';

/** A change made in memory: its result, how to take it back, and what may happen once it is durable. */
interface Change<T> {
  readonly result: T;
  undo(): void;
  done?(): void;
}

export interface SnapshotRequest {
  readonly origin: string;
  readonly name: string;
  readonly id?: number;
  readonly readOnly?: boolean;
}

export interface NewVolume {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly id?: number;
  readonly readOnly?: boolean;
  /** External origin: a file or device that unmapped blocks are read from. */
  readonly external?: string;
}

export class Operations {
  private last: Promise<unknown> = Promise.resolve();
  /** Half-made volumes that nobody will finish, and that are still there. */
  private readonly abandoned = new Set<VolumeRow>();

  constructor(private readonly core: Core) {}

  find(name: string): VolumeRow {
    for (const row of this.core.state.volumes.values())
      if (row.name === name && row.partial === 0) return row;
    throw new SysError(E.ENOENT, `${this.core.dir} has no volume ${name}`);
  }

  /** The row, if it is still there. */
  still(row: VolumeRow): VolumeRow {
    if (this.core.state.volumes.get(row.id) === row) return row;
    throw new SysError(E.ENOENT, `${row.name} has been removed`);
  }

  /** Runs `body` when no other operation runs. */
  alone<T>(body: () => Promise<T>): Promise<T> {
    const mine = this.last.then(() => {
      const refusal = this.core.refusal();
      if (refusal !== null) throw refusal;
      return body();
    });
    this.last = mine.catch(() => {});
    return mine;
  }

  /** Resolves when no operation runs. */
  async idle(): Promise<void> {
    await this.last;
  }

  /** Nobody may begin to use the volumes before `body` has ended. */
  async unused<T>(rows: readonly VolumeRow[], body: () => Promise<T>): Promise<T> {
    const { changing } = this.core;
    for (const row of rows) changing.add(row.id);
    try {
      return await body();
    } finally {
      for (const row of rows) changing.delete(row.id);
    }
  }

  /** Makes a change durable, or takes it back. */
  async durable<T>(change: Change<T>, urgent = false): Promise<T> {
    try {
      await this.core.transactions.commit(urgent);
    } catch (error) {
      change.undo();
      throw error;
    }
    change.done?.();
    return change.result;
  }

  create(volume: NewVolume & { guid?: string; partial?: boolean }): Promise<VolumeRow> {
    return this.alone(async () => {
      checkSize(volume.size);
      const external = volume.external === undefined ? null : resolve(volume.external);
      // What cannot be read is refused now, and not when somebody reads.
      if (external !== null) new External(external).close();
      const row = this.newRow(volume.name, volume.id, {
        size: volume.size,
        depth: depthFor(Math.ceil(volume.size / this.core.blockSize)),
        root: 0,
        mapped: 0,
        external,
        origin: null,
      });
      row.read_only = volume.readOnly === true ? 1 : 0;
      row.partial = volume.partial === true ? 1 : 0;
      if (volume.guid !== undefined) row.guid = volume.guid;
      const { state } = this.core;
      state.changeVolume(row);
      return this.unused([row], () => this.durable({ result: row, undo: () => state.removeVolume(row) }));
    });
  }

  /** Snapshots of one instant. */
  snapshot(requests: readonly SnapshotRequest[], partial = false): Promise<VolumeRow[]> {
    return this.alone(async () => {
      const origins = requests.map(request => this.find(request.origin));
      for (const request of requests) checkName(request.name);
      const open = await this.core.quiesce(origins);
      try {
        const change = this.takeSnapshots(requests, origins, partial, open);
        return await this.unused(change.result, () => this.durable(change));
      } finally {
        open();
      }
    });
  }

  private takeSnapshots(
    requests: readonly SnapshotRequest[],
    origins: readonly VolumeRow[],
    partial: boolean,
    open: () => void,
  ): Change<VolumeRow[]> {
    const { state } = this.core;
    const made: VolumeRow[] = [];
    const undo = (): void => {
      for (const row of made) {
        state.tree.release(row.root, row.depth);
        state.removeVolume(row);
      }
      this.core.reclaimer.kick();
    };
    try {
      for (const [i, origin] of origins.entries()) {
        const { name, id, readOnly } = requests[i]!;
        const row = this.newRow(name, id, { ...origin, origin: origin.id });
        row.read_only = readOnly === true ? 1 : 0;
        row.partial = partial ? 1 : 0;
        state.tree.share(row);
        state.changeVolume(row);
        made.push(row);
      }
    } catch (error) {
      undo();
      throw error;
    }
    const time = this.tick();
    for (const row of [...origins, ...made]) {
      row.snap_time = time;
      state.changeVolume(row);
    }
    for (const row of made) row.creation_time = time;
    // The instant has passed: writers may go on while it becomes durable.
    open();
    return { result: made, undo };
  }

  /** Resolves when the name is gone for good; its space follows. */
  remove(find: () => VolumeRow): Promise<void> {
    return this.alone(async () => {
      const row = find();
      this.checkIdle(row, 'removed');
      const { state, reclaimer } = this.core;
      state.removeVolume(row);
      const back = this.releaseRoot(row.root, row.depth);
      await this.durable(
        {
          result: undefined,
          undo: () => {
            back();
            state.changeVolume(row);
          },
          done: () => reclaimer.unpin(row.root),
        },
        true,
      );
    });
  }

  /** Removes a half-made volume: now, or when commits work again (`sweep`). */
  async abandon(row: VolumeRow): Promise<void> {
    this.abandoned.add(row);
    try {
      await this.remove(() => this.still(row));
    } finally {
      if (this.core.state.volumes.get(row.id) !== row) this.abandoned.delete(row);
    }
  }

  /** Commits work again. */
  sweep(): void {
    // What goes wrong with a commit is told by the pool, and the volume stays for the next time.
    for (const row of this.abandoned) this.abandon(row).catch(() => {});
  }

  /** Gives `name` the content that `snapshot` has now. */
  rollback(name: string, snapshot: string): Promise<void> {
    return this.alone(async () => {
      const row = this.find(name);
      const from = this.find(snapshot);
      this.checkIdle(row, 'rolled back');
      if (row.read_only === 1) throw new SysError(E.EROFS, `${name} is read-only`);
      if (row === from) throw new SysError(E.EINVAL, `${name} cannot be rolled back to itself`);
      await this.unused([row], () => this.exchange(row, from));
    });
  }

  private async exchange(row: VolumeRow, from: VolumeRow): Promise<void> {
    const open = await this.core.quiesce([from]);
    let change: Change<void>;
    try {
      change = this.takeContent(row, from);
    } finally {
      open();
    }
    await this.durable(change, true);
  }

  private takeContent(row: VolumeRow, from: VolumeRow): Change<void> {
    const { state, reclaimer } = this.core;
    const before = { ...row };
    state.tree.share(from);
    const back = this.releaseRoot(row.root, row.depth);
    const { size, depth, root, mapped, external } = from;
    const time = this.tick();
    Object.assign(row, { size, depth, root, mapped, external, snap_time: time, guid: randomUUID() });
    from.snap_time = time;
    state.changeVolume(row);
    state.changeVolume(from);
    const undo = (): void => {
      state.tree.release(root, depth);
      back();
      Object.assign(row, before);
      state.changeVolume(row);
    };
    const done = (): void => reclaimer.unpin(before.root);
    return { result: undefined, undo, done };
  }

  /**
   * Makes a volume larger, or smaller: what is beyond is unmapped, and reads as zeros if it grows again. That has happened
   * also when the commit of the new size fails.
   */
  resize(name: string, size: number): Promise<void> {
    return this.alone(async () => {
      checkSize(size);
      const row = this.find(name);
      if (row.read_only === 1) throw new SysError(E.EROFS, `${name} is read-only`);
      await this.resizeRow(row, size);
    });
  }

  async resizeRow(row: VolumeRow, size: number): Promise<void> {
    const { state, blockSize, ends } = this.core;
    if (size < row.size) {
      this.checkIdle(row, 'made smaller');
      await this.unused([row], () => this.cut(row, size));
    }
    const before = row.size;
    const become = (bytes: number): void => {
      row.size = bytes;
      state.tree.deepen(row, Math.ceil(bytes / blockSize));
      state.tree.flatten(row, Math.ceil(bytes / blockSize));
      state.changeVolume(row);
    };
    ends.set(row.id, Math.min(before, size));
    try {
      become(size);
      row.guid = randomUUID();
      // A map that has become higher or lower holds the same: only the size is taken back.
      await this.durable({ result: undefined, undo: () => become(before) });
    } finally {
      ends.delete(row.id);
    }
    this.core.reclaimer.kick();
  }

  /** Nothing has changed when it fails for want of a block, and it does not queue for one: all operations wait behind it. */
  private async cut(row: VolumeRow, size: number): Promise<void> {
    const { blockSize } = this.core;
    const blocks = Math.ceil(size / blockSize);
    const device = this.core.impatientDevice(row);
    try {
      const tail = Math.min(blocks * blockSize, row.size) - size;
      if (tail > 0) await device.zero(size, tail, true);
      await device.unmap(blocks, Math.ceil(row.size / blockSize));
    } finally {
      device.close();
    }
  }

  /** Changes fields of a volume's row that mean nothing to its map. */
  change(
    row: VolumeRow,
    fields: Partial<Pick<VolumeRow, 'name' | 'guid' | 'read_only' | 'partial'>>,
  ): Promise<void> {
    const { state } = this.core;
    const before = { ...row };
    Object.assign(row, fields);
    state.changeVolume(row);
    return this.durable({
      result: undefined,
      undo: () => {
        const { name, guid, read_only, partial } = before;
        Object.assign(row, { name, guid, read_only, partial });
        state.changeVolume(row);
      },
    });
  }

  checkIdle(row: VolumeRow, what: string): void {
    if (!this.core.active.has(row.id)) return;
    throw new SysError(E.EBUSY, `${row.name} is in use, and cannot be ${what} now`);
  }

  /** Refuses a name that another volume has. */
  checkFree(name: string): void {
    checkName(name);
    for (const row of this.core.state.volumes.values()) {
      if (row.name !== name) continue;
      const state = row.partial === 1 ? 'is being received as' : 'already has a volume';
      throw new SysError(E.EEXIST, `${this.core.dir} ${state} ${name}`);
    }
  }

  private newRow(
    name: string,
    id: number | undefined,
    content: Pick<VolumeRow, 'size' | 'depth' | 'root' | 'mapped' | 'external' | 'origin'>,
  ): VolumeRow {
    this.checkFree(name);
    const { volumes, pool } = this.core.state;
    if (id !== undefined) checkId(id);
    if (id !== undefined && volumes.has(id)) {
      throw new SysError(E.EEXIST, `${this.core.dir} already has a volume with the id ${id}`);
    }
    const { size, depth, root, mapped, external, origin } = content;
    return {
      id: id ?? this.freeId(),
      name,
      guid: randomUUID(),
      size,
      depth,
      root,
      mapped,
      transaction_id: pool.transaction_id,
      creation_time: pool.time,
      snap_time: pool.time,
      read_only: 0,
      partial: 0,
      origin,
      external,
    };
  }

  private freeId(): number {
    const { volumes } = this.core.state;
    let highest = -1;
    for (const id of volumes.keys()) if (id > highest) highest = id;
    if (highest < MAX_ID) return highest + 1;
    for (let id = 0; id <= MAX_ID; id++) if (!volumes.has(id)) return id;
    throw new SysError(E.ENOSPC, `${this.core.dir} has ${MAX_ID + 1} volumes, and no id is left`);
  }

  /** Releases a root, but keeps it whole until `unpin`; the result takes it back. */
  private releaseRoot(root: number, depth: number): () => void {
    const { state, reclaimer } = this.core;
    if (root === 0) return () => {};
    state.tree.pinned.add(root);
    state.tree.release(root, depth);
    return () => {
      state.tree.unrelease(root);
      reclaimer.unpin(root);
    };
  }

  private tick(): number {
    const { state } = this.core;
    state.pool.time = Math.min(MAX_TIME, state.pool.time + 1);
    state.changePool();
    return state.pool.time;
  }
}
