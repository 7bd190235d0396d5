// The rows of volumes and of who holds them. Every change is made in a transaction of the caller's.
import type { Rows } from './rows.js';
import type { VolumeRow } from './schema.js';

export class VolumeTable {
  constructor(private readonly rows: Rows) {}

  /** One transaction; resolves when it is durable. */
  change<T>(body: () => T): Promise<T> {
    return this.rows.change(body);
  }

  /** One transaction that outlives this process, but perhaps not the machine. */
  note<T>(body: () => T): T {
    return this.rows.note(body);
  }

  find(name: string): VolumeRow | null {
    return this.rows.get('SELECT * FROM volume WHERE name = ?', name);
  }

  list(): VolumeRow[] {
    return this.rows.all('SELECT * FROM volume ORDER BY id');
  }

  nextId(): number {
    const last = this.rows.get<{ seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'volume'");
    return (last?.seq ?? 0) + 1;
  }

  insert({ id, name, kind, size, origin, created }: VolumeRow): void {
    this.rows.run(
      'INSERT INTO volume (id, name, kind, size, origin, created) VALUES (?, ?, ?, ?, ?, ?)',
      ...[id, name, kind, size, origin, created],
    );
  }

  remove(id: number): void {
    this.rows.run('DELETE FROM volume WHERE id = ?', id);
  }

  holders(id: number): number {
    const sql = 'SELECT count(*) AS count FROM volume_holder WHERE volume = ?';
    return this.rows.get<{ count: number }>(sql, id)?.count ?? 0;
  }

  addHolder(id: number, holder: string): void {
    this.rows.run('INSERT OR IGNORE INTO volume_holder (volume, holder) VALUES (?, ?)', id, holder);
  }

  removeHolder(id: number, holder: string): void {
    this.rows.run('DELETE FROM volume_holder WHERE volume = ? AND holder = ?', id, holder);
  }
}
