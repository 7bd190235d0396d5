// Owners as a user namespace names them, and as they are on disk.
import { E, SysError } from '../base/index.js';

/** `count` ids from `inside` on are, on disk, those from `outside` on. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** An empty list: ids are the same. */
export interface IdMap {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

interface Owned {
  readonly uid: number;
  readonly gid: number;
}

/** The owner on disk of what has this owner inside. EOVERFLOW when the namespace has no such id. */
export function ownerOnDisk({ uid, gid }: Owned, map: IdMap, what: string): Owned {
  return { uid: onDisk(uid, map.uids, what), gid: onDisk(gid, map.gids, what) };
}

/** The owner inside of what has this owner on disk. EOVERFLOW when it has none. */
export function ownerInside({ uid, gid }: Owned, map: IdMap, what: string): Owned {
  return { uid: inside(uid, map.uids, what), gid: inside(gid, map.gids, what) };
}

function onDisk(id: number, ranges: readonly IdRange[], what: string): number {
  if (ranges.length === 0) return id;
  const range = ranges.find(each => id >= each.inside && id < each.inside + each.count);
  if (range !== undefined) return id - range.inside + range.outside;
  throw new SysError(E.EOVERFLOW, `'${what}': the user namespace has no id ${id}`);
}

function inside(id: number, ranges: readonly IdRange[], what: string): number {
  if (ranges.length === 0) return id;
  const range = ranges.find(each => id >= each.outside && id < each.outside + each.count);
  if (range !== undefined) return id - range.outside + range.inside;
  throw new SysError(E.EOVERFLOW, `'${what}': its owner ${id} is none of the user namespace's`);
}
