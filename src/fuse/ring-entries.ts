// The entries of a FUSE ring: where requests come to lie. Each CPU has a queue of them, and an entry is held from its request
// to its answer, so a queue grows before slow requests hold all of it: what waits already goes to entries that are answered,
// not to new ones. Memory that no request has come to is not touched.
import { readFileSync } from 'node:fs';
import { E, SysError } from '../base/index.js';
import { native, type Ring } from '../sys/index.js';
import { Frame } from './channel.js';
import { allocate, type RawBuffer } from './raw.js';

/** Entries of all CPUs together at first, and the least and most that one in use gets of them. */
const FIRST = 128;
const [FEW, MANY] = [4, 32];
/** By how many a queue grows when fewer than half as many are free. */
const BLOCK = 8;
/** Entries that a queue grows to at most: callers beyond that wait for one of these to be answered. */
const MOST = 512;

/** The entries of one CPU. */
interface Queue {
  readonly cpu: number;
  entries: number;
  held: number;
}

/** Entries that were registered together. */
interface Block {
  readonly queue: Queue;
  readonly count: number;
  readonly memory: RawBuffer;
  readonly frame: Frame;
}

export class RingEntries {
  private readonly queues: Queue[] = [];
  private readonly blocks: Block[] = [];

  /** Has memory for the first entries of every CPU. Throws RangeError when there is none, SysError without /sys. */
  constructor(
    private readonly ring: Ring,
    private readonly fuseFd: number,
    private readonly payload: number,
  ) {
    const online = cpus('online');
    const share = Math.min(Math.max(Math.floor(FIRST / online.size), FEW), MANY);
    // The kernel counts its queues by CPUs that could be there, and waits until each has an entry.
    for (let cpu = 0; cpu < cpus('possible').size; cpu++) {
      const queue = { cpu, entries: 0, held: 0 };
      this.queues.push(queue);
      this.allocate(queue, online.has(cpu) ? share : 1);
    }
  }

  /** Registers the first entries of every CPU; 0, or -errno when the kernel could not be told. */
  register(): number {
    for (const block of [...this.blocks]) {
      const rc = this.add(block);
      if (rc < 0) return rc;
    }
    return 0;
  }

  /** The frame that a request of this block lies in; its entry is held from now on. */
  hold(block: number): Frame {
    const { queue, frame } = this.blocks[block]!;
    queue.held++;
    return frame;
  }

  /** An entry of this block has been answered. */
  release(block: number): void {
    this.blocks[block]!.queue.held--;
  }

  /** An entry of this block, which was not held, is no more. */
  lost(block: number): void {
    this.blocks[block]!.queue.entries--;
  }

  /** Does every CPU have an entry? Then requests come. */
  get complete(): boolean {
    return this.queues.every(queue => queue.entries > 0);
  }

  /** Adds entries where nearly all are held; 0, or -errno when the kernel could not be told. */
  grow(): number {
    for (const queue of this.queues) {
      if (queue.entries - queue.held >= BLOCK / 2 || queue.held === 0 || queue.entries >= MOST) continue;
      const rc = this.add(this.allocate(queue, BLOCK));
      if (rc < 0) return rc;
    }
    return 0;
  }

  private allocate(queue: Queue, count: number): Block {
    const memory = allocate(count * (this.payload + native.constants.RING_ENTRY_HEAD!));
    const block = { queue, count, memory, frame: new Frame(memory, () => undefined) };
    this.blocks.push(block);
    return block;
  }

  private add({ queue, memory, count }: Block): number {
    queue.entries += count;
    return native.ringAdd(this.ring, this.fuseFd, queue.cpu, memory, count);
  }
}

/** The CPUs of one of the kernel's lists, such as "0-3,5". Throws SysError where there is no such list. */
function cpus(list: 'online' | 'possible'): Set<number> {
  const path = `/sys/devices/system/cpu/${list}`;
  const found = new Set<number>();
  for (const range of text(path).trim().split(',')) {
    const [from = Number.NaN, to = from] = range.split('-').map(Number);
    if (!(from <= to)) throw new SysError(E.EINVAL, path);
    for (let cpu = from; cpu <= to; cpu++) found.add(cpu);
  }
  return found;
}

function text(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    throw new SysError(E.ENOENT, path);
  }
}
