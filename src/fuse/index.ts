export { type Channel, Frame, type Receiver, type RingOffer } from './channel.js';
export { DevChannel, type DevChannelOptions } from './channel-dev.js';
export { MemoryChannel, type MemoryChannelOptions } from './channel-memory.js';
export { RingChannel, type RingChannelOptions } from './channel-ring.js';
export type {
  Agreed,
  AttrChange,
  Caller,
  DirSink,
  FileSystem,
  FileTime,
  FsStat,
  Notifier,
  Opened,
  Timeouts,
} from './filesystem.js';
export { FUSE_NATIVE_LIMITS, type FuseNativeOptions, serveFuseNative } from './fusenative.js';
export * as layout from './layout.js';
export {
  MOUNT_FLAGS,
  type MountFlag,
  type MountOptions,
  mountFuse,
  type UnmountOptions,
  unmount,
} from './mount.js';
export { SESSION_SLOT } from './nodes.js';
export * as protocol from './protocol.js';
export { Session, type SessionOptions, serve } from './session.js';
export type { Trace } from './trace.js';
