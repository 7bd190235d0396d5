// The one error type of laminafs below the command line: a Linux errno with what it was about. Expected absence is a
// value, not one of these; each front door maps it to its own protocol once.
import { constants } from 'node:os';

/** errno numbers of this host by name (positive). */
export const E = Object.freeze({
  ...constants.errno,
  /** An extended attribute that is not there. The same number as ENODATA. */
  ENOATTR: 61,
  /** Linux gives ENOTSUP and EOPNOTSUPP one number. */
  ENOTSUP: 95,
  /** Not in node's table: the disk structure needs cleaning; the medium is of a wrong type. */
  EUCLEAN: 117,
  EMEDIUMTYPE: 124,
});

const names = new Map<number, string>();
for (const [name, value] of Object.entries({ ...constants.errno, ...E }))
  if (!names.has(value)) names.set(value, name);

/** The symbolic name of an errno (positive), or `errno N`. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`;
}

/** An operation failed. `errno` is positive; `what` names the operation and the thing. */
export class SysError extends Error {
  override readonly name = 'SysError';
  constructor(
    readonly errno: number,
    readonly what: string,
  ) {
    // The kernel asks for many things that fail; collecting a stack for each costs more than the answer.
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super();
    Error.stackTraceLimit = limit;
  }

  get code(): string {
    return errnoName(this.errno);
  }

  override get message(): string {
    return `${this.what}: ${this.code}`;
  }
}

/** Throws unless `rc` (a system call's result: >= 0, or -errno) is a success; returns it. */
export function ok(rc: number, what: string): number {
  if (rc < 0) throw new SysError(-rc, what);
  return rc;
}

/** True when `error` is a SysError with this errno. */
export function isErrno(error: unknown, errno: number): boolean {
  return error instanceof SysError && error.errno === errno;
}
