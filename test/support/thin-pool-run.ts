// Runs a sequence of the random differential test on a pool and on the model (thin-pool-model.ts) side by side. What differs
// is thrown as an Error that says what.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { E, isErrno } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import { Pool } from '../../src/thin/index.js';
import { Random } from './random.js';
import { contentOf, difference, MIB, merged, openHere, outcomeOf, type Piece, pattern } from './thin-pool.js';
import { slowed } from './thin-pool-count.js';
import { Model, ModelVolume } from './thin-pool-model.js';
import { Spread } from './thin-pool-spread.js';
import { type Beside, type Io, type Sequence, type Step, showStep } from './thin-pool-steps.js';

const MAX_VOLUMES = 8;

function expect(found: unknown, wanted: unknown, what: string): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (one !== other) throw new Error(`${what}: found ${one}, wanted ${other}`);
}

class Runner {
  readonly model = new Model();
  private readonly handles = new Map<string, Spread>();
  private readonly external: Buffer;
  private readonly externalPath: string;
  private ignored = false;
  private names = 0;

  constructor(
    private readonly dir: string,
    private readonly shape: Pick<Sequence, 'blockSize' | 'factor'>,
    private pool: Pool,
    private readonly open: (dir: string) => Promise<Pool>,
  ) {
    this.external = pattern(10 * this.blockSize + 1000, 99);
    this.externalPath = `${dir}.origin`;
    writeFileSync(this.externalPath, this.external);
  }

  private get blockSize(): number {
    return this.shape.blockSize;
  }

  async run(step: Step): Promise<void> {
    if (this.model.volumes.size === 0 && step.do !== 'create') return;
    switch (step.do) {
      case 'io':
        return this.io(step.ios, step.beside);
      case 'create':
        return this.create(step.size, step.external);
      case 'snapshot':
        return this.snapshot(
          step.origins.map(n => this.nameAt(n)),
          step.readOnly,
        );
      case 'rollback':
        return this.rollback(this.nameAt(step.volume), this.nameAt(step.to));
      case 'resize':
        return this.resize(this.nameAt(step.volume), step.size);
      case 'discards':
        this.ignored = step.mode === 'ignore';
        return this.pool.configure({ discards: step.mode });
      case 'remove':
      case 'readOnly':
      case 'rename':
      case 'close':
      case 'usage':
        return this[step.do](this.nameAt(step.volume));
      default:
        return this[step.do]();
    }
  }

  private nameAt(n: number): string {
    return [...this.model.volumes.keys()][n % this.model.volumes.size]!;
  }

  private volume(name: string): ModelVolume {
    return this.model.volumes.get(name)!;
  }

  private handle(name: string): Spread {
    const open = this.handles.get(name);
    if (open !== undefined) return open;
    const handle = new Spread(this.pool.volume(name), this.shape.factor);
    this.handles.set(name, handle);
    return handle;
  }

  private async close(name: string): Promise<void> {
    await this.handles.get(name)?.volume.close();
    this.handles.delete(name);
  }

  /** All at once, as far as they do not touch the same bytes. */
  private async io(ios: readonly Io[], beside: Beside): Promise<void> {
    const taken: { name: string; begin: number; end: number }[] = [];
    const tasks: Promise<void>[] = [];
    for (const io of ios) {
      const name = this.nameAt(io.volume);
      const { size } = this.volume(name);
      const begin = io.offset % size;
      const end = Math.min(size, begin + io.length);
      if (taken.some(other => other.name === name && begin < other.end && other.begin < end)) continue;
      taken.push({ name, begin, end });
      tasks.push(this.oneIo(io, name, begin, end - begin));
    }
    if (beside === 'commit') tasks.push(this.pool.commit());
    if (beside === 'flush') tasks.push(this.handle(taken[0]!.name).volume.flush());
    // A volume that nothing is done to just now: what is under way may be in a snapshot or not.
    const idle = [...this.model.volumes.keys()].find(name => taken.every(other => other.name !== name));
    if (idle !== undefined && beside === 'snapshot') tasks.push(this.snapshot([idle], false));
    if (idle !== undefined && beside === 'remove') tasks.push(this.remove(idle));
    const results = await Promise.allSettled(tasks);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  private async oneIo(io: Io, name: string, offset: number, length: number): Promise<void> {
    const volume = this.volume(name);
    const handle = this.handle(name);
    const what = `${io.kind} of ${length} at ${offset} in ${name}`;
    if (io.kind === 'read') {
      const wanted = Buffer.from(volume.content.subarray(offset, offset + length));
      const wrong = difference(await contentOf(handle, offset, length), wanted);
      if (wrong !== null) throw new Error(`${what}: ${wrong}`);
      return;
    }
    const data = io.seed % 7 === 0 ? Buffer.alloc(length) : pattern(length, io.seed);
    if (!volume.readOnly) this.modelIo(io.kind, volume, offset, data);
    const outcome = await outcomeOf(() => {
      if (io.kind === 'write') return handle.write(offset, data);
      if (io.kind === 'discard') return handle.discard(offset, length);
      return handle.zero(offset, length, io.kind === 'unmap');
    });
    expect(outcome, volume.readOnly ? 'EROFS' : 'done', what);
  }

  private modelIo(kind: Io['kind'], volume: ModelVolume, offset: number, data: Buffer): void {
    if (kind === 'write') volume.write(offset, data);
    else if (kind !== 'discard') volume.zero(offset, data.length, kind === 'unmap', this.ignored);
    else if (!this.ignored) volume.discard(offset, data.length);
  }

  private async create(size: number, wanted: boolean): Promise<void> {
    if (this.model.volumes.size >= MAX_VOLUMES) return;
    const { factor } = this.shape;
    // An external origin would show between the blocks.
    const external = wanted && factor === 1;
    const name = `v${this.names++}`;
    await this.pool.createVolume({
      name,
      size: size * factor,
      ...(external ? { external: this.externalPath } : {}),
    });
    this.model.volumes.set(name, new ModelVolume(this.blockSize, size, external ? this.external : null));
  }

  private async snapshot(origins: readonly string[], readOnly: boolean): Promise<void> {
    const chosen = [...new Set(origins)];
    if (this.model.volumes.size + chosen.length > MAX_VOLUMES) return;
    const requests = chosen.map(origin => ({ origin, name: `v${this.names++}`, readOnly }));
    for (const { origin, name } of requests) {
      const copy = this.volume(origin).snapshot();
      copy.readOnly = readOnly;
      this.model.volumes.set(name, copy);
    }
    await this.pool.snapshot(requests);
  }

  private async remove(name: string): Promise<void> {
    if (this.handles.has(name)) {
      expect(await outcomeOf(() => this.pool.remove(name)), 'EBUSY', `removal of ${name}, which is in use`);
      await this.close(name);
    }
    await this.pool.remove(name);
    this.volume(name).drop();
    this.model.volumes.delete(name);
  }

  private async rollback(name: string, to: string): Promise<void> {
    const [volume, source] = [this.volume(name), this.volume(to)];
    if (name === to || volume.external !== source.external || volume.readOnly) return;
    if (this.handles.has(name)) {
      expect(await outcomeOf(() => this.pool.rollback(name, to)), 'EBUSY', `rollback of ${name}, in use`);
      await this.close(name);
    }
    await this.pool.rollback(name, to);
    volume.become(source);
  }

  private async resize(name: string, size: number): Promise<void> {
    const volume = this.volume(name);
    if (volume.readOnly) return;
    if (size < volume.size) await this.close(name);
    await this.pool.resizeVolume(name, size * this.shape.factor);
    volume.resize(size);
  }

  private async readOnly(name: string): Promise<void> {
    await this.close(name);
    const volume = this.volume(name);
    volume.readOnly = !volume.readOnly;
    await this.pool.setReadOnly(name, volume.readOnly);
  }

  private async rename(name: string): Promise<void> {
    await this.close(name);
    const to = `v${this.names++}`;
    await this.pool.rename(name, to);
    this.model.volumes.set(to, this.volume(name));
    this.model.volumes.delete(name);
  }

  private async usage(name: string): Promise<void> {
    await this.pool.reclaimed();
    const volume = this.volume(name);
    const { mapped, exclusive } = volume;
    const highest = volume.highest === null ? null : volume.highest * this.shape.factor;
    const found = await this.pool.usage(name);
    const wanted = { mapped, exclusive, shared: mapped - exclusive, highest };
    for (const key of ['mapped', 'exclusive', 'shared', 'highest'] as const) {
      expect(found[key], wanted[key], `${key} blocks of ${name}`);
    }
    for (const [other, theirs] of this.model.volumes) {
      if (other === name || theirs.size !== volume.size) continue;
      const differing = await this.pool.writtenSince(name, other);
      expect(differing, volume.differing(theirs), `blocks of ${name} that are not those of ${other}`);
    }
  }

  private async hold(): Promise<void> {
    const outcome = await outcomeOf(() => this.pool.reserveMetadataSnapshot());
    expect(outcome, this.model.held === null ? 'done' : 'EBUSY', 'reserving a metadata snapshot');
    if (this.model.held === null) this.model.hold();
  }

  private async unhold(): Promise<void> {
    const outcome = await outcomeOf(() => this.pool.releaseMetadataSnapshot());
    expect(outcome, this.model.held === null ? 'EINVAL' : 'done', 'releasing the metadata snapshot');
    this.model.unhold();
  }

  private commit(): Promise<void> {
    return this.pool.commit();
  }

  private grow(): Promise<void> {
    const { dataBlocks } = this.pool.status();
    return this.pool.grow((dataBlocks + 3) * this.blockSize);
  }

  private async reopen(): Promise<void> {
    await this.closePool();
    await this.check(this.dir);
    this.pool = await this.open(this.dir);
    await this.verify();
  }

  /** What is committed, as another process would find it after a crash. */
  private async copy(): Promise<void> {
    await this.pool.reclaimed();
    await this.pool.commit();
    const to = `${this.dir}.copy`;
    const copied = spawnSync('cp', ['-r', '--sparse=always', this.dir, to], { encoding: 'utf8' });
    if (copied.status !== 0) throw new Error(copied.stderr);
    try {
      const pool = await openHere(to);
      try {
        for (const [name, volume] of this.model.volumes) {
          const handle = new Spread(pool.volume(name), this.shape.factor);
          const wrong = difference(await handle.content(), volume.content);
          if (wrong !== null) throw new Error(`${name} in a copy: ${wrong}`);
        }
      } finally {
        await pool.close();
      }
      await this.check(to);
    } finally {
      rmSync(to, { recursive: true });
    }
  }

  /** Contents, maps and counts of everything. */
  private async verify(): Promise<void> {
    const listed = this.pool
      .list()
      .map(info => [info.name, info.size / this.shape.factor, info.mapped, info.readOnly]);
    const wanted = [...this.model.volumes].map(([name, v]) => [name, v.size, v.mapped, v.readOnly]);
    expect(listed.sort(), wanted.sort(), 'volumes, sizes, mapped blocks, read-only');
    for (const [name, volume] of this.model.volumes) {
      const handle = this.handle(name);
      const wrong = difference(await handle.content(), volume.content);
      if (wrong !== null) throw new Error(`${name}: ${wrong}`);
      expect(handle.map(), merged(handle.spread(this.pieces(volume))), `the map of ${name}`);
    }
    await this.pool.reclaimed();
    expect(this.pool.status().usedBlocks, this.model.used, 'used blocks');
  }

  private pieces(volume: ModelVolume): Piece[] {
    const { blockSize } = this;
    return volume.tokens.map((token, index): Piece => {
      const length = Math.min(blockSize, volume.size - index * blockSize);
      return [length, token === null && volume.external === null];
    });
  }

  /** Removes everything: nothing may stay. */
  async finish(): Promise<void> {
    await this.verify();
    await this.reopen();
    for (const name of [...this.model.volumes.keys()]) await this.remove(name);
    if (this.model.held !== null) await this.unhold();
    await this.pool.reclaimed();
    expect(this.pool.status().usedBlocks, 0, 'used blocks when all is removed');
    await this.closePool();
    const report = await this.check(this.dir);
    expect(report.pages, 0, 'pages when all is removed');
  }

  async closePool(): Promise<void> {
    for (const name of [...this.handles.keys()]) await this.close(name);
    await this.pool.close();
  }

  private async check(dir: string): Promise<{ pages: number }> {
    const report = await checkPool(dir);
    if (!report.clean)
      throw new Error(`check finds: ${report.findings.map(each => JSON.stringify(each)).join('\n')}`);
    return report;
  }
}

/** Every second seed on a slow data file, where nothing is done at once; every eighth with the commit worker. */
function openerFor(seed: number): (dir: string) => Promise<Pool> {
  if (seed % 8 === 0) return dir => Pool.open(dir);
  const random = new Random(seed);
  const ticks = seed % 2 === 0 ? () => 0 : () => random.below(4);
  return dir => openHere(dir, file => slowed(file, ticks));
}

export interface Failure {
  /** Index of the step; the number of steps when it is the end that failed. */
  readonly step: number;
  readonly what: string;
}

/** Runs a sequence in `dir`, which must not exist; null when nothing differed. */
export async function runSequence(sequence: Sequence, dir: string): Promise<Failure | null> {
  await Pool.create(dir, { size: 256 * MIB, blockSize: sequence.blockSize });
  const open = openerFor(sequence.seed);
  const runner = new Runner(dir, sequence, await open(dir), open);
  let at = 0;
  try {
    for (const step of sequence.steps) {
      await runner.run(step);
      at++;
    }
    await runner.finish();
    return null;
  } catch (error) {
    await runner.closePool().catch((later: unknown) => {
      if (!isErrno(later, E.EBADF)) throw later;
    });
    const { message, stack } = error as Error;
    return {
      step: at,
      what: `${at < sequence.steps.length ? showStep(sequence.steps[at]!) : 'the end'}\n  ${stack ?? message}`,
    };
  } finally {
    for (const path of [dir, `${dir}.origin`]) rmSync(path, { recursive: true, force: true });
  }
}
