// The syncs of copy-ups, grouped: a copy gets its name at once, with a note that its data may not be on the disk, and one sync
// of the file system then serves all copies that have come meanwhile (layer/unsynced.ts has what a crash makes of the notes).
import { crashPoint, ok, SysError } from '../base/index.js';
import {
  canBeUnsynced,
  clearUnsynced,
  markUnsynced,
  noteUnsynced,
  type Upper,
  unmarkUnsynced,
} from '../layer/index.js';
import { close, fsyncAsync, O, syncfsAsync } from '../sys/index.js';
import { openReal } from './io.js';
import type { Node } from './node.js';
import type { Stack } from './stack.js';

/** Copies that may wait for one sync; further ones are synced one by one. */
const LARGEST = 4096;
/** Notes taken off before requests get their turn. */
const AT_A_TIME = 64;

/** Copies under one mark. */
interface Batch {
  readonly mark: string;
  readonly nodes: Set<Node>;
  /** Resolves when they are durable; 0 or -errno. */
  readonly done: Promise<number>;
  readonly end: (rc: number) => void;
}

export class GroupSync {
  /** The batch that takes more. */
  private filling: Batch | null = null;
  /** The one that came last. */
  private last: Batch | null = null;
  private working: Promise<void> | null = null;
  private failed = false;
  private count = 0;

  private constructor(
    private readonly stack: Stack,
    private readonly upper: Upper,
  ) {}

  /** null where copies have to be synced one by one. */
  static of(stack: Stack): GroupSync | null {
    const { upper, quota, behaviour } = stack;
    if (upper === null || behaviour.readonly || quota !== null) return null;
    if (!behaviour.syncCopies || behaviour.syncAll || !canBeUnsynced(upper)) return null;
    return new GroupSync(stack, upper);
  }

  /**
   * Notes on a copy without a name (`fd`) that it is not synced; `took` must follow in the same turn, unless the copy is given
   * up. False: it has to be synced before it gets its name.
   */
  take(fd: number): boolean {
    if (this.failed || (this.filling !== null && this.filling.nodes.size >= LARGEST)) return false;
    const batch = this.filling ?? this.begin();
    return batch !== null && noteUnsynced(this.upper, fd, '', batch.mark);
  }

  /** The copy that was noted has its name. */
  took(node: Node): void {
    node.unsynced = true;
    this.filling!.nodes.add(node);
  }

  /** Makes one file's data durable and says so, before an fsync of it, or before it gets another name. */
  async settle(node: Node): Promise<void> {
    if (!node.unsynced) return;
    const fd = openReal(node, O.RDONLY | O.NONBLOCK);
    const rc = await fsyncAsync(fd, false);
    close(fd);
    ok(rc, `fsync of ${node.describe()}`);
    this.clear(node);
  }

  /** Resolves when what has been copied so far is durable. */
  async settled(): Promise<void> {
    if (this.last !== null) ok(await this.last.done, `syncfs of ${this.upper.layer.path}`);
  }

  /** Waits for all that goes on. */
  async close(): Promise<void> {
    await this.working;
  }

  private begin(): Batch | null {
    const mark = markUnsynced(this.upper, ++this.count);
    if (mark === null) return null;
    let end: (rc: number) => void = () => {};
    const done = new Promise<number>(resolve => {
      end = resolve;
    });
    const batch = { mark, nodes: new Set<Node>(), done, end };
    this.last = batch;
    // The mark goes in its time, whether anything was noted or not.
    this.filling = batch;
    this.working ??= this.work();
    return batch;
  }

  private async work(): Promise<void> {
    // Copies of this turn come along.
    await Promise.resolve();
    do {
      while (this.filling !== null && !this.failed) await this.sync(this.filling);
      // The end of the notes is durable too, once no more copies come.
      await fsyncAsync(this.upper.work.rootFd, false);
    } while (this.filling !== null && !this.failed);
    this.working = null;
  }

  private async sync(batch: Batch): Promise<void> {
    this.filling = null;
    const rc = await syncfsAsync(this.upper.layer.rootFd);
    if (rc < 0) {
      // Mark and notes stay: what is not known to be on the disk is not to be trusted after a crash.
      this.failed = true;
    } else {
      crashPoint('groupsync:synced');
      let count = 0;
      for (const node of batch.nodes) {
        this.clear(node);
        if (++count % AT_A_TIME === 0) await new Promise(setImmediate);
      }
      unmarkUnsynced(this.upper, batch.mark);
      crashPoint('groupsync:unmarked');
    }
    if (this.last === batch && rc === 0) this.last = null;
    batch.end(rc);
  }

  private clear(node: Node): void {
    if (!node.unsynced) return;
    try {
      // A file that has neither a name nor a user has gone.
      if (node.parent !== null || node.detached >= 0)
        this.stack.counted(() => clearUnsynced(this.upper, node.fd(), node.leaf()), node);
    } catch (error) {
      // A note without its mark says nothing.
      if (!(error instanceof SysError)) throw error;
    }
    node.unsynced = false;
    this.stack.shrink(node);
  }
}
