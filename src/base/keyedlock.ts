// One after the other for the same key, side by side for others.
export class KeyedLock<K> {
  private readonly tails = new Map<K, Promise<void>>();

  /** Runs `body` when everything that came before it with this key has ended; resolves or rejects as it does. */
  async run<T>(key: K, body: () => Promise<T>): Promise<T> {
    const before = this.tails.get(key) ?? Promise.resolve();
    const result = before.then(body);
    const tail = result.then(
      () => {},
      () => {},
    );
    this.tails.set(key, tail);
    try {
      return await result;
    } finally {
      if (this.tails.get(key) === tail) this.tails.delete(key);
    }
  }

  /** Resolves when nothing is under way that had begun by then. */
  async idle(): Promise<void> {
    await Promise.all(this.tails.values());
  }
}
