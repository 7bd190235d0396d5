// What an upper directory changes: as a list (`docker diff`'s A, C and D), and as the items of a layer tar.
import type { ByteString } from '../base/index.js';
import { isReservedName, Layer } from '../layer/index.js';
import type { EntryType } from './entry.js';
import { findRelinked, NOTHING_RELINKED } from './hard-links.js';
import { MergedDir } from './merged.js';
import { type Item, type Place, Walk } from './walk.js';

/** A path that an upper adds, changes or deletes. */
export interface Change {
  /** From the root of the layer, without a leading slash. */
  path: ByteString;
  kind: 'A' | 'C' | 'D';
  /** What is there now; null when deleted. */
  type: EntryType | 'socket' | null;
  /** Bytes of a regular file. */
  size: number;
  /** Bytes that it brings: a file's data, a symlink's target; a further name of the same file brings none. */
  brings: number;
}

export interface DiffOptions {
  /**
   * The layers under the upper, top first; [] when it is the lowest. Without them every whiteout counts as a deletion, and
   * what was copied up as changed.
   */
  lowers?: readonly ByteString[] | undefined;
}

/** An item, and the earlier path it is a hard link to. */
export type LinkedItem = Item & { link: ByteString | null };

/**
 * The changes of `upper` in tar order, with what a tar needs. Directories above a change come before it.
 * Throws SysError: a layer that cannot be read, content that is in lowers which were not given.
 */
export async function* diffItems(
  upper: ByteString,
  options: DiffOptions,
): AsyncGenerator<LinkedItem, void, undefined> {
  const layers: Layer[] = [];
  let root: Place | null = null;
  try {
    for (const path of [upper, ...(options.lowers ?? [])]) layers.push(Layer.open(path, false));
    root = {
      path: '',
      now: MergedDir.root(layers, 0),
      old: layers.length > 1 ? MergedDir.root(layers.slice(1), 1) : null,
    };
    const known = options.lowers !== undefined;
    yield* withLinks(new Walk(root, known, known ? findRelinked(root) : NOTHING_RELINKED));
  } finally {
    root?.now.releaseStrays();
    root?.old?.releaseStrays();
    for (const layer of layers) layer.close();
  }
}

/** The items of a walk, with the hard links among them. */
export async function* withLinks(walk: Walk): AsyncGenerator<LinkedItem, void, undefined> {
  const first = new Map<string, ByteString>();
  for await (const item of walk.items()) {
    let link: ByteString | null = null;
    if (item.kind !== 'D' && item.node.type !== 'directory' && item.node.nlink > 1) {
      link = first.get(item.node.key) ?? null;
      if (link === null && hasPlace(item.path)) first.set(item.node.key, item.path);
    }
    yield { ...item, link };
  }
}

/** What `upper` adds, changes and deletes; a directory's deletions come first, all in byte order. The root is left out. */
export function diffLayer(
  upper: ByteString,
  options: DiffOptions = {},
): AsyncGenerator<Change, void, undefined> {
  return changesOf(diffItems(upper, options));
}

/** May a layer tar have this path? Not when a name in it would be read as a deletion. */
export function hasPlace(path: ByteString): boolean {
  return !path.split('/').some(isReservedName);
}

export async function* changesOf(items: AsyncIterable<LinkedItem>): AsyncGenerator<Change, void, undefined> {
  for await (const item of items) {
    if (item.path === '') continue;
    if (item.kind === 'D') yield { path: item.path, kind: 'D', type: null, size: 0, brings: 0 };
    else {
      const { type, size, target } = item.node;
      const brings = item.link === null ? size + target.length : 0;
      yield { path: item.path, kind: item.kind, type, size, brings };
    }
  }
}
