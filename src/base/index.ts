export type { BlockDevice, ExtentVisitor } from './blockdevice.js';
export { type ByteString, fromText, toText } from './bytes.js';
export { crashPoint } from './crash.js';
export { E, errnoName, isErrno, ok, SysError } from './errno.js';
export { objectFreed } from './heap.js';
export { KeyedLock } from './keyedlock.js';
export { bytesOf } from './size.js';
export { DT, modeToType, S, STAT_SLOTS, Stat } from './stat.js';
