// Writes to a thin device. A mapped block that is this volume's alone is written in place; any other is written elsewhere and
// then mapped. What can be done at once is done at once; changes of one block's mapping that cannot follow one another
// (cells), and a snapshot waits for those under way (gate).
import { all } from './all.js';
import type { Content, DeviceHost } from './content.js';
import { Gate } from './gate.js';
import type { VolumeRow } from './schema.js';

export class Writing {
  readonly gate = new Gate();
  /** Blocks whose mapping is being changed, to the end of that. */
  private readonly cells = new Map<number, Promise<void>>();

  /** Those of them that are under way: an unmapping of the block waits for them, but not for who waits for space. */
  private readonly filling = new Map<number, Promise<void>>();

  constructor(
    private readonly host: DeviceHost,
    private readonly row: VolumeRow,
    private readonly content: Content,
  ) {}

  write(offset: number, data: Buffer): void | Promise<void> {
    if (this.gate.closed) return this.gate.opened().then(() => this.write(offset, data));
    const pending: Promise<void>[] = [];
    try {
      this.writePieces(offset, data, pending);
    } catch (error) {
      if (pending.length === 0) throw error;
      pending.push(Promise.reject(error));
    }
    if (pending.length > 0) return all(pending);
  }

  private writePieces(offset: number, data: Buffer, pending: Promise<void>[]): void {
    const { blockSize, state } = this.host;
    for (let at = 0; at < data.length; ) {
      const position = offset + at;
      const index = Math.floor(position / blockSize);
      let bytes = Math.min(data.length - at, blockSize - (position % blockSize));
      const block = state.tree.find(this.row, index);
      let done: void | Promise<void>;
      if (this.cells.has(index)) done = this.inCell(index, position, data.subarray(at, at + bytes));
      else if (block >= 0 && state.tree.isOwn(block)) {
        const to = block * blockSize + (position % blockSize);
        bytes = this.followOwn(position, offset + data.length, bytes, to);
        done = this.writeOwn(to, at === 0 && bytes === data.length ? data : data.subarray(at, at + bytes));
      } else if (bytes === blockSize) {
        const blocks = this.followOthers(position, offset + data.length, bytes) / blockSize;
        const run = this.host.space.takeRun(blocks);
        bytes = Math.max(1, run.length) * blockSize;
        done = this.writeRun(index, position, data.subarray(at, at + bytes), run);
      } else done = this.writeElsewhere(index, position, data.subarray(at, at + bytes), block);
      if (done !== undefined) pending.push(done);
      at += bytes;
    }
  }

  private followOwn(offset: number, end: number, bytes: number, to: number): number {
    const { blockSize, state } = this.host;
    while (offset + bytes < end) {
      const index = (offset + bytes) / blockSize;
      const block = state.tree.find(this.row, index);
      if (block * blockSize !== to + bytes || !state.tree.isOwn(block) || this.cells.has(index)) break;
      bytes += Math.min(end - offset - bytes, blockSize);
    }
    return bytes;
  }

  /** How many bytes of whole blocks follow that are to be written elsewhere. */
  private followOthers(offset: number, end: number, bytes: number): number {
    const { blockSize, state } = this.host;
    while (offset + bytes + blockSize <= end) {
      const index = (offset + bytes) / blockSize;
      const block = state.tree.find(this.row, index);
      if ((block >= 0 && state.tree.isOwn(block)) || this.cells.has(index)) break;
      bytes += blockSize;
    }
    return bytes;
  }

  private writeOwn(to: number, data: Buffer): void | Promise<void> {
    const done = this.content.writeRaw(to, data);
    if (done !== undefined) return this.gate.pass(done);
  }

  /** Writes whole blocks to the run of fresh ones; if there is none, the block alone, when one has been found. */
  private writeRun(
    index: number,
    offset: number,
    data: Buffer,
    { begin, length }: { readonly begin: number; readonly length: number },
  ): void | Promise<void> {
    if (length === 0) return this.inCell(index, offset, data);
    const done = this.fill(begin, length, () => this.content.writeRaw(begin * this.host.blockSize, data));
    if (done === undefined) {
      for (let i = 0; i < length; i++) this.map(index + i, begin + i);
      return;
    }
    const mapped = this.mapWhen(done, index, begin, length);
    for (let i = 0; i < length; i++) void this.cell(index + i, () => mapped);
    return mapped;
  }

  /** Writes a piece of a block that is not mapped (`old` -1) or shared: at once if nothing has to be waited for. */
  private writeElsewhere(index: number, offset: number, data: Buffer, old: number): void | Promise<void> {
    const block = this.host.space.take();
    if (block < 0) return this.inCell(index, offset, data);
    const done = this.fill(block, 1, () => this.content.fill(block, old, offset, data));
    if (done === undefined) return this.map(index, block);
    return this.cell(index, () => this.mapWhen(done, index, block, 1));
  }

  /** Gives taken blocks their content; those that could not get it are given back. */
  private fill(block: number, length: number, write: () => void | Promise<void>): void | Promise<void> {
    const giveBack = (error: unknown): never => {
      for (let i = 0; i < length; i++) this.host.allocator.giveBack(block + i);
      throw error;
    };
    try {
      return write()?.catch(giveBack);
    } catch (error) {
      giveBack(error);
    }
  }

  /** Maps blocks when they have been filled; a snapshot and an unmapping of them wait for that. */
  private mapWhen(filled: Promise<void>, index: number, begin: number, length: number): Promise<void> {
    const mapped = this.gate.pass(
      filled.then(() => {
        for (let i = 0; i < length; i++) this.map(index + i, begin + i);
      }),
    );
    const end = (): void => {
      for (let i = 0; i < length; i++) this.filling.delete(index + i);
    };
    const ended = mapped.then(end, end);
    for (let i = 0; i < length; i++) this.filling.set(index + i, ended);
    return mapped;
  }

  private map(index: number, block: number): void {
    const { state, allocator } = this.host;
    state.tree.insert(this.row, index, block, state.pool.time);
    allocator.keep(block);
    state.changeVolume(this.row);
    this.host.space.mapped();
  }

  /** Writes a piece of one block when whoever changes its mapping now has done so. */
  private inCell(index: number, offset: number, data: Buffer): Promise<void> {
    return this.cell(index, () => this.writeNow(index, offset, data));
  }

  private cell(index: number, change: () => Promise<void>): Promise<void> {
    const before = this.cells.get(index);
    const mine = before === undefined ? change() : before.then(change);
    // Those who come after wait for the end, whatever it is; the error is for the one who asked.
    const end: Promise<void> = mine.then(
      () => this.leave(index, end),
      () => this.leave(index, end),
    );
    this.cells.set(index, end);
    return mine;
  }

  private leave(index: number, end: Promise<void>): void {
    if (this.cells.get(index) === end) this.cells.delete(index);
  }

  private async writeNow(index: number, offset: number, data: Buffer): Promise<void> {
    const { state, allocator, space, blockSize } = this.host;
    let block = -1;
    for (;;) {
      while (this.gate.closed) await this.gate.opened();
      const old = state.tree.find(this.row, index);
      if (old >= 0 && state.tree.isOwn(old)) {
        if (block >= 0) allocator.giveBack(block);
        return this.writeOwn(old * blockSize + (offset % blockSize), data);
      }
      if (block >= 0) {
        const fresh = block;
        const filled = this.fill(fresh, 1, () => this.content.fill(fresh, old, offset, data));
        return this.mapWhen(Promise.resolve(filled), index, fresh, 1);
      }
      block = await space.obtain();
    }
  }

  /** A block in the range that is being filled, to the end of that. */
  fillingIn(from: number, to: number): Promise<void> | undefined {
    for (const [index, end] of this.filling) if (index >= from && index < to) return end;
    return undefined;
  }
}
