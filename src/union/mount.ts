// Mounts a union and serves it in this process, by either transport, until it is gone.
import { type ByteString, toText } from '../base/index.js';
import {
  DevChannel,
  type FileSystem,
  type MountOptions as FuseMountOptions,
  MOUNT_FLAGS,
  type MountFlag,
  mountFuse,
  RingChannel,
  Session,
  serveFuseNative,
  unmount,
} from '../fuse/index.js';
import { withIds } from './idmap.js';
import { checkMountpoint } from './mountpoint.js';
import { Union } from './union.js';
import { type MountFlags, OptionError, type UnionConfig, type Usage } from './unionconfig.js';

/** A live mount. */
export interface Mounted {
  readonly mountpoint: string;
  /** What was accepted although it changes nothing, and why: one sentence each. */
  readonly notes: readonly string[];
  /** Minor version of the FUSE protocol that the kernel and we agreed on; 0 where libfuse agrees for us. */
  readonly protocolMinor: number;
  /** Do open files bypass this process? False as well once the kernel has refused it for a layer. */
  readonly passthrough: boolean;
  /** Do requests come over io_uring? */
  readonly overRing: boolean;
  /**
   * What the upper holds now, without a walk; null unless `UnionConfig.usage` or a limit asks for it. `exact` is false
   * while the upper is still being counted.
   */
  usage(): (Usage & { readonly exact: boolean }) | null;
  /** Settles when the mount is gone, whoever ended it, and everything is released. Rejects if it had to be given up. */
  readonly closed: Promise<void>;
  /** After `unmount`: others still have it, by a bind mount or in another namespace. Not known with transport=fuse-native. */
  readonly held: boolean;
  /** Serves it no more, whoever still has it: they get ENOTCONN. Not with transport=fuse-native. */
  abandon(): void;
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
 * Mounts; resolves once the mount is live. All paths are absolute. This process serves the mount: a synchronous system call on
 * it from here waits for itself for ever. Throws OptionError for an option, SysError for a layer or the mount point.
 */
export async function mountUnion(
  config: UnionConfig,
  mountpoint: ByteString,
  observer: Observer = {},
): Promise<Mounted> {
  checkMountpoint(mountpoint, config);
  const union = await openCounted(config);
  const live = await (config.transport === 'dev' ? serveDevice : serveByLibfuse)({
    union: withIds(union, config) as FileSystem,
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
    get overRing() {
      return live.terms().overRing;
    },
    usage: () => union.usage(),
    closed: live.closed,
    get held() {
      return live.held();
    },
    abandon: () => live.abandon(),
    unmount: (options = {}) => unmount(mountpoint, options),
  };
  const refused = refusal(config, mounted);
  if (refused === undefined) return mounted;
  await mounted.unmount();
  throw refused;
}

/** What was insisted on and not granted. */
function refusal(config: UnionConfig, mounted: Mounted): OptionError | undefined {
  if (config.passthrough === 'on' && !mounted.passthrough)
    return new OptionError('passthrough', 'it is not granted (it needs root, Linux 6.9 and transport=dev)');
  if (config.channel === 'io_uring' && !mounted.overRing)
    return new OptionError('channel', "io_uring is not to be had; 'lamina doctor' says what is missing");
  return undefined;
}

/** The union; with limits, once it is known what the upper holds. */
async function openCounted(config: UnionConfig): Promise<Union> {
  const union = Union.open(config);
  if (config.size === null && config.inodes === null) return union;
  try {
    await union.counted();
  } catch (error) {
    await union.destroy();
    throw error;
  }
  return union;
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
  terms(): { readonly minor: number; readonly passthrough: boolean; readonly overRing: boolean };
  held(): boolean;
  abandon(): void;
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
  const settings = { spinMicros: config.spin };
  const channel = config.channel === 'dev' ? new DevChannel(fd, settings) : new RingChannel(fd, settings);
  let session: Session | undefined;
  const closed = await whenReady(options.mountpoint, onReady => {
    session = new Session(union, channel, {
      acl: config.acl,
      passthrough: config.passthrough !== 'off' && config.size === null,
      requestTimeout: config.requestTimeout,
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
    terms: () => ({
      minor: context.terms.minor,
      passthrough: context.modes.passthrough,
      overRing: channel instanceof RingChannel && channel.overRing,
    }),
    held: () => channel.connected(),
    abandon: () => channel.close(),
  };
}

async function serveByLibfuse({ union, options, observer: { defect } }: Plan): Promise<Live> {
  const closed = await whenReady(options.mountpoint, onReady =>
    serveFuseNative(union, { ...options, onReady, ...(defect && { onError: defect }) }),
  );
  return {
    closed: closed.promise,
    terms: () => ({ minor: 0, passthrough: false, overRing: false }),
    held: () => false,
    abandon: () => {},
  };
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
