// Looks for a shorter sequence of the random differential test that still fails.
import { type Failure, runSequence } from './thin-pool-run.js';
import type { Sequence } from './thin-pool-steps.js';

/** A shorter sequence that fails too, found within `patience` milliseconds. */
export async function shrink(
  sequence: Sequence,
  failure: Failure,
  dir: string,
  patience: number,
): Promise<{ sequence: Sequence; failure: Failure }> {
  const until = Date.now() + patience;
  let best = { sequence: { ...sequence, steps: sequence.steps.slice(0, failure.step + 1) }, failure };
  for (let size = best.sequence.steps.length >> 1; size >= 1; size >>= 1) {
    for (let end = best.sequence.steps.length; end > 0 && Date.now() < until; end -= size) {
      const { steps } = best.sequence;
      const shorter = {
        ...sequence,
        steps: [...steps.slice(0, Math.max(0, end - size)), ...steps.slice(end)],
      };
      const failed = await runSequence(shorter, dir);
      if (failed === null) continue;
      best = { sequence: { ...shorter, steps: shorter.steps.slice(0, failed.step + 1) }, failure: failed };
    }
  }
  return best;
}
