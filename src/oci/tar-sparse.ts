// Sparse members, as GNU tar writes them with --sparse and Go's archive/tar reads them: the old form (type S, a map in the header
// and blocks after it) and pax 1.0 (a map as text in front of the data). Source: GNU tar manual, "Storing Sparse Files".
import { type ByteString, E, SysError } from '../base/index.js';
import type { BytesIn } from './bytes-in.js';
import { BLOCK, getNumber } from './tar-block.js';

/** A file of which the tar stores only some stretches. */
export interface SparseMember {
  /** Bytes of the file. */
  readonly size: number;
  /** Bytes in the tar after the map. */
  readonly stored: number;
  readonly stretches: readonly Stretch[];
}

interface Stretch {
  readonly offset: number;
  readonly length: number;
}

/** Where a header of the old form has what. */
const OLD = { map: 386, entries: 4, more: 482, size: 483 } as const;
/** And a block that continues its map. */
const MORE = { map: 0, entries: 21, more: 504 } as const;
const FIELD = 12;
/** A map must be held in memory. */
const MOST_STRETCHES = 1 << 20;

function damaged(rule: string): SysError {
  return new SysError(E.EBADMSG, `tar: a sparse member ${rule}`);
}

/** The old form: `header` is the member's block, `stored` what its size field says. Reads the rest of the map. */
export async function readOldSparse(input: BytesIn, header: Buffer, stored: number): Promise<SparseMember> {
  const stretches: Stretch[] = [];
  const take = (block: Buffer, { map, entries }: { map: number; entries: number }): void => {
    for (let at = map; at < map + entries * 2 * FIELD && block[at] !== 0; at += 2 * FIELD) {
      const offset = getNumber(block, at, FIELD, 'sparse offset');
      stretches.push({ offset, length: getNumber(block, at + FIELD, FIELD, 'sparse length') });
    }
  };
  take(header, OLD);
  let more = header[OLD.more] !== 0;
  while (more) {
    if (stretches.length > MOST_STRETCHES) throw damaged(`has more than ${MOST_STRETCHES} stretches`);
    const block = Buffer.from(await input.exactly(BLOCK));
    if (block.length < BLOCK) throw damaged('is cut off in its map');
    take(block, MORE);
    more = block[MORE.more] !== 0;
  }
  return checked({ size: getNumber(header, OLD.size, FIELD, 'sparse size'), stored, stretches });
}

/** pax 1.0: `size` is the file's, `stored` what the member's size is. Reads the map. */
export async function readPaxSparse(input: BytesIn, size: number, stored: number): Promise<SparseMember> {
  const numbers = new Numbers(input);
  const count = await numbers.next();
  if (count > MOST_STRETCHES) throw damaged(`has more than ${MOST_STRETCHES} stretches`);
  const stretches: Stretch[] = [];
  for (let i = 0; i < count; i++)
    stretches.push({ offset: await numbers.next(), length: await numbers.next() });
  return checked({ size, stored: stored - numbers.taken, stretches });
}

/** Decimal numbers, one a line, in whole blocks. */
class Numbers {
  private text: ByteString = '';
  /** Bytes of the blocks that were read. */
  taken = 0;

  constructor(private readonly input: BytesIn) {}

  async next(): Promise<number> {
    let end = this.text.indexOf('\n');
    while (end < 0) {
      if (this.text.length > BLOCK) throw damaged('has a map that is no list of numbers');
      const block = await this.input.exactly(BLOCK);
      if (block.length < BLOCK) throw damaged('is cut off in its map');
      this.taken += BLOCK;
      this.text += block.toString('latin1');
      end = this.text.indexOf('\n');
    }
    const line = this.text.slice(0, end);
    this.text = this.text.slice(end + 1);
    const value = Number(line);
    if (/^\d+$/.test(line) && Number.isSafeInteger(value)) return value;
    throw damaged('has a map that is no list of numbers');
  }
}

function checked(member: SparseMember): SparseMember {
  let end = 0;
  let stored = 0;
  for (const { offset, length } of member.stretches) {
    if (offset < end || offset + length > member.size)
      throw damaged('has stretches that overlap or lie outside');
    end = offset + length;
    stored += length;
  }
  if (stored !== member.stored) throw damaged(`stores ${member.stored} bytes, and its map has ${stored}`);
  return member;
}

/** The file's data: a number is that many zeros. */
export async function* withHoles(
  data: AsyncIterable<Buffer>,
  { size, stretches }: SparseMember,
): AsyncGenerator<Buffer | number, void, undefined> {
  const left = stretches[Symbol.iterator]();
  let stretch = left.next().value;
  let at = 0;
  for await (let piece of data) {
    while (piece.length > 0) {
      while (stretch !== undefined && at >= stretch.offset + stretch.length) stretch = left.next().value;
      if (stretch === undefined) throw damaged('has more data than its map');
      if (at < stretch.offset) yield stretch.offset - at;
      at = Math.max(at, stretch.offset);
      const length = Math.min(piece.length, stretch.offset + stretch.length - at);
      yield piece.subarray(0, length);
      piece = piece.subarray(length);
      at += length;
    }
  }
  if (at < size) yield size - at;
}
