// Unions that count what their upper holds, in this process without a kernel and mounted by a process of their own, and du
// as the judge of the count. Random operations run over both.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ok } from '../../src/base/index.js';
import { native } from '../../src/sys/index.js';
import { parseOptions, Union, type UnionConfig, type Usage } from '../../src/union/index.js';
import { FuseClient } from './fuse-client.js';
import { buildLayer, openDir } from './lowers.js';
import { type Op, showOp } from './ops.js';
import { Random } from './random.js';
import { pathsOf } from './random-layers.js';
import { type Hints, randomOp } from './random-ops.js';
import { sequenceOf } from './random-run.js';
import { optionString, systemTree, type Tree } from './subject.js';
import { MemoryTree } from './subject-memory.js';
import { snapshot } from './tree.js';

/** A union that is in use. */
export interface Live {
  tree(): Tree;
  /** `exact`: wait until the upper is counted. */
  usage(exact: boolean): Promise<Usage & { exact: boolean }>;
  end(): Promise<void>;
}

export type Start = (config: UnionConfig, mountpoint: string) => Promise<Live>;

/**
 * What du says of a directory once its file system has been synced: ext4 shows a block twice for a moment while it is written out, which
 * the sync of a copy-up may do just then.
 */
export function du(dir: string): Usage {
  execFileSync('sync', ['-f', dir]);
  const sum = (...how: string[]) =>
    Number(execFileSync('du', ['-s', ...how, dir], { encoding: 'utf8' }).split('\t')[0]);
  return { bytes: sum('--block-size=1'), inodes: sum('--inodes') };
}

export const inMemory: Start = async config => {
  const union = Union.open(config);
  const client = await FuseClient.start(union);
  return {
    tree: () => new MemoryTree(client, ''),
    usage: async exact => {
      // Notes on copies that are not synced yet take room until they are.
      await union.syncfs();
      if (exact) await union.counted();
      return union.usage()!;
    },
    end: () => client.unmount(),
  };
};

const dist = fileURLToPath(new URL('../../dist', import.meta.url));
const child = fileURLToPath(new URL('usage-child.mjs', import.meta.url));

export const mounted: Start = async (config, mountpoint) => {
  const process_ = spawn(process.execPath, [child, dist, JSON.stringify(config), mountpoint], {
    stdio: ['pipe', 'pipe', 'inherit'],
    cwd: '/',
  });
  const lines = createInterface({ input: process_.stdout })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.value !== 'ready') throw new Error(`the mount ended: ${String(first.value)}`);
  return {
    tree: () => systemTree(mountpoint, ''),
    usage: async exact => {
      // As above; fsync of a directory waits for them, too.
      execFileSync('sync', [mountpoint]);
      for (;;) {
        process_.stdin.write('\n');
        const usage = JSON.parse((await lines.next()).value as string);
        if (usage.exact || !exact) return usage;
      }
    },
    end: () => unmount(process_, mountpoint),
  };
};

async function unmount(process_: ChildProcess, mountpoint: string): Promise<void> {
  const ended = once(process_, 'close');
  ok(native.umount(mountpoint, 0), `umount ${mountpoint}`);
  const [status] = await ended;
  if (status !== 0) throw new Error(`the process of ${mountpoint} ended with ${status}`);
}

/** Where the parts of a run's union are. */
export interface Place {
  /** For the lower layers. */
  readonly lowers: string;
  /** For upper and work. */
  readonly upper: string;
  readonly mountpoint: string;
}

const CHECK_EVERY = 20;

/**
 * `onRamfs`: the upper has no extended attributes, so that it begins empty, and reading a hole there takes a page, so that bytes
 * are not compared.
 *
 * Makes random layers and `count` random operations on their union, and compares the count with du every so often, once all
 * files are closed, and after a remount that is given the count. Resolves to what differed, or null.
 */
export async function compareWithDu(
  seed: number,
  count: number,
  place: Place,
  start: Start,
  options: readonly string[] = [],
  onRamfs = false,
): Promise<string | null> {
  const { lowers, upper, variant } = sequenceOf(seed, count);
  const make = (parent: string, name: string) => {
    mkdirSync(join(parent, name));
    return join(parent, name);
  };
  const write = (parent: string, name: string, layer: (typeof lowers)[number]) => {
    const path = make(parent, name);
    const root = openDir(path);
    buildLayer(root, layer);
    native.close(root);
    return path;
  };
  const spec = {
    lowers: lowers.map((layer, i) => write(place.lowers, `lower${i}`, layer)),
    upper: write(place.upper, 'upper', onRamfs ? {} : upper),
    work: make(place.upper, 'work'),
    options: [...variant.options, ...options],
    mountpoint: place.mountpoint,
  };
  const config = parseOptions(optionString(spec));
  const hints: Hints = { paths: pathsOf([...lowers, upper]) };
  const random = new Random(seed ^ 0x2545f491);
  let known: Usage | 'count' = 'count';
  for (const half of [0, 1]) {
    const live = await start({ ...config, usage: known }, place.mountpoint);
    const run = new Compared(live, spec.upper, hints, random, onRamfs);
    const found = await run.perform(count >> 1).finally(() => live.end());
    if (found !== null) return `seed ${seed}, mount ${half}: ${found}`;
    known = run.last;
  }
  return null;
}

class Compared {
  last: Usage = { bytes: 0, inodes: 0 };
  private readonly done: Op[] = [];

  constructor(
    private readonly live: Live,
    private readonly upper: string,
    private readonly hints: Hints,
    private readonly random: Random,
    private readonly inodesOnly: boolean,
  ) {}

  async perform(count: number): Promise<string | null> {
    let tree = this.live.tree();
    try {
      for (let i = 1; i <= count; i++) {
        const step = randomOp(this.random, this.hints);
        this.done.push(step);
        await tree.run(step);
        if (i % CHECK_EVERY !== 0 && i !== count) continue;
        this.hints.paths = [...(await snapshot(tree.view)).inodes.keys()].filter(path => path !== '');
        await tree.close();
        // What is written is allocated in full only when it is on its way to the disk.
        if (i === count) execFileSync('sync', ['-f', this.upper]);
        const found = await this.compare(i === count);
        if (found !== null) return found;
        tree = this.live.tree();
      }
      return null;
    } finally {
      await tree.close();
    }
  }

  /** What differs; the upper may still be being counted, but not at the end. */
  private async compare(last: boolean): Promise<string | null> {
    const { exact, bytes, inodes } = await this.live.usage(last);
    this.last = { bytes, inodes };
    if (!exact) return null;
    const right = du(this.upper);
    if ((this.inodesOnly || right.bytes === bytes) && right.inodes === inodes) return null;
    const steps = this.done.slice(-CHECK_EVERY).map(showOp).join('\n');
    return `counted ${JSON.stringify(this.last)}, du says ${JSON.stringify(right)} after\n${steps}`;
  }
}
