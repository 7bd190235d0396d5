// How the values of mount options are read. Each parser takes the option's name, for its errors, and the text after "=".
import { type ByteString, toText } from '../base/index.js';
import { removeEscapes } from './layerlist.js';
import { type IdRange, OptionError } from './unionconfig.js';

export type Parser<T> = (option: string, text: ByteString) => T;

/** The highest valid user or group id; 2^32 - 1 means "no change" to the kernel. */
const MAX_ID = 2 ** 32 - 2;

/** A path or other text, with backslashes removed. */
export const path: Parser<ByteString> = (_, text) => removeEscapes(text);

export function oneOf<const T extends string>(words: readonly T[]): Parser<T> {
  return (option, text) => {
    const word = words.find(candidate => candidate === text);
    if (word === undefined)
      throw new OptionError(option, `must be one of ${words.join(', ')}, not "${toText(text)}"`);
    return word;
  };
}

export function integer(min: number, max: number): Parser<number> {
  return (option, text) => {
    const number = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= min && number <= max) return number;
    throw new OptionError(option, `must be a whole number from ${min} to ${max}, not "${toText(text)}"`);
  };
}

export const id: Parser<number> = integer(0, MAX_ID);

const POWERS = ['', 'K', 'M', 'G', 'T'];

/** Bytes: a whole number from 1, with K, M, G or T for powers of 1024. */
export const size: Parser<number> = (option, text) => {
  const match = /^([0-9]{1,16})([KMGT]?)(?:iB|B)?$/i.exec(text);
  const bytes =
    match === null ? Number.NaN : Number(match[1]) * 1024 ** POWERS.indexOf(match[2]!.toUpperCase());
  if (bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER) return bytes;
  throw new OptionError(
    option,
    `must be a number of bytes above 0, such as 4096, 64K, 10G, not "${toText(text)}"`,
  );
};

/** Seconds, with decimals if need be; at most 2^53 - 1. */
export const seconds: Parser<number> = (option, text) => {
  const number = /^[0-9]+(\.[0-9]*)?(e[0-9]{1,2})?$/.test(text) ? Number(text) : Number.NaN;
  if (number <= Number.MAX_SAFE_INTEGER) return number;
  throw new OptionError(option, `must be a number of seconds, 0 or more, not "${toText(text)}"`);
};

/** Triples `container:host:length`, all joined by ":". podman puts one more ":" in front. */
export const idRanges: Parser<IdRange[]> = (option, text) => {
  const words = text.replace(/^:/, '').split(':');
  if (words.length % 3 !== 0) throw new OptionError(option, 'must be triples container:host:length');
  const numbers = words.map(word => integer(0, MAX_ID + 1)(option, word));
  const ranges: IdRange[] = [];
  for (let i = 0; i < numbers.length; i += 3) {
    const range = { container: numbers[i]!, host: numbers[i + 1]!, length: numbers[i + 2]! };
    if (range.length === 0) throw new OptionError(option, 'a length must not be 0');
    if (Math.max(range.container, range.host) + range.length - 1 > MAX_ID) {
      throw new OptionError(option, `an id must not exceed ${MAX_ID}`);
    }
    ranges.push(range);
  }
  if (overlap(ranges, 'container') || overlap(ranges, 'host'))
    throw new OptionError(option, 'ranges must not overlap');
  return ranges;
};

function overlap(ranges: readonly IdRange[], side: 'container' | 'host'): boolean {
  const sorted = ranges.toSorted((a, b) => a[side] - b[side]);
  return sorted.some((range, i) => i > 0 && sorted[i - 1]![side] + sorted[i - 1]!.length > range[side]);
}
