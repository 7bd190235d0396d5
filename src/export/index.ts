export { askOwner, type CallerIo } from './control-client.js';
export { asked, Fields, type OperationIo, type ParamsOf, type ResultOf } from './control-operation.js';
export { type GivenOptions, poolOptions } from './control-pool.js';
export { CONTROL_SOCKET, ControlServer } from './control-server.js';
export { OPERATIONS, type PoolOperation } from './control-table.js';
export type { VolumeStatus } from './control-volume.js';
export { type Disk, type DiskSource, type DisksOptions, poolDisks } from './disks.js';
export { type DiskMount, type DiskMountOptions, type MountableSource, mountDisks } from './disks-mount.js';
export {
  type FilesystemOptions,
  type MountedFilesystem,
  PoolFilesystems,
} from './filesystems.js';
export { makeImage, mountImage, unmountImage } from './image-mount.js';
export { tool } from './loop-tool.js';
export { announceSize, frozen, mountpointsOf, snapshotFrozen } from './loop-volumes.js';
export {
  mountVolume,
  unmountVolume,
  type VolumeMount,
  type VolumeMountOptions,
  volumeMounts,
} from './volumemount.js';
export { growExt4, growXfs, makeFilesystem } from './volumemount-format.js';
export type { VolumeMountRecord } from './volumemount-state.js';
