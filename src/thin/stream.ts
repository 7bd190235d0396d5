// The send stream's bytes, both directions; integers are little endian. Header: magic, version, length, fields. Then
// records: type, payload length, offset, length, payload; the last one is END. Header and records are each followed by
// the SHA-256 of everything before it in the stream, so that damage is found at the record in which it happened.
import { E, SysError } from '../base/index.js';

const MAGIC = Buffer.from('LMNASEND');
/** The layout below. */
export const STREAM_VERSION = 1;
/** SHA-256. */
export const DIGEST_BYTES = 32;
/** Magic, version and the length of the fields that follow. */
export const PREAMBLE_BYTES = 16;
export const RECORD_BYTES = 24;
/** Most data in one record. */
export const MAX_PAYLOAD = 1024 * 1024;

/** The numbers before the texts. */
const FIXED_FIELDS = 28;
const MAX_FIELDS = 4096;

/** What a stream says about itself. Sizes in bytes. */
export interface StreamHeader {
  readonly version: number;
  /** The volume's name where it was sent. */
  readonly name: string;
  /** Names the content; the received volume gets it. */
  readonly guid: string;
  /** Guid of the volume that the stream is the difference to; null in a full stream. */
  readonly base: string | null;
  readonly size: number;
  /** Of the pool that sent it. */
  readonly blockSize: number;
  /** Data in all records together. */
  readonly dataBytes: number;
}

/** Types of records: `length` bytes of data follow; the range reads as zeros; the stream ends (`length`: all its data). */
export const DATA = 1;
export const UNMAPPED = 2;
export const END = 3;

export interface RecordHead {
  readonly type: number;
  readonly offset: number;
  readonly length: number;
}

/** The error for a stream that is not as it was sent. */
export function damaged(what: string): SysError {
  return new SysError(E.EBADMSG, `send stream: ${what}`);
}

/** The header's bytes, without its digest. */
export function encodeHeader(header: StreamHeader): Buffer {
  const texts = [header.name, header.guid, header.base ?? ''].map(text => Buffer.from(text));
  const fields = Buffer.alloc(FIXED_FIELDS);
  putNumber(fields, 0, header.size);
  putNumber(fields, 8, header.dataBytes);
  fields.writeUInt32LE(header.blockSize, 16);
  texts.forEach((text, i) => {
    fields.writeUInt16LE(text.length, 20 + 2 * i);
  });
  const preamble = Buffer.alloc(PREAMBLE_BYTES);
  MAGIC.copy(preamble);
  preamble.writeUInt32LE(header.version, 8);
  const body = Buffer.concat([fields, ...texts]);
  preamble.writeUInt32LE(body.length, 12);
  return Buffer.concat([preamble, body]);
}

/** The length of the fields after the preamble. SysError EMEDIUMTYPE: no stream of ours; EPROTO: a newer version. */
export function decodePreamble(bytes: Buffer): number {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new SysError(E.EMEDIUMTYPE, 'the input is no send stream of laminafs');
  }
  const version = bytes.readUInt32LE(8);
  if (version !== STREAM_VERSION) {
    throw new SysError(
      E.EPROTO,
      `send stream of version ${version}, and this lamina knows ${STREAM_VERSION}`,
    );
  }
  const length = bytes.readUInt32LE(12);
  if (length < FIXED_FIELDS || length > MAX_FIELDS) throw damaged(`a header of ${length} bytes`);
  return length;
}

/** The fields after the preamble. Their digest was right, and still nothing in them is believed unseen: EBADMSG. */
export function decodeFields(fields: Buffer): StreamHeader {
  const texts: string[] = [];
  let at = FIXED_FIELDS;
  for (let i = 0; i < 3; i++) {
    const end = at + fields.readUInt16LE(20 + 2 * i);
    texts.push(fields.toString('utf8', at, end));
    at = end;
  }
  if (at !== fields.length) throw damaged(`header fields of ${at} bytes in ${fields.length}`);
  const [name, guid, base] = texts as [string, string, string];
  const size = takeNumber(fields, 0);
  const dataBytes = takeNumber(fields, 8);
  const blockSize = fields.readUInt32LE(16);
  if (name === '' || guid === '' || /\p{Cc}/u.test(texts.join('')))
    throw damaged('a name or guid in its header');
  if (dataBytes > size || blockSize === 0) throw damaged('the sizes in its header');
  return { version: STREAM_VERSION, name, guid, base: base === '' ? null : base, size, blockSize, dataBytes };
}

/** Writes a record's head to the front of `bytes`. */
export function encodeRecord(bytes: Buffer, { type, offset, length }: RecordHead): void {
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(payloadOf(type, length), 4);
  putNumber(bytes, 8, offset);
  putNumber(bytes, 16, length);
}

/** A record's head; what it says about lengths is in bounds, and the rest is for its digest to show. EBADMSG. */
export function decodeRecord(bytes: Buffer): RecordHead {
  const type = bytes.readUInt32LE(0);
  const offset = takeNumber(bytes, 8);
  const length = takeNumber(bytes, 16);
  if (type < DATA || type > END) throw damaged(`a record of unknown type ${type}`);
  if (bytes.readUInt32LE(4) !== payloadOf(type, length)) throw damaged('the length of a record');
  if (type === DATA && length > MAX_PAYLOAD) throw damaged(`a record with ${length} bytes of data`);
  return { type, offset, length };
}

/** Bytes between a record's head and its digest. */
export function payloadOf(type: number, length: number): number {
  return type === DATA ? length : 0;
}

function putNumber(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value % 2 ** 32, at);
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

function takeNumber(bytes: Buffer, at: number): number {
  const value = bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
  if (value > Number.MAX_SAFE_INTEGER) throw damaged('a number past 2^53');
  return value;
}
