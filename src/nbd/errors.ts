// The one mapping from what a device throws to the protocol's error numbers and texts.
import { E, SysError } from '../base/index.js';
import { MAX_TEXT, NBD_ERROR } from './protocol.js';

const NUMBERS = new Map<number, number>([
  [E.EPERM, NBD_ERROR.EPERM],
  [E.EACCES, NBD_ERROR.EPERM],
  [E.EROFS, NBD_ERROR.EPERM],
  [E.EIO, NBD_ERROR.EIO],
  [E.ENOMEM, NBD_ERROR.ENOMEM],
  [E.EINVAL, NBD_ERROR.EINVAL],
  [E.ENOSPC, NBD_ERROR.ENOSPC],
  [E.EDQUOT, NBD_ERROR.ENOSPC],
  [E.EFBIG, NBD_ERROR.ENOSPC],
  [E.EOVERFLOW, NBD_ERROR.EOVERFLOW],
  [E.ENOTSUP, NBD_ERROR.ENOTSUP],
]);

/** A request that the protocol refuses: thrown by commands, never by devices. */
export class Refusal extends Error {
  constructor(
    readonly number: number,
    message: string,
  ) {
    super(message);
  }
}

/** The protocol's number for a failure; anything unknown is EIO, as the protocol asks for. */
export function errorNumber(error: unknown): number {
  if (error instanceof Refusal) return error.number;
  return (error instanceof SysError ? NUMBERS.get(error.errno) : undefined) ?? NBD_ERROR.EIO;
}

/** A text for people, short enough for the protocol. */
export function errorText(error: unknown): Buffer {
  const text = Buffer.from(error instanceof Error ? error.message : String(error));
  return text.subarray(0, MAX_TEXT);
}

/** True for what only a defect of this program throws. */
export function isDefect(error: unknown): boolean {
  return !(error instanceof Refusal || error instanceof SysError);
}
