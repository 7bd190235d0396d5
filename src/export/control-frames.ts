// The wire of a pool's control socket: frames of a 4-byte big-endian length, a kind byte, and so many bytes. A message is JSON
// (UTF-8), data is bytes. Whoever sends a longer frame than the limit, an unknown kind or bad JSON is cut off.
import type { Socket } from 'node:net';
import { E, SysError } from '../base/index.js';

/** The version of the conversation below; another one is refused. */
export const CONTROL_VERSION = 1;
/** Bytes of data in one frame. */
export const MAX_DATA = 1 << 20;
/** Bytes of a client's message, and of an owner's, whose lists can be long. */
export const MAX_REQUEST = 1 << 20;
export const MAX_REPLY = 1 << 28;

const HEADER = 5;
const MESSAGE = 0x4a;
const DATA = 0x44;

/** What a client says: first the request, then data frames and `end` for an operation that takes input. */
export type ClientMessage =
  | { readonly version: number; readonly operation: string; readonly params: unknown }
  | { readonly end: true }
  | { readonly cancel: true };

/** What the owner says: `begun` once the operation runs (before it, nothing has happened), and the outcome at the end. */
export type OwnerMessage =
  | { readonly begun: true; readonly pid: number }
  | { readonly ready: readonly string[] }
  | { readonly done: number; readonly total: number }
  | { readonly result: unknown }
  | { readonly error: { readonly errno: number; readonly what: string } };

export type Frame = { readonly data: Buffer } | { readonly message: unknown };

/**
 * The frames that come in by `source`, as they come; reads on only when the next one is asked for.
 * @throws SysError EPROTO for what is no frame, ECONNRESET when the stream ends inside one.
 */
export async function* readFrames(
  source: AsyncIterable<Buffer>,
  maxMessage: number,
): AsyncGenerator<Frame, void, undefined> {
  let pieces: Buffer[] = [];
  let have = 0;
  let need = HEADER;
  for await (const piece of source) {
    pieces.push(piece);
    have += piece.length;
    while (have >= need) {
      const all = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, have);
      pieces = [all];
      const size = HEADER + checkedLength(all, maxMessage);
      if (have < size) {
        need = size;
        break;
      }
      yield decode(all.subarray(0, size));
      pieces = [all.subarray(size)];
      have -= size;
      need = HEADER;
    }
  }
  if (have > 0) throw new SysError(E.ECONNRESET, 'the connection ended in the middle of a message');
}

/** The length of a frame whose header lies at the start of `bytes`. */
function checkedLength(bytes: Buffer, maxMessage: number): number {
  const length = bytes.readUInt32BE(0);
  const kind = bytes[4]!;
  const limit = kind === MESSAGE ? maxMessage : kind === DATA ? MAX_DATA : -1;
  if (length > limit) throw new SysError(E.EPROTO, 'this is not the language of a control socket');
  return length;
}

function decode(frame: Buffer): Frame {
  const body = frame.subarray(HEADER);
  if (frame[4] === DATA) return { data: body };
  try {
    return { message: JSON.parse(body.toString('utf8')) };
  } catch {
    throw new SysError(E.EPROTO, 'a message on the control socket is not JSON');
  }
}

function header(kind: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER);
  bytes.writeUInt32BE(length, 0);
  bytes[4] = kind;
  return bytes;
}

/** Sends a message without waiting; nothing happens when the other side has gone. */
export function sendMessage(socket: Socket, message: ClientMessage | OwnerMessage): void {
  if (!socket.writable) return;
  const body = Buffer.from(JSON.stringify(message));
  socket.write(Buffer.concat([header(MESSAGE, body.length), body]));
}

/**
 * Sends bytes; resolves when the socket has taken them, so that whoever is slow is waited for and the memory may be used
 * again. SysError EPIPE: the other side has gone.
 */
export async function sendData(socket: Socket, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += MAX_DATA) {
    const piece = bytes.subarray(at, at + MAX_DATA);
    await new Promise<void>((resolve, reject) => {
      if (!socket.writable) return reject(gone());
      socket.cork();
      socket.write(header(DATA, piece.length));
      socket.write(piece, error => (error ? reject(gone()) : resolve()));
      socket.uncork();
    });
  }
}

function gone(): SysError {
  return new SysError(E.EPIPE, 'the other side of the control socket has gone');
}

/** A message's fields, or null when it is no object. */
export function fieldsOf(message: unknown): Readonly<Record<string, unknown>> | null {
  const plain = typeof message === 'object' && message !== null && !Array.isArray(message);
  return plain ? (message as Record<string, unknown>) : null;
}
