// Buffers that requests and replies lie in, with node's own latin1 methods, which its types leave out: toString and write
// would check their options and choose among encodings for every name.
import type { ByteString } from '../base/index.js';

export interface RawBuffer extends Buffer {
  latin1Slice(start: number, end: number): ByteString;
  /** Bytes written: all of the text, or what fits. */
  latin1Write(text: ByteString, at: number): number;
}

/** Memory of its own that begins at a multiple of 8; not zeroed, and not touched before it is used. */
export function allocate(size: number): RawBuffer {
  return Buffer.allocUnsafeSlow(size) as RawBuffer;
}
