export { type ApplyOptions, type ApplyResult, applyLayerTar } from './apply.js';
export type { ByteSource } from './bytes-in.js';
export { type Change, type DiffOptions, diffLayer } from './diff.js';
export type { Entry, EntryType } from './entry.js';
export { type IdMap, type IdRange, ownerOnDisk } from './id-map.js';
export { type LayerTarOptions, layerTar, writeLayerTar } from './layer-tar.js';
export { diffTrees, type TreeDiffOptions, treeTar } from './tree-diff.js';
