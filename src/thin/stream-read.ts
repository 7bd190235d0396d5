// Reads a send stream record by record and believes nothing before its digest: records come in order, inside the volume,
// and the stream ends where it says. Whatever else arrives is a SysError EBADMSG (or see decodePreamble).
import { createHash } from 'node:crypto';
import {
  DATA,
  DIGEST_BYTES,
  damaged,
  decodeFields,
  decodePreamble,
  decodeRecord,
  END,
  MAX_PAYLOAD,
  PREAMBLE_BYTES,
  payloadOf,
  RECORD_BYTES,
  type RecordHead,
  type StreamHeader,
} from './stream.js';
import { ByteInput } from './stream-input.js';

/** A record and its data (empty for other types), which stays what it is until the next record is read. */
export interface StreamRecord extends RecordHead {
  readonly data: Buffer;
}

export class StreamReader {
  readonly #input: ByteInput;
  readonly #hash = createHash('sha256');
  readonly #buffer = Buffer.allocUnsafe(RECORD_BYTES + MAX_PAYLOAD + DIGEST_BYTES);
  #size = 0;
  #expected = 0;
  #end = 0;
  #dataBytes = 0;

  constructor(input: AsyncIterable<Buffer>) {
    this.#input = new ByteInput(input);
  }

  /** The header; first of all. */
  async header(): Promise<StreamHeader> {
    await this.#fill(0, PREAMBLE_BYTES);
    const length = decodePreamble(this.#buffer);
    await this.#fill(PREAMBLE_BYTES, length + DIGEST_BYTES);
    this.#verify(PREAMBLE_BYTES + length);
    const header = decodeFields(this.#buffer.subarray(PREAMBLE_BYTES, PREAMBLE_BYTES + length));
    this.#size = header.size;
    this.#expected = header.dataBytes;
    return header;
  }

  /** The next record; null when the stream has ended as it should. */
  async next(): Promise<StreamRecord | null> {
    await this.#fill(0, RECORD_BYTES);
    const head = decodeRecord(this.#buffer);
    const payload = payloadOf(head.type, head.length);
    await this.#fill(RECORD_BYTES, payload + DIGEST_BYTES);
    this.#verify(RECORD_BYTES + payload);
    if (head.type === END) {
      await this.#finish(head);
      return null;
    }
    if (head.offset < this.#end || head.length === 0 || head.offset + head.length > this.#size) {
      throw damaged(`a record of ${head.length} bytes at ${head.offset} is out of place`);
    }
    this.#end = head.offset + head.length;
    if (head.type === DATA) this.#dataBytes += head.length;
    return { ...head, data: this.#buffer.subarray(RECORD_BYTES, RECORD_BYTES + payload) };
  }

  /** Ends the iteration of the input. */
  async close(): Promise<void> {
    await this.#input.close();
  }

  async #fill(at: number, length: number): Promise<void> {
    if ((await this.#input.fill(this.#buffer, at, length)) < length) throw damaged('it ends too early');
  }

  #verify(length: number): void {
    this.#hash.update(this.#buffer.subarray(0, length));
    const digest = this.#hash.copy().digest();
    if (!digest.equals(this.#buffer.subarray(length, length + DIGEST_BYTES))) {
      throw damaged('a checksum is wrong: it was damaged or put together wrongly');
    }
    this.#hash.update(digest);
  }

  async #finish({ length }: RecordHead): Promise<void> {
    if (length !== this.#dataBytes || length !== this.#expected) {
      throw damaged(`${this.#dataBytes} bytes of data where ${length} and ${this.#expected} were announced`);
    }
    if (!(await this.#input.atEnd())) throw damaged('there are bytes after its end');
  }
}
