// Removal that nobody waits for: a tree is renamed into the trash at once, and taken apart by rm(1) behind. What a process
// left there is found by the next.
import { execFile } from 'node:child_process';
import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';

/** Milliseconds: starting a program takes longer than most removals, and engines remove many layers one after the other. */
const GATHER = 250;

export class Trash {
  private soon: NodeJS.Timeout | null = null;
  private running: Promise<void> | null = null;
  private again = false;
  private counter = 0;

  /** `complain` takes what could not be removed; it is tried again with the next tree. */
  constructor(
    private readonly dir: string,
    private readonly complain: (message: string) => void,
  ) {}

  /** Takes the tree at `path`, on the trash's file system, away; absent is fine. */
  take(path: string): void {
    const name = `${process.pid}-${this.counter++}-${performance.now()}`;
    try {
      renameSync(path, join(this.dir, name));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
      throw error;
    }
    this.soon ??= setTimeout(() => this.empty(), GATHER);
  }

  /** Begins to take apart what is there. */
  empty(): void {
    if (this.soon !== null) clearTimeout(this.soon);
    this.soon = null;
    this.again = true;
    this.running ??= this.work().finally(() => {
      this.running = null;
    });
  }

  /** Resolves when nothing is left. */
  async idle(): Promise<void> {
    if (this.soon !== null) this.empty();
    while (this.running !== null) await this.running;
  }

  private async work(): Promise<void> {
    while (this.again) {
      this.again = false;
      const names = readdirSync(this.dir);
      if (names.length > 0) await this.remove(names.map(name => join(this.dir, name)));
    }
  }

  private remove(paths: readonly string[]): Promise<void> {
    return new Promise(resolve => {
      execFile('rm', ['-rf', '--one-file-system', '--', ...paths], (error, _stdout, stderr) => {
        if (error !== null) this.complain(`${this.dir} cannot be emptied: ${stderr.trim() || error.message}`);
        resolve();
      });
    });
  }
}
