// The handshake of one connection (fixed newstyle): greeting, client flags, then options until one of them enters transmission
// or ends the connection. Knows no sockets: it is given the bytes that came and says how many it has used.
import type { NbdExport } from './export.js';
import { CLIENT_FLAGS_BYTES, greeting, OPTION_BYTES, readOption } from './layout.js';
import { type Negotiation, OPTIONS, type Outcome, refuse } from './options.js';
import { HANDSHAKE, OPTION, REPLY } from './protocol.js';

/** Options with more data than this are passed over and answered with ERR_TOO_BIG, in bytes. */
const MAX_OPTION = 32 * 1024;

/** What a step of the handshake led to; `more`: the next message is not complete. */
export type Step = Outcome | 'more';

export class Handshake implements Negotiation {
  noZeroes = false;
  structured = false;
  context: string | null = null;
  /** Bytes that the last step used. */
  used = 0;
  /** Bytes after them that are to be passed over. */
  skip = 0;
  private greeted = false;
  private fixed = false;

  constructor(
    private readonly list: () => readonly NbdExport[],
    readonly send: (message: Buffer) => void,
  ) {
    send(greeting(HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES));
  }

  get exports(): readonly NbdExport[] {
    return this.list();
  }

  /** Takes the message that begins at `start`. */
  step(buffer: Buffer, start: number, end: number): Step {
    this.used = 0;
    this.skip = 0;
    return this.greeted ? this.option(buffer, start, end) : this.clientFlags(buffer, start, end);
  }

  private clientFlags(buffer: Buffer, start: number, end: number): Step {
    if (end - start < CLIENT_FLAGS_BYTES) return 'more';
    const flags = buffer.readUInt32BE(start);
    this.used = CLIENT_FLAGS_BYTES;
    // The protocol tells the server to hang up on flags that it does not know.
    if ((flags & ~(HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES)) !== 0) return 'close';
    this.fixed = (flags & HANDSHAKE.FIXED_NEWSTYLE) !== 0;
    this.noZeroes = (flags & HANDSHAKE.NO_ZEROES) !== 0;
    this.greeted = true;
    return 'next';
  }

  private option(buffer: Buffer, start: number, end: number): Step {
    if (end - start < OPTION_BYTES) return 'more';
    const head = readOption(buffer, start);
    if (head === null) return 'close';
    // A client without fixed newstyle understands no option replies.
    if (!this.fixed && head.option !== OPTION.EXPORT_NAME) return 'close';
    if (head.length > MAX_OPTION) return this.tooBig(head.option, head.length);
    const from = start + OPTION_BYTES;
    if (end - from < head.length) return 'more';
    this.used = OPTION_BYTES + head.length;
    const row = OPTIONS.get(head.option);
    if (row === undefined) return refuse(this, head.option, REPLY.ERR_UNSUP, 'unknown option');
    return row.run(this, buffer.subarray(from, from + head.length), head.option);
  }

  private tooBig(option: number, length: number): Step {
    if (option === OPTION.EXPORT_NAME) return 'close';
    this.used = OPTION_BYTES;
    this.skip = length;
    return refuse(this, option, REPLY.ERR_TOO_BIG, `more than ${MAX_OPTION} bytes`);
  }
}
