// A contract as data: layers, operations with what each gives, and the tree that is left. Rows know nothing of what
// they run over.
import type { Layer } from './lowers.js';
import { type CallName, type Calls, type Op, type Outcome, op } from './ops.js';

/** What a subject may be unable to carry; a row that needs it is named as such and runs over the others. */
export type Feature =
  /** The kernel's own checks: permissions, sticky bits, name resolution through symlinks, file types. */
  | 'vfs'
  /** RENAME_NOREPLACE, EXCHANGE, WHITEOUT. */
  | 'rename-flags'
  /** Hard links and inode identity as the caller sees them. */
  | 'identity'
  | 'tmpfile'
  | 'fallocate'
  | 'seek'
  | 'copy-range'
  | 'file-flags'
  | 'acl'
  | 'locks'
  /** Device nodes that work when they are opened. */
  | 'devices'
  | 'exact-times'
  /** Names and values that are not UTF-8. */
  | 'raw-names'
  /** Names and data of unlinked open files. */
  | 'unlinked'
  /** Numbers of statfs(2). */
  | 'statfs'
  /** Owner and group of what a caller other than root makes. */
  | 'callers';

export type Step = readonly [Op, Outcome];

export interface Row {
  readonly name: string;
  /** Top first. */
  readonly lowers: readonly Layer[];
  readonly upper?: Layer;
  readonly steps: readonly Step[];
  /**
   * The tree afterwards: "d/", "d/f=content", "l->target", "p|" fifo, "s=" socket, "c1:3" as in `shape`. Left out where
   * the row is about something else; subjects are then still compared with the kernel, line by line.
   */
  readonly tree?: readonly string[];
  /** Mount options beside the layers. */
  readonly options?: readonly string[];
  /** Mount without an upper. */
  readonly readonly?: boolean;
  /** The layers are the mount's own roots, not directories in a mount shared with other rows. */
  readonly alone?: boolean;
  readonly needs?: readonly Feature[];
  /** An intended difference from kernel overlayfs, written down in differences.md under the row's name. */
  readonly differs?: Difference;
}

export interface Difference {
  readonly why: string;
  /** What each step gives here instead. */
  readonly outcomes?: readonly Outcome[];
  /** True when the trees differ too. */
  readonly tree?: boolean;
}

/** What a call needs, whatever the row says. */
const neededBy: Partial<Record<CallName, Feature>> = {
  times: 'exact-times',
  utimes: 'exact-times',
  futimes: 'exact-times',
  tmpfile: 'tmpfile',
  fallocate: 'fallocate',
  seek: 'seek',
  copyRange: 'copy-range',
  getflags: 'file-flags',
  setflags: 'file-flags',
  statfs: 'statfs',
  flock: 'locks',
};

/** All that a row needs. */
export function needsOf(row: Row): Set<Feature> {
  const needs = new Set(row.needs ?? []);
  for (const [step] of row.steps) {
    const feature = neededBy[step.call];
    if (feature !== undefined) needs.add(feature);
  }
  return needs;
}

/** A step that succeeds and finds nothing. */
export function does<K extends CallName>(call: K, ...args: Parameters<Calls[K]>): Step {
  return [op(call, ...args), 'ok'];
}

/** A step that finds `found`. */
export function gives<K extends CallName>(found: string, call: K, ...args: Parameters<Calls[K]>): Step {
  return [op(call, ...args), found];
}

/** A step that fails with the named errno. */
export const fails = gives;

/** The same step, asked for by uid and gid. */
export function by(uid: number, gid: number, step: Step, umask = 0o022): Step {
  return [{ ...step[0], as: { uid, gid, umask } }, step[1]];
}

/** A snapshot's lines in the short form of `Row.tree`. */
export function shape(lines: readonly string[]): string[] {
  return lines.slice(1).map(line => {
    const [path, attributes, ...more] = line.split(' | ');
    const kind = (attributes ?? '').split(' ')[0];
    if (kind === 'dir') return `${path}/`;
    const rest = more.filter(part => !part.startsWith('same as '))[0] ?? '';
    if (kind === 'lnk') return `${path}->${rest.slice(3)}`;
    if (kind === 'reg') return `${path}=${rest}`;
    if (kind === 'fifo') return `${path}|`;
    if (kind === 'sock') return `${path}=|`;
    return `${path} ${/dev (\d+:\d+)/.exec(attributes ?? '')?.[1]}`;
  });
}
