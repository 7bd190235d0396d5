// What an upper directory changes: as a list (`docker diff`'s A, C and D), and as the items of a layer tar.
import type { ByteString } from '../base/index.js';
import { Layer } from '../layer/index.js';
import type { EntryType } from './entry.js';
import { findRelinked, type Relinked } from './hard-links.js';
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

const NOTHING: Relinked = { inodes: new Set(), indexed: new Map(), names: new Map() };

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
    yield* withLinks(root, known, known ? findRelinked(root) : NOTHING);
  } finally {
    root?.now.releaseStrays();
    root?.old?.releaseStrays();
    for (const layer of layers) layer.close();
  }
}

async function* withLinks(
  root: Place,
  known: boolean,
  relinked: Relinked,
): AsyncGenerator<LinkedItem, void, undefined> {
  const first = new Map<string, ByteString>();
  for await (const item of new Walk(root, known, relinked).items()) {
    let link: ByteString | null = null;
    if (item.kind !== 'D' && item.node.type !== 'directory' && item.node.nlink > 1) {
      link = first.get(item.node.key) ?? null;
      if (link === null) first.set(item.node.key, item.path);
    }
    yield { ...item, link };
  }
}

/** What `upper` adds, changes and deletes; a directory's deletions come first, all in byte order. The root is left out. */
export async function* diffLayer(
  upper: ByteString,
  options: DiffOptions = {},
): AsyncGenerator<Change, void, undefined> {
  for await (const item of diffItems(upper, options)) {
    if (item.path === '') continue;
    if (item.kind === 'D') yield { path: item.path, kind: 'D', type: null, size: 0 };
    else yield { path: item.path, kind: item.kind, type: item.node.type, size: item.node.size };
  }
}
