// What a plain directory tree has that another has not, whatever made them: the same list and the same layer tar as for an
// upper directory, by looking at everything. Names and xattrs mean what they say; nothing in the trees is a union's note.
import type { ByteString } from '../base/index.js';
import { Layer } from '../layer/index.js';
import { type Change, changesOf, type LinkedItem, withLinks } from './diff.js';
import { findRelinkedBetween, NOTHING_RELINKED } from './hard-links.js';
import { type TarOptions, tarOfItems } from './layer-tar.js';
import { MergedDir } from './merged.js';
import { type Place, Walk } from './walk.js';

export interface TreeDiffOptions {
  /** The tree that it is compared with; null: everything is new. */
  readonly parent: ByteString | null;
  /**
   * Both are file systems of which one began as a snapshot of the other: an inode with the same number and ctime is not
   * looked at further. Otherwise the data of files that agree in everything else are compared.
   */
  readonly snapshot?: boolean;
}

/** As diffLayer for a layer over its lowers. SysError: a tree that cannot be read. */
export function diffTrees(
  tree: ByteString,
  options: TreeDiffOptions,
): AsyncGenerator<Change, void, undefined> {
  return changesOf(treeItems(tree, options));
}

/** As layerTar. Names that a layer keeps for deletions are left out with a note. */
export function treeTar(
  tree: ByteString,
  options: TreeDiffOptions & TarOptions,
): AsyncGenerator<Buffer, void, undefined> {
  return tarOfItems(treeItems(tree, options), options);
}

async function* treeItems(
  tree: ByteString,
  { parent, snapshot = false }: TreeDiffOptions,
): AsyncGenerator<LinkedItem, void, undefined> {
  const opened: Layer[] = [];
  const open = (path: ByteString): Layer => {
    const layer = Layer.open(path, false);
    layer.plain = true;
    opened.push(layer);
    return layer;
  };
  try {
    const root: Place = {
      path: '',
      now: MergedDir.root([open(tree)], 0),
      old: parent === null ? null : MergedDir.root([open(parent)], 1),
    };
    const relinked = root.old === null ? NOTHING_RELINKED : findRelinkedBetween(root);
    yield* withLinks(new Walk(root, true, relinked, snapshot));
  } finally {
    for (const layer of opened) layer.close();
  }
}
