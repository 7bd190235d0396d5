// What may be called what: the rules for names, ids and sizes, each with its sentence.
import { E, SysError } from '../base/index.js';
import { MAX_DATA_BLOCKS } from './entry.js';

/** Volume ids are 24 bits (dm-thin). */
export const MAX_ID = 2 ** 24 - 1;
const KIB = 1024;
const MIN_BLOCK = 64 * KIB;
const MAX_BLOCK = 2 ** 30;
/** Sizes of volumes stay exact numbers, with room to round up to any block. */
const MAX_SIZE = 2 ** 52;
export const SECTOR = 512;

function refuse(what: string): never {
  throw new SysError(E.EINVAL, what);
}

export function checkName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes === 0 || bytes > 255) refuse(`a volume's name has 1 to 255 bytes, and this has ${bytes}`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\x00-\x1f\x7f/]/.test(name) || name === '.' || name === '..') {
    refuse(`${JSON.stringify(name)} cannot be a volume's name: no "/", no control characters, not . or ..`);
  }
}

export function checkId(id: number): void {
  if (!Number.isInteger(id) || id < 0 || id > MAX_ID) refuse(`a volume's id is 0 to ${MAX_ID}, not ${id}`);
}

/** A volume's size in bytes: whole sectors. */
export function checkSize(size: number): void {
  if (!Number.isInteger(size) || size <= 0 || size % SECTOR !== 0 || size > MAX_SIZE) {
    refuse(`a volume's size is a multiple of ${SECTOR} bytes up to 4 PiB, not ${size}`);
  }
}

export function checkBlockSize(size: number): void {
  if (!Number.isInteger(size) || size < MIN_BLOCK || size > MAX_BLOCK || size % MIN_BLOCK !== 0) {
    refuse(`the block size is a multiple of 64 KiB from 64 KiB to 1 GiB, not ${size} bytes`);
  }
}

/** How many blocks a pool of so many bytes has. */
export function poolBlocks(size: number, blockSize: number): number {
  if (!Number.isInteger(size) || size < blockSize) {
    refuse(`the pool's size must be at least one block of ${blockSize} bytes, and is ${size}`);
  }
  const blocks = Math.floor(size / blockSize);
  if (blocks > MAX_DATA_BLOCKS || size > Number.MAX_SAFE_INTEGER)
    refuse(`a pool of ${size} bytes is too large`);
  return blocks;
}
