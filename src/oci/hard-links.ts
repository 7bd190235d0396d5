// Names of one inode. A tar must tell all of them when they are not linked so in the layers below, and also the names
// that only the index of a mount links to a file of the upper.
import { type ByteString, Stat } from '../base/index.js';
import { statHandle } from '../layer/index.js';
import { type Found, releaseUpwards } from './merged.js';
import { inodeKey, inodeOf, type Real, readIdentity, readNote } from './node.js';
import { changedNames, join, type Place } from './walk.js';

const stat = new Stat();

/** What must be told although nothing else about it has changed. */
export interface Relinked {
  /** Inodes (see Node.key) whose names in the upper are linked otherwise below. */
  inodes: Set<string>;
  /** Names of lower files that show a file of the upper, by path, with that file. */
  indexed: Map<ByteString, Found>;
  /** Names on the way to these, by directory. */
  names: Map<ByteString, Set<ByteString>>;
}

export const NOTHING_RELINKED: Relinked = { inodes: new Set(), indexed: new Map(), names: new Map() };

/** The names of each inode of an upper. */
class Groups {
  private readonly byKey = new Map<string, { names: number; below: Set<string> }>();

  /** Inode `key` has one more name; `below` is the inode that this name has below, '' for a new name. */
  add(key: string, below: string): void {
    const group = this.byKey.get(key) ?? { names: 0, below: new Set() };
    group.names++;
    group.below.add(below);
    this.byKey.set(key, group);
  }

  /** Inodes whose names are not all linked to each other below. */
  relinked(): Set<string> {
    const keys = new Set<string>();
    for (const [key, { names, below }] of this.byKey) {
      if (names > 1 && (below.size > 1 || below.has(''))) keys.add(key);
    }
    return keys;
  }
}

/** Finds the hard links of an upper. */
export function findRelinked(root: Place): Relinked {
  const groups = new Groups();
  /** Inodes below whose copy in the upper is in the mount's index, with that copy. */
  const copied = new Map<string, Found>();
  visitFiles(root, false, (_path, found, below) => {
    const { key, nlink } = readIdentity(found.real);
    if (nlink < 2) return;
    const belowKey = below === null ? '' : readIdentity(below.real).key;
    groups.add(key, belowKey);
    if (readNote(found.real, 'nlink') !== null) copied.set(originKey(found.real, root) ?? belowKey, found);
  });
  const indexed = copied.size === 0 ? new Map<ByteString, Found>() : findIndexed(root, copied, groups);
  return { inodes: groups.relinked(), indexed, names: namesOnTheWay(indexed.keys()) };
}

/** Finds the hard links that differ between two whole trees. */
export function findRelinkedBetween(root: Place): Relinked {
  const groups = new Groups();
  /** The inodes that names of one inode of the old tree have now. */
  const heirs = new Map<string, Set<string>>();
  visitFiles(root, false, (_path, found, below) => {
    const now = readIdentity(found.real);
    const old = below === null || below.isDirectory ? null : readIdentity(below.real);
    if (now.nlink > 1) groups.add(now.key, old?.key ?? '');
    if (old === null || old.nlink < 2) return;
    heirs.set(old.key, (heirs.get(old.key) ?? new Set()).add(now.key));
  });
  const inodes = groups.relinked();
  for (const [old, keys] of heirs) {
    // Names that are told are new files; those of one inode that are not told stay linked, and no others may.
    const untold = [...keys].filter(key => !inodes.has(key));
    const kept = untold.find(key => inodeOf(key) === inodeOf(old)) ?? untold[0];
    for (const key of untold) if (key !== kept) inodes.add(key);
  }
  return { ...NOTHING_RELINKED, inodes };
}

/** All names that are still those of a lower file of which the upper's index has a copy. */
function findIndexed(
  root: Place,
  copied: ReadonlyMap<string, Found>,
  groups: Groups,
): Map<ByteString, Found> {
  const indexed = new Map<ByteString, Found>();
  visitFiles(root, true, (path, found) => {
    if (found.part.level === 0) return;
    const { key, nlink } = readIdentity(found.real);
    const copy = nlink > 1 ? copied.get(key) : undefined;
    if (copy === undefined) return;
    indexed.set(path, copy);
    groups.add(readIdentity(copy.real).key, key);
    root.now.stack.strays.add(copy.real.dir);
  });
  return indexed;
}

function namesOnTheWay(paths: Iterable<ByteString>): Map<ByteString, Set<ByteString>> {
  const names = new Map<ByteString, Set<ByteString>>();
  for (let path of paths) {
    while (path !== '') {
      const slash = path.lastIndexOf('/');
      const dir = slash < 0 ? '' : path.slice(0, slash);
      const inDir = names.get(dir) ?? new Set();
      names.set(dir, inDir.add(path.slice(slash + 1)));
      path = dir;
    }
  }
  return names;
}

/** The lower inode that a file was copied up from; null when that cannot be told. */
function originKey(real: Real, root: Place): string | null {
  const origin = readNote(real, 'origin');
  const layers = root.old?.parts.map(part => part.dir.layer) ?? [];
  return origin !== null && statHandle(layers, origin, stat) ? inodeKey(stat) : null;
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
