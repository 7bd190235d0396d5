export { type ApplyOptions, type ApplyResult, applyLayerTar } from './apply.js';
export type { ByteSource } from './bytes-in.js';
export { type Change, type DiffOptions, diffLayer } from './diff.js';
export type { Entry, EntryType } from './entry.js';
export { type LayerTarOptions, layerTar, writeLayerTar } from './layer-tar.js';
