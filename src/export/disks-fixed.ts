// The half of a FileSystem that says no: a tree whose names and attributes are made elsewhere (volumes by `lamina
// volume`). Names and attributes cannot be changed (EPERM); there are no links, extended attributes or file flags.
import { type ByteString, E, type Stat, SysError } from '../base/index.js';
import type { Caller } from '../fuse/index.js';

const NAMES = new SysError(E.EPERM, 'names here are volumes, made and removed by `lamina volume`');
const XATTRS = new SysError(E.ENOTSUP, 'volumes have no extended attributes');
const FLAGS = new SysError(E.ENOTTY, 'volumes have no file flags');
const LINKS = new SysError(E.EINVAL, 'no symbolic link');
/** The kernel copies by reading and writing, and asks no more. */
const COPY = new SysError(E.ENOSYS, 'copy_file_range');
const NO_NAMES = Buffer.alloc(0);

export abstract class FixedTree<N extends object, H extends object> {
  readlink(_node: N): ByteString {
    throw LINKS;
  }
  mknod(_caller: Caller, _parent: N, _name: ByteString): N {
    throw NAMES;
  }
  mkdir(_caller: Caller, _parent: N, _name: ByteString): N {
    throw NAMES;
  }
  symlink(_caller: Caller, _parent: N, _name: ByteString): N {
    throw NAMES;
  }
  link(_caller: Caller, _node: N, _parent: N, _name: ByteString): N {
    throw NAMES;
  }
  unlink(_parent: N, _name: ByteString): void {
    throw NAMES;
  }
  rmdir(_parent: N, _name: ByteString): void {
    throw NAMES;
  }
  rename(_caller: Caller, _parent: N, _name: ByteString): void {
    throw NAMES;
  }
  tmpfile(_caller: Caller, _parent: N, _mode: number, _flags: number, _out: Stat): never {
    throw NAMES;
  }
  copyRange(_caller: Caller, _source: H): number {
    throw COPY;
  }
  fsyncdir(_handle: H): void {}
  getxattr(_node: N, _name: ByteString): number {
    return -E.ENOTSUP;
  }
  listxattr(_caller: Caller, _node: N): Buffer {
    return NO_NAMES;
  }
  setxattr(_caller: Caller, _node: N, _name: ByteString): void {
    throw XATTRS;
  }
  removexattr(_caller: Caller, _node: N, _name: ByteString): void {
    throw XATTRS;
  }
  getFlags(_node: N): number {
    throw FLAGS;
  }
  setFlags(_caller: Caller, _node: N, _flags: number): void {
    throw FLAGS;
  }
}
