// What the operations of one session work with, and the two answers that many of them give. Scratch objects (`stat`,
// `caller`, `dir`) are reused from request to request; one that an unfinished answer still needs is replaced (renew*).
import { E, Stat, SysError } from '../base/index.js';
import { fsyncAsync } from '../sys/index.js';
import type { Channel } from './channel.js';
import { DirWriter } from './dirwriter.js';
import { encodeAttr, putEntry, Validity } from './encode.js';
import type { FileSystem } from './filesystem.js';
import { HandleTable } from './handles.js';
import { type BackingIds, IoModes } from './iomode.js';
import { ENTRY_OUT } from './layout.js';
import { NO_TERMS, type Terms } from './negotiate.js';
import { NodeTable } from './nodes.js';
import type { Reply } from './reply.js';
import type { Request } from './request.js';

const BAD_NODE = new SysError(E.ESTALE, 'unknown FUSE node id');

/** A Caller whose fields the session fills in. */
export interface CallerSlot {
  uid: number;
  gid: number;
  pid: number;
  umask: number;
}

/**
 * The length of the body that was written, or -errno; or a promise of it. What is promised may be a function that writes
 * the body when its turn has come, because the reply at hand is another one by then.
 */
export type Answer = number | Promise<number | Encode | Answered>;
/** It has been sent. */
export type Answered = null;
export type Encode = () => number;

export class Context {
  readonly nodes: NodeTable<object>;
  readonly files = new HandleTable<object>();
  readonly valid: Validity;
  modes: IoModes;
  stat = new Stat();
  caller: CallerSlot = { uid: 0, gid: 0, pid: 0, umask: 0 };
  dir: DirWriter<object>;
  /** Puts a file's content into the kernel's page cache; see KernelNotifier.store. */
  store: (nodeid: number, data: Buffer) => void = () => {};
  /** See Channel.syncAndAnswer. */
  syncAndAnswer: Channel['syncAndAnswer'] = () => undefined;
  /** The answer at hand tells the kernel the node's attributes; see KernelNotifier.told. */
  told: (node: object) => void = () => {};
  terms: Terms = NO_TERMS;

  /** `cacheDirectories`: the kernel may keep listings, and invalidates them when it changes the directory. */
  constructor(
    readonly fs: FileSystem,
    readonly reply: Reply,
    readonly backing: BackingIds,
    readonly cacheDirectories: boolean,
  ) {
    this.nodes = new NodeTable(fs.root);
    this.valid = new Validity(fs.timeouts);
    this.modes = new IoModes(backing, false);
    this.dir = new DirWriter(this.nodes, this.valid);
  }

  agree(terms: Terms): void {
    this.terms = terms;
    this.modes = new IoModes(this.backing, terms.passthrough);
  }

  /** The node of the request, or with an id that it names. Throws ESTALE. */
  node(id: number): object {
    const node = this.nodes.get(id);
    if (node === undefined) throw BAD_NODE;
    return node;
  }

  /** Who sent the request; `umask` where the kernel leaves masking to us. */
  who(request: Request, umask = 0): CallerSlot {
    const { caller } = this;
    caller.uid = request.uid;
    caller.gid = request.gid;
    caller.pid = request.pid;
    caller.umask = umask;
    return caller;
  }

  /** Answers with an entry for `node`, which counts as looked up. */
  entry(node: object, stat: Stat): number {
    const { reply, nodes } = this;
    const id = nodes.remember(node);
    putEntry(reply.words, reply.body, id, nodes.generation(id), this.valid, stat);
    return ENTRY_OUT.words * 4;
  }

  /** Answers with the sync of a descriptor. */
  sync(r: Request, fd: number, datasync: boolean): Answer {
    const answered = this.syncAndAnswer(fd, datasync, r.uniqueLow, r.uniqueHigh);
    return answered === undefined ? fsyncAsync(fd, datasync) : answered.then(() => null);
  }

  attributes(stat: Stat): number {
    return encodeAttr(this.reply, this.valid, stat);
  }

  /** Takes back lookups; tells the file system when they were the last. */
  forget(id: number, count: number): void {
    const node = this.nodes.forget(id, count);
    if (node === undefined) return;
    this.modes.forget(id);
    this.fs.forget(node);
  }

  /** An unfinished answer keeps the scratch objects that it was given. */
  renew(): void {
    this.stat = new Stat();
    this.caller = { uid: 0, gid: 0, pid: 0, umask: 0 };
  }

  renewDir(): void {
    this.dir = new DirWriter(this.nodes, this.valid);
  }
}
