// A file system in a file, mounted by a loop device that goes with it; and what is left of such mounts when the process that
// served the file has died.
import { E, fromText, SysError, toText } from '../base/index.js';
import { listMounts } from '../sys/index.js';
import { unmountDisks } from './disks-mount.js';
import { attachLoop, detachLoop, type Loop, type LoopOptions, listLoops } from './loop.js';
import { attempt, tool } from './loop-tool.js';
import { numberOf } from './loop-volumes.js';

export interface LoopMountOptions extends LoopOptions {
  /** Gets the loop device ready and resolves to the options of mount(8), with commas. */
  prepare(device: string): Promise<string>;
}

/**
 * Mounts the file system in `file` at `target`; resolves to the loop device, which is detached when the file system has been
 * unmounted everywhere. SysError of the tools; then nothing is left.
 */
export async function mountByLoop(file: string, target: string, options: LoopMountOptions): Promise<string> {
  const device = await attachLoop(file, options);
  let mounted = false;
  try {
    const wishes = await options.prepare(device);
    await tool('mount', ...optionWords(wishes), '--', device, target);
    mounted = true;
    // In use by the file system, so it goes when that goes.
    await detachLoop(device);
    return device;
  } catch (error) {
    if (mounted) await tool('umount', '--lazy', '--', target);
    await detachLoop(device);
    throw error;
  }
}

/** sh(1): while we have the device open it stays what it is, so that the file behind it can be looked at before. */
const MOUNT_AGAIN = `device=$1 file=$2; shift 2
command exec 3<"$device" || exit 9
[ "$(cat "/sys/block/\${device##*/}/loop/backing_file")" = "$file" ] || exit 9
exec mount "$@"`;
const GONE = 9;

/**
 * Mounts the file system on `device`, a loop device of `file` that is mounted somewhere already, at one more place. False
 * when the device has gone or is another file's by now.
 */
export async function mountAgain(
  device: string,
  file: string,
  target: string,
  wishes: string,
): Promise<boolean> {
  const words = [...optionWords(wishes), '--', device, target];
  const { status, said } = await attempt('sh', ['-c', MOUNT_AGAIN, 'sh', device, file, ...words]);
  if (status === GONE) return false;
  if (status === 0) return true;
  throw new SysError(/\bbusy\b/.test(said) ? E.EBUSY : E.EIO, said || `mount: status ${status}`);
}

function optionWords(wishes: string): string[] {
  return wishes === '' ? [] : ['--options', wishes];
}

/**
 * Takes away what a process that died has left of a mount of a pool's files at `disks`: file systems on it, which answer
 * every request with EIO, leave the tree even if somebody is in them; then their loop devices, and the mount.
 */
export async function tidyDisks(disks: string): Promise<void> {
  for (const loop of await listLoops()) if (loop.file.startsWith(`${disks}/`)) await tidyLoop(loop);
  if (isMounted(disks)) await unmountDisks(disks, true);
}

async function tidyLoop({ device, number, file }: Loop): Promise<void> {
  for (const mount of listMounts().reverse()) {
    if (numberOf(mount) !== number) continue;
    const place = toText(mount.mountpoint);
    // A process that died in the midst of a snapshot has left it frozen, and a frozen file system outlives its last mount, with
    // its loop device. One that is not frozen says so, which is as good.
    await attempt('fsfreeze', ['--unfreeze', place]);
    await tool('umount', '--lazy', '--', place);
  }
  // With its last user it may have gone by itself.
  const left = await listLoops();
  if (left.some(loop => loop.device === device && loop.file === file)) await detachLoop(device);
}

export function isMounted(path: string): boolean {
  const bytes = fromText(path);
  return listMounts().some(mount => mount.mountpoint === bytes);
}
