// Every message of the NBD protocol's transmission phase and the frames of its handshake, in both directions; all numbers are
// big-endian. Readers and writers work in place: `at` is where the message begins in the buffer.
import { CHUNK, type INFO } from './protocol.js';

const NBDMAGIC_HIGH = 0x4e42444d;
const NBDMAGIC_LOW = 0x41474943;
const IHAVEOPT_HIGH = 0x49484156;
const IHAVEOPT_LOW = 0x454f5054;
const OPTION_REPLY_HIGH = 0x0003e889;
const OPTION_REPLY_LOW = 0x045565a9;
const REQUEST_MAGIC = 0x25609513;
const SIMPLE_MAGIC = 0x67446698;
const CHUNK_MAGIC = 0x668e33ef;
const TWO_32 = 4294967296;

/** Bytes of each fixed part. */
export const GREETING_BYTES = 18;
export const CLIENT_FLAGS_BYTES = 4;
export const OPTION_BYTES = 16;
export const OPTION_REPLY_BYTES = 20;
export const EXPORT_BYTES = 10;
/** After EXPORT_BYTES in the answer to EXPORT_NAME, unless NO_ZEROES was agreed. */
export const EXPORT_PADDING_BYTES = 124;
export const REQUEST_BYTES = 28;
export const SIMPLE_BYTES = 16;
export const CHUNK_BYTES = 20;
/** Before the data in the payload of an OFFSET_DATA chunk. */
export const OFFSET_BYTES = 8;
/** The payload of an OFFSET_HOLE chunk. */
export const HOLE_BYTES = 12;
/** Before the text in the payload of an ERROR chunk. */
export const ERROR_BYTES = 6;
/** Before the extents in the payload of a BLOCK_STATUS chunk, and of each extent. */
export const CONTEXT_BYTES = 4;
export const EXTENT_BYTES = 8;

/** A cookie is eight bytes that only the client understands: two numbers here, since they are not counted with. */
export interface Cookie {
  high: number;
  low: number;
}

/** A request. Offsets beyond 2^53 come out inexact, but never as something smaller. */
export class Request implements Cookie {
  flags = 0;
  type = 0;
  high = 0;
  low = 0;
  offset = 0;
  length = 0;

  copy(): Request {
    return Object.assign(new Request(), this);
  }
}

function writeU64(buffer: Buffer, at: number, value: number): void {
  buffer.writeUInt32BE(Math.floor(value / TWO_32), at);
  buffer.writeUInt32BE(value % TWO_32, at + 4);
}

export function readU64(buffer: Buffer, at: number): number {
  return buffer.readUInt32BE(at) * TWO_32 + buffer.readUInt32BE(at + 4);
}

/** False when it is no request. */
export function readRequest(buffer: Buffer, at: number, into: Request): boolean {
  if (buffer.readUInt32BE(at) !== REQUEST_MAGIC) return false;
  const kind = buffer.readUInt32BE(at + 4);
  into.flags = kind >>> 16;
  into.type = kind & 0xffff;
  into.high = buffer.readUInt32BE(at + 8);
  into.low = buffer.readUInt32BE(at + 12);
  into.offset = readU64(buffer, at + 16);
  into.length = buffer.readUInt32BE(at + 24);
  return true;
}

export function writeRequest(buffer: Buffer, at: number, request: Readonly<Request>): void {
  buffer.writeUInt32BE(REQUEST_MAGIC, at);
  buffer.writeUInt16BE(request.flags, at + 4);
  buffer.writeUInt16BE(request.type, at + 6);
  buffer.writeUInt32BE(request.high, at + 8);
  buffer.writeUInt32BE(request.low, at + 12);
  writeU64(buffer, at + 16, request.offset);
  buffer.writeUInt32BE(request.length, at + 24);
}

export function writeSimple(buffer: Buffer, at: number, cookie: Cookie, error: number): void {
  buffer.writeUInt32BE(SIMPLE_MAGIC, at);
  buffer.writeUInt32BE(error, at + 4);
  buffer.writeUInt32BE(cookie.high, at + 8);
  buffer.writeUInt32BE(cookie.low, at + 12);
}

export function writeChunk(
  buffer: Buffer,
  at: number,
  cookie: Cookie,
  type: number,
  flags: number,
  length: number,
): void {
  buffer.writeUInt32BE(CHUNK_MAGIC, at);
  buffer.writeUInt16BE(flags, at + 4);
  buffer.writeUInt16BE(type, at + 6);
  buffer.writeUInt32BE(cookie.high, at + 8);
  buffer.writeUInt32BE(cookie.low, at + 12);
  buffer.writeUInt32BE(length, at + 16);
}

/** What a reply begins with; both kinds begin with 16 bytes of which this much can be told. */
export type ReplyHead =
  | { kind: 'simple'; high: number; low: number; error: number }
  | { kind: 'chunk'; high: number; low: number; flags: number; type: number; length: number };

/** Null when more bytes are needed; throws when it is no reply. */
export function readReply(buffer: Buffer, at: number): ReplyHead | null {
  if (buffer.length - at < SIMPLE_BYTES) return null;
  const cookie = { high: buffer.readUInt32BE(at + 8), low: buffer.readUInt32BE(at + 12) };
  const magic = buffer.readUInt32BE(at);
  if (magic === SIMPLE_MAGIC) return { kind: 'simple', ...cookie, error: buffer.readUInt32BE(at + 4) };
  if (magic !== CHUNK_MAGIC) throw new Error(`not a reply: 0x${magic.toString(16)}`);
  if (buffer.length - at < CHUNK_BYTES) return null;
  const flags = buffer.readUInt16BE(at + 4);
  const type = buffer.readUInt16BE(at + 6);
  return { kind: 'chunk', ...cookie, flags, type, length: buffer.readUInt32BE(at + 16) };
}

/** The whole OFFSET_DATA chunk but its data. */
export function writeDataChunk(
  buffer: Buffer,
  at: number,
  cookie: Cookie,
  flags: number,
  offset: number,
  length: number,
): void {
  writeChunk(buffer, at, cookie, CHUNK.OFFSET_DATA, flags, OFFSET_BYTES + length);
  writeU64(buffer, at + CHUNK_BYTES, offset);
}

export function writeHoleChunk(
  buffer: Buffer,
  at: number,
  cookie: Cookie,
  flags: number,
  offset: number,
  length: number,
): void {
  writeChunk(buffer, at, cookie, CHUNK.OFFSET_HOLE, flags, HOLE_BYTES);
  writeU64(buffer, at + CHUNK_BYTES, offset);
  buffer.writeUInt32BE(length, at + CHUNK_BYTES + OFFSET_BYTES);
}

export function writeExtent(buffer: Buffer, at: number, length: number, flags: number): void {
  buffer.writeUInt32BE(length, at);
  buffer.writeUInt32BE(flags, at + 4);
}

export function readExtent(buffer: Buffer, at: number): { length: number; flags: number } {
  return { length: buffer.readUInt32BE(at), flags: buffer.readUInt32BE(at + 4) };
}

/** The payload of an ERROR chunk. */
export function errorPayload(error: number, text: Buffer): Buffer {
  const payload = Buffer.alloc(ERROR_BYTES + text.length);
  payload.writeUInt32BE(error, 0);
  payload.writeUInt16BE(text.length, 4);
  text.copy(payload, ERROR_BYTES);
  return payload;
}

export function readErrorPayload(payload: Buffer): { error: number; text: string } {
  const length = payload.readUInt16BE(4);
  return {
    error: payload.readUInt32BE(0),
    text: payload.toString('utf8', ERROR_BYTES, ERROR_BYTES + length),
  };
}

/** The server's first message. */
export function greeting(flags: number): Buffer {
  const message = Buffer.alloc(GREETING_BYTES);
  message.writeUInt32BE(NBDMAGIC_HIGH, 0);
  message.writeUInt32BE(NBDMAGIC_LOW, 4);
  message.writeUInt32BE(IHAVEOPT_HIGH, 8);
  message.writeUInt32BE(IHAVEOPT_LOW, 12);
  message.writeUInt16BE(flags, 16);
  return message;
}

/** The frame of an option as the client sends it. */
export function writeOption(option: number, data: Buffer): Buffer {
  const head = Buffer.alloc(OPTION_BYTES);
  head.writeUInt32BE(IHAVEOPT_HIGH, 0);
  head.writeUInt32BE(IHAVEOPT_LOW, 4);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(data.length, 12);
  return Buffer.concat([head, data]);
}

/** Null when it is no option. */
export function readOption(buffer: Buffer, at: number): { option: number; length: number } | null {
  if (buffer.readUInt32BE(at) !== IHAVEOPT_HIGH || buffer.readUInt32BE(at + 4) !== IHAVEOPT_LOW) return null;
  return { option: buffer.readUInt32BE(at + 8), length: buffer.readUInt32BE(at + 12) };
}

export function optionReply(option: number, type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(OPTION_REPLY_BYTES);
  head.writeUInt32BE(OPTION_REPLY_HIGH, 0);
  head.writeUInt32BE(OPTION_REPLY_LOW, 4);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(type, 12);
  head.writeUInt32BE(data.length, 16);
  return Buffer.concat([head, data]);
}

/** Throws when it is no answer to an option. */
export function readOptionReply(buffer: Buffer): { option: number; type: number; length: number } {
  if (buffer.readUInt32BE(0) !== OPTION_REPLY_HIGH || buffer.readUInt32BE(4) !== OPTION_REPLY_LOW) {
    throw new Error('not an answer to an option');
  }
  return { option: buffer.readUInt32BE(8), type: buffer.readUInt32BE(12), length: buffer.readUInt32BE(16) };
}

/** Size and transmission flags: the answer to EXPORT_NAME, and the end of INFO's EXPORT. */
export function exportBytes(size: number, flags: number): Buffer {
  const data = Buffer.alloc(EXPORT_BYTES);
  writeU64(data, 0, size);
  data.writeUInt16BE(flags, 8);
  return data;
}

/** The data of an INFO reply: its kind, then numbers of four bytes, or bytes. */
export function infoData(
  kind: (typeof INFO)[keyof typeof INFO],
  content: Buffer | readonly number[],
): Buffer {
  const body = Buffer.isBuffer(content) ? content : Buffer.concat(content.map(u32));
  const head = Buffer.alloc(2);
  head.writeUInt16BE(kind, 0);
  return Buffer.concat([head, body]);
}

/** A number of four bytes. */
export function u32(value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(value, 0);
  return data;
}

/** A text with its length before it. */
export function counted(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([u32(bytes.length), bytes]);
}
