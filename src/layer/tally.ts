// Who counts what the upper holds hears here of what comes and goes without being a file of the union: whiteouts, opaque
// marks, and emptied directories that are removed with them.
import type { Stat } from '../base/index.js';

/** Attributes are the real file's, as they are while it has its name in the upper. */
export interface Tally {
  /** The upper has an inode more. */
  came(stat: Stat): void;
  /** Its last name in the upper is going, or has gone. */
  went(stat: Stat): void;
}
