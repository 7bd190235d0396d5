// Making a file system on a volume, and never over something by mistake; and making one larger.
import { E, SysError } from '../base/index.js';
import { attempt, tool } from './loop-tool.js';

/** What mkfs.TYPE is told: not to ask and not to chat. Whether there is something to lose is asked here. */
const FORMATS: Readonly<Record<string, readonly string[]>> = {
  ext2: ['-q', '-F'],
  ext3: ['-q', '-F'],
  ext4: ['-q', '-F'],
  xfs: ['-q', '-f'],
  btrfs: ['-q', '-f'],
};

/** blkid(8): nothing was recognised. */
const NOTHING_FOUND = 2;

/** EINVAL for a file system that cannot be made here. */
export function checkFormat(format: string): void {
  if (!Object.hasOwn(FORMATS, format)) {
    throw new SysError(E.EINVAL, `format ${format}: one of ${Object.keys(FORMATS).join(', ')}`);
  }
}

/** What `device` holds (`ext4`, `LVM2_member`, `gpt`), or null when nothing is recognised. */
export async function contentOf(device: string): Promise<string | null> {
  const { status, out, said } = await attempt('blkid', ['--probe', '--output', 'export', device]);
  if (status === NOTHING_FOUND) return null;
  const found = /^(?:TYPE|PTTYPE)=(.*)$/m.exec(out)?.[1];
  return found ?? (said || 'something that blkid cannot name');
}

/** Makes a file system on `device` (or in a file), whatever it holds; `args` are further arguments of mkfs. */
export async function makeFilesystem(
  device: string,
  format: string,
  args: readonly string[] = [],
): Promise<void> {
  await tool(`mkfs.${format}`, ...FORMATS[format]!, ...args, device);
}

/** e2fsck(8): errors were corrected, up to this status. */
const CORRECTED = 1;

/**
 * Makes an ext4 file system that is not mounted as large as `device`. (While it is mounted that needs CAP_SYS_RESOURCE, which
 * containers and services often lack.)
 */
export async function growExt4(device: string): Promise<void> {
  // What a journal still holds goes in first. -f below stands for a full check of what has just been unmounted.
  const { status, said, out } = await attempt('e2fsck', ['-p', device]);
  if (status > CORRECTED) throw new SysError(E.EUCLEAN, said || out.trim());
  await tool('resize2fs', '-f', device);
}

/** The same for an xfs file system that is mounted at `place`. */
export async function growXfs(place: string): Promise<void> {
  await tool('xfs_growfs', '-d', place);
}
