// The recording layer of the crash tests: lies between a pool and its files, passes everything on, and writes down when
// each data write, punch, fsync and commit began and ended. Times are counts of such moments, not milliseconds.
import { setImmediate } from 'node:timers/promises';
import { E, SysError } from '../../src/base/index.js';
import type { Batch } from '../../src/thin/batch.js';
import type { Wrappers } from '../../src/thin/core.js';
import type { DataFile } from '../../src/thin/datafile.js';
import type { MetadataStore } from '../../src/thin/metadata.js';

export interface Span {
  readonly begun: number;
  /** Infinity until it has ended. */
  ended: number;
}

/** Bytes that became `data`, or zeros where that is null. */
export interface Change extends Span {
  readonly offset: number;
  readonly length: number;
  readonly data: Buffer | null;
}

export interface Commit extends Span {
  readonly batch: Batch;
}

export class Recorder {
  readonly changes: Change[] = [];
  readonly syncs: Span[] = [];
  readonly commits: Commit[] = [];
  /** Sizes that the data file was grown to. */
  readonly sizes: (Span & { readonly size: number })[] = [];
  /** Data writes take a while, as on a slow disk, so that others overtake them. */
  slow = false;
  /** Commits fail: the disk of the database is full. */
  failing = false;
  /** How many have. */
  failures = 0;
  private moments = 0;

  /** The next moment. */
  tick(): number {
    return ++this.moments;
  }

  get now(): number {
    return this.moments;
  }

  readonly wrappers: Wrappers = {
    data: file => this.wrapData(file),
    store: store => this.wrapStore(store),
  };

  /** Follows an operation that may be over at once. */
  private follow<T extends Span>(spans: T[], span: T, run: () => void | Promise<void>): void | Promise<void> {
    spans.push(span);
    const done = run();
    if (done === undefined) {
      span.ended = this.tick();
      return;
    }
    return done.then(() => {
      span.ended = this.tick();
    });
  }

  private async followed<T extends Span>(spans: T[], span: T, run: () => Promise<void>): Promise<void> {
    await this.follow(spans, span, run);
  }

  private begin(): Span {
    return { begun: this.tick(), ended: Number.POSITIVE_INFINITY };
  }

  private cleared(offset: number, length: number, run: () => Promise<void>): Promise<void> {
    return this.followed(this.changes, { ...this.begin(), offset, length, data: null }, run);
  }

  private wrapData(file: DataFile): DataFile {
    const recorder = this;
    return {
      get size() {
        return file.size;
      },
      zeroes: file.zeroes,
      read: (offset, length, into, at) => file.read(offset, length, into, at),
      write(offset, data) {
        const change = { ...recorder.begin(), offset, length: data.length, data: Buffer.from(data) };
        return recorder.follow(recorder.changes, change, () => {
          if (!recorder.slow) return file.write(offset, data);
          return later(() => file.write(offset, data));
        });
      },
      prepare: (offset, length) => this.cleared(offset, length, () => file.prepare(offset, length)),
      zero: (offset, length) => this.cleared(offset, length, () => file.zero(offset, length)),
      punch: (offset, length) => this.cleared(offset, length, () => file.punch(offset, length)),
      sync: () => this.followed(this.syncs, this.begin(), () => file.sync()),
      grow: size => this.followed(this.sizes, { ...this.begin(), size }, () => file.grow(size)),
      close: () => file.close(),
    };
  }

  private wrapStore(store: MetadataStore): MetadataStore {
    return {
      opening: () => store.opening(),
      page: id => store.page(id),
      counts: (kind, chunk) => store.counts(kind, chunk),
      commit: async batch => {
        if (this.failing) {
          this.failures++;
          throw new SysError(E.ENOSPC, 'no room for the test');
        }
        // What the worker gets is gone from here.
        const commit = { ...this.begin(), batch: structuredClone(batch) };
        await this.followed(this.commits, commit, () => store.commit(batch));
      },
      used: () => store.used(),
      close: () => store.close(),
    };
  }
}

/** After others have had some turns. */
async function later(run: () => void | Promise<void>): Promise<void> {
  for (let turns = 0; turns < 4; turns++) await setImmediate();
  await run();
}
