// What to do about an error: added to the sentence that says what is wrong, for the operations whose errors mean one thing.
import { E, SysError } from '../base/index.js';
import type { OPERATIONS } from '../export/index.js';
import { UserError } from './output.js';

type Name = keyof typeof OPERATIONS;
type Hints = { readonly errno: number; readonly names: readonly Name[] | null; hint(dir: string): string }[];

/** Operations that name volumes and no other thing. */
const NAMING: readonly Name[] = [
  'volume.remove',
  'volume.status',
  'volume.resize',
  'volume.rename',
  'volume.rollback',
  'volume.snapshot',
  'volume.setReadOnly',
  'volume.send',
  'volume.estimate',
];
const MAKING: readonly Name[] = [
  'volume.create',
  'volume.snapshot',
  'volume.rename',
  'volume.receive',
  'volume.import',
  'volume.importStream',
];
const IDLE: readonly Name[] = ['volume.remove', 'volume.resize', 'volume.rollback', 'volume.setReadOnly'];

const HINTS: Hints = [
  { errno: E.ENOENT, names: NAMING, hint: dir => `lamina volume ls ${dir} lists what there is` },
  { errno: E.EEXIST, names: MAKING, hint: () => 'choose another, or lamina volume rm that one' },
  { errno: E.EBUSY, names: IDLE, hint: () => 'end its use first (lamina umount, lamina nbd)' },
  { errno: E.ENOSPC, names: null, hint: dir => `make room (lamina volume rm) or lamina pool grow ${dir}` },
  { errno: E.EUCLEAN, names: null, hint: dir => `lamina pool check ${dir} says what is wrong` },
];

/** The error with what to do about it; errors that nobody foresaw as they are. */
export function withHint(error: unknown, dir: string, name: Name): unknown {
  if (!(error instanceof SysError)) return error;
  const found = HINTS.find(row => row.errno === error.errno && (row.names?.includes(name) ?? true));
  // What a tool such as mount(8) said may have several lines.
  const what = error.what.replace(/\s*\n\s*/g, ' ');
  return found === undefined ? new SysError(error.errno, what) : new UserError(`${what}; ${found.hint(dir)}`);
}
