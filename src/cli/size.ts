// Sizes, numbers and words of the command line, and what is wrong with them.
import { type ByteString, bytesOf, toText } from '../base/index.js';
import { UserError } from './output.js';

/** Bytes. `what` is the option or argument that the text was given for. UserError says how a size is written. */
export function parseSize(text: ByteString, what: string): number {
  const bytes = bytesOf(text);
  if (Number.isNaN(bytes)) {
    throw new UserError(
      `${what}: "${toText(text)}" is not a size; it is written 4096 (bytes), 64K, 100M, 10G or 1T`,
    );
  }
  if (!Number.isSafeInteger(bytes)) throw new UserError(`${what}: ${toText(text)} is more than 8191T`);
  return bytes;
}

/** A whole number from `least` to `most`. */
export function parseWhole(text: ByteString, what: string, least: number, most: number): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new UserError(`${what}: "${toText(text)}" is not a whole number from ${least} to ${most}`);
}

/** One of a few words. */
export function parseWord<const T extends string>(text: ByteString, what: string, words: readonly T[]): T {
  const word = words.find(each => each === text);
  if (word !== undefined) return word;
  throw new UserError(`${what}: must be one of ${words.join(', ')}, not "${toText(text)}"`);
}
