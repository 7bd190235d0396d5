// Where a copied-up file came from: its `origin` note names the lower file, whose inode number it keeps.
import { type ByteString, Stat } from '../base/index.js';
import { encodeHandle, handleIno, type RealDir, statHandle } from '../layer/index.js';
import type { Stack } from './stack.js';

export interface Origin {
  /** As the union shows it. */
  readonly ino: number;
  /** Links of the lower file; 1 where it could not be opened. */
  readonly nlink: number;
  /** The note itself. */
  readonly handle: Buffer;
}

const scratch = new Stat();

/** The origin of the upper file `name` in `real`, or null. */
export function originIno(stack: Stack, real: RealDir, name: ByteString): Origin | null {
  const handle = stack.upper!.getNote(real.fd(), name, 'origin');
  if (handle === null || handle.length === 0) return null;
  if (stack.canOpenHandles) {
    if (!statHandle(stack.lowers, handle, scratch)) return null;
    return { ino: stack.inodes.of(scratch), nlink: scratch.nlink, handle };
  }
  const found = handleIno(stack.lowers, handle);
  return found === null ? null : { ino: stack.inodes.number(found.layer.dev, found.ino), nlink: 1, handle };
}

/**
 * Notes on the new upper file `name` that it is a copy of `lower`'s `lowerName`. A zero-length note says that it is a
 * copy of something without an identity, as the kernel has it.
 */
export function writeOrigin(
  stack: Stack,
  dirfd: number,
  name: ByteString,
  lower: { layer: RealDir['layer']; handle: Buffer | null },
): void {
  stack.upper!.setNote(dirfd, name, 'origin', lower.handle ?? Buffer.alloc(0));
}

/** The identity of a lower file, for `writeOrigin` and the index; null where its file system has none. */
export function handleOf(real: RealDir, name: ByteString): Buffer | null {
  return encodeHandle(real.layer, real.fd(), name);
}
