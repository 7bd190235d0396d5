export * from './calls.js';
export * from './constants.js';
export { type DirentVisitor, decodeDirents, readDirents } from './dirents.js';
export { openBeneath, openChild, openPath } from './fd.js';
export { type FileHandle, fileHandle, fsUuid, openHandle } from './handle.js';
export { clonePrivate, listMounts, type Mount, parseMountinfo } from './mounts.js';
export { type Native, native, type Watch } from './native.js';
export { getxattr, listxattr, removexattr, setxattr } from './xattr.js';
