// Bytes asked for by number out of an input that comes in chunks of any length.

export class ByteInput {
  readonly #chunks: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);
  #ended = false;

  constructor(input: AsyncIterable<Buffer>) {
    this.#chunks = input[Symbol.asyncIterator]();
  }

  /** Copies the next bytes to `into[at .. at + length]`; returns how many there were: fewer only at the end. */
  async fill(into: Buffer, at: number, length: number): Promise<number> {
    let done = 0;
    while (done < length && (await this.#more())) {
      const taken = this.#chunk.copy(into, at + done, 0, length - done);
      this.#chunk = this.#chunk.subarray(taken);
      done += taken;
    }
    return done;
  }

  /** True when no byte is left; waits for one, or for the end. */
  async atEnd(): Promise<boolean> {
    return !(await this.#more());
  }

  /** Ends the iteration, so that whoever produces the chunks can stop. */
  async close(): Promise<void> {
    if (!this.#ended) await this.#chunks.return?.();
  }

  /** True when there is at least one byte in hand. */
  async #more(): Promise<boolean> {
    while (this.#chunk.length === 0 && !this.#ended) {
      const next = await this.#chunks.next();
      if (next.done) this.#ended = true;
      else this.#chunk = next.value;
    }
    return this.#chunk.length > 0;
  }
}
