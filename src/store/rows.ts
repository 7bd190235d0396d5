// A database as rows: prepared statements, and the two kinds of transaction that the store makes. What tables there are is
// for those who build on this.
import { E, SysError } from '../base/index.js';
import { type Database, type Statement, sqlite } from '../sys/index.js';
import { LogSync } from './log-sync.js';

export class Rows {
  private readonly statements = new Map<string, Statement>();
  private readonly log: LogSync;
  private lost: SysError | null = null;

  protected constructor(
    private readonly path: string,
    private readonly database: Database,
    warn: (message: string) => void,
  ) {
    sqlite(path, () => {
      database.pragma('foreign_keys = ON');
      // The log is synced, and copied, aside; here only when that could not keep up for long (pages of 4 KiB).
      database.pragma('synchronous = NORMAL');
      database.pragma('wal_autocheckpoint = 16384');
    });
    this.log = new LogSync(path, warn);
  }

  async close(): Promise<void> {
    await this.log.close();
    this.database.close();
  }

  /**
   * One transaction, made before this returns; resolves when it is durable. Others may see it before, and what they build on it is
   * durable only after it.
   */
  async change<T>(body: () => T): Promise<T> {
    const result = this.note(body);
    try {
      await this.log.durable();
    } catch (error) {
      if (error instanceof SysError) this.lost ??= error;
      throw error;
    }
    return result;
  }

  /** One transaction that outlives this process, but perhaps not the machine. */
  note<T>(body: () => T): T {
    if (this.lost !== null) throw this.lost;
    const result = sqlite(this.path, () => this.database.transaction(body).immediate());
    this.log.committed();
    return result;
  }

  /** What has made the database useless, or null: the disk has lost something that was committed. */
  get trouble(): SysError | null {
    return this.lost;
  }

  run(text: string, ...values: unknown[]): void {
    sqlite(this.path, () => this.statement(text).run(...values));
  }

  /** The first row, or null. */
  get<T>(text: string, ...values: unknown[]): T | null {
    return sqlite(this.path, () => (this.statement(text).get(...values) as T | undefined) ?? null);
  }

  /** The first row of a table that always has one. */
  one<T>(text: string): T {
    const row = this.get<T>(text);
    if (row === null) throw new SysError(E.EUCLEAN, `${this.path} lacks its first row`);
    return row;
  }

  all<T>(text: string, ...values: unknown[]): T[] {
    return sqlite(this.path, () => this.statement(text).all(...values) as T[]);
  }

  private statement(text: string): Statement {
    let statement = this.statements.get(text);
    if (statement === undefined) {
      statement = this.database.prepare(text);
      this.statements.set(text, statement);
    }
    return statement;
  }
}
