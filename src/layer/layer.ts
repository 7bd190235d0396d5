// A layer: one directory tree, lower (only read, for ever) or upper. Lowers are seen through a private read-only clone
// of their mount where we may make one, as kernel overlayfs does: then nothing, not even an access time, can change.
import { type ByteString, E, ok, Stat, SysError } from '../base/index.js';
import { AT, clonePrivate, close, fsUuid, O, openat2, statx } from '../sys/index.js';
import { RealDir, releaseLayer } from './realdir.js';

/** A directory tree of a union, with the descriptor through which all of it is reached. */
export class Layer {
  readonly root: RealDir;
  /** Where it is in its union: 0 is the top. */
  position = 0;
  /** It is no layer of any union: names and xattrs mean what they say, `.wh.` and overlay's among them. */
  plain = false;
  private closed = false;

  private constructor(
    /** As the user named it, for messages. */
    readonly path: ByteString,
    readonly writable: boolean,
    /** The layer's root, open for reading; also the mount for file handles. */
    readonly rootFd: number,
    /** Device of the file system, see Stat.dev. */
    readonly dev: number,
    /** Inode number of the root. */
    readonly ino: number,
    /** Identity of the file system, or null where it tells none. */
    readonly uuid: Buffer | null,
    /** Reads must ask for O_NOATIME, because the mount does not suppress access times. */
    readonly noatime: boolean,
    /** False once the file system has answered that it has no extended attributes. */
    public hasXattrs: boolean,
  ) {
    this.root = new RealDir(this, null, '');
  }

  /**
   * Opens the directory `path`. Throws SysError: ENOENT, ENOTDIR, EACCES, naming the path.
   */
  static open(path: ByteString, writable: boolean): Layer {
    const plain = ok(openat2(AT.FDCWD, path, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0, 0), path);
    let fd = plain;
    let noatime = !writable;
    if (!writable) {
      const clone = clonePrivate(plain, '');
      if (clone >= 0) {
        fd = openat2(clone, '.', O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0, 0);
        close(clone);
        if (fd < 0) fd = plain;
        else {
          close(plain);
          noatime = false;
        }
      }
    }
    const stat = new Stat();
    const rc = statx(fd, '', AT.EMPTY_PATH, stat.slots);
    if (rc < 0) {
      close(fd);
      throw new SysError(-rc, path);
    }
    return new Layer(path, writable, fd, stat.dev, stat.ino, fsUuid(fd), noatime, true);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    releaseLayer(this);
    close(this.rootFd);
  }

  /** Takes an xattr call's answer; remembers a file system that has none. */
  xattrs(rc: number): boolean {
    if (rc === -E.EOPNOTSUPP) this.hasXattrs = false;
    return rc >= 0;
  }
}
