// A file system in a file of its own, mounted by a loop device on it. Nothing of this process is in its way: it goes on when
// the process ends, and is found again by its mount point.
import { open, rm } from 'node:fs/promises';
import { isMounted } from './loop-mount.js';
import { tool } from './loop-tool.js';
import { makeFilesystem } from './volumemount-format.js';

/** Makes the file `path`, sparse, with an ext4 of `size` bytes, all of them for whoever writes. SysError; then it is gone. */
export async function makeImage(path: string, size: number): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.truncate(size);
  } finally {
    await file.close();
  }
  try {
    await makeFilesystem(path, 'ext4', ['-m', '0']);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

/** Mounts the file system in the file `path` at the directory `target`, unless something is mounted there already. */
export async function mountImage(path: string, target: string): Promise<void> {
  if (isMounted(target)) return;
  // What is deleted in it goes back to the file system below at once.
  await tool('mount', '--options', 'loop,discard', '--', path, target);
}

/** Unmounts what is mounted at `target`, if anything is. EBUSY when it is in use. */
export async function unmountImage(target: string): Promise<void> {
  if (isMounted(target)) await tool('umount', '--', target);
}
