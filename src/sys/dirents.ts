// Directory listings: the decoding of struct linux_dirent64 (getdents64(2)): u64 d_ino, s64 d_off, u16 d_reclen, u8 d_type,
// then the name and a NUL, padded to 8 bytes.
import type { ByteString } from '../base/index.js';
import { SEEK } from './constants.js';
import { native } from './native.js';

/**
 * Takes one entry. `ino` is exact up to 2^53; `inoLow` and `inoHigh` are its 32-bit halves. `type` is a d_type
 * (base's DT), DT.UNKNOWN on file systems that do not say.
 */
export type DirentVisitor = (
  name: ByteString,
  ino: number,
  type: number,
  inoLow: number,
  inoHigh: number,
) => void;

const BUFFER_SIZE = 128 * 1024;
const NAME = 19;
const DOT = 0x2e;

// In node's Buffer, though not in its types; toString('latin1') with the argument checks left out.
interface Latin1Buffer extends Buffer {
  latin1Slice(start: number, end: number): ByteString;
}

// A visitor may read another directory, so a buffer in use is out of the pool.
const pool: Buffer[] = [];

/**
 * Visits all entries of the directory `fd` but "." and "..", from its beginning. Returns 0 or -errno.
 */
export function readDirents(fd: number, visit: DirentVisitor): number {
  const rewound = native.lseek(fd, 0, SEEK.SET);
  if (rewound < 0) return rewound;
  const buffer = pool.pop() ?? Buffer.allocUnsafeSlow(BUFFER_SIZE);
  try {
    for (;;) {
      const length = native.getdents(fd, buffer);
      if (length <= 0) return length;
      decodeDirents(buffer, length, visit);
    }
  } finally {
    pool.push(buffer);
  }
}

/** Visits the entries in the first `length` bytes of `buffer` (from getdents or getdentsAsync) but "." and "..". */
export function decodeDirents(buffer: Buffer, length: number, visit: DirentVisitor): void {
  const raw = buffer as Latin1Buffer;
  let next = 0;
  for (let at = 0; at < length; at = next) {
    const size = raw.readUInt16LE(at + 16);
    next = at + size;
    const start = at + NAME;
    // The NUL lies in the record's last 8 bytes; what follows it is not written by the kernel.
    let end = Math.max(start, next - 8);
    while (raw[end] !== 0) end++;
    if (raw[start] === DOT && (end === start + 1 || (end === start + 2 && raw[start + 1] === DOT))) continue;
    const low = raw.readUInt32LE(at);
    const high = raw.readUInt32LE(at + 4);
    visit(raw.latin1Slice(start, end), high * 2 ** 32 + low, raw[at + 18]!, low, high);
  }
}
