// Makes a failing sequence shorter: leaves out operations, then entries of layers, as long as it still fails.
import type { Layer } from './lowers.js';
import { type Finding, type Result, runSequence, type Sequence, type Step } from './random-run.js';
import type { Subject } from './subject.js';

export interface Shrunk {
  readonly sequence: Sequence;
  readonly steps: readonly Step[];
  readonly finding: Finding;
}

/** Gives up after `patience` milliseconds, with the shortest sequence so far. */
export async function shrink(
  sequence: Sequence,
  subject: Subject,
  failed: Result & { readonly finding: Finding },
  patience = 120_000,
): Promise<Shrunk> {
  const until = Date.now() + patience;
  const { finding } = failed;
  const made = failed.steps.slice(0, finding.step + 1);
  let best: Shrunk = { sequence: { ...sequence, ops: made }, steps: made, finding };
  const attempt = async (candidate: Sequence): Promise<boolean> => {
    if (Date.now() > until) return false;
    const result = await runSequence(candidate, subject);
    if (result.finding === null || kindOf(result.finding) !== kindOf(finding)) return false;
    const steps = result.steps.slice(0, result.finding.step + 1);
    best = { sequence: { ...candidate, ops: steps }, steps, finding: result.finding };
    return true;
  };
  // What failed changed nothing, and what only looked changes little: all of it at once, if that still fails.
  const last = made.length - 1;
  await attempt({
    ...sequence,
    ops: made.filter((_, i) => i === last || !/^E[A-Z]+$/.test(failed.outcomes[i]!)),
  });
  await attempt({
    ...sequence,
    ops: best.steps.filter((step, i) => i === best.steps.length - 1 || !looks(step)),
  });
  for (let i = 0; i < sequence.lowers.length; i++) {
    await attempt({
      ...best.sequence,
      lowers: best.sequence.lowers.map((layer, at) => (at === i ? {} : layer)),
    });
  }
  for (let size = best.steps.length >> 1; size >= 1; size >>= 1) {
    // From the end: what fails is there, and what it needs is often just before it.
    for (let end = best.steps.length - 1; end > 0; end -= size) {
      const from = Math.max(0, end - size);
      await attempt({ ...best.sequence, ops: [...best.steps.slice(0, from), ...best.steps.slice(end)] });
    }
  }
  for (let i = -1; i < sequence.lowers.length; i++) await shrinkLayer(i, () => best.sequence, attempt);
  return best;
}

const lookers = new Set([
  'lstat',
  'fstat',
  'follow',
  'same',
  'times',
  'access',
  'readlink',
  'list',
  'readdir',
]);

function looks(step: Step): boolean {
  if (step === null) return false;
  return lookers.has(step.call) || /^(get|list|statfs|seek)/.test(step.call);
}

/** What a finding is about, without its names and numbers: a shorter sequence must not find something else. */
function kindOf(finding: Finding): string {
  return finding.what.replace(/"[^"]*"|\/tmp\/\S+|[0-9]+|\b[a-h](\/[a-h])*\b/g, '').slice(0, 200);
}

/** Leaves out subtrees of the layer `index` (the upper is -1). */
async function shrinkLayer(
  index: number,
  current: () => Sequence,
  attempt: (candidate: Sequence) => Promise<boolean>,
): Promise<void> {
  const layerOf = (sequence: Sequence): Layer => (index < 0 ? sequence.upper : sequence.lowers[index]!);
  for (const path of Object.keys(layerOf(current())).sort()) {
    const now = current();
    const left = Object.fromEntries(
      Object.entries(layerOf(now)).filter(([name]) => name !== path && !name.startsWith(`${path}/`)),
    );
    if (Object.keys(left).length === Object.keys(layerOf(now)).length || dangling(left)) continue;
    const lowers = now.lowers.map((layer, i) => (i === index ? left : layer));
    await attempt({ ...now, lowers, upper: index < 0 ? left : now.upper });
  }
}

/** Whether a hard link names what is no longer there. */
function dangling(layer: Layer): boolean {
  return Object.values(layer).some(
    entry => typeof entry !== 'string' && entry.kind === 'link' && layer[entry.to] === undefined,
  );
}
