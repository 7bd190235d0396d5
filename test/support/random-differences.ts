// Where a random sequence may differ from kernel overlayfs, each with its reason. Everything else is an error. A
// predicate sees the operation and both outcomes; operations whose difference would make the trees diverge are not
// generated but stand in the contract tables (see test/contract/differences.md).
import type { Op, Outcome } from './ops.js';

export interface IntendedDifference {
  readonly why: string;
  applies(step: Op, oracle: Outcome, found: Outcome): boolean;
}

export const intended: readonly IntendedDifference[] = [
  {
    why: 'the FUSE client seeks in directories itself, by the rules for files; overlayfs knows no data or holes there',
    applies: (step, oracle) => step.call === 'seek' && oracle === 'EINVAL',
  },
  {
    why: 'the FUSE client takes the removal of an ACL that is not there for a success (fs/fuse/acl.c: fuse_set_acl)',
    applies: (step, oracle, found) =>
      step.call === 'removexattr' &&
      String(step.args[1]).startsWith('system.posix_acl_') &&
      oracle === 'ENODATA' &&
      found === 'ok',
  },
];

/** The reason why the outcomes may differ, or null. */
export function reasonFor(step: Op, oracle: Outcome, found: Outcome): string | null {
  return intended.find(difference => difference.applies(step, oracle, found))?.why ?? null;
}
