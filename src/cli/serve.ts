// Serves one mount in this process until it is gone. SIGTERM, SIGINT and SIGHUP unmount it.
import {
  absolutePath,
  type Mounted,
  mountUnion,
  parseOptions,
  type UnionConfig,
  withAbsolutePaths,
} from '../union/index.js';
import { describe } from './output.js';
import type { MountRequest } from './request.js';
import { waitForUpper } from './upperlock.js';

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/**
 * Mounts, calls `ready` with notes for the user, and returns when the mount is gone; at once if `ready` throws. `log` takes what there is to say
 * after that, a line at a time.
 */
export async function serve(
  request: MountRequest,
  log: (line: string) => void,
  ready: (notes: readonly string[]) => void,
): Promise<void> {
  const defect = (error: unknown, operation: string) => log(`${operation}: ${describe(error)}`);
  const mountpoint = absolutePath(request.mountpoint, request.cwd);
  const config = configOf(request);
  await waitForUpper(config.upper);
  const mounted = await mountUnion(config, mountpoint, { trace: log, defect });
  for (const signal of SIGNALS) process.on(signal, () => void stop(mounted, log));
  try {
    ready(mounted.notes);
  } catch (error) {
    // Whoever asked for the mount has gone, and would not know of it.
    await mounted.unmount();
    throw error;
  }
  await mounted.closed;
}

/** What a request asks for. Throws OptionError. */
export function configOf({ options, source, cwd, debug }: MountRequest): UnionConfig {
  const config = withAbsolutePaths(parseOptions(...options), cwd);
  const named = options.some(list => /(^|,)fsname=/.test(list));
  if (source !== null && !named) config.mount.fsname = source;
  config.debug ||= debug;
  return config;
}

let asked = false;

/** Asked once, a mount that is in use leaves the tree and is served until its last user has gone; asked twice, it ends. */
async function stop(mounted: Mounted, log: (line: string) => void): Promise<void> {
  if (asked) process.exit(1);
  asked = true;
  try {
    await mounted.unmount();
  } catch (error) {
    log(`${describe(error)}; ending with its last user`);
    await mounted.unmount({ lazy: true }).catch(why => log(describe(why)));
  }
}
