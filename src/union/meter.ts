// What the upper holds, known without walking it: inodes and blocks as du counts them in the upper directory. What changes
// is measured before and after; a file that is open for writing, whose data may bypass us, is measured when somebody asks.
import { Stat } from '../base/index.js';
import type { Tally, Upper } from '../layer/index.js';
import { AT, statx } from '../sys/index.js';
import { Dir, type Node } from './node.js';
import type { Usage } from './unionconfig.js';
import { UsageWalk } from './usagewalk.js';

const SECTOR = 512;
/** Stands for the blocks of a node that has no name in the upper and is not open. */
const ABSENT = -1;
/** Milliseconds for which a written file is measured again: until the kernel has written its data, and allocated for it. */
const COOLING_TIME = 60_000;
const COOLING_LIMIT = 1024;
const stat = new Stat();

/** One file of the ledger. Two nodes can be one file: a name that nobody has looked up outlives the names that were. */
interface Item {
  /** Inode number of the real file; -1 while it is a lower one. */
  ino: number;
  /** What is counted, or ABSENT. */
  blocks: number;
  readonly nodes: Set<Node>;
}

/**
 * Counts every inode with a name in the upper directory once, the directory itself included, and unlinked files as long as
 * they are open. What only the work directory has (the index's own names, unfinished copies) is not counted.
 */
export class Meter implements Tally {
  private bytes = 0;
  private inodes = 0;
  /** What is counted of files that may have changed since, by node and by inode number. */
  private readonly ledger = new Map<Node, Item>();
  private readonly items = new Map<number, Item>();
  /** Blocks counted for directories that have been changed. */
  private readonly dirs = new WeakMap<Dir, number>();
  /** Files written and closed, and when; the oldest first. Their nodes are kept. */
  private readonly cooling = new Map<Node, number>();
  /** What the changes in hand are about, and how many are parts of each other. */
  private readonly changing: Node[] = [];
  private depth = 0;
  private walk: UsageWalk | null = null;
  /** Settles when the upper is counted: at once, unless the start was unknown. */
  readonly counted: Promise<void>;

  /** `start`: what the upper holds; 'count': it is walked in the background. `shrink` drops a node that nobody needs. */
  constructor(
    private readonly upper: Upper,
    start: Usage | 'count',
    private readonly shrink: (node: Node) => void,
  ) {
    if (start !== 'count') {
      this.add(start.bytes, start.inodes);
      this.counted = Promise.resolve();
      return;
    }
    const walk = new UsageWalk(upper.layer, found => this.add(found.blocks * SECTOR, 1));
    this.walk = walk;
    this.counted = walk.run().then(() => {
      this.walk = null;
    });
    // Who waits for the count hears of its failure; without one the sum is just not `exact`.
    this.counted.catch(() => {});
  }

  /** Bytes and inodes now; `exact` is false while the upper is still being counted. */
  usage(): Usage & { readonly exact: boolean } {
    const old = performance.now() - COOLING_TIME;
    for (const [node, closed] of this.cooling) if (closed < old) this.cool(node);
    for (const node of this.ledger.keys()) this.settle(node);
    return { ...this.known(), exact: this.walk === null };
  }

  /** The same without measuring what is open. */
  known(): Usage {
    return { bytes: this.bytes, inodes: this.inodes };
  }

  /** Is the node needed here, though nobody else does? */
  holds(node: Node): boolean {
    return this.cooling.has(node);
  }

  /** The node's blocks or names may be changed; `settle` must follow. */
  watch(node: Node): void {
    if (node instanceof Dir) this.watchDir(node);
    else if (!this.ledger.has(node)) {
      const found = this.stat(node, -1);
      const known = found ? this.items.get(stat.ino) : undefined;
      const item = known ?? { ino: found ? stat.ino : -1, blocks: ABSENT, nodes: new Set() };
      item.nodes.add(node);
      this.ledger.set(node, item);
      if (known !== undefined || !found) return;
      this.items.set(item.ino, item);
      item.blocks = this.blocks(item);
      if (item.blocks !== ABSENT) this.find(stat);
    }
  }

  /** Counts a watched node anew. `fd` is a descriptor of its real file, or -1. */
  settle(node: Node, fd = -1): void {
    if (node instanceof Dir) {
      this.settleDir(node);
      return;
    }
    const item = this.ledger.get(node);
    if (item === undefined) return;
    const found = this.stat(node, fd);
    if (found && item.ino < 0) {
      item.ino = stat.ino;
      this.items.set(item.ino, item);
    }
    const before = item.blocks;
    item.blocks = found ? this.blocks(item) : ABSENT;
    if (before === ABSENT && item.blocks !== ABSENT) this.walk?.visited.add(stat.ino);
    this.add(
      (Math.max(item.blocks, 0) - Math.max(before, 0)) * SECTOR,
      Number(item.blocks !== ABSENT) - Number(before !== ABSENT),
    );
    if (item.blocks === ABSENT) for (const one of item.nodes) this.drop(one, item);
    else if (node.opens === 0 && !this.cooling.has(node)) this.drop(node, item);
  }

  /**
   * Does `change`, which ends before it returns, and counts the nodes before and after it. Changes may be parts of others;
   * then all is counted at the end of the outermost.
   */
  around<T>(nodes: readonly (Node | null)[], change: () => T): T {
    for (const node of nodes) {
      if (node === null) continue;
      this.watch(node);
      this.changing.push(node);
    }
    this.depth++;
    try {
      return change();
    } finally {
      if (--this.depth === 0) for (const node of this.changing.splice(0)) this.settle(node);
    }
  }

  /** A handle of the node was closed. */
  released(node: Node, wrote: boolean): void {
    if (!this.ledger.has(node)) return;
    if (wrote && node.opens === 0) {
      this.cooling.delete(node);
      this.cooling.set(node, performance.now());
      if (this.cooling.size > COOLING_LIMIT) this.cool(this.cooling.keys().next().value!);
    }
    this.settle(node);
  }

  came(made: Stat): void {
    this.walk?.visited.add(made.ino);
    this.add(made.blocks * SECTOR, 1);
  }

  /** The upper has a directory more, which is this node's own. */
  cameDir(dir: Dir): void {
    if (!this.measureDir(dir)) return;
    this.came(stat);
    this.dirs.set(dir, stat.blocks);
  }

  went(gone: Stat): void {
    // What the walk has not met yet, it never will.
    if (this.walk === null || this.walk.visited.has(gone.ino)) this.add(-gone.blocks * SECTOR, -1);
  }

  /** A directory is about to go; the returned function says that it has. */
  leaving(dir: Dir): () => void {
    this.watchDir(dir);
    this.settleDir(dir);
    const { blocks } = stat;
    return () => this.add(-blocks * SECTOR, -1);
  }

  /** A directory has moved, with all that is in it. */
  moved(dir: Dir): void {
    this.walk?.again(dir.upper());
  }

  /** The root's blocks have changed before anybody watched. */
  addBlocks(blocks: number): void {
    this.add(blocks * SECTOR, 0);
  }

  /** Measures a last time, while the upper is still open; `usage` says that from then on. */
  close(): void {
    this.walk?.stop();
    for (const node of [...this.ledger.keys()]) this.settle(node);
    this.ledger.clear();
    this.items.clear();
    this.cooling.clear();
  }

  private add(bytes: number, inodes: number): void {
    this.bytes += bytes;
    this.inodes += inodes;
  }

  /** Counts something that the walk has not met yet, before it changes. */
  private find(found: Stat): void {
    if (this.walk === null || this.walk.visited.has(found.ino)) return;
    this.walk.visited.add(found.ino);
    this.add(found.blocks * SECTOR, 1);
  }

  /** Puts the attributes of the node's upper file into `stat`; false when there is none. */
  private stat(node: Node, fd: number): boolean {
    if (!node.isUpper()) return false;
    const leaf = fd >= 0 ? '' : node.leaf();
    const flags = AT.SYMLINK_NOFOLLOW | (leaf === '' ? AT.EMPTY_PATH : 0);
    return statx(fd >= 0 ? fd : node.fd(), leaf, flags, stat.slots) >= 0;
  }

  /** What is to be counted of a file that has the attributes in `stat`: its blocks, or ABSENT. */
  private blocks({ nodes }: Item): number {
    const root = this.upper.index?.root;
    let names = stat.nlink;
    let opens = 0;
    let indexed = false;
    for (const node of nodes) {
      opens += node.opens;
      indexed ||= node.real === root;
    }
    if (indexed) names--;
    return names > 0 || opens > 0 ? stat.blocks : ABSENT;
  }

  private drop(node: Node, item: Item): void {
    this.ledger.delete(node);
    item.nodes.delete(node);
    if (item.nodes.size === 0 && this.items.get(item.ino) === item) this.items.delete(item.ino);
    if (this.cooling.delete(node)) this.shrink(node);
  }

  private watchDir(dir: Dir): void {
    if (!dir.isUpper() || this.dirs.has(dir) || !this.measureDir(dir)) return;
    this.find(stat);
    this.dirs.set(dir, stat.blocks);
  }

  private settleDir(dir: Dir): void {
    if (!dir.isUpper() || !this.measureDir(dir)) return;
    const before = this.dirs.get(dir);
    if (before === undefined) return;
    this.add((stat.blocks - before) * SECTOR, 0);
    this.dirs.set(dir, stat.blocks);
  }

  private measureDir(dir: Dir): boolean {
    if (dir.isUnlinked() && dir.name !== '') return false;
    return statx(dir.fd(), '', AT.EMPTY_PATH, stat.slots) >= 0;
  }

  private cool(node: Node): void {
    this.cooling.delete(node);
    this.settle(node);
    this.shrink(node);
  }
}
