// laminafs as a library: mounts a union and serves it in this process.
//
//   const mounted = await mount({ lowerdir: ['/layers/app', '/layers/base'], upperdir: '/w/upper', workdir: '/w/work' }, '/mnt');
import { fromText } from './base/index.js';
import {
  absolutePath,
  formatOptions,
  type Mounted,
  mountUnion,
  type Observer,
  type OptionValue,
  parseOptions,
  withAbsolutePaths,
} from './union/index.js';

export { SysError } from './base/index.js';
export { type Mounted, type Observer, OptionError, type UnionConfig, type Usage } from './union/index.js';

/** Mount options by the names that `lamina help mount` lists. Paths are plain, without backslashes; flags are true. */
export interface MountOptions {
  /** Lower layers, topmost first. */
  lowerdir: readonly string[];
  /** Takes the changes; needs workdir. Without it the mount is read-only. */
  upperdir?: string;
  workdir?: string;
  [option: string]: OptionValue;
}

/**
 * Mounts a union; resolves once it is live. `options` is an option string as in mount(8), or an object.
 *
 * This process serves the mount: a synchronous file system call on it (`readFileSync`) from here waits for itself for ever.
 * Use the asynchronous calls, or `lamina mount`, which serves it elsewhere.
 * @throws OptionError for an option, SysError for a layer or the mount point.
 */
export async function mount(
  options: string | MountOptions,
  mountpoint: string,
  observer: Observer = {},
): Promise<Mounted> {
  const cwd = fromText(process.cwd());
  const text = typeof options === 'string' ? fromText(options) : formatOptions(options);
  return mountUnion(
    withAbsolutePaths(parseOptions(text), cwd),
    absolutePath(fromText(mountpoint), cwd),
    observer,
  );
}
