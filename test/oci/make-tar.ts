// Tars made byte by byte, as no well-behaved tool makes them.
import { Readable } from 'node:stream';
import { encodeBlock, type TarBlock, TYPE } from '../../src/oci/tar-block.js';
import { encodePax } from '../../src/oci/tar-pax.js';
import { END, padding } from '../../src/oci/tar-write.js';

/** A member: a header, and its data. */
export function member(fields: Partial<TarBlock> & { name: string }, data: string | Buffer = ''): Buffer {
  const bytes = Buffer.from(data as string, 'latin1');
  const block = encodeBlock({
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: bytes.length,
    mtime: 1_600_000_000,
    flag: TYPE.file,
    target: '',
    major: 0,
    minor: 0,
    ...fields,
  });
  return Buffer.concat([block, bytes, padding(bytes.length)]);
}

export function directory(name: string, mode = 0o755): Buffer {
  return member({ name, mode, flag: TYPE.directory });
}

export function link(name: string, target: string): Buffer {
  return member({ name, target, flag: TYPE.link });
}

export function symlink(name: string, target: string): Buffer {
  return member({ name, target, flag: TYPE.symlink });
}

/** A pax extended header in front of the next member; bytes of `records` are latin1. */
export function pax(records: Record<string, string>): Buffer {
  return member({ name: 'pax', flag: TYPE.pax }, encodePax(new Map(Object.entries(records))));
}

/** The archive of some members. */
export function archive(...members: Buffer[]): Buffer {
  return Buffer.concat([...members, END]);
}

/** A stream of bytes that comes in pieces of `size`. */
export function inPieces(bytes: Buffer, size: number): Readable {
  return Readable.from(
    (function* () {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    })(),
  );
}
