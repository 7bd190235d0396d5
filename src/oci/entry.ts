// One member of a layer tar, as the tar reader, the tar writer and both sides of a layer see it. Paths are byte
// strings relative to the layer's root, without `.` components and without a slash at either end.
import type { ByteString } from '../base/index.js';

/** Kinds of tar member that a layer can hold. A `link` is a hard link to an earlier member. */
export type EntryType = 'file' | 'link' | 'symlink' | 'char' | 'block' | 'directory' | 'fifo';

/** Metadata of one member. */
export interface Entry {
  path: ByteString;
  type: EntryType;
  /** Permission bits with setuid, setgid and sticky; no file type bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of data that follow; 0 for all but files. */
  size: number;
  /** Seconds since 1970, may be negative; `mtimeNsec` counts up from there. */
  mtime: number;
  mtimeNsec: number;
  /** Target of a symlink as stored, of a hard link as the path of the earlier member; '' for others. */
  target: ByteString;
  /** Device numbers; 0 for all but devices. */
  major: number;
  minor: number;
  /** Extended attributes by full name; values are raw bytes. */
  xattrs: ReadonlyMap<ByteString, Uint8Array>;
}
