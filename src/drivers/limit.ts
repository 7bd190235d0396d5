// How long an engine waits for an answer. What a call asks for cannot be taken back from a kernel that does not answer, so it
// goes on; but whoever asked is told, and calls for other layers were never behind it.
import { E, SysError } from '../base/index.js';

/** What becomes of a call whose answer came too late. */
export interface Late<T> {
  /** Who was told that the call failed must not have its fruits: takes them back. */
  undo?(result: T): Promise<unknown>;
  /** Its end, which nobody waits for: null, or the error of the work or of `undo`. */
  ended?(error: unknown): void;
}

export class CallLimit {
  /** `milliseconds` 0: calls take as long as they take. */
  constructor(private readonly milliseconds: number) {}

  /** The result of `work`, or ETIMEDOUT about `what` once the time is over. */
  async run<T>(what: string, work: Promise<T>, { undo, ended }: Late<T> = {}): Promise<T> {
    if (this.milliseconds === 0) return work;
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        work.then(result => undo?.(result)).then(() => ended?.(null), ended);
        reject(
          new SysError(
            E.ETIMEDOUT,
            `${what}: its storage has not answered for ${this.milliseconds / 1000} s`,
          ),
        );
      }, this.milliseconds);
    });
    try {
      return await Promise.race([work, over]);
    } finally {
      clearTimeout(timer);
    }
  }
}
