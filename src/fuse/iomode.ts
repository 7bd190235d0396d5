// Which opens may use FUSE passthrough. The kernel keeps an inode either cached or in passthrough with one backing id, and
// answers EIO to an open of the other kind (fs/fuse/iomode.c): so each node has one mode for as long as it has opens.
import { E } from '../base/index.js';

/** The two calls of a channel that this needs. */
export interface BackingIds {
  backingOpen(fd: number): number;
  backingClose(id: number): void;
}

interface Mode {
  opens: number;
  /** The backing id, or 0 for cached. */
  readonly backing: number;
}

export class IoModes {
  private readonly modes = new Map<number, Mode>();
  /** Nodes whose page cache in the kernel may be older than what went through passthrough. */
  private readonly bypassed = new Set<number>();

  constructor(
    private readonly ids: BackingIds,
    private enabled: boolean,
  ) {}

  /** Will a backing descriptor be used if one is offered? */
  get passthrough(): boolean {
    return this.enabled;
  }

  /** Counts an open; `fd` is the backing descriptor that the file system offers. Returns a backing id, or 0 for cached. */
  enter(nodeid: number, fd: number | undefined): number {
    const mode = this.modes.get(nodeid);
    if (mode !== undefined) {
      mode.opens++;
      return mode.backing;
    }
    const backing = fd !== undefined && this.enabled ? this.register(fd) : 0;
    this.modes.set(nodeid, { opens: 1, backing });
    if (backing > 0) this.bypassed.add(nodeid);
    return backing;
  }

  /** May a cached open keep the pages that the kernel has? Asked once per cached open. */
  cacheIsGood(nodeid: number): boolean {
    return this.bypassed.size === 0 || !this.bypassed.delete(nodeid);
  }

  /** Has the node no other open than the one just entered? */
  isAlone(nodeid: number): boolean {
    return this.modes.get(nodeid)?.opens === 1;
  }

  leave(nodeid: number): void {
    const mode = this.modes.get(nodeid);
    if (mode === undefined) return;
    mode.opens--;
    if (mode.opens > 0) return;
    this.modes.delete(nodeid);
    if (mode.backing > 0) this.ids.backingClose(mode.backing);
  }

  /** The kernel has forgotten the node. */
  forget(nodeid: number): void {
    if (this.bypassed.size > 0) this.bypassed.delete(nodeid);
  }

  private register(fd: number): number {
    const id = this.ids.backingOpen(fd);
    if (id > 0) return id;
    // Without the privilege no later attempt can succeed; other failures (ELOOP: a file on a stacked file system) are
    // this file's own.
    if (id === -E.EPERM || id === -E.ENOTTY) this.enabled = false;
    return 0;
  }
}
