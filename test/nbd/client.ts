// A small NBD client for tests: sends what it is told, right or wrong, and reads replies one by one. Uses the server's layouts
// for what is not golden bytes.
import { connect, type Socket } from 'node:net';
import {
  CHUNK_BYTES,
  EXPORT_BYTES,
  GREETING_BYTES,
  OPTION_REPLY_BYTES,
  Request,
  readErrorPayload,
  readOptionReply,
  readReply,
  readU64,
  SIMPLE_BYTES,
  u32,
  writeOption,
  writeRequest,
} from '../../src/nbd/layout.js';
import { ALLOCATION, CHUNK, CHUNK_DONE, COMMAND, HANDSHAKE, OPTION, REPLY } from '../../src/nbd/protocol.js';

export interface OptionReply {
  readonly type: number;
  readonly data: Buffer;
}

export interface Chunk {
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/** A whole reply: simple with its data, or all chunks of a structured one. */
export interface Reply {
  readonly cookie: number;
  readonly error: number;
  readonly data: Buffer;
  readonly chunks: readonly Chunk[];
}

export interface Command {
  readonly type: number;
  readonly flags?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly data?: Buffer;
}

export interface Export {
  readonly size: number;
  readonly flags: number;
}

/** How to enter transmission. */
export interface Entry {
  readonly structured?: boolean;
  readonly allocation?: boolean;
}

export class Client {
  private readonly chunks: Buffer[] = [];
  private buffered = 0;
  private ended = false;
  private wake: (() => void) | undefined;
  private cookies = 0;
  private readonly reads = new Map<number, number>();

  private constructor(readonly socket: Socket) {
    socket.on('data', chunk => {
      this.chunks.push(chunk);
      this.buffered += chunk.length;
      this.wake?.();
    });
    // A server that hangs up while bytes are on their way to it ends the connection with ECONNRESET or EPIPE.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.ended = true;
      this.wake?.();
    });
  }

  /** `where` is a socket's path, or a port of 127.0.0.1. */
  static open(where: string | number): Promise<Client> {
    const socket = typeof where === 'string' ? connect(where) : connect(where, '127.0.0.1');
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('connect', () => resolve(new Client(socket)));
    });
  }

  send(...messages: Buffer[]): void {
    this.socket.write(Buffer.concat(messages));
  }

  /** Exactly so many bytes; throws when the connection ends before. */
  async take(length: number): Promise<Buffer> {
    while (this.buffered < length) {
      if (this.ended) throw new Error(`connection ended ${length - this.buffered} bytes too early`);
      await new Promise<void>(resolve => {
        this.wake = resolve;
      });
    }
    const all = this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks);
    this.chunks.length = 0;
    if (all.length > length) this.chunks.push(all.subarray(length));
    this.buffered -= length;
    return all.subarray(0, length);
  }

  /** What comes until the server ends the connection. */
  async rest(): Promise<Buffer> {
    while (!this.ended) {
      await new Promise<void>(resolve => {
        this.wake = resolve;
      });
    }
    return Buffer.concat(this.chunks);
  }

  close(): void {
    this.socket.destroy();
  }

  /** Reads the greeting and answers it. */
  async greet(flags = HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES): Promise<Buffer> {
    const greeting = await this.take(GREETING_BYTES);
    this.send(u32(flags));
    return greeting;
  }

  async optionReply(): Promise<OptionReply> {
    const { type, length } = readOptionReply(await this.take(OPTION_REPLY_BYTES));
    return { type, data: await this.take(length) };
  }

  /** Sends an option; its replies up to the ACK or the error that ends them. */
  async option(option: number, data: Buffer = Buffer.alloc(0)): Promise<OptionReply[]> {
    this.send(writeOption(option, data));
    const replies: OptionReply[] = [];
    do replies.push(await this.optionReply());
    while (replies.at(-1)!.type !== REPLY.ACK && replies.at(-1)!.type < 0x80000000);
    return replies;
  }

  /** From the greeting to transmission, by GO. */
  async enter(name: string, { structured = false, allocation = false }: Entry = {}): Promise<Export> {
    await this.greet();
    if (structured || allocation) await this.option(OPTION.STRUCTURED_REPLY);
    if (allocation) await this.option(OPTION.SET_META_CONTEXT, metaData(name, [ALLOCATION.NAME]));
    const replies = await this.option(OPTION.GO, infoData(name, []));
    const { data } = replies.find(each => each.type === REPLY.INFO)!;
    return { size: readU64(data, 2), flags: data.readUInt16BE(2 + EXPORT_BYTES - 2) };
  }

  /** Sends a request without waiting; its cookie. */
  request({ type, flags = 0, offset = 0, length, data }: Command): number {
    const cookie = ++this.cookies;
    const bytes = length ?? data?.length ?? 0;
    this.send(requestBytes({ type, flags, offset, length: bytes, low: cookie }), data ?? Buffer.alloc(0));
    if (type === COMMAND.READ) this.reads.set(cookie, bytes);
    return cookie;
  }

  /** The next simple reply, whichever request it answers. */
  async reply(): Promise<Reply> {
    const reply = await this.anyReply();
    if (reply.chunks.length > 0) throw new Error('a structured reply');
    return reply;
  }

  /** The next structured reply. */
  async structuredReply(): Promise<Reply> {
    const reply = await this.anyReply();
    if (reply.chunks.length === 0) throw new Error('a simple reply');
    return reply;
  }

  /** The next reply, all chunks of it. They must follow each other, as this server sends them. */
  async anyReply(): Promise<Reply> {
    const chunks: Chunk[] = [];
    let cookie: number | undefined;
    for (let done = false; !done; ) {
      const start = await this.take(SIMPLE_BYTES);
      let head = readReply(start, 0);
      if (head === null)
        head = readReply(Buffer.concat([start, await this.take(CHUNK_BYTES - SIMPLE_BYTES)]), 0);
      if (head?.kind !== 'chunk') {
        if (head === null || chunks.length > 0) throw new Error('a simple reply among chunks');
        const length = head.error === 0 ? (this.reads.get(head.low) ?? 0) : 0;
        return { cookie: head.low, error: head.error, data: await this.take(length), chunks: [] };
      }
      if (cookie !== undefined && cookie !== head.low) throw new Error('chunks of two replies mixed');
      cookie = head.low;
      chunks.push({ type: head.type, flags: head.flags, payload: await this.take(head.length) });
      done = (head.flags & CHUNK_DONE) !== 0;
    }
    const failed = chunks.find(each => each.type === CHUNK.ERROR);
    const error = failed === undefined ? 0 : readErrorPayload(failed.payload).error;
    return { cookie: cookie!, error, data: Buffer.alloc(0), chunks };
  }

  /** A request and its simple reply, when nothing else is under way. */
  async command(command: Command): Promise<Reply> {
    this.request(command);
    return this.reply();
  }

  /** A request and its structured reply. */
  async structured(command: Command): Promise<Reply> {
    this.request(command);
    return this.structuredReply();
  }

  /** The orderly end; resolves when the server has hung up. */
  async disconnect(): Promise<void> {
    this.request({ type: COMMAND.DISC });
    await this.rest();
  }
}

/** A request as bytes. */
export function requestBytes(fields: Partial<Request>): Buffer {
  const buffer = Buffer.alloc(28);
  writeRequest(buffer, 0, Object.assign(new Request(), fields));
  return buffer;
}

function text(value: string): Buffer {
  return Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value)]);
}

/** The data of INFO and GO. */
export function infoData(name: string, kinds: readonly number[]): Buffer {
  const tail = Buffer.alloc(2 + 2 * kinds.length);
  tail.writeUInt16BE(kinds.length, 0);
  kinds.forEach((kind, i) => {
    tail.writeUInt16BE(kind, 2 + 2 * i);
  });
  return Buffer.concat([text(name), tail]);
}

/** The data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export function metaData(name: string, queries: readonly string[]): Buffer {
  return Buffer.concat([text(name), u32(queries.length), ...queries.map(text)]);
}
