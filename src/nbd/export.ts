// What a server offers under a name. A device is opened for each connection, and closed when that ends.
import type { BlockDevice } from '../base/index.js';

export interface NbdExport {
  /** At most 4096 bytes of UTF-8. The first export also answers to the empty name. */
  readonly name: string;
  /** For people; may be empty. At most 4096 bytes of UTF-8. */
  readonly description: string;
  /** SysError when it cannot be opened: ENOENT says that there is no such export after all. */
  open(): BlockDevice;
}

/** The export that a client means by `name`. */
export function findExport(exports: readonly NbdExport[], name: string): NbdExport | undefined {
  return name === '' ? exports[0] : exports.find(each => each.name === name);
}
