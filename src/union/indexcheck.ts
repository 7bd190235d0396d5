// The index directory at mount: is it of this upper and these lowers, and what did a crash leave in it? As kernel
// overlayfs does with index=on (fs/overlayfs/super.c: ovl_get_indexdir, ovl_indexdir_cleanup).
import { type ByteString, Stat } from '../base/index.js';
import { encodeHandle, type Layer, type Note, type Upper } from '../layer/index.js';
import { AT, statx, unlinkat } from '../sys/index.js';
import { parseNlink } from './links.js';

const scratch = new Stat();

/**
 * Notes which lower root the upper belongs to and which upper the index belongs to, or compares with what is noted. False:
 * they belong to others.
 */
export function claimIndex(upper: Upper, index: Layer, lower: Layer): boolean {
  return (
    claim(upper, upper.layer, 'origin', encodeHandle(lower, lower.rootFd, '')) &&
    claim(upper, index, 'upper', encodeHandle(upper.layer, upper.layer.rootFd, '', true))
  );
}

function claim(upper: Upper, on: Layer, note: Note, handle: Buffer | null): boolean {
  if (handle === null) return false;
  const noted = upper.getNote(on.rootFd, '', note);
  return noted === null ? upper.setNote(on.rootFd, '', note, handle) : noted.equals(handle);
}

/** Removes entries of files that have lost their last name. */
export function cleanIndex(upper: Upper, index: Layer): void {
  for (const name of index.root.names()) {
    if (isOrphan(upper, index, name)) unlinkat(index.rootFd, name, 0);
  }
}

function isOrphan(upper: Upper, index: Layer, name: ByteString): boolean {
  if (name.startsWith('#')) return true;
  if (statx(index.rootFd, name, AT.SYMLINK_NOFOLLOW, scratch.slots) < 0) return false;
  const note = upper.getNote(index.rootFd, name, 'nlink');
  // Relative to the lower file's links: its first names have not been changed yet.
  if (note === null || note.toString('latin1').startsWith('L')) return false;
  return parseNlink(note, scratch.nlink, 0) === 0;
}
