// How the command line names pools and volumes: DIR is the directory that holds the pool, DIR/NAME a volume of it.
import { type ByteString, fromText, toText } from '../base/index.js';
import { absolutePath } from '../union/index.js';
import { UserError } from './output.js';

export interface VolumeAddress {
  /** The pool's directory, absolute. */
  readonly dir: string;
  readonly name: string;
}

/** A path of the command line as an absolute one, as text. UserError when it is empty, or no text. */
export function absoluteText(path: ByteString): string {
  if (path === '') throw new UserError('a path is wanted, and this is empty');
  return asText(absolutePath(path, fromText(process.cwd())));
}

/** Bytes of the command line as text, unless they are none: what toText makes of them would be another name. */
function asText(bytes: ByteString): string {
  const text = toText(bytes);
  if (fromText(text) === bytes) return text;
  throw new UserError(`${text} is not UTF-8, which names of pools and volumes are in`);
}

/** The volume that a word names. */
export function volumeAddress(word: ByteString): VolumeAddress {
  const slash = word.lastIndexOf('/');
  const name = asText(word.slice(slash + 1));
  if (slash < 0 || name === '') {
    throw new UserError(
      `${toText(word)}: a volume is named DIR/NAME, where the directory DIR holds the pool`,
    );
  }
  return { dir: absoluteText(slash === 0 ? '/' : word.slice(0, slash)), name };
}

/** Several volumes, which have to be of one pool. */
export function volumesOfOnePool(words: readonly ByteString[]): { dir: string; names: string[] } {
  const addresses = words.map(volumeAddress);
  const { dir } = addresses[0]!;
  const other = addresses.find(address => address.dir !== dir);
  if (other !== undefined) {
    throw new UserError(`${dir} and ${other.dir} are two pools: one command works on one pool`);
  }
  return { dir, names: addresses.map(({ name }) => name) };
}
