// Pages of the map and chunks of reference counts: what their bytes mean. A page is 512 entries of 8 bytes, little endian:
// in a leaf, (data block + 1) in 40 bits and the time of the mapping in the upper 24 (0: unmapped); in an inner page,
// the id of a child page (0: none). A chunk is 1,024 counts of 4 bytes; a chunk of zeros has no row.

/** Entries of a page, and bits of a block number that one level of the map decides. */
export const FANOUT = 512;
export const FANOUT_BITS = 9;
/** Bytes of a page and of a chunk, and 32-bit words. */
export const PAGE_BYTES = 4096;
export const PAGE_WORDS = 1024;
/** Reference counts in a chunk. */
export const CHUNK = 1024;
/** Data blocks that a pool can have: 40 bits, less the value that means unmapped. */
export const MAX_DATA_BLOCKS = 2 ** 40 - 1;
export const MAX_TIME = 2 ** 24 - 1;

/** The data block of a leaf's entry, or -1 when it is unmapped. */
export function blockAt(words: Uint32Array, entry: number): number {
  return words[2 * entry]! + (words[2 * entry + 1]! & 0xff) * 2 ** 32 - 1;
}

export function timeAt(words: Uint32Array, entry: number): number {
  return words[2 * entry + 1]! >>> 8;
}

/** Sets a leaf's entry; block -1 unmaps it. */
export function setMapping(words: Uint32Array, entry: number, block: number, time: number): void {
  const value = block + 1;
  words[2 * entry] = value >>> 0;
  words[2 * entry + 1] = value === 0 ? 0 : Math.floor(value / 2 ** 32) + (time << 8);
}

/** The child of an inner page's entry; 0 is none. */
export function childAt(words: Uint32Array, entry: number): number {
  return words[2 * entry]! + words[2 * entry + 1]! * 2 ** 32;
}

export function setChild(words: Uint32Array, entry: number, page: number): void {
  words[2 * entry] = page >>> 0;
  words[2 * entry + 1] = Math.floor(page / 2 ** 32);
}

/** Virtual blocks below one entry of a page at this height (1: leaf). */
export function span(height: number): number {
  return FANOUT ** (height - 1);
}

/** Which entry of a page at this height leads to a virtual block. */
export function entryOf(index: number, height: number): number {
  return Math.floor(index / span(height)) % FANOUT;
}

/** The height of a map for so many virtual blocks. */
export function depthFor(blocks: number): number {
  let depth = 1;
  while (FANOUT ** depth < blocks) depth++;
  return depth;
}

/** The words of a page or chunk as the database gave them; a copy, aligned. */
export function wordsFrom(blob: Uint8Array): Uint32Array {
  const words = new Uint32Array(PAGE_WORDS);
  new Uint8Array(words.buffer).set(blob.subarray(0, PAGE_BYTES));
  return words;
}
