// Many workers at once on a small pool with slow files and commits that fail now and then. A model says what each block may
// read as; and every write, punch and preparation of the data file is compared with the committed maps: what a crash would
// bring back is never changed.
import { setImmediate } from 'node:timers/promises';
import { E, SysError } from '../../src/base/index.js';
import { Core } from '../../src/thin/core.js';
import type { Pool, Volume, VolumeRow } from '../../src/thin/index.js';
import { MetadataReader } from '../../src/thin/index.js';
import type { Random } from './random.js';
import { BLOCK } from './thin-pool.js';
import { byteAt, bytes, ends, type Meddled, noRoom } from './thin-regress.js';

const WORKERS = 16;
const VOLUMES = 6;
/** Blocks that are used, in two leaves; and the bytes in each that are looked at: some write one while others write the other. */
const BLOCKS = [0, 1, 511, 512, 601, 699] as const;
const PLACES = [8192, 40_960] as const;
const SPOTS = BLOCKS.flatMap(block => PLACES.map(place => block * BLOCK + place));
export const FUZZ_SIZE = 700 * BLOCK;
/** Its first blocks are in one leaf, and it has no last one. */
const SMALL_SIZE = 600 * BLOCK + 512;
const SMALLER_SIZE = 512 * BLOCK;
const SIZES = [FUZZ_SIZE, SMALL_SIZE, SMALLER_SIZE] as const;
/** The pool grows by so many blocks in all. */
const GROWTH = 12;
/** What may happen to an operation here. */
const EXPECTED = [E.ENOSPC, E.EBUSY, E.ENOENT, E.EEXIST, E.EINVAL];

/** What a volume's blocks may read as: more than one value where a change is under way, or has failed. */
class Live {
  readonly busy = new Set<number>();
  handle: Volume | null = null;
  /** Operations under way. */
  users = 0;
  /** It is being removed, rolled back or resized. */
  exclusive = false;
  size = FUZZ_SIZE;
  growing = false;
  private readonly watchers = new Set<Live>();

  constructor(
    readonly name: string,
    private readonly values = new Map<number, ReadonlySet<number>>(),
  ) {}

  may(spot: number): ReadonlySet<number> {
    return this.values.get(spot) ?? new Set([0]);
  }

  set(spot: number, values: ReadonlySet<number>): void {
    this.values.set(spot, values);
    for (const watcher of this.watchers) watcher.values.set(spot, new Set([...watcher.may(spot), ...values]));
  }

  /** A copy that may have whatever this has had until `stop`. */
  follow(name: string): { copy: Live; stop(): void } {
    const copy = new Live(name, new Map(this.values));
    copy.size = this.size;
    this.watchers.add(copy);
    return { copy, stop: () => this.watchers.delete(copy) };
  }

  become(other: Live): void {
    this.size = other.size;
    for (const spot of SPOTS) this.set(spot, other.may(spot));
  }

  async close(): Promise<void> {
    const { handle } = this;
    this.handle = null;
    await handle?.close();
  }
}

export class Fuzz {
  /** Sentences: what was wrong. */
  readonly problems: string[] = [];
  /** Commits that were made to fail. */
  failures = 0;
  private readonly live: Live[] = [];
  private named = 0;
  private commits = 0;
  private grown = 0;
  /** Whose each data block is in the committed maps: volume ids, `held` for the metadata snapshot. */
  private committed = new Map<number, (number | 'held')[]>();
  /** What was done to data blocks since the commit under way began. */
  private during: [string, number][] | null = null;

  /** `failing`: one commit in so many fails, in some of the time; 0: none. */
  constructor(
    private readonly at: Meddled,
    private readonly random: Random,
    private readonly failing: number,
  ) {}

  private get pool(): Pool {
    return this.at.pool;
  }

  /** Works, and closes the handles; the pool stays open. */
  async run(steps: number): Promise<void> {
    const first = new Live('v0');
    await this.pool.createVolume({ name: first.name, size: FUZZ_SIZE });
    this.live.push(first);
    this.meddle();
    let left = steps;
    const worker = async (): Promise<void> => {
      while (left-- > 0 && this.problems.length === 0) {
        await this.step();
        await setImmediate();
      }
    };
    await ends(Promise.all(Array.from({ length: WORKERS }, worker)));
    await this.verify('at the end');
    this.unmeddle();
    await this.pool.commit();
    await ends(this.pool.reclaimed());
  }

  /** What is read must be what may be read. */
  async verify(when: string): Promise<void> {
    for (const volume of this.live) {
      for (const spot of SPOTS) if (spot < volume.size) await this.read(volume, spot, when);
      await volume.close();
    }
  }

  private meddle(): void {
    const { data, store } = this.at;
    data.write = (offset, content) => {
      this.touch('write', offset, content.length);
      return this.slowly(() => this.at.file.write(offset, content));
    };
    data.read = (...range) => this.slowly(() => this.at.file.read(...range));
    data.sync = async () => this.slowly(() => this.at.file.sync());
    for (const what of ['punch', 'prepare'] as const) {
      data[what] = async (offset, length) => {
        this.touch(what, offset, length);
        await this.slowly(() => this.touch(what, offset, length));
        return this.at.file[what](offset, length);
      };
    }
    store.commit = async batch => {
      await this.slowly(() => {});
      // Phases of failing commits, so that much gathers at times.
      if (this.failing > 0 && Math.floor(this.commits++ / 8) % 2 === 1 && this.random.oneIn(this.failing)) {
        this.failures++;
        throw noRoom();
      }
      this.during = [];
      await this.at.real.commit(batch);
      this.load();
    };
    this.load();
  }

  private unmeddle(): void {
    for (const what of ['write', 'read', 'sync', 'punch', 'prepare'] as const) delete this.at.data[what];
    delete this.at.store.commit;
  }

  private slowly(run: () => void | Promise<void>): void | Promise<void> {
    const turns = this.random.oneIn(3) ? 0 : this.random.below(30);
    return turns === 0 ? run() : this.later(turns, run);
  }

  private async later(turns: number, run: () => void | Promise<void>): Promise<void> {
    for (let i = 0; i < turns; i++) await setImmediate();
    return run();
  }

  private load(): void {
    const reader = MetadataReader.open(this.at.dir);
    this.committed = new Map();
    const add = (row: VolumeRow, owner: number | 'held'): void => {
      for (const { block, length } of reader.mappings(row)) {
        for (let i = block; i < block + length; i++) {
          this.committed.set(i, [...(this.committed.get(i) ?? []), owner]);
        }
      }
    };
    for (const row of reader.volumes()) add(row, row.id);
    for (const row of reader.held()) add(row, 'held');
    reader.close();
    const during = this.during ?? [];
    this.during = null;
    for (const [what, block] of during) this.judge(what, block, 'during the commit of that', false);
  }

  private touch(what: string, offset: number, length: number): void {
    for (let block = Math.floor(offset / BLOCK); block * BLOCK < offset + length; block++) {
      this.judge(what, block, 'before', true);
      this.during?.push([what, block]);
    }
  }

  /** What is committed may be written by its only volume alone, and only if that has it there still (`now`). */
  private judge(what: string, block: number, when: string, now: boolean): void {
    const owners = this.committed.get(block);
    if (owners === undefined) return;
    const [owner] = owners;
    if (what !== 'write' || owners.length > 1 || owner === 'held')
      this.problems.push(`${what} of block ${block}, committed to ${owners.join(' and ')} ${when}`);
    else if (now && !this.has(owner!, block))
      this.problems.push(`write to block ${block}, committed to ${owner}, which has given it up`);
  }

  private has(id: number, block: number): boolean {
    const core: unknown = Reflect.get(this.pool, 'core');
    if (!(core instanceof Core)) throw new Error('a pool has no core');
    const { volumes, tree } = core.state;
    const row = volumes.get(id);
    // A lookup leaves a note for whoever writes now.
    const { exclusive } = tree;
    const has = row !== undefined && BLOCKS.some(index => tree.find(row, index) === block);
    tree.exclusive = exclusive;
    return has;
  }

  private async step(): Promise<void> {
    const volume = this.random.pick(this.live);
    const other = this.random.pick(this.live);
    const run = this.random.weighted<() => Promise<void>>([
      [50, () => this.change(volume, 1 + this.random.below(250))],
      [10, () => this.change(volume, 0)],
      [22, () => this.look(volume)],
      [5, () => this.snapshot([volume])],
      [2, () => this.snapshot([volume, other])],
      [5, () => this.remove(volume)],
      [3, () => this.rollback(volume, other)],
      [2, () => this.resize(volume)],
      [1, () => this.grow()],
      [2, () => this.pool.commit()],
      [5, () => this.hold()],
    ]);
    try {
      await run();
    } catch (error) {
      if (!(error instanceof SysError) || !EXPECTED.includes(error.errno)) this.problems.push(String(error));
    }
  }

  /** Writes a value to a place that nobody else works on, or (0) makes its block zero. */
  private change(volume: Live, value: number): Promise<void> {
    const spot = this.random.pick(SPOTS);
    if (value === 0) return this.clear(volume, spot - (spot % BLOCK));
    return this.use(volume, [spot], async handle => {
      volume.set(spot, new Set([...volume.may(spot), value]));
      await handle.write(spot, bytes(value));
      volume.set(spot, new Set([value]));
    });
  }

  private clear(volume: Live, offset: number): Promise<void> {
    const spots = PLACES.map(place => offset + place);
    return this.use(volume, spots, async handle => {
      for (const spot of spots) volume.set(spot, new Set([...volume.may(spot), 0]));
      if (this.random.oneIn(2)) await handle.discard(offset, BLOCK);
      else await handle.zero(offset, BLOCK, this.random.oneIn(2));
      for (const spot of spots) volume.set(spot, new Set([0]));
    });
  }

  private look(volume: Live): Promise<void> {
    const spot = this.random.pick(SPOTS);
    return this.use(volume, [spot], () => this.read(volume, spot, 'meanwhile'));
  }

  private async read(volume: Live, spot: number, when: string): Promise<void> {
    volume.handle ??= this.pool.volume(volume.name);
    const found = await byteAt(volume.handle, spot);
    const may = volume.may(spot);
    if (may.has(found)) volume.set(spot, new Set([found]));
    else this.problems.push(`${volume.name}, byte ${spot}, ${when}: ${found}, not ${[...may].join(' or ')}`);
  }

  private async use(
    volume: Live,
    spots: readonly number[],
    run: (handle: Volume) => Promise<void>,
  ): Promise<void> {
    if (volume.exclusive || spots.some(spot => spot >= volume.size || volume.busy.has(spot))) return;
    for (const spot of spots) volume.busy.add(spot);
    volume.users++;
    try {
      volume.handle ??= this.pool.volume(volume.name);
      await run(volume.handle);
    } finally {
      for (const spot of spots) volume.busy.delete(spot);
      volume.users--;
    }
  }

  private async snapshot(origins: readonly Live[]): Promise<void> {
    if (this.live.length + origins.length > VOLUMES || origins.some(({ exclusive }) => exclusive)) return;
    const taken = origins.map(origin => ({ origin, ...origin.follow(`v${++this.named}`) }));
    for (const { origin } of taken) origin.users++;
    try {
      await this.pool.snapshot(taken.map(({ origin, copy }) => ({ origin: origin.name, name: copy.name })));
      this.live.push(...taken.map(({ copy }) => copy));
    } finally {
      for (const { origin, stop } of taken) {
        stop();
        origin.users--;
      }
    }
  }

  private async remove(volume: Live): Promise<void> {
    if (this.live.filter(({ exclusive }) => !exclusive).length <= 2) return;
    await this.alone([volume], async () => {
      await this.pool.remove(volume.name);
      this.live.splice(this.live.indexOf(volume), 1);
    });
  }

  private async rollback(volume: Live, to: Live): Promise<void> {
    if (volume === to) return;
    await this.alone([volume, to], async () => {
      await this.pool.rollback(volume.name, to.name);
      volume.become(to);
    });
  }

  /** Larger while it is in use; smaller alone. */
  private async resize(volume: Live): Promise<void> {
    const size = this.random.pick(SIZES);
    if (volume.exclusive || size === volume.size) return;
    if (size > volume.size) return this.enlarge(volume, size);
    await this.alone([volume], async () => {
      for (const spot of SPOTS) if (spot >= size) volume.set(spot, new Set([...volume.may(spot), 0]));
      await this.pool.resizeVolume(volume.name, size);
      volume.size = size;
      for (const spot of SPOTS) if (spot >= size) volume.set(spot, new Set([0]));
    });
  }

  private async enlarge(volume: Live, size: number): Promise<void> {
    if (volume.growing) return;
    volume.growing = true;
    volume.users++;
    try {
      await this.pool.resizeVolume(volume.name, size);
      volume.size = size;
    } finally {
      volume.growing = false;
      volume.users--;
    }
  }

  private async grow(): Promise<void> {
    const { dataBlocks, blockSize } = this.pool.status();
    if (this.grown++ < GROWTH) await this.pool.grow((dataBlocks + 1) * blockSize);
  }

  private async alone(volumes: readonly [Live, ...Live[]], run: () => Promise<void>): Promise<void> {
    if (volumes.some(({ users, exclusive }) => users > 0 || exclusive)) return;
    for (const volume of volumes) volume.exclusive = true;
    try {
      await volumes[0].close();
      await run();
    } finally {
      for (const volume of volumes) volume.exclusive = false;
    }
  }

  private async hold(): Promise<void> {
    if (this.pool.status().held) await this.pool.releaseMetadataSnapshot();
    else await this.pool.reserveMetadataSnapshot();
  }
}
