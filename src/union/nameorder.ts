// The order in which a directory is read. An offset stays good for whoever has got it, however the directory changes: every
// name has a number that only grows, and numbers of names that have gone are skipped and forgotten in time.
import type { ByteString } from '../base/index.js';

/** So many names must have gone before the lists are made anew without them. */
const WORTHWHILE = 64;

export class NameOrder {
  private names: ByteString[];
  /** The numbers of `names`, ascending; null while they are 0, 1, 2 and so on. */
  private numbers: number[] | null = null;
  private readonly gone = new Set<ByteString>();
  private next: number;

  constructor(names: Iterable<ByteString>) {
    this.names = [...names];
    this.next = this.names.length;
  }

  /** Adds a new name. One that has gone and comes again takes its old place: each is listed once. */
  add(name: ByteString): void {
    if (this.gone.delete(name)) return;
    this.names.push(name);
    this.numbers?.push(this.next);
    this.next++;
  }

  remove(name: ByteString): void {
    this.gone.add(name);
    if (this.gone.size < WORTHWHILE || this.gone.size * 2 < this.names.length) return;
    const kept: number[] = [];
    const names = this.names.filter((one, i) => {
      if (this.gone.has(one)) return false;
      kept.push(this.numbers?.[i] ?? i);
      return true;
    });
    this.names = names;
    this.numbers = kept;
    this.gone.clear();
  }

  /** Takes over another set of names, keeping the numbers of those that stay. */
  replace(names: ReadonlyMap<ByteString, unknown>): void {
    const listed = new Set(this.names);
    for (const name of listed) {
      if (names.has(name)) this.gone.delete(name);
      else this.gone.add(name);
    }
    for (const name of names.keys()) if (!listed.has(name)) this.add(name);
  }

  /** Calls `visit` with each name from number `from` on, and the number at which to go on after it, until it says false. */
  each(from: number, visit: (name: ByteString, next: number) => boolean): void {
    for (let i = this.find(from); i < this.names.length; i++) {
      const name = this.names[i]!;
      if (!this.gone.has(name) && !visit(name, (this.numbers?.[i] ?? i) + 1)) return;
    }
  }

  /** Index of the first name whose number is `from` or more. */
  private find(from: number): number {
    if (this.numbers === null) return from;
    let low = 0;
    let high = this.numbers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.numbers[middle]! < from) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
