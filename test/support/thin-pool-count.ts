// A pool's data file with a book of what was done to it: what was read, written, zeroed and given back, in order. And one
// that takes its time.
import { setImmediate } from 'node:timers/promises';
import { type DataFile, type MetadataStore, Pool } from '../../src/thin/index.js';
import { commitsHere } from './thin-pool.js';

export interface DataOperation {
  readonly kind: 'read' | 'write' | 'zero' | 'punch' | 'prepare' | 'sync';
  readonly offset: number;
  readonly length: number;
}

/** `file`, and what is done to it goes into `book`. */
export function counted(file: DataFile, book: DataOperation[]): DataFile {
  const note = (kind: DataOperation['kind'], offset: number, length: number): void => {
    book.push({ kind, offset, length });
  };
  return {
    get size() {
      return file.size;
    },
    zeroes: file.zeroes,
    read(offset, length, into, at) {
      note('read', offset, length);
      return file.read(offset, length, into, at);
    },
    write(offset, data) {
      note('write', offset, data.length);
      return file.write(offset, data);
    },
    prepare(offset, length) {
      note('prepare', offset, length);
      return file.prepare(offset, length);
    },
    zero(offset, length) {
      note('zero', offset, length);
      return file.zero(offset, length);
    },
    punch(offset, length) {
      note('punch', offset, length);
      return file.punch(offset, length);
    },
    sync() {
      note('sync', 0, 0);
      return file.sync();
    },
    grow: size => file.grow(size),
    close: () => file.close(),
  };
}

/** Bytes of pages, counts and rows that a batch carries to the database. */
export function batchBytes(batch: Parameters<MetadataStore['commit']>[0]): number {
  const rows = [batch.pages, batch.dataCounts, batch.pageCounts];
  const bytes = rows.reduce((sum, { ids, words }) => sum + ids.byteLength + words.byteLength, 0);
  return bytes + JSON.stringify([batch.pool, batch.volumes, batch.held, batch.doomed]).length;
}

export interface Books {
  readonly data: DataOperation[];
  /** Bytes of each batch that was committed. */
  readonly batches: number[];
}

/** Opens a pool and keeps books. */
export function openCounted(dir: string, books: Books): Promise<Pool> {
  return Pool.openWith(
    dir,
    {},
    {
      data: file => counted(file, books.data),
      store: store => {
        const here = commitsHere(dir, store);
        return {
          ...here,
          commit(batch) {
            books.batches.push(batchBytes(batch));
            return here.commit(batch);
          },
        };
      },
    },
  );
}

/** `file`, but each operation begins so many turns of the event loop later; 0 is at once. */
export function slowed(file: DataFile, ticks: () => number): DataFile {
  const later = async (turns: number, body: () => void | Promise<void>): Promise<void> => {
    for (let i = 0; i < turns; i++) await setImmediate();
    await body();
  };
  const soon = (body: () => void | Promise<void>): void | Promise<void> => {
    const turns = ticks();
    return turns === 0 ? body() : later(turns, body);
  };
  return {
    get size() {
      return file.size;
    },
    zeroes: file.zeroes,
    read: (offset, length, into, at) => soon(() => file.read(offset, length, into, at)),
    write: (offset, data) => soon(() => file.write(offset, data)),
    prepare: (offset, length) => later(ticks(), () => file.prepare(offset, length)),
    zero: (offset, length) => later(ticks(), () => file.zero(offset, length)),
    punch: (offset, length) => later(ticks(), () => file.punch(offset, length)),
    sync: () => later(ticks(), () => file.sync()),
    grow: size => file.grow(size),
    close: () => file.close(),
  };
}
