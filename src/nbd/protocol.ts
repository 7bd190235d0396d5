// The numbers of the NBD protocol by name (https://github.com/NetworkBlockDevice/nbd, doc/proto.md). No layouts: those are in
// layout.ts.

/** Handshake flags of the server, and the same bits of the client. */
export const HANDSHAKE = Object.freeze({ FIXED_NEWSTYLE: 1, NO_ZEROES: 2 });

export const OPTION = Object.freeze({
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
});

/** Types of option replies; those from 2^31 are errors. */
export const REPLY = Object.freeze({
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x80000001,
  ERR_POLICY: 0x80000002,
  ERR_INVALID: 0x80000003,
  ERR_PLATFORM: 0x80000004,
  ERR_UNKNOWN: 0x80000006,
  ERR_SHUTDOWN: 0x80000007,
  ERR_TOO_BIG: 0x80000009,
});

/** Kinds of information in answers to INFO and GO. */
export const INFO = Object.freeze({ EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 });

/** Transmission flags: what an export can do. */
export const CAN = Object.freeze({
  HAS_FLAGS: 0x1,
  READ_ONLY: 0x2,
  FLUSH: 0x4,
  FUA: 0x8,
  TRIM: 0x20,
  WRITE_ZEROES: 0x40,
  DF: 0x80,
  MULTI_CONN: 0x100,
  CACHE: 0x400,
  FAST_ZERO: 0x800,
});

export const COMMAND = Object.freeze({
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
});

/** Flags of commands. */
export const FLAG = Object.freeze({ FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16 });

/** Types of chunks of structured replies. */
export const CHUNK = Object.freeze({
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  ERROR: 0x8001,
});
/** The flag of the last chunk of a reply. */
export const CHUNK_DONE = 1;

/** Error numbers on the wire. They look like Linux's errnos, but are the protocol's own. */
export const NBD_ERROR = Object.freeze({
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
});

/** The one metadata context there is, its id, and its flags. */
export const ALLOCATION = Object.freeze({ NAME: 'base:allocation', ID: 1, HOLE: 1, ZERO: 2 });

/** Bytes: what one READ or WRITE may carry, and what is announced with it. */
export const MAX_PAYLOAD = 32 * 1024 * 1024;
export const MIN_BLOCK = 1;
export const PREFERRED_BLOCK = 4096;
/** No text of the protocol (names, descriptions, messages) is longer, in bytes. */
export const MAX_TEXT = 4096;
