// The 512-byte block in front of every tar member, both directions: POSIX ustar, with GNU's and star's base-256
// numbers accepted. Source: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
import { type ByteString, E, SysError } from '../base/index.js';

/** Tar is made of blocks of this many bytes. */
export const BLOCK = 512;

/** Type flags (the byte at offset 156). */
export const TYPE = Object.freeze({
  file: '0',
  link: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
  contiguous: '7',
  oldFile: '\0',
  pax: 'x',
  paxGlobal: 'g',
  gnuLongName: 'L',
  gnuLongTarget: 'K',
  gnuVolume: 'V',
  gnuSparse: 'S',
});

/** What a block says. Numbers that do not fit their field are written as 0: a pax record must then say them. */
export interface TarBlock {
  name: ByteString;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  flag: string;
  target: ByteString;
  major: number;
  minor: number;
}

/** Largest number that an octal field of `width` bytes holds (one byte is its terminator). */
function octalLimit(width: number): number {
  return 8 ** (width - 1) - 1;
}

/** Do these numbers fit their fields? */
export const fits = Object.freeze({
  id: (value: number) => value >= 0 && value <= octalLimit(8),
  size: (value: number) => value <= octalLimit(12),
  mtime: (value: number) => value >= 0 && value <= octalLimit(12),
  target: (value: ByteString) => value.length <= 100,
  name: (value: ByteString) => splitName(value) !== null,
});

/** A name as [prefix, name] of at most 155 and 100 bytes, or null if no slash lets it be cut so. */
function splitName(name: ByteString): [ByteString, ByteString] | null {
  if (name.length <= 100) return ['', name];
  // The last byte may be a directory's slash, which must stay with the name.
  const cut = name.lastIndexOf('/', Math.min(155, name.length - 2));
  if (cut <= 0 || name.length - cut - 1 > 100) return null;
  return [name.slice(0, cut), name.slice(cut + 1)];
}

function putOctal(block: Buffer, at: number, width: number, value: number): void {
  const digits = value >= 0 && value <= octalLimit(width) ? value.toString(8) : '0';
  block.write(digits.padStart(width - 1, '0'), at, 'latin1');
}

/** A block for `header`; a name that does not fit is cut, a target as well. */
export function encodeBlock(header: TarBlock): Buffer {
  const block = Buffer.alloc(BLOCK);
  const [prefix, name] = splitName(header.name) ?? ['', header.name.slice(0, 100)];
  block.write(name, 0, 100, 'latin1');
  putOctal(block, 100, 8, header.mode);
  putOctal(block, 108, 8, header.uid);
  putOctal(block, 116, 8, header.gid);
  putOctal(block, 124, 12, header.size);
  putOctal(block, 136, 12, header.mtime);
  block.write(header.flag, 156, 1, 'latin1');
  block.write(header.target.slice(0, 100), 157, 100, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  putOctal(block, 329, 8, header.major);
  putOctal(block, 337, 8, header.minor);
  block.write(prefix, 345, 155, 'latin1');
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** Sum of the block's bytes with the checksum field taken as spaces. */
function checksum(block: Buffer): number {
  let sum = 8 * 32;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += block[i]!;
  return sum;
}

/** The same with signed bytes, as some old tars computed it. */
function signedChecksum(block: Buffer): number {
  let sum = 8 * 32;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += block.readInt8(i);
  return sum;
}

function getText(block: Buffer, at: number, width: number): ByteString {
  const text = block.toString('latin1', at, at + width);
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

/** An octal or base-256 number. */
export function getNumber(block: Buffer, at: number, width: number, field: string): number {
  const first = block[at]!;
  if ((first & 0x80) !== 0) return getBase256(block, at, width, field);
  const digits = getText(block, at, width).trim();
  if (digits === '') return 0;
  if (!/^[0-7]+$/.test(digits)) throw bad(`${field} is not an octal number`);
  return Number.parseInt(digits, 8);
}

function getBase256(block: Buffer, at: number, width: number, field: string): number {
  const negative = (block[at]! & 0x40) !== 0;
  let value = negative ? (block[at]! | 0x80) - 256 : block[at]! & 0x7f;
  for (let i = 1; i < width; i++) value = value * 256 + block[at + i]!;
  if (!Number.isSafeInteger(value)) throw bad(`${field} is out of range`);
  return value;
}

function bad(rule: string): SysError {
  return new SysError(E.EBADMSG, `tar header: ${rule}`);
}

/** Is it one of the zero blocks that end an archive? */
export function isZero(block: Buffer): boolean {
  return block.every(byte => byte === 0);
}

/** What a block says. Throws EBADMSG for anything that is no tar header. */
export function decodeBlock(block: Buffer): TarBlock {
  const sum = getNumber(block, 148, 8, 'checksum');
  if (sum !== checksum(block) && sum !== signedChecksum(block)) throw bad('wrong checksum, or not a tar');
  const posix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = posix ? getText(block, 345, 155) : '';
  const name = getText(block, 0, 100);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    mode: getNumber(block, 100, 8, 'mode') & 0o7777,
    uid: getNumber(block, 108, 8, 'uid'),
    gid: getNumber(block, 116, 8, 'gid'),
    size: getNumber(block, 124, 12, 'size'),
    mtime: getNumber(block, 136, 12, 'mtime'),
    flag: block.toString('latin1', 156, 157),
    target: getText(block, 157, 100),
    major: getNumber(block, 329, 8, 'device major'),
    minor: getNumber(block, 337, 8, 'device minor'),
  };
}
