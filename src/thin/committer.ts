// Applies batches to the database on a connection of its own, wherever it runs: on the pool's thread, or in the commit
// worker. When the disk is full, or the limit reached, a batch that frees space may use the reserve.
import { join } from 'node:path';
import { E, fromText, isErrno, SysError } from '../base/index.js';
import {
  close,
  type Database,
  fallocate,
  ftruncate,
  O,
  openDatabase,
  openPath,
  sqlite,
} from '../sys/index.js';
import { type Batch, BatchWriter } from './batch.js';
import { DATABASE, RESERVE } from './places.js';
import { APPLICATION_ID, SCHEMA_VERSION } from './schema.js';

/** Bytes kept for batches that free space; less where the disk is small. */
const RESERVE_BYTES = 24 * 2 ** 20;
const SMALLEST_RESERVE = 2 ** 20;
const SQLITE_PAGE = 4096;

/** null: the batch is durable; else what went wrong, and nothing of it is in the database. */
export type CommitResult = { readonly errno: number; readonly what: string } | null;

export class Committer {
  private readonly database: Database;
  private readonly writer: BatchWriter;
  private reserved = false;
  private limit = 0;

  constructor(private readonly dir: string) {
    this.database = openDatabase(join(dir, DATABASE), {
      mode: 'write',
      applicationId: APPLICATION_ID,
      version: SCHEMA_VERSION,
    });
    this.writer = new BatchWriter(this.database);
    this.reserve();
  }

  /** `limit`: bytes that the database may have. */
  commit(batch: Batch, limit: number): CommitResult {
    try {
      this.setLimit(limit);
      try {
        this.attempt(batch);
      } catch (error) {
        if (!batch.urgent || !isErrno(error, E.ENOSPC)) throw error;
        this.giveReserve();
        this.setLimit(limit + RESERVE_BYTES);
        this.shortenLog();
        this.attempt(batch);
      }
      if (!this.reserved) {
        this.shortenLog();
        this.reserve();
      }
      return null;
    } catch (error) {
      if (error instanceof SysError) return { errno: error.errno, what: error.what };
      throw error;
    }
  }

  close(): void {
    this.database.close();
  }

  private attempt(batch: Batch): void {
    sqlite(`${join(this.dir, DATABASE)}: commit`, () => this.writer.commit(batch));
  }

  /** A log that could not be written back while the disk was full has grown with every commit: gives its space back. */
  private shortenLog(): void {
    try {
      sqlite(this.dir, () => this.database.pragma('wal_checkpoint(TRUNCATE)'));
    } catch (error) {
      // Without room for that, the log stays as it is, and whether a commit fits is found out by trying.
      if (!isErrno(error, E.ENOSPC)) throw error;
    }
  }

  private setLimit(bytes: number): void {
    if (bytes === this.limit) return;
    this.database.pragma(`max_page_count = ${Math.ceil(bytes / SQLITE_PAGE)}`);
    this.limit = bytes;
  }

  /** Puts the bytes aside. A disk that is full, or cannot preallocate, leaves us without. */
  private reserve(): void {
    const fd = openPath(this.reservePath(), O.RDWR | O.CREAT, 0o600);
    if (fd < 0) return;
    for (let bytes = RESERVE_BYTES; bytes >= SMALLEST_RESERVE && !this.reserved; bytes /= 2) {
      this.reserved = fallocate(fd, 0, 0, bytes) === 0;
      if (!this.reserved) ftruncate(fd, 0);
    }
    close(fd);
  }

  private giveReserve(): void {
    this.reserved = false;
    const fd = openPath(this.reservePath(), O.RDWR);
    if (fd < 0) return;
    ftruncate(fd, 0);
    close(fd);
  }

  private reservePath(): string {
    return fromText(join(this.dir, RESERVE));
  }
}
