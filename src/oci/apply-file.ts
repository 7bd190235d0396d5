// The data of one file from a tar to disk. Long runs of zeros become holes: a sparse file comes back sparse.
import { type ByteString, ok } from '../base/index.js';
import type { RealDir } from '../layer/index.js';
import { close, ftruncate, O, openChild, pwrite, pwriteAsync, unlinkat } from '../sys/index.js';
import type { Entry } from './entry.js';

/** Pieces of this size and more (bytes) are written on a worker thread, and left out when they are zero. */
const LARGE = 16 * 1024;
const ZEROS = Buffer.alloc(1 << 20);

function isZeros(piece: Buffer): boolean {
  return (
    piece.length >= LARGE && piece.length <= ZEROS.length && piece.equals(ZEROS.subarray(0, piece.length))
  );
}

/** Makes the file `name`, which is not there. Returns its size; a file that cannot be completed is removed. */
export async function writeFile(
  dir: RealDir,
  name: ByteString,
  data: AsyncIterable<Buffer | number>,
  entry: Entry,
): Promise<number> {
  const what = `'${entry.path}'`;
  const fd = ok(openChild(dir.fd(), name, O.WRONLY | O.CREAT | O.EXCL, 0o600), what);
  try {
    let at = 0;
    for await (const piece of data) {
      if (typeof piece === 'number') {
        at += piece;
        continue;
      }
      if (!isZeros(piece)) await writeAll(fd, piece, at, what);
      at += piece.length;
    }
    ok(ftruncate(fd, at), what);
    return at;
  } catch (error) {
    unlinkat(dir.fd(), name, 0);
    throw error;
  } finally {
    close(fd);
  }
}

async function writeAll(fd: number, piece: Buffer, offset: number, what: string): Promise<void> {
  for (let done = 0; done < piece.length; ) {
    const left = piece.length - done;
    const rc =
      left < LARGE
        ? pwrite(fd, piece, done, left, offset + done)
        : await pwriteAsync(fd, piece, done, left, offset + done);
    done += ok(rc, what);
  }
}
