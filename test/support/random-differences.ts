// Where a random sequence may differ from kernel overlayfs, each with its reason. Everything else is an error. A
// predicate sees the operation and both outcomes; operations whose difference would make the trees diverge are not
// generated but stand in the contract tables (see test/contract/differences.md).
import type { Op, Outcome } from './ops.js';
import type { Variant } from './random-variants.js';

export interface IntendedDifference {
  readonly why: string;
  applies(step: Op, oracle: Outcome, found: Outcome, variant: Variant): boolean;
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
  {
    why: 'changing attributes of an unlinked lower file by its descriptor: overlayfs fails where it cannot copy up',
    applies: (step, oracle) =>
      /^f(chmod|chown|utimes|setxattr)$/.test(step.call) &&
      /^(EEXIST|EIO|ENOENT|ENOTDIR|ENOTEMPTY|ESTALE)$/.test(oracle),
  },
  {
    why: 'an unlinked lower file has no name left: overlayfs shows the count that the lower layer has, we show 0',
    applies: (step, oracle, found) =>
      step.call === 'fstat' && oracle.replace(/^(.*) 1 (\d+)$/, '$1 0 $2') === found,
  },
  {
    why: 'copy-up keeps every hole; overlayfs fills those in the last megabyte of a file',
    applies: (step, oracle, found) =>
      step.call === 'seek' && /^(at \d+|ENXIO)$/.test(oracle) && /^(at|ENXIO)/.test(found),
  },
  {
    why: 'trusted attributes are not listed for a caller who is not root; the test keeps CAP_SYS_ADMIN, which we cannot see',
    applies: (step, oracle, found) =>
      step.call === 'listxattr' &&
      step.as !== undefined &&
      oracle.replace(/ ?trusted\.\S+/g, '').trim() === found,
  },
  {
    why: 'with userxattr the index of overlayfs has no marks on symlinks and special files, and it takes them for stale',
    applies: (_step, oracle, _found, variant) => oracle === 'ESTALE' && variant.prefix === 'user',
  },
  {
    why: 'without an index a copied-up name counts anew, and overlayfs copies up for operations that then fail',
    applies: (_step, oracle, found, variant) =>
      variant.vagueIdentity && withoutLinks(oracle) === withoutLinks(found) && oracle !== found,
  },
];

/** The reason why the outcomes may differ, or null. */
export function reasonFor(step: Op, oracle: Outcome, found: Outcome, variant: Variant): string | null {
  return intended.find(difference => difference.applies(step, oracle, found, variant))?.why ?? null;
}

/** A description without its link count. */
function withoutLinks(outcome: Outcome): string {
  return outcome.replace(/^(\w+ \d+ \d+:\d+) \d+/, '$1');
}
