// The pool's metadata as the pool sees it: what there was when it was opened, pages and counts when they are needed, and
// whole batches that become durable. A test may put its own between (Pool.openWith).
import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { E, SysError } from '../base/index.js';
import { type Database, openDatabase, sqlite } from '../sys/index.js';
import { type Batch, VOLUME_FIELDS } from './batch.js';
import { type CommitResult, Committer } from './committer.js';
import { CHUNK, PAGE_BYTES, wordsFrom } from './entry.js';
import { DATABASE } from './places.js';
import { APPLICATION_ID, type PoolRow, SCHEMA_VERSION, type VolumeRow } from './schema.js';

/** What a pool begins with. */
export interface Opening {
  readonly pool: PoolRow;
  readonly volumes: readonly VolumeRow[];
  readonly held: readonly VolumeRow[];
  readonly doomed: readonly { page: number; depth: number }[];
  readonly dataFree: readonly { id: number; free: number }[];
  readonly pageFree: readonly { id: number; free: number }[];
}

export interface MetadataStore {
  opening(): Opening;
  /** SysError EUCLEAN when there is no such page. */
  page(id: number): Uint32Array;
  counts(kind: 'data' | 'page', chunk: number): Uint32Array;
  /** Durable when it resolves; on a SysError nothing of it is there. ENOSPC: the disk or the limit is reached. */
  commit(batch: Batch): Promise<void>;
  /** Bytes of the database. */
  used(): number;
  close(): Promise<void>;
}

/** The store in SQLite: reads on a connection of this thread, commits by a Committer, here or in a worker. */
export class SqliteStore implements MetadataStore {
  private readonly reader: Database;
  private readonly statements: ReturnType<typeof statementsOf>;
  private worker: Worker | null = null;
  private here: Committer | null = null;

  /** `readOnly`: nothing is committed. `busy` says whether a commit on this thread would hold somebody up; then a worker makes it. */
  constructor(
    private readonly dir: string,
    readOnly: boolean,
    private readonly limit: () => number,
    private readonly busy: () => boolean,
  ) {
    const path = join(dir, DATABASE);
    this.reader = openDatabase(path, {
      mode: readOnly ? 'read' : 'write',
      applicationId: APPLICATION_ID,
      version: SCHEMA_VERSION,
    });
    try {
      this.statements = sqlite(path, () => statementsOf(this.reader));
    } catch (error) {
      this.reader.close();
      throw error;
    }
  }

  opening(): Opening {
    return sqlite(join(this.dir, DATABASE), () => {
      const all = <T>(sql: string): T[] => this.reader.prepare(sql).all() as T[];
      const [pool] = all<PoolRow>('SELECT * FROM thin_pool');
      if (pool === undefined) throw new SysError(E.EUCLEAN, `${this.dir}: the database describes no pool`);
      return {
        pool,
        volumes: all<VolumeRow>(`SELECT ${VOLUME_FIELDS.join(', ')} FROM thin_volume`),
        held: all<VolumeRow>(`SELECT ${VOLUME_FIELDS.join(', ')} FROM thin_held`),
        doomed: all('SELECT page, depth FROM thin_doomed'),
        dataFree: all('SELECT id, free FROM thin_data_count'),
        pageFree: all('SELECT id, free FROM thin_page_count'),
      };
    });
  }

  page(id: number): Uint32Array {
    const words = sqlite(`page ${id}`, () => this.statements.page.get(id)) as Buffer | undefined;
    if (words?.length !== PAGE_BYTES) {
      throw new SysError(
        E.EUCLEAN,
        `${this.dir}: page ${id} is referred to and not there; run lamina pool check`,
      );
    }
    return wordsFrom(words);
  }

  counts(kind: 'data' | 'page', chunk: number): Uint32Array {
    const words = sqlite(`counts ${chunk}`, () => this.statements.counts[kind].get(chunk)) as
      | Buffer
      | undefined;
    if (words === undefined) return new Uint32Array(CHUNK);
    if (words.length !== PAGE_BYTES) {
      throw new SysError(
        E.EUCLEAN,
        `${this.dir}: reference counts ${chunk} are damaged; run lamina pool check`,
      );
    }
    return wordsFrom(words);
  }

  async commit(batch: Batch): Promise<void> {
    if (this.worker === null && !this.busy()) {
      this.here ??= new Committer(this.dir);
      return settle(this.here.commit(batch, this.limit()));
    }
    const worker = this.aside();
    const buffers = [batch.pages, batch.dataCounts, batch.pageCounts].flatMap(({ ids, words }) => [
      ids.buffer as ArrayBuffer,
      words.buffer as ArrayBuffer,
    ]);
    try {
      // It holds the process only while there is something to commit.
      worker.ref();
      worker.postMessage({ batch, limit: this.limit() }, buffers);
      settle(await answerOf(worker));
    } finally {
      worker.unref();
    }
  }

  /** The commit worker; another one when it has gone. */
  private aside(): Worker {
    if (this.worker !== null) return this.worker;
    const worker = startWorker(this.dir);
    worker.once('exit', () => {
      if (this.worker === worker) this.worker = null;
    });
    this.worker = worker;
    return worker;
  }

  used(): number {
    return sqlite(this.dir, () => this.statements.bytes.get()) as number;
  }

  async close(): Promise<void> {
    const { worker } = this;
    if (worker !== null) {
      worker.ref();
      const ended = once(worker, 'exit');
      worker.postMessage(null);
      await ended;
    }
    this.here?.close();
    this.reader.close();
  }
}

function statementsOf(reader: Database) {
  const one = (sql: string) => reader.prepare(sql).pluck();
  return {
    page: one('SELECT words FROM thin_page WHERE id = ?'),
    counts: {
      data: one('SELECT counts FROM thin_data_count WHERE id = ?'),
      page: one('SELECT counts FROM thin_page_count WHERE id = ?'),
    },
    bytes: one('SELECT page_count * page_size FROM pragma_page_count, pragma_page_size'),
  };
}

function startWorker(dir: string): Worker {
  try {
    return new Worker(new URL('./commit-worker.js', import.meta.url), { workerData: dir });
  } catch (error) {
    throw lost(error);
  }
}

/** The worker's next answer. SysError when it ends without one. */
async function answerOf(worker: Worker): Promise<CommitResult> {
  const done = new AbortController();
  const { signal } = done;
  try {
    const exit = once(worker, 'exit', { signal }).then(([code]) => {
      throw lost(new Error(`it ended with status ${String(code)}`));
    });
    const [result] = (await Promise.race([once(worker, 'message', { signal }), exit])) as [CommitResult];
    return result;
  } catch (error) {
    throw error instanceof SysError ? error : lost(error);
  } finally {
    done.abort();
  }
}

/** What a commit says when its worker could not be started, or is gone. */
function lost(error: unknown): SysError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const errno = (E as Readonly<Record<string, number | undefined>>)[code] ?? E.EAGAIN;
  return new SysError(
    errno,
    `the commit worker was lost (${error instanceof Error ? error.message : String(error)})`,
  );
}

function settle(result: CommitResult): void {
  if (result !== null) throw new SysError(result.errno, result.what);
}
