// A tar stream as entries, one at a time, each with its data. Reads ustar, pax and GNU long names; refuses what it
// cannot represent. Sources: POSIX.1-2017 pax, GNU tar manual, and Go's archive/tar for what a layer may meet.
import { type ByteString, E, SysError } from '../base/index.js';
import { ACL } from '../layer/index.js';
import type { BytesIn } from './bytes-in.js';
import type { Entry, EntryType } from './entry.js';
import { BLOCK, decodeBlock, isZero, type TarBlock, TYPE } from './tar-block.js';
import { decodePax, fieldsOf, type PaxFields, type PaxRecords, toNumber } from './tar-pax.js';
import { readOldSparse, readPaxSparse, type SparseMember, withHoles } from './tar-sparse.js';

/** Extended headers longer than this (bytes) are refused: they must be held in memory. */
const HEADER_LIMIT = 16 << 20;

/** An entry as a tar has it. Its data must be read before the next entry is asked for, or is skipped. */
export interface TarEntry extends Entry {
  /** The name as the tar has it: not yet checked, may be absolute or hold `..`. */
  path: ByteString;
  /** What the tar says of this entry and no Entry can hold. */
  notes: string[];
  /** A number is that many zeros. */
  data: AsyncGenerator<Buffer | number, void, undefined>;
}

const TYPES: Readonly<Record<string, EntryType | undefined>> = {
  [TYPE.file]: 'file',
  [TYPE.oldFile]: 'file',
  [TYPE.contiguous]: 'file',
  [TYPE.gnuSparse]: 'file',
  [TYPE.link]: 'link',
  [TYPE.symlink]: 'symlink',
  [TYPE.char]: 'char',
  [TYPE.block]: 'block',
  [TYPE.directory]: 'directory',
  [TYPE.fifo]: 'fifo',
};

function damaged(rule: string): SysError {
  return new SysError(E.EBADMSG, `tar: ${rule}`);
}

/** Extended headers that came since the last entry; `global` ones hold for all that follow. */
interface Extended {
  global: PaxRecords;
  pax: PaxRecords;
  name: ByteString | null;
  target: ByteString | null;
}

/** The entries of a tar. Throws EBADMSG when it is damaged or cut off, EOPNOTSUPP for members that are not for layers. */
export async function* readTar(input: BytesIn): AsyncGenerator<TarEntry, void, undefined> {
  const global: PaxRecords = new Map();
  let extended: Extended = { global, pax: new Map(), name: null, target: null };
  for (;;) {
    const bytes = await input.exactly(BLOCK);
    if (bytes.length < BLOCK) throw damaged(cutOff(input));
    if (isZero(bytes)) break;
    const block = decodeBlock(bytes);
    if (await takeExtended(input, block, extended)) continue;
    const says = fieldsOf(new Map([...extended.global, ...extended.pax]));
    const sparse = await sparseMember(input, bytes, block, says);
    const entry = makeEntry(block, extended, says, sparse);
    extended = { global, pax: new Map(), name: null, target: null };
    const body = new Body(input, sparse?.stored ?? entry.size, entry.path);
    yield { ...entry, data: sparse === null ? body.chunks() : withHoles(body.chunks(), sparse) };
    await body.finish();
  }
  await input.drain();
}

function cutOff(input: BytesIn): string {
  return input.taken === 0
    ? 'the stream is empty'
    : `cut off after ${input.taken} bytes, in front of the end mark`;
}

/** Takes in a header that describes the next entry; false if the block is an entry itself. */
async function takeExtended(input: BytesIn, block: TarBlock, into: Extended): Promise<boolean> {
  const { flag } = block;
  if (flag === TYPE.gnuVolume) return true;
  if (flag === TYPE.pax) into.pax = decodePax(await headerData(input, block));
  else if (flag === TYPE.paxGlobal) {
    for (const [key, value] of decodePax(await headerData(input, block))) into.global.set(key, value);
  } else if (flag === TYPE.gnuLongName) into.name = upToNul(await headerData(input, block));
  else if (flag === TYPE.gnuLongTarget) into.target = upToNul(await headerData(input, block));
  else return false;
  return true;
}

async function headerData(input: BytesIn, block: TarBlock): Promise<Buffer> {
  const { size } = block;
  if (size < 0 || size > HEADER_LIMIT)
    throw damaged(`an extended header of ${size} bytes (limit ${HEADER_LIMIT})`);
  const data = await input.exactly(size);
  if (data.length < size || !(await input.skip(padded(size) - size))) throw damaged(cutOff(input));
  return data;
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function upToNul(data: Buffer): ByteString {
  const end = data.indexOf(0);
  return data.toString('latin1', 0, end < 0 ? data.length : end);
}

/** What a member leaves out, if it is a sparse one. EOPNOTSUPP for forms that tar no longer writes. */
async function sparseMember(
  input: BytesIn,
  header: Buffer,
  block: TarBlock,
  { sparse, fields }: PaxFields,
): Promise<SparseMember | null> {
  const stored = fields.size ?? block.size;
  if (block.flag === TYPE.gnuSparse) return readOldSparse(input, header, stored);
  if (sparse.size === 0) return null;
  const [major, minor, size] = ['major', 'minor', 'realsize'].map(key => sparse.get(key));
  if (major === '1' && minor === '0' && size !== undefined)
    return readPaxSparse(input, toNumber('GNU.sparse.realsize', size), stored);
  const what = `a sparse member of pax form ${major ?? 0}.${minor ?? 0}`;
  throw new SysError(E.EOPNOTSUPP, `tar: '${block.name}' is ${what} (make the tar without --sparse)`);
}

function makeEntry(
  block: TarBlock,
  extended: Extended,
  says: PaxFields,
  sparse: SparseMember | null,
): Entry & { notes: string[] } {
  const path = says.sparse.get('name') ?? says.fields.path ?? extended.name ?? block.name;
  const type = block.flag === TYPE.oldFile && path.endsWith('/') ? 'directory' : TYPES[block.flag];
  if (type === undefined)
    throw new SysError(E.EOPNOTSUPP, `tar: '${path}' is of type '${block.flag}', which a layer cannot hold`);
  const isLink = type === 'link' || type === 'symlink';
  const isDevice = type === 'char' || type === 'block';
  const entry = {
    mode: block.mode,
    uid: block.uid,
    gid: block.gid,
    mtime: block.mtime,
    mtimeNsec: 0,
    ...says.fields,
    path,
    type,
    // Old tars give hard links and directories a size without data (Go's isHeaderOnlyType).
    size: type === 'file' ? (sparse?.size ?? says.fields.size ?? block.size) : 0,
    target: isLink ? (says.fields.target ?? extended.target ?? block.target) : '',
    major: isDevice ? block.major : 0,
    minor: isDevice ? block.minor : 0,
    xattrs: says.xattrs,
    notes: notesOf(says),
  };
  check(entry);
  return entry;
}

function notesOf(says: PaxFields): string[] {
  const raw = [...says.xattrs.keys()].some(name => name.startsWith(ACL.prefix));
  return says.aclText && !raw ? ['its ACL is stored as text and was not applied'] : [];
}

function check(entry: Entry): void {
  const name = entry.path;
  if (entry.path.includes('\0') || entry.target.includes('\0'))
    throw damaged(`a NUL byte in the name '${name}'`);
  for (const field of ['size', 'uid', 'gid'] as const) {
    if (entry[field] < 0) throw damaged(`'${name}' has a negative ${field}`);
  }
}

/** The data of one entry. */
class Body {
  private left: number;

  constructor(
    private readonly input: BytesIn,
    private readonly size: number,
    private readonly name: string,
  ) {
    this.left = size;
  }

  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    while (this.left > 0) {
      const piece = await this.input.some(this.left);
      if (piece === null) throw this.cut();
      this.left -= piece.length;
      yield piece;
    }
  }

  /** Goes to the end of the entry, whatever has been read of it. */
  async finish(): Promise<void> {
    if (!(await this.input.skip(this.left + padded(this.size) - this.size))) throw this.cut();
    this.left = 0;
  }

  private cut(): SysError {
    return damaged(`cut off inside '${this.name}', after ${this.input.taken} bytes`);
  }
}
