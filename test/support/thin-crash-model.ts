// What volumes must hold after a power cut. Every sector that a test writes carries a stamp; the model keeps the stamps, and
// for a moment of the recording says which a sector may have: what was durable, or what was being made so.
import type { Span } from './thin-crash.js';

export const SECTOR = 512;
export const BLOCK = 64 * 1024;
const PER_BLOCK = BLOCK / SECTOR;

/** The virtual blocks that tests use, so that maps have two heights and reading them all is quick. */
export const PLACES: readonly number[] = [0, 1, 2, 3, 4, 5, 510, 511, 512, 513, 600, 601, 602, 603, 604, 605];
const PLACE_OF = new Map(PLACES.map((block, place) => [block, place]));

/** The stamps of a volume's sectors, place by place; 0 is zeros. */
export interface Content {
  readonly size: number;
  readonly stamps: Uint32Array;
}

/** Volumes by name. */
export type State = ReadonlyMap<string, Content>;

export function emptyContent(size: number): Content {
  return { size, stamps: new Uint32Array(PLACES.length * PER_BLOCK) };
}

/** Where the stamps of a byte range lie, piece by piece: the range must be in blocks of PLACES. */
export function* sectorsOf(offset: number, length: number): Generator<number> {
  for (let sector = offset / SECTOR; sector < (offset + length) / SECTOR; sector++) {
    const place = PLACE_OF.get(Math.floor(sector / PER_BLOCK));
    if (place !== undefined) yield place * PER_BLOCK + (sector % PER_BLOCK);
  }
}

/** The bytes of sectors with one stamp. */
export function stamped(stamp: number, offset: number, length: number): Buffer {
  const words = new Uint32Array(length / 4).fill(stamp);
  for (let sector = 0; sector < length / SECTOR; sector++) {
    words[sector * 128 + 1] = offset / SECTOR + sector + 1;
  }
  return Buffer.from(words.buffer);
}

/** What a sector that was torn, or is not of this place, counts as. */
export const NONSENSE = 2 ** 32 - 1;

/** The stamp of a sector as it was read. */
export function stampIn(bytes: Buffer, at: number, sector: number): number {
  const stamp = bytes.readUInt32LE(at);
  const place = bytes.readUInt32LE(at + 4);
  const last = bytes.readUInt32LE(at + SECTOR - 4);
  const right = stamp === 0 ? place === 0 : place === sector + 1;
  return right && last === stamp && bytes.readUInt32LE(at + 256) === stamp ? stamp : NONSENSE;
}

/** One step of a workload. */
export interface Step extends Span {
  readonly what: string;
  /** Sectors of one volume that it changes, each by itself, and their stamps after it. */
  readonly volume?: string;
  readonly touched?: ReadonlyMap<number, number>;
  /** What is durable when it has ended: all that had ended before it began, and what it does itself as a whole. */
  durable?: State;
  /** It changes more than sectors. */
  readonly whole?: boolean;
}

/** What may be found after a cut: the durable state, steps that may have come in part, and one that may have come as a whole. */
export interface Expectation {
  readonly durable: State;
  readonly maybe: readonly Step[];
  readonly whole: Step | null;
}

/** `steps` in the order in which they began; metadata operations run one at a time, and nothing else beside them but a flush. */
export function expectationAt(steps: readonly Step[], start: State, moment: number): Expectation {
  let durable = start;
  let since = 0;
  for (const step of steps) {
    if (step.durable === undefined || step.ended > moment || step.begun < since) continue;
    durable = step.durable;
    since = step.begun;
  }
  const begun = steps.filter(step => step.begun <= moment && step.begun >= since);
  return {
    durable,
    maybe: begun.filter(step => step.touched !== undefined),
    whole: begun.find(step => step.whole === true && step.ended > moment) ?? null,
  };
}

/** Says what is wrong with what was found, or null. */
export function judge(found: State, { durable, maybe, whole }: Expectation): string | null {
  const wrong = compare(found, durable, maybe);
  if (wrong === null || whole?.durable === undefined) return wrong;
  const other = compare(found, whole.durable, whole.touched === undefined ? [] : [whole]);
  return other === null ? null : `${wrong}; and with ${whole.what} done: ${other}`;
}

function compare(found: State, wanted: State, maybe: readonly Step[]): string | null {
  const names = [...found.keys()].sort().join();
  const expected = [...wanted.keys()].sort().join();
  if (names !== expected) return `volumes ${names} instead of ${expected}`;
  for (const [name, { size, stamps }] of wanted) {
    const is = found.get(name)!;
    if (is.size !== size) return `${name} has ${is.size} bytes instead of ${size}`;
    const steps = maybe.filter(step => step.volume === name);
    for (let at = 0; at < stamps.length; at++) {
      const stamp = is.stamps[at]!;
      if (stamp === stamps[at] || steps.some(step => step.touched!.get(at) === stamp)) continue;
      const where = `block ${PLACES[Math.floor(at / PER_BLOCK)]}, sector ${at % PER_BLOCK}`;
      const others = steps.filter(step => step.touched!.has(at)).map(step => step.what);
      return `${name}, ${where}: stamp ${stamp} instead of ${stamps[at]}, or of ${others.join(' or ') || 'nothing'}`;
    }
  }
  return null;
}
