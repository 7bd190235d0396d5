export { type Mounted, mountUnion, type Observer } from './mount.js';
export { isBelow } from './open.js';
export {
  absolutePath,
  formatOptions,
  type OptionValue,
  optionHelp,
  parseOptions,
  withAbsolutePaths,
} from './options.js';
export { openUnion, Union } from './union.js';
export {
  defaultConfig,
  type IdRange,
  MAX_LOWERS,
  type MountFlags,
  OptionError,
  type UnionConfig,
  type Usage,
} from './unionconfig.js';
