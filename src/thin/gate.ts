// Lets changes of a volume pass, or holds them back while a snapshot is taken. Changes that ended at once need no gate: the
// thread that makes them takes the snapshot too.

export class Gate {
  private passing = 0;
  private holding = 0;
  private opening: Promise<void> = Promise.resolve();
  private open: () => void = () => {};
  private refuse: (error: Error) => void = () => {};
  private quiet: (() => void)[] = [];

  get closed(): boolean {
    return this.holding > 0;
  }

  /** Follows a change that is under way. */
  async pass<T>(change: Promise<T>): Promise<T> {
    this.passing++;
    try {
      return await change;
    } finally {
      this.passing--;
      if (this.passing === 0) {
        const { quiet } = this;
        this.quiet = [];
        for (const wake of quiet) wake();
      }
    }
  }

  /** Resolves when it opens. */
  opened(): Promise<void> {
    return this.opening;
  }

  /** Those who wait at the closed gate get `error`. */
  end(error: Error): void {
    this.refuse(error);
  }

  /** Closes; the result opens again. */
  close(): () => void {
    if (this.holding++ === 0) {
      this.opening = new Promise((resolve, reject) => {
        this.open = resolve;
        this.refuse = reject;
      });
      // Whoever waits is told; nobody may be waiting.
      this.opening.catch(() => {});
    }
    return () => {
      if (--this.holding === 0) this.open();
    };
  }

  /** Resolves when nothing passes: of a closed gate, nothing any more. */
  async calm(): Promise<void> {
    if (this.passing > 0) await new Promise<void>(resolve => this.quiet.push(resolve));
  }
}
