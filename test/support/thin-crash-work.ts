// Work on a recorded pool, told to the model step by step: each step's moments, the sectors it touches, and what is durable
// when it has ended. One step at a time, but for flushes that others overtake.
import { writeFileSync } from 'node:fs';
import { E, isErrno } from '../../src/base/index.js';
import { Pool } from '../../src/thin/pool.js';
import type { Volume } from '../../src/thin/volume.js';
import { Recorder } from './thin-crash.js';
import { contents } from './thin-crash-contents.js';
import { type Content, emptyContent, type State, type Step, sectorsOf, stamped } from './thin-crash-model.js';

/** A byte range of a volume. */
export type Range = readonly [offset: number, length: number];

interface Live {
  size: number;
  readonly stamps: Uint32Array;
}

export class CrashWork {
  readonly steps: Step[] = [];
  private readonly live = new Map<string, Live>();
  private readonly handles = new Map<string, Volume>();
  private readonly flushes: Promise<void>[] = [];
  private stamp = 0;

  private constructor(
    readonly pool: Pool,
    readonly recorder: Recorder,
    private readonly tell: (step: Step) => void,
  ) {}

  /** Opens a pool to work on what it holds. `tell` hears of each step when it begins and when it has ended. */
  static async open(dir: string, tell: (step: Step) => void = () => {}): Promise<CrashWork> {
    const recorder = new Recorder();
    const work = new CrashWork(await Pool.openWith(dir, {}, recorder.wrappers), recorder, tell);
    for (const [name, content] of await contents(work.pool)) {
      work.live.set(name, copyOf(content));
      for (const stamp of content.stamps) work.stamp = Math.max(work.stamp, stamp);
    }
    return work;
  }

  /** Names of the volumes. */
  get names(): string[] {
    return [...this.live.keys()];
  }

  sizeOf(name: string): number {
    return this.live.get(name)!.size;
  }

  /** Writes all ranges at once, each with its own stamp. */
  write(name: string, ...ranges: Range[]): Promise<void> {
    const { what, touched, run } = this.writes(ranges);
    return this.touch(name, what, touched, run);
  }

  private writes(ranges: readonly Range[]): {
    what: string;
    touched: Map<number, number>;
    run: (volume: Volume) => Promise<void>;
  } {
    const touched = new Map<number, number>();
    const pieces = ranges.map(([offset, length]) => {
      this.stamp++;
      for (const at of sectorsOf(offset, length)) touched.set(at, this.stamp);
      return [offset, stamped(this.stamp, offset, length)] as const;
    });
    const run = async (volume: Volume): Promise<void> => {
      const all = pieces.map(async ([offset, data]) => volume.write(offset, data));
      for (const ended of await Promise.allSettled(all)) if (ended.status === 'rejected') throw ended.reason;
    };
    return { what: `write ${ranges.join(' ')} with ${this.stamp}`, touched, run };
  }

  /** A snapshot taken while writes are under way: it may have them or not, but stays as it is then. */
  snapshotDuring(origin: string, name: string, ...ranges: Range[]): Promise<void> {
    const run = async (): Promise<void> => void (await this.pool.snapshot([{ origin, name }]));
    return this.during(origin, `snapshot ${name} of ${origin}`, ranges, run, name);
  }

  /** A rollback to a volume to which writes are under way. */
  async rollbackDuring(name: string, to: string, ...ranges: Range[]): Promise<void> {
    await this.release(name);
    await this.during(to, `rollback ${name} to ${to}`, ranges, () => this.pool.rollback(name, to), name);
  }

  holdDuring(name: string, ...ranges: Range[]): Promise<void> {
    return this.during(name, 'hold', ranges, () => this.pool.reserveMetadataSnapshot());
  }

  /** An operation while writes are under way to `origin`; `made` has got the content of the instant. */
  private async during(
    origin: string,
    operation: string,
    ranges: readonly Range[],
    work: () => Promise<void>,
    made?: string,
  ): Promise<void> {
    const { what, touched, run } = this.writes(ranges);
    const durable = new Map(this.state());
    const more = { volume: origin, touched, whole: made !== undefined, durable };
    const step = this.begin(`${operation} during ${what}`, more);
    const writing = run(this.handle(origin));
    await work();
    await writing;
    if (made !== undefined) {
      const instant = (await contents(this.pool)).get(made)!;
      durable.set(made, instant);
      this.live.set(made, copyOf(instant));
    }
    const { stamps } = this.live.get(origin)!;
    for (const [at, stamp] of touched) stamps[at] = stamp;
    this.end(step);
  }

  discard(name: string, [offset, length]: Range): Promise<void> {
    const touched = new Map([...sectorsOf(offset, length)].map(at => [at, 0]));
    return this.touch(name, `discard ${offset} ${length}`, touched, async volume =>
      volume.discard(offset, length),
    );
  }

  zero(name: string, [offset, length]: Range, unmap: boolean): Promise<void> {
    const touched = new Map([...sectorsOf(offset, length)].map(at => [at, 0]));
    return this.touch(name, `zero ${offset} ${length}`, touched, async volume =>
      volume.zero(offset, length, unmap),
    );
  }

  private async touch(
    name: string,
    what: string,
    touched: Map<number, number>,
    run: (volume: Volume) => Promise<void>,
  ): Promise<void> {
    const step = this.begin(`${name}: ${what}`, { volume: name, touched });
    if (await this.succeeds(() => run(this.handle(name)))) {
      const { stamps } = this.live.get(name)!;
      for (const [at, stamp] of touched) stamps[at] = stamp;
    } else await this.look(name);
    this.end(step);
  }

  /** False when there was no room. */
  private async succeeds(run: () => Promise<void>): Promise<boolean> {
    const { recorder } = this;
    const before = recorder.failures;
    try {
      await run();
      return true;
    } catch (error) {
      if ((recorder.failing || recorder.failures > before) && isErrno(error, E.ENOSPC)) return false;
      throw error;
    }
  }

  /** What a volume holds when only some of a step has been done. */
  private async look(name: string): Promise<void> {
    this.live.set(name, copyOf((await contents(this.pool)).get(name)!));
  }

  /** A flush through a volume's handle. */
  async flush(name: string): Promise<void> {
    const step = this.begin(`flush ${name}`, { durable: this.state() });
    if (!(await this.succeeds(() => this.handle(name).flush()))) delete step.durable;
    this.end(step);
  }

  /** A flush that goes on beside what follows. */
  flushAside(name: string): void {
    this.flushes.push(this.flush(name));
  }

  create(name: string, size: number): Promise<void> {
    return this.change(
      `create ${name}`,
      async () => void (await this.pool.createVolume({ name, size })),
      () => this.live.set(name, { ...emptyContent(size) }),
    );
  }

  /** Snapshots of one instant. */
  snapshot(...requests: { origin: string; name: string }[]): Promise<void> {
    const what = requests.map(({ origin, name }) => `${name} of ${origin}`).join();
    return this.change(
      `snapshot ${what}`,
      async () => void (await this.pool.snapshot(requests)),
      () => {
        for (const { origin, name } of requests) this.live.set(name, copyOf(this.live.get(origin)!));
      },
    );
  }

  /** A volume that is received: nobody sees it before it is whole. `base`: what it begins with. */
  receive(name: string, size: number, ranges: readonly Range[], base?: string): Promise<void> {
    const content = base === undefined ? emptyContent(size) : copyOf(this.live.get(base)!);
    const { what, touched, run } = this.writes(ranges);
    for (const [at, stamp] of touched) content.stamps[at] = stamp;
    return this.change(
      `receive ${name}, ${what}`,
      async () => {
        const request = { name, size, guid: name, ...(base === undefined ? {} : { base }) };
        const partial = await this.pool.partialVolume(request);
        try {
          await run(partial);
        } catch (error) {
          await partial.abandon();
          throw error;
        }
        await partial.finish({ readOnly: false });
      },
      () => this.live.set(name, copyOf(content)),
    );
  }

  /** One that is given up. */
  drop(name: string, size: number, ranges: readonly Range[]): Promise<void> {
    const { what, run } = this.writes(ranges);
    return this.change(
      `receive and drop ${name}, ${what}`,
      async () => {
        const partial = await this.pool.partialVolume({ name, size, guid: name });
        await run(partial);
        await partial.abandon();
      },
      () => {},
    );
  }

  async rename(name: string, to: string): Promise<void> {
    await this.release(name);
    await this.change(
      `rename ${name} to ${to}`,
      () => this.pool.rename(name, to),
      () => {
        this.live.set(to, this.live.get(name)!);
        this.live.delete(name);
      },
    );
  }

  /** A volume whose unmapped blocks are read from a file that has `stamp` in each of its `bytes`. */
  async createExternal(name: string, size: number, path: string, bytes: number): Promise<void> {
    this.stamp++;
    writeFileSync(path, stamped(this.stamp, 0, bytes));
    const content = emptyContent(size);
    for (const at of sectorsOf(0, bytes)) content.stamps[at] = this.stamp;
    await this.change(
      `create ${name} over ${path}`,
      async () => void (await this.pool.createVolume({ name, size, external: path })),
      () => this.live.set(name, copyOf(content)),
    );
  }

  async remove(name: string): Promise<void> {
    await this.release(name);
    await this.change(
      `remove ${name}`,
      () => this.pool.remove(name),
      () => this.live.delete(name),
    );
  }

  async rollback(name: string, snapshot: string): Promise<void> {
    await this.release(name);
    await this.change(
      `rollback ${name} to ${snapshot}`,
      () => this.pool.rollback(name, snapshot),
      () => this.live.set(name, copyOf(this.live.get(snapshot)!)),
    );
  }

  /** What is cut off may be gone before the size is another. */
  async resize(name: string, size: number): Promise<void> {
    await this.release(name);
    const before = this.live.get(name)!;
    const touched = new Map<number, number>();
    if (size < before.size) for (const at of sectorsOf(size, before.size - size)) touched.set(at, 0);
    const cut = { volume: name, touched };
    await this.change(
      `resize ${name} to ${size}`,
      () => this.pool.resizeVolume(name, size),
      () => {
        before.size = size;
        for (const at of touched.keys()) before.stamps[at] = 0;
      },
      cut,
    );
  }

  hold(): Promise<void> {
    return this.change(
      'hold',
      () => this.pool.reserveMetadataSnapshot(),
      () => {},
    );
  }

  unhold(): Promise<void> {
    return this.change(
      'release the metadata snapshot',
      () => this.pool.releaseMetadataSnapshot(),
      () => {},
    );
  }

  grow(size: number): Promise<void> {
    return this.change(
      `grow to ${size}`,
      () => this.pool.grow(size),
      () => {},
    );
  }

  /** Closes the pool: everything is durable. */
  async close(): Promise<void> {
    await Promise.all(this.flushes);
    await this.change(
      'close',
      () => this.pool.close(),
      () => {},
    );
  }

  private async change(
    what: string,
    run: () => Promise<void>,
    model: () => void,
    touches: Pick<Step, 'volume' | 'touched'> = {},
  ): Promise<void> {
    const begun = this.recorder.tick();
    const before = this.state();
    model();
    const step = this.begin(what, { ...touches, begun, whole: true, durable: this.state() });
    if (!(await this.succeeds(run))) {
      // Undone, but for what a smaller volume has lost already.
      delete step.durable;
      this.live.clear();
      for (const [name, content] of before) this.live.set(name, copyOf(content));
      if (touches.volume !== undefined) await this.look(touches.volume);
    }
    this.end(step);
  }

  private begin(what: string, more: Partial<Step>): Step {
    const step: Step = { what, begun: this.recorder.tick(), ended: Number.POSITIVE_INFINITY, ...more };
    this.steps.push(step);
    this.tell(step);
    return step;
  }

  private end(step: Step): void {
    step.ended = this.recorder.tick();
    this.tell(step);
  }

  private handle(name: string): Volume {
    let volume = this.handles.get(name);
    if (volume === undefined) {
      volume = this.pool.volume(name);
      this.handles.set(name, volume);
    }
    return volume;
  }

  private async release(name: string): Promise<void> {
    await Promise.all(this.flushes.splice(0));
    await this.handles.get(name)?.close();
    this.handles.delete(name);
  }

  private state(): State {
    return new Map([...this.live].map(([name, content]) => [name, copyOf(content)]));
  }
}

function copyOf({ size, stamps }: Content): Live {
  return { size, stamps: stamps.slice() };
}
