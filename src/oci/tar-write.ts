// Tar members as bytes: an optional pax header, the ustar block, padding and the end of the archive. The same entry
// always gives the same bytes.
import type { ByteString } from '../base/index.js';
import type { Entry } from './entry.js';
import { BLOCK, encodeBlock, TYPE } from './tar-block.js';
import { encodePax, type PaxRecords, recordsFor } from './tar-pax.js';

/** The two zero blocks that end an archive. */
export const END = Buffer.alloc(2 * BLOCK);

const ZEROS = Buffer.alloc(BLOCK);

/** The zero bytes that fill up the last block of `size` bytes of data. */
export function padding(size: number): Buffer {
  return ZEROS.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK);
}

function paxMember(name: ByteString, records: PaxRecords): Buffer[] {
  const data = encodePax(records);
  const block = encodeBlock({
    name: `PaxHeaders.0/${name.split('/').filter(Boolean).pop() ?? ''}`.slice(0, 100),
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: data.length,
    mtime: 0,
    flag: TYPE.pax,
    target: '',
    major: 0,
    minor: 0,
  });
  return [block, data, padding(data.length)];
}

/** The bytes in front of an entry's data. The root directory (path '') is written as `./`. */
export function encodeEntry(entry: Entry): Buffer {
  const path = entry.path === '' ? '.' : entry.path;
  const name = entry.type === 'directory' ? `${path}/` : path;
  const records = recordsFor(entry, name);
  const block = encodeBlock({ ...entry, name, flag: TYPE[entry.type] });
  return Buffer.concat(records.size === 0 ? [block] : [...paxMember(name, records), block]);
}
