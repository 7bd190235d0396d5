// A database as rows: prepared statements, and the two kinds of transaction that the store makes. What tables there are is
// for those who build on this.
import { E, SysError } from '../base/index.js';
import { type Database, type Statement, sqlite } from '../sys/index.js';

export class Rows {
  private readonly statements = new Map<string, Statement>();

  protected constructor(
    private readonly path: string,
    private readonly database: Database,
  ) {
    sqlite(path, () => database.pragma('foreign_keys = ON'));
  }

  close(): void {
    this.database.close();
  }

  /** One durable transaction. */
  change<T>(body: () => T): T {
    return sqlite(this.path, () => this.database.transaction(body).immediate());
  }

  /** One transaction that outlives this process, but perhaps not the machine. */
  note<T>(body: () => T): T {
    this.database.pragma('synchronous = NORMAL');
    try {
      return this.change(body);
    } finally {
      this.database.pragma('synchronous = FULL');
    }
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
