// Where a random sequence may differ from kernel overlayfs, each with its reason. Everything else is an error. A
// predicate sees the operation and both outcomes; operations whose difference would make the trees diverge are not
// generated but stand in the contract tables (see test/contract/differences.md).
import type { Op, Outcome } from './ops.js';

export interface IntendedDifference {
  readonly why: string;
  applies(step: Op, oracle: Outcome, found: Outcome): boolean;
}

export const intended: readonly IntendedDifference[] = [];

/** The reason why the outcomes may differ, or null. */
export function reasonFor(step: Op, oracle: Outcome, found: Outcome): string | null {
  return intended.find(difference => difference.applies(step, oracle, found))?.why ?? null;
}
