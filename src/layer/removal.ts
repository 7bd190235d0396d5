// Removing what only we have made: things in the work directory, and emptied directories with their whiteouts.
import { type ByteString, E, ok } from '../base/index.js';
import { AT, close, O, openChild, readDirents, unlinkat } from '../sys/index.js';

/** Hears of each entry before it is removed, of a directory before what is in it. */
export type Removing = (dirfd: number, name: ByteString) => void;

/** Removes the entry `name` of an open directory and all below it; never follows symlinks. Absent is fine. */
export function removeEntry(dirfd: number, name: ByteString, removing?: Removing): void {
  removing?.(dirfd, name);
  const rc = unlinkat(dirfd, name, 0);
  if (rc >= 0 || rc === -E.ENOENT) return;
  if (rc !== -E.EISDIR && rc !== -E.EPERM) ok(rc, `removing ${name}`);
  const fd = openChild(dirfd, name, O.RDONLY | O.DIRECTORY, 0);
  // Engines tidy up work directories too, at any time.
  if (fd === -E.ENOENT) return;
  ok(fd, `removing ${name}`);
  const names: ByteString[] = [];
  try {
    readDirents(fd, entry => names.push(entry));
    for (const entry of names) removeEntry(fd, entry, removing);
  } finally {
    close(fd);
  }
  const removed = unlinkat(dirfd, name, AT.REMOVEDIR);
  if (removed !== -E.ENOENT) ok(removed, `removing ${name}`);
}
