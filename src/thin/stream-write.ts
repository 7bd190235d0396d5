// Writes a send stream record by record: fills one buffer, seals it with the running digest and hands it on. The sink's
// promise is the back-pressure, and one record of memory is all that is held.
import { createHash } from 'node:crypto';
import {
  DATA,
  DIGEST_BYTES,
  END,
  encodeHeader,
  encodeRecord,
  MAX_PAYLOAD,
  RECORD_BYTES,
  type StreamHeader,
  UNMAPPED,
} from './stream.js';

/**
 * Takes one piece of output; the next one comes when the promise has resolved. The chunk's memory is used again then.
 * A rejection ends the operation and becomes its rejection.
 */
export type ByteSink = (chunk: Buffer) => Promise<void>;

export class StreamWriter {
  readonly #buffer = Buffer.allocUnsafe(RECORD_BYTES + MAX_PAYLOAD + DIGEST_BYTES);
  readonly #hash = createHash('sha256');
  readonly #output: ByteSink;
  /** Bytes written, and bytes of data among them. */
  bytes = 0;
  dataBytes = 0;

  constructor(output: ByteSink) {
    this.#output = output;
  }

  async header(header: StreamHeader): Promise<void> {
    const encoded = encodeHeader(header);
    encoded.copy(this.#buffer);
    await this.#put(encoded.length);
  }

  /** One record of at most MAX_PAYLOAD bytes of data; `fill` puts them at `at` of its buffer. */
  async data(
    offset: number,
    length: number,
    fill: (into: Buffer, at: number) => void | Promise<void>,
  ): Promise<void> {
    await fill(this.#buffer, RECORD_BYTES);
    encodeRecord(this.#buffer, { type: DATA, offset, length });
    this.dataBytes += length;
    await this.#put(RECORD_BYTES + length);
  }

  async unmapped(offset: number, length: number): Promise<void> {
    encodeRecord(this.#buffer, { type: UNMAPPED, offset, length });
    await this.#put(RECORD_BYTES);
  }

  async end(): Promise<void> {
    encodeRecord(this.#buffer, { type: END, offset: 0, length: this.dataBytes });
    await this.#put(RECORD_BYTES);
  }

  async #put(length: number): Promise<void> {
    const body = this.#buffer.subarray(0, length);
    this.#hash.update(body);
    const digest = this.#hash.copy().digest();
    this.#hash.update(digest);
    digest.copy(this.#buffer, length);
    this.bytes += length + DIGEST_BYTES;
    await this.#output(this.#buffer.subarray(0, length + DIGEST_BYTES));
  }
}
