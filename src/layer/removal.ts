// Removing what only we have made: things in the work directory, and emptied directories with their whiteouts.
import { type ByteString, E, ok } from '../base/index.js';
import { AT, close, O, openChild, readDirents, unlinkat } from '../sys/index.js';

/** Removes the entry `name` of an open directory and all below it; never follows symlinks. Absent is fine. */
export function removeEntry(dirfd: number, name: ByteString): void {
  const rc = unlinkat(dirfd, name, 0);
  if (rc >= 0 || rc === -E.ENOENT) return;
  if (rc !== -E.EISDIR && rc !== -E.EPERM) ok(rc, `removing ${name}`);
  const fd = ok(openChild(dirfd, name, O.RDONLY | O.DIRECTORY, 0), `removing ${name}`);
  const names: ByteString[] = [];
  try {
    readDirents(fd, entry => names.push(entry));
    for (const entry of names) removeEntry(fd, entry);
  } finally {
    close(fd);
  }
  ok(unlinkat(dirfd, name, AT.REMOVEDIR), `removing ${name}`);
}
