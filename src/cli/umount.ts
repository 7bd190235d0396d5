// `lamina umount`: ends a mount, by the kernel when root, else by the set-uid helper. It returns when the mount is gone.
import type { Command } from 'commander';
import { type ByteString, E, fromText, isErrno, SysError, toText } from '../base/index.js';
import { unmount } from '../fuse/index.js';
import { absolutePath } from '../union/index.js';
import { UserError } from './output.js';

export function define(command: Command): void {
  command
    .argument('<mountpoint>')
    .option('-l, --lazy', 'take it out of the tree now; the daemon ends when nobody uses it any more')
    .addHelpText(
      'after',
      '\nA busy mount (a file is open, or a shell is in it) stays; see fuser -vm MOUNTPOINT.',
    )
    .action((mountpoint: ByteString, flags: { lazy?: true }) => umount(mountpoint, flags.lazy === true));
}

async function umount(mountpoint: ByteString, lazy: boolean): Promise<void> {
  const path = absolutePath(mountpoint, fromText(process.cwd()));
  try {
    await unmount(path, { lazy });
  } catch (error) {
    const rule =
      error instanceof SysError ? RULES.find(({ errno }) => isErrno(error, errno))?.rule : undefined;
    if (rule === undefined) throw error;
    throw new UserError(`${toText(path)} ${rule}`);
  }
}

/** What umount2(2) means by its errors. */
const RULES = [
  {
    errno: E.EBUSY,
    rule: 'is in use: a file is open or a process is in it (fuser -vm says who; -l unmounts lazily)',
  },
  { errno: E.EINVAL, rule: 'is not a mount point' },
  { errno: E.ENOENT, rule: 'does not exist' },
];
