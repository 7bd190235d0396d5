// laminafs as a library: mounts a union and serves it in this process.
//
//   const mounted = await mount({ lowerdir: ['/layers/app', '/layers/base'], upperdir: '/w/upper', workdir: '/w/work' }, '/mnt');
import { type ByteString, fromText, toText } from './base/index.js';
import { checkMountpoint } from './cli/mountpoint.js';
import { unmountAside } from './cli/unmountaside.js';
import {
  DevChannel,
  type FileSystem,
  type MountOptions as FuseMountOptions,
  MOUNT_FLAGS,
  type MountFlag,
  mountFuse,
  Session,
  serveFuseNative,
} from './fuse/index.js';
import {
  absolutePath,
  formatOptions,
  type MountFlags,
  OptionError,
  type OptionValue,
  openUnion,
  parseOptions,
  type UnionConfig,
  withAbsolutePaths,
} from './union/index.js';

export { SysError } from './base/index.js';
export { OptionError, type UnionConfig } from './union/index.js';

/** Mount options by the names that `lamina help mount` lists. Paths are plain, without backslashes; flags are true. */
export interface MountOptions {
  /** Lower layers, topmost first. */
  lowerdir: readonly string[];
  /** Takes the changes; needs workdir. Without it the mount is read-only. */
  upperdir?: string;
  workdir?: string;
  [option: string]: OptionValue;
}

/** A live mount. */
export interface Mounted {
  readonly mountpoint: string;
  /** What was accepted although it changes nothing, and why: one sentence each. */
  readonly notes: readonly string[];
  /** Minor version of the FUSE protocol that the kernel and we agreed on; 0 where libfuse agrees for us. */
  readonly protocolMinor: number;
  /** Do open files bypass this process? False as well once the kernel has refused it for a layer. */
  readonly passthrough: boolean;
  /** Settles when the mount is gone, whoever ended it, and everything is released. Rejects if it had to be given up. */
  readonly closed: Promise<void>;
  /** Ends the mount; rejects (EBUSY) when it is in use, unless `lazy`: then it ends with its last user. */
  unmount(options?: { lazy?: boolean }): Promise<void>;
}

/** For who wants to see what goes on. */
export interface Observer {
  /** Takes one line per request when the option `debug` is set. */
  trace?(line: string): void;
  /** Takes defects: a request was answered with EIO because of it. */
  defect?(error: unknown, operation: string): void;
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

/** The same from parsed options and a byte string; all paths absolute. */
export async function mountUnion(
  config: UnionConfig,
  mountpoint: ByteString,
  observer: Observer = {},
): Promise<Mounted> {
  checkMountpoint(mountpoint, config);
  const union = openUnion(config);
  const live = await (config.transport === 'dev' ? serveDevice : serveByLibfuse)({
    union,
    config,
    options: { ...config.mount, ...fuseMount(config), mountpoint },
    observer,
  });
  const mounted: Mounted = {
    mountpoint: toText(mountpoint),
    notes: config.notes,
    protocolMinor: live.terms().minor,
    get passthrough() {
      return live.terms().passthrough;
    },
    closed: live.closed,
    unmount: (options = {}) => unmountAside(mountpoint, options.lazy === true),
  };
  if (config.passthrough !== 'on' || mounted.passthrough) return mounted;
  await mounted.unmount();
  throw new OptionError('passthrough', 'it is not granted (it needs root, Linux 6.9 and transport=dev)');
}

/** What both transports need. */
interface Plan {
  readonly union: FileSystem;
  readonly config: UnionConfig;
  readonly options: FuseMountOptions;
  readonly observer: Observer;
}

/** A union that is being served. */
interface Live {
  readonly closed: Promise<void>;
  terms(): { readonly minor: number; readonly passthrough: boolean };
}

function fuseMount(config: UnionConfig) {
  const { allowOther, labels } = config.mount;
  return {
    readonly: config.readonly,
    allowOther: allowOther === 'auto' ? process.geteuid?.() === 0 : allowOther,
    flags: (Object.keys(MOUNT_FLAGS) as MountFlag[]).filter(
      flag => config.mount[flag as keyof MountFlags] === true,
    ),
    data: labels,
  };
}

async function serveDevice({ union, config, options, observer }: Plan): Promise<Live> {
  let fd: number;
  try {
    fd = await mountFuse(options);
  } catch (error) {
    await union.destroy();
    throw error;
  }
  const { trace, defect } = observer;
  const channel = new DevChannel(fd, { spinMicros: config.spin });
  let session: Session | undefined;
  const closed = await whenReady(options.mountpoint, onReady => {
    session = new Session(union, channel, {
      acl: config.acl,
      passthrough: config.passthrough !== 'off',
      onReady,
      ...(config.debug && trace !== undefined ? { trace } : {}),
      ...(defect === undefined ? {} : { onError: defect }),
    });
    return session.serve();
  });
  const { context } = session!;
  return {
    closed: closed.promise,
    // What was agreed at first may have turned out not to work for the first file.
    terms: () => ({ minor: context.terms.minor, passthrough: context.modes.passthrough }),
  };
}

async function serveByLibfuse({ union, options, observer: { defect } }: Plan): Promise<Live> {
  const closed = await whenReady(options.mountpoint, onReady =>
    serveFuseNative(union, { ...options, onReady, ...(defect && { onError: defect }) }),
  );
  return { closed: closed.promise, terms: () => ({ minor: 0, passthrough: false }) };
}

/** Starts to serve; resolves once the mount is live, to the promise of its end (in an object, so as not to wait for it). */
function whenReady(
  mountpoint: ByteString,
  serve: (ready: () => void) => Promise<void>,
): Promise<{ promise: Promise<void> }> {
  return new Promise((resolve, reject) => {
    const promise: Promise<void> = serve(() => queueMicrotask(() => resolve({ promise })));
    promise.then(() => reject(new Error(`${toText(mountpoint)} was unmounted before it was live`)), reject);
  });
}
