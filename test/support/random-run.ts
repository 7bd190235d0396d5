// One random sequence over two mounts of the same layers: kernel overlayfs and a subject. Every outcome is compared, the
// whole trees every so often, and again after a remount in which each side takes over what the other wrote.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '../../src/sys/index.js';
import { buildLayer, type Layer, openDir } from './lowers.js';
import { type Op, type Outcome, op, showOp } from './ops.js';
import { workRubbish } from './oracle-work.js';
import { Random } from './random.js';
import { reasonFor } from './random-differences.js';
import { pathsOf, randomLayer } from './random-layers.js';
import { type Hints, randomOp } from './random-ops.js';
import { type Variant, variantOf } from './random-variants.js';
import { kernel, type Mounted, type MountSpec, type Subject, type Tree } from './subject.js';
import { Scratch } from './subject-scratch.js';
import { differences, type Snapshot, snapshot } from './tree.js';
import { fingerprint } from './tree-fingerprint.js';

/** A sequence, complete: it gives the same run whenever it is run. */
export interface Sequence {
  readonly seed: number;
  readonly variant: Variant;
  readonly lowers: readonly Layer[];
  readonly upper: Layer;
  /** How many operations to make, or the steps themselves. */
  readonly ops: number | readonly Step[];
  /** Of made steps, every so-manieth is an exchange. */
  readonly exchangeEvery: number;
}

/** An operation on both sides, or null: unmount, and let each side mount what the other wrote. */
export type Step = Op | null;

export interface Finding {
  /** Index of the step after which it showed. */
  readonly step: number;
  readonly what: string;
}

export interface Result {
  readonly steps: readonly Step[];
  /** What each operation gave on kernel overlayfs. */
  readonly outcomes: readonly Outcome[];
  readonly finding: Finding | null;
}

/** Operations between two comparisons of the whole trees. */
const compareEvery = 25;

export function sequenceOf(seed: number, count: number, exchangeEvery = count >> 1): Sequence {
  const random = new Random(seed);
  const variant = variantOf(random);
  const depth = 1 + random.below(5);
  const lowers = Array.from({ length: depth }, (_, i) =>
    randomLayer(random, 10 + random.below(30), variant.prefix, i === depth - 1),
  );
  const upper = random.oneIn(2) ? randomLayer(random, random.below(20), variant.prefix, false) : {};
  return { seed, variant, lowers, upper, ops: count, exchangeEvery };
}

/** A directory for each layer, written once for what is shared and twice for what is not. */
class Places {
  readonly scratch = new Scratch();
  readonly lowers: string[];
  private readonly sides: string[];

  constructor(private readonly sequence: Sequence) {
    const { variant } = sequence;
    const other = variant.otherFs ? this.scratch.ext4() : this.scratch.path;
    this.lowers = sequence.lowers.map((layer, i) =>
      this.write(i % 2 ? this.scratch.path : other, `lower${i}`, layer),
    );
    this.sides = ['one', 'two'].map(side => {
      const place = this.make(this.scratch.path, side);
      this.write(place, 'upper', sequence.upper);
      this.make(place, 'work');
      this.make(this.make(place, 'in'), 'merged');
      return place;
    });
  }

  private make(parent: string, name: string): string {
    const path = join(parent, name);
    mkdirSync(path);
    return path;
  }

  private write(parent: string, name: string, layer: Layer): string {
    const path = this.make(parent, name);
    const root = openDir(path);
    buildLayer(root, layer);
    native.close(root);
    return path;
  }

  spec(side: 0 | 1): MountSpec {
    const place = this.sides[side]!;
    return {
      lowers: this.lowers,
      upper: `${place}/upper`,
      work: `${place}/work`,
      options: this.sequence.variant.options,
      mountpoint: `${place}/in/merged`,
    };
  }

  fingerprints(): string[] {
    return this.lowers.flatMap(path => fingerprint(path));
  }
}

class Run {
  readonly done: Step[] = [];
  readonly outcomes: Outcome[] = [];
  private readonly random: Random;
  private readonly hints: Hints;
  private readonly places: Places;
  private mounts: [Mounted, Mounted] | null = null;
  private trees: [Tree, Tree] | null = null;
  /** Which side the kernel has mounted. */
  private kernelSide: 0 | 1 = 0;

  constructor(
    private readonly sequence: Sequence,
    private readonly subject: Subject,
  ) {
    this.random = new Random(sequence.seed ^ 0x5bd1e995);
    this.hints = { paths: pathsOf([...sequence.lowers, sequence.upper]) };
    this.places = new Places(sequence);
  }

  async run(): Promise<Finding | null> {
    const before = this.places.fingerprints();
    try {
      const found = await this.perform().catch((error: unknown) => String(error));
      // A daemon that died is why an operation failed, so its last words belong to the finding.
      const end = await this.unmount();
      if (found !== null || end !== null)
        return this.finding([found, end].filter(part => part !== null).join('\n'));
      const changed = differences(before, this.places.fingerprints());
      return changed === '' ? null : this.finding(`a lower layer has changed:\n${changed}`);
    } finally {
      await this.unmount();
      this.places.scratch.remove();
    }
  }

  private finding(what: string): Finding {
    return { step: Math.max(0, this.done.length - 1), what };
  }

  /** Makes all operations; what differs first, or null. */
  private async perform(): Promise<string | null> {
    const { ops } = this.sequence;
    const length = typeof ops === 'number' ? ops : ops.length;
    await this.mount();
    for (let i = 0; i < length; i++) {
      const step = typeof ops === 'number' ? this.nextStep(i) : ops[i]!;
      this.done.push(step);
      const found =
        step === null ? await this.exchange() : await this.step(step, (i + 1) % compareEvery === 0);
      if (found !== null) return found;
    }
    return this.exchange();
  }

  private nextStep(i: number): Step {
    return (i + 1) % this.sequence.exchangeEvery === 0 ? null : randomOp(this.random, this.hints);
  }

  private async step(step: Op, wholeTree: boolean): Promise<string | null> {
    const [oracle, found] = [await this.trees![0].run(step), await this.trees![1].run(step)];
    this.outcomes.push(oracle);
    if (oracle !== found) {
      // What was let pass must not show again: whatever the descriptor is of now differs.
      if (reasonFor(step, oracle, found, this.sequence.variant) !== null) return this.dropSlot(step);
      return `${showOp(step)}\n  kernel overlayfs: ${oracle}\n  ${this.subject.name}: ${found}`;
    }
    return wholeTree ? this.compare() : null;
  }

  private async dropSlot(step: Op): Promise<null> {
    const slot = step.args[0];
    if (/^f[a-z]+$/.test(step.call) && typeof slot === 'string') {
      for (const tree of this.trees!) await tree.run(op('close', slot));
    }
    return null;
  }

  private async compare(): Promise<string | null> {
    const [oracle, found] = await this.snapshots();
    this.hints.paths = [...oracle.inodes.keys()].filter(path => path !== '');
    // The kernel's own numbers do contradict each other over layers that it did not write.
    if (found.problems.length > 0 && !this.subject.isOverlayfs)
      return `contradictions in the tree:\n${found.problems.join('\n')}`;
    const difference = differences(oracle.lines, found.lines);
    return difference === ''
      ? null
      : `the trees differ (- kernel overlayfs, + ${this.subject.name}):\n${difference}`;
  }

  private async snapshots(): Promise<[Snapshot, Snapshot]> {
    const { vagueIdentity, vagueTimes } = this.sequence.variant;
    const options = { noIdentity: vagueIdentity, noFileTimes: vagueTimes };
    const [oracle, found] = this.trees!;
    return [await snapshot(oracle.view, options), await snapshot(found.view, options)];
  }

  /** Each side mounts what the other wrote, and must show what the other showed. */
  private async exchange(): Promise<string | null> {
    this.outcomes.push('exchanged');
    const difference = await this.compare();
    if (difference !== null) return difference;
    const [oracle, found] = await this.snapshots();
    const rubbish = await this.unmount();
    if (rubbish !== null) return rubbish;
    this.kernelSide = this.kernelSide === 0 ? 1 : 0;
    await this.mount();
    const [after, taken] = await this.snapshots();
    const ours = differences(found.lines, after.lines);
    if (ours !== '')
      return `kernel overlayfs shows another tree (+) than ${this.subject.name} wrote (-):\n${ours}`;
    const theirs = differences(oracle.lines, taken.lines);
    return theirs === ''
      ? null
      : `${this.subject.name} shows another tree (+) than overlayfs wrote (-):\n${theirs}`;
  }

  private async mount(): Promise<void> {
    const side = this.kernelSide;
    const oracle = await kernel.mount(this.places.spec(side));
    const subject = await this.subject
      .mount(this.places.spec(side === 0 ? 1 : 0))
      .catch(async (error: unknown) => {
        await oracle.unmount();
        throw error;
      });
    this.mounts = [oracle, subject];
    this.trees = [oracle.tree(''), subject.tree('')];
  }

  /** What went wrong at the end of the subject's mount: its daemon's failure, or rubbish in its work directory. */
  private async unmount(): Promise<string | null> {
    if (this.mounts === null) return null;
    for (const tree of this.trees ?? []) await tree.close();
    const [oracle, subject] = this.mounts;
    this.mounts = null;
    this.trees = null;
    await oracle.unmount();
    const failure = await subject.unmount().then(
      () => null,
      (error: unknown) => String(error),
    );
    if (failure !== null) return failure;
    if (this.subject.isOverlayfs) return null;
    const rubbish = workRubbish(this.places.spec(this.kernelSide === 0 ? 1 : 0).work);
    return rubbish.length === 0 ? null : rubbish.join('\n');
  }
}

/** Runs a sequence over kernel overlayfs and `subject`. */
export async function runSequence(sequence: Sequence, subject: Subject): Promise<Result> {
  const run = new Run(sequence, subject);
  const finding = await run.run();
  return { steps: run.done, outcomes: run.outcomes, finding };
}
