// Mounts of one process for many callers. What could hold all of them up is left to processes of their own: a layer or mount
// point on a FUSE mount, which may be one that this process serves (a system call there would wait for itself for ever) or may
// hang; tracing; libfuse; and what comes when descriptors become scarce.
import { readdirSync, readFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { type ByteString, SysError, toText } from '../base/index.js';
import { listMounts } from '../sys/index.js';
import { absolutePath, type Mounted, mountUnion, OptionError, type UnionConfig } from '../union/index.js';
import { describe, pathBuffer } from './output.js';
import type { MountRequest } from './request.js';
import { configOf } from './serve.js';
import { waitForUpper } from './upperlock.js';

/** The part of the descriptors that may be in use when one more mount comes. */
const MOST_DESCRIPTORS = 0.5;

interface Live {
  readonly mounted: Mounted;
  readonly upper: ByteString | null;
  readonly ended: Promise<void>;
}

export class SharedMounts {
  /** Called when the last mount has ended. */
  onIdle: () => void = () => {};
  private readonly live = new Set<Live>();
  private readonly descriptors = descriptorLimit();

  constructor(private readonly log: (text: string) => void) {}

  get size(): number {
    return this.live.size;
  }

  /** Mounts; null when a process of its own is to do it, and when `gone` says that nobody waits any more. */
  async mount(request: MountRequest, gone: () => boolean): Promise<Mounted | null> {
    const config = configOf(request);
    if (config.transport !== 'dev' || config.debug || this.descriptorsAreScarce()) return null;
    const found = await resolved(config, absolutePath(request.mountpoint, request.cwd));
    if (found === null) return null;
    const { upper } = found.config;
    for (const live of this.live)
      if (upper !== null && live.upper === upper && !live.mounted.held) await live.ended;
    await waitForUpper(upper);
    // From here until the mount is made nothing else of this process runs, so no mount of ours can come between.
    if (gone() || onFuse([found.mountpoint, ...layersOf(found.config)])) return null;
    const mounted = await this.attempt(found);
    if (mounted !== null) this.keep(mounted, upper);
    return mounted;
  }

  /** Mounts; null when that fails: a process of its own will say why, in words for the paths that were given. */
  private async attempt({ config, mountpoint }: Resolved): Promise<Mounted | null> {
    const defect = (error: unknown, operation: string) => this.log(`${operation}: ${describe(error)}`);
    try {
      return await mountUnion(config, mountpoint, { trace: this.log, defect });
    } catch (error) {
      if (!(error instanceof SysError || error instanceof OptionError)) throw error;
      this.log(`${toText(mountpoint)}: ${describe(error)}`);
      return null;
    }
  }

  /** Unmounts everything; what is in use leaves the tree, and ends with its last user. */
  async close(): Promise<void> {
    await Promise.all([...this.live].map(({ mounted }) => this.unmount(mounted)));
  }

  private async unmount(mounted: Mounted): Promise<void> {
    try {
      await mounted.unmount();
    } catch (error) {
      this.log(`${mounted.mountpoint}: ${describe(error)}; ending with its last user`);
      await mounted.unmount({ lazy: true }).catch(why => this.log(describe(why)));
    }
  }

  private keep(mounted: Mounted, upper: ByteString | null): void {
    const ended = mounted.closed.catch(error => this.log(`${mounted.mountpoint}: ${describe(error)}`));
    const live: Live = { mounted, upper, ended };
    this.live.add(live);
    void ended.then(() => {
      this.live.delete(live);
      if (this.live.size === 0) this.onIdle();
    });
  }

  private descriptorsAreScarce(): boolean {
    return readdirSync('/proc/self/fd').length > this.descriptors * MOST_DESCRIPTORS;
  }
}

interface Resolved {
  readonly config: UnionConfig;
  readonly mountpoint: ByteString;
}

/** With paths that lead through no symlink; null when one leads nowhere: what is wrong with it is said elsewhere. */
async function resolved(config: UnionConfig, mountpoint: ByteString): Promise<Resolved | null> {
  const resolve = (path: ByteString) => realpath(pathBuffer(path), 'latin1');
  const resolveAny = async (path: ByteString | null) => (path === null ? null : resolve(path));
  try {
    const [point, upper, work, ...lowers] = await Promise.all([
      resolve(mountpoint),
      resolveAny(config.upper),
      resolveAny(config.work),
      ...config.lowers.map(resolve),
    ]);
    return { config: { ...config, upper, work, lowers }, mountpoint: point };
  } catch (error) {
    if (error instanceof Error && 'code' in error) return null;
    throw error;
  }
}

function layersOf({ lowers, upper, work }: UnionConfig): ByteString[] {
  return [...lowers, ...[upper, work].filter(path => path !== null)];
}

/** Is any of these paths, which lead through no symlink, on a FUSE mount or below one? The root we stand on is not ours. */
function onFuse(paths: readonly ByteString[]): boolean {
  const points = listMounts()
    .filter(({ type, mountpoint }) => mountpoint !== '/' && /^fuse(blk)?(\.|$)/.test(type))
    .map(({ mountpoint }) => `${mountpoint}/`);
  return paths.some(path => points.some(point => `${path}/`.startsWith(point)));
}

/** RLIMIT_NOFILE of this process. */
function descriptorLimit(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
  return line === null ? Number.POSITIVE_INFINITY : Number(line[1]);
}
