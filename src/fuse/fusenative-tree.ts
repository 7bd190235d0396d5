// Paths for a FileSystem that knows nodes, as libfuse 2 needs them: every operation walks from the root. Nodes that were
// met are given back to the file system in one go when many have gathered, except those with open files.
import { type ByteString, E, fromText, S, Stat, SysError, toText } from '../base/index.js';
import type { Caller, FileSystem } from './filesystem.js';

const MANY_NODES = 10000;

interface Open {
  readonly handle: object;
  readonly node: object;
}

/** The text is what fuse-native made of a name's bytes; a name that is not UTF-8 cannot be reached. Throws EILSEQ. */
export function bytesOf(text: string): ByteString {
  if (text.includes('\ufffd')) throw new SysError(E.EILSEQ, text);
  return fromText(text);
}

/** The text for a name, or undefined when it is not UTF-8. */
export function textOf(bytes: ByteString): string | undefined {
  const text = toText(bytes);
  return text.includes('\ufffd') ? undefined : text;
}

export class Tree {
  readonly stat = new Stat();
  /** fuse-native does not say who asks. */
  readonly caller: Caller = { uid: process.getuid!(), gid: process.getgid!(), pid: process.pid, umask: 0 };
  private readonly known = new Set<object>();
  private readonly files: (Open | undefined)[] = [undefined];
  private readonly free: number[] = [];

  constructor(readonly fs: FileSystem) {}

  /** The node at `path`, its attributes in `stat` (but for the root). Throws ENOENT, ENOTDIR. */
  walk(path: string): object {
    this.trim();
    let node = this.fs.root;
    let directory = true;
    for (const part of path.split('/')) {
      if (part === '') continue;
      if (!directory) throw new SysError(E.ENOTDIR, path);
      const child = this.fs.lookup(node, bytesOf(part), this.stat);
      if (child === null) throw new SysError(E.ENOENT, path);
      node = this.met(child);
      directory = (this.stat.mode & S.IFMT) === S.IFDIR;
    }
    return node;
  }

  /** The directory that `path` is in, and its name there. */
  parent(path: string): [parent: object, name: ByteString] {
    const cut = path.lastIndexOf('/');
    return [this.walk(path.slice(0, cut)), bytesOf(path.slice(cut + 1))];
  }

  /** Remembers to give the node back. */
  met(node: object): object {
    if (node !== this.fs.root) this.known.add(node);
    return node;
  }

  open(node: object, handle: object): number {
    const fd = this.free.pop() ?? this.files.length;
    this.files[fd] = { node, handle };
    return fd;
  }

  /** Throws EBADF. */
  handle(fd: number): object {
    const open = this.files[fd];
    if (open === undefined) throw new SysError(E.EBADF, `file ${fd}`);
    return open.handle;
  }

  close(fd: number): object {
    const handle = this.handle(fd);
    this.files[fd] = undefined;
    this.free.push(fd);
    return handle;
  }

  /** Releases everything, as a FileSystem expects before destroy(). */
  clear(): void {
    for (const open of this.files.splice(1)) if (open !== undefined) this.fs.release(open.handle);
    this.known.clear();
  }

  private trim(): void {
    if (this.known.size < MANY_NODES) return;
    const busy = new Set(this.files.map(open => open?.node));
    for (const node of this.known) {
      if (busy.has(node)) continue;
      this.known.delete(node);
      this.fs.forget(node);
    }
  }
}
