// Node ids: which object the kernel means by a number, and how often it has looked it up. Ids are dense array indexes and
// are given again only after the kernel has forgotten them, with another generation. Memory follows what the kernel knows.
import { ROOT_ID } from './protocol.js';

/** Arrays shrink when less than a quarter of them is in use, but never below this. */
const KEEP = 4096;

/**
 * Where the table notes a node's id, on the node itself: a map from millions of objects would take more memory than the
 * objects. File systems never look at it; a class may declare the field to make room.
 */
export const SESSION_SLOT: unique symbol = Symbol('session');

interface Slotted {
  [SESSION_SLOT]?: number;
}

export class NodeTable<N extends object> {
  private objects: (N | undefined)[];
  private lookups = new Int32Array(KEEP);
  private generations = new Uint32Array(KEEP);
  private free: number[] = [];
  private count = 1;
  /** Not before so few nodes are left. */
  private shrinkAt = 0;
  /** No id that was given back with the arrays' tail has had a higher one. */
  private firstGeneration = 0;

  constructor(root: N) {
    this.objects = [undefined, root];
    this.lookups[ROOT_ID] = 1;
    (root as Slotted)[SESSION_SLOT] = ROOT_ID;
  }

  /** Nodes that the kernel knows, the root included. */
  get size(): number {
    return this.count;
  }

  get(id: number): N | undefined {
    return this.objects[id];
  }

  /** The id of a node that the kernel knows, or 0. */
  idOf(node: N): number {
    return (node as Slotted)[SESSION_SLOT] ?? 0;
  }

  generation(id: number): number {
    return this.generations[id]!;
  }

  /** Counts one lookup; returns the id. */
  remember(node: N): number {
    const known = this.idOf(node);
    if (known !== 0) {
      this.lookups[known]!++;
      return known;
    }
    const id = this.free.pop() ?? this.grow();
    this.objects[id] = node;
    this.lookups[id] = 1;
    (node as Slotted)[SESSION_SLOT] = id;
    this.count++;
    return id;
  }

  /** Takes back `count` lookups. The node when that were the last ones, else undefined (also for unknown ids). */
  forget(id: number, count: number): N | undefined {
    const node = this.objects[id];
    if (node === undefined || id === ROOT_ID) return undefined;
    const left = this.lookups[id]! - count;
    this.lookups[id] = left;
    if (left > 0) return undefined;
    this.objects[id] = undefined;
    this.lookups[id] = 0;
    this.generations[id]!++;
    (node as Slotted)[SESSION_SLOT] = 0;
    this.count--;
    this.free.push(id);
    if (this.objects.length > KEEP && this.size * 4 < this.objects.length) this.shrink();
    return node;
  }

  private grow(): number {
    const id = this.objects.length;
    this.objects.push(undefined);
    if (id >= this.lookups.length) this.resize(id * 2);
    this.lookups[id] = 0;
    this.generations[id] = this.firstGeneration;
    this.shrinkAt = this.objects.length;
    return id;
  }

  /** Gives back the unused tail. A node with a high id may prevent it; the next attempt is when half of today's have gone. */
  private shrink(): void {
    if (this.size > this.shrinkAt) return;
    this.shrinkAt = this.size / 2;
    let length = this.objects.length;
    while (length > KEEP && this.objects[length - 1] === undefined) length--;
    if (length === this.objects.length) return;
    for (let id = length; id < this.objects.length; id++)
      this.firstGeneration = Math.max(this.firstGeneration, this.generations[id]!);
    this.objects = this.objects.slice(0, length);
    this.resize(Math.max(length, KEEP));
    this.free = this.free.filter(id => id < length);
  }
  private resize(length: number): void {
    const lookups = new Int32Array(length);
    const generations = new Uint32Array(length);
    lookups.set(this.lookups.subarray(0, length));
    generations.set(this.generations.subarray(0, length));
    this.lookups = lookups;
    this.generations = generations;
  }
}
