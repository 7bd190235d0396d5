// Which I/O is still under way. Blocks that were freed may be given to somebody else only when all I/O that began before has
// ended: a slow reader must not see another volume's data.

export class Inflight {
  private generation = 0;
  /** Operations under way by the generation that they began in. */
  private readonly counts = new Map<number, number>();
  private waiting: { before: number; resolve: () => void }[] = [];

  /** Follows one operation to its end; resolves and rejects as it does. */
  async track<T>(operation: Promise<T>): Promise<T> {
    const { generation } = this;
    this.counts.set(generation, (this.counts.get(generation) ?? 0) + 1);
    try {
      return await operation;
    } finally {
      this.end(generation);
    }
  }

  /** Resolves when everything that is under way now has ended. */
  async drained(): Promise<void> {
    if (this.counts.size === 0) return;
    const before = ++this.generation;
    await new Promise<void>(resolve => {
      this.waiting.push({ before, resolve });
    });
  }

  private end(generation: number): void {
    const left = this.counts.get(generation)! - 1;
    if (left > 0) {
      this.counts.set(generation, left);
      return;
    }
    this.counts.delete(generation);
    const oldest = Math.min(...this.counts.keys());
    this.waiting = this.waiting.filter(({ before, resolve }) => {
      if (oldest < before) return true;
      resolve();
      return false;
    });
  }
}
