// What stands on a volume while it is in use, as the kernel's tables have it: the loop devices on its file in any mount of
// its pool, whoever made them, and the file systems mounted from those. For snapshots of live file systems and new sizes.
import { dirname, join } from 'node:path';
import { fromText, toText } from '../base/index.js';
import { listMounts, type Mount } from '../sys/index.js';
import { inoOf } from './disks-attr.js';
import { type MountableSource, poolPath, SUBTYPE } from './disks-mount.js';
import { fileOf, type Loop, listLoops, resizeLoop } from './loop.js';
import { tool } from './loop-tool.js';

/** Milliseconds that somebody else's server has to say which file a loop device has; ours is this process, which does. */
const PATIENCE = 3000;

/** Takes snapshots, all of one instant. */
interface Snapshots<Request, Info> {
  snapshot(requests: Request[]): Promise<Info[]>;
}

/** The device number of a mount's file system, as losetup writes it. */
export function numberOf(mount: Mount): string {
  return `${mount.devMajor}:${mount.devMinor}`;
}

/** The loop devices on a volume's file, and where that is. */
async function loopsOn(
  pool: MountableSource,
  name: string,
): Promise<{ readonly loop: Loop; readonly path: string }[]> {
  const ino = inoOf(pool.info(name).id);
  const source = fromText(await poolPath(pool));
  const ours = listMounts()
    .filter(mount => mount.type === `fuse.${SUBTYPE}` && mount.source === source)
    .map(mount => ({ dir: toText(mount.mountpoint), number: numberOf(mount) }));
  if (ours.length === 0) return [];
  const looked = (await listLoops()).map(async loop => {
    const parent = dirname(loop.file);
    const below = ours.some(({ dir }) => dir === parent);
    // In a mount that only others see, a file of ours is known by its number; but it may as well be anybody's.
    if (!below && parent !== '/') return [];
    const file = await fileOf(loop, below ? undefined : PATIENCE);
    const mount = ours.find(({ number }) => number === file?.device);
    return mount === undefined || file?.ino !== ino ? [] : [{ loop, path: join(mount.dir, name) }];
  });
  return (await Promise.all(looked)).flat();
}

/** Where file systems on a volume are mounted, one place for each loop device. ENOENT for an unknown volume. */
export async function mountpointsOf(pool: MountableSource, name: string): Promise<string[]> {
  const numbers = new Set((await loopsOn(pool, name)).map(({ loop }) => loop.number));
  const places = new Map<string, string>();
  for (const mount of listMounts()) {
    const number = numberOf(mount);
    if (numbers.has(number) && !places.has(number)) places.set(number, toText(mount.mountpoint));
  }
  return [...places.values()];
}

/** Tells whoever uses a volume by a loop device that its size has changed. */
export async function announceSize(pool: MountableSource, name: string): Promise<void> {
  for (const { loop, path } of await loopsOn(pool, name)) await resizeLoop(loop.device, path);
}

/**
 * Runs `body` while the file systems at `mountpoints` are frozen (fsfreeze(8)): what was written is on their devices,
 * consistently, and nothing more is written. They are thawed in any case.
 */
export async function frozen<T>(mountpoints: readonly string[], body: () => Promise<T>): Promise<T> {
  const [first, ...others] = mountpoints;
  if (first === undefined) return body();
  await tool('fsfreeze', '--freeze', first);
  try {
    return await frozen(others, body);
  } finally {
    await tool('fsfreeze', '--unfreeze', first);
  }
}

/** `pool.snapshot`, with every mounted file system on the origins frozen meanwhile. */
export async function snapshotFrozen<Request extends { readonly origin: string }, Info>(
  pool: MountableSource & Snapshots<Request, Info>,
  requests: readonly Request[],
): Promise<Info[]> {
  const places = new Set<string>();
  for (const { origin } of requests) for (const place of await mountpointsOf(pool, origin)) places.add(place);
  return frozen([...places], () => pool.snapshot([...requests]));
}
