export type { IdMap, IdRange } from '../oci/index.js';
export type { BackendName, LayerUsage, OverlayDirs } from './backend.js';
export type { Labels, LayerInfo, Layers, PrepareRequest, Realm } from './layers.js';
export type { LayerKind } from './schema.js';
export { Store, type StoreOptions } from './store.js';
export type { ThinFilesystem, ThinOptions } from './thin-options.js';
export type { VolumeBackend, VolumeInfo, VolumeRequest, Volumes } from './volumes.js';
