// What could not be done as a layer says, collected so that a thousand entries give one sentence.
import { type ByteString, toText } from '../base/index.js';

export class Notes {
  private readonly seen = new Map<string, { count: number; first: ByteString }>();

  add(note: string, path: ByteString): void {
    const known = this.seen.get(note);
    if (known === undefined) this.seen.set(note, { count: 1, first: path });
    else known.count++;
  }

  /** One sentence for each kind of note. */
  list(): string[] {
    return [...this.seen].map(([note, { count, first }]) => {
      const others = count === 1 ? '' : ` and ${count - 1} more`;
      return toText(`'${first}'${others}: ${note}`);
    });
  }
}
