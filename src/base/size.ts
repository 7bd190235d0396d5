// Sizes as people write them, wherever they write them: 4096, 64K, 10G, 1.5T. One letter is a power of 1024.

const POWERS = ['', 'K', 'M', 'G', 'T', 'P'];

/** Bytes; NaN when the text is no size, or no whole number of bytes. */
export function bytesOf(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)([KMGTP]?)(?:iB|B)?$/i.exec(text);
  const bytes =
    match === null ? Number.NaN : Number(match[1]) * 1024 ** POWERS.indexOf(match[2]!.toUpperCase());
  return Number.isInteger(bytes) ? bytes : Number.NaN;
}
