// Node ids: which object the kernel means by a number, and how often it has looked it up. Ids are dense array indexes and
// are given again only after the kernel has forgotten them, with another generation. Memory follows what the kernel knows.
import { ROOT_ID } from './protocol.js';

/** Arrays shrink when less than a quarter of them is in use, but never below this. */
const KEEP = 4096;

export class NodeTable<N extends object> {
  private objects: (N | undefined)[];
  private lookups: number[];
  private generations: number[];
  private free: number[] = [];
  private readonly ids = new Map<N, number>();
  /** Not before so few nodes are left. */
  private shrinkAt = 0;
  /** No id that was given back with the arrays' tail has had a higher one. */
  private firstGeneration = 0;

  constructor(root: N) {
    this.objects = [undefined, root];
    this.lookups = [0, 1];
    this.generations = [0, 0];
    this.ids.set(root, ROOT_ID);
  }

  /** Nodes that the kernel knows, the root included. */
  get size(): number {
    return this.ids.size;
  }

  get(id: number): N | undefined {
    return this.objects[id];
  }

  /** The id of a node that the kernel knows, or 0. */
  idOf(node: N): number {
    return this.ids.get(node) ?? 0;
  }

  generation(id: number): number {
    return this.generations[id]!;
  }

  /** Counts one lookup; returns the id. */
  remember(node: N): number {
    const known = this.ids.get(node);
    if (known !== undefined) {
      this.lookups[known]!++;
      return known;
    }
    const id = this.free.pop() ?? this.grow();
    this.objects[id] = node;
    this.lookups[id] = 1;
    this.ids.set(node, id);
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
    this.generations[id] = (this.generations[id]! + 1) >>> 0;
    this.ids.delete(node);
    this.free.push(id);
    if (this.objects.length > KEEP && this.size * 4 < this.objects.length) this.shrink();
    return node;
  }

  private grow(): number {
    const id = this.objects.length;
    this.objects.push(undefined);
    this.lookups.push(0);
    this.generations.push(this.firstGeneration);
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
    this.objects = this.objects.slice(0, length);
    this.lookups = this.lookups.slice(0, length);
    for (const generation of this.generations.slice(length))
      this.firstGeneration = Math.max(this.firstGeneration, generation);
    this.generations = this.generations.slice(0, length);
    this.free = this.free.filter(id => id < length);
  }
}
