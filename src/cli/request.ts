// What a mount command asks for, as it was typed: small enough to reach the daemon before anything else is loaded.
import type { ByteString } from '../base/index.js';

export interface MountRequest {
  /** Option strings in the order in which they were given. */
  readonly options: readonly ByteString[];
  /** The name to show as the mount's source, if one was given. */
  readonly source: ByteString | null;
  readonly mountpoint: ByteString;
  /** What relative paths are relative to. */
  readonly cwd: ByteString;
  /** Log every request. */
  readonly debug: boolean;
}
