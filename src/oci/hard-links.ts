// Names of one inode. A tar must tell all of them when they are not linked so in the layers below, and also the names
// that only the index of a mount links to a file of the upper.
import type { ByteString } from '../base/index.js';
import { type Found, releaseUpwards } from './merged.js';
import { readIdentity, readNote } from './node.js';
import { changedNames, join, type Place } from './walk.js';

/** What must be told although nothing else about it has changed. */
export interface Relinked {
  /** Inodes (see Node.key) whose names in the upper are linked otherwise below. */
  inodes: Set<string>;
  /** Names of lower files that show an inode of the upper, by path. */
  indexed: Map<ByteString, string>;
}

interface Group {
  names: number;
  /** The inodes that these names have below; '' for a name that is new. */
  below: Set<string>;
}

/** Finds the hard links of an upper. */
export function findRelinked(root: Place): Relinked {
  const groups = new Map<string, Group>();
  /** Inodes below whose copy in the upper is in the mount's index, with that copy. */
  const copied = new Map<string, string>();
  visitFiles(root, false, (_path, found, below) => {
    const { key, nlink } = readIdentity(found.real);
    if (nlink < 2) return;
    const belowKey = below === null ? '' : readIdentity(below.real).key;
    const group = groups.get(key) ?? { names: 0, below: new Set() };
    group.names++;
    group.below.add(belowKey);
    groups.set(key, group);
    if (belowKey !== '' && belowKey !== key && readNote(found.real, 'nlink') !== null)
      copied.set(belowKey, key);
  });
  const inodes = new Set<string>();
  for (const [key, group] of groups) {
    if (group.names > 1 && (group.below.size > 1 || group.below.has(''))) inodes.add(key);
  }
  return { inodes, indexed: copied.size === 0 ? new Map() : findIndexed(root, copied) };
}

/** All names that are still those of a lower file of which the upper's index has a copy. */
function findIndexed(root: Place, copied: ReadonlyMap<string, string>): Map<ByteString, string> {
  const indexed = new Map<ByteString, string>();
  visitFiles(root, true, (path, found) => {
    if (found.part.level === 0) return;
    const { key, nlink } = readIdentity(found.real);
    const copy = nlink > 1 ? copied.get(key) : undefined;
    if (copy !== undefined) indexed.set(path, copy);
  });
  return indexed;
}

type Visit = (path: ByteString, found: Found, below: Found | null) => void;

/** Visits what is no directory: where the upper says anything, or everywhere. */
function visitFiles(root: Place, everywhere: boolean, visit: Visit): void {
  const left: Place[] = [root];
  for (let place = left.pop(); place !== undefined; place = left.pop()) {
    const { path, now, old } = place;
    for (const name of everywhere ? now.names() : changedNames(place).entries) {
      const found = now.lookup(name);
      if (found === null) continue;
      const below = old?.lookup(name) ?? null;
      if (!found.isDirectory) visit(join(path, name), found, below);
      else if (everywhere || !found.children!.isSame(below?.children ?? null)) {
        left.push({ path: join(path, name), now: found.children!, old: below?.children ?? null });
      }
    }
    for (const part of [...now.parts, ...(old?.parts ?? [])]) releaseUpwards(part.dir);
  }
}
