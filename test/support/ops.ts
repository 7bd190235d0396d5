// Operations on a mounted tree as data: a name, arguments and who asks. A row of a contract table, a step of a random
// sequence and a line of a failure report are all the same thing, so any of them replays. What an operation does with
// system calls is in ops-*.ts; what it does without a kernel is in subject-memory.ts.
import { errnoName } from '../../src/base/index.js';
import { native } from '../../src/sys/index.js';
import { FileCalls } from './ops-files.js';

/** Who asks. Capabilities over files go with uid 0, as the kernel does it for file system ids. */
export interface Who {
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
}

export type Calls = FileCalls;
export type CallName = Exclude<
  { [K in keyof Calls]: Calls[K] extends (...args: never[]) => CallResult ? K : never }[keyof Calls],
  undefined
>;

/** A call's result: -errno, or a success, or what was found as text. */
export type CallResult = number | string;

export interface Op {
  readonly call: CallName;
  readonly args: readonly (string | number)[];
  readonly as?: Who;
}

/** One operation; the arguments are those of the method of that name in ops-*.ts. */
export function op<K extends CallName>(call: K, ...args: Parameters<Calls[K]>): Op {
  return { call, args: args as (string | number)[] };
}

/** The same operation, asked for by somebody else. */
export function as(uid: number, gid: number, step: Op, umask = 0o022): Op {
  return { ...step, as: { uid, gid, umask } };
}

/** What `op` gave: 'ok', the name of an errno, or what was found. */
export type Outcome = string;

export function outcomeOf(result: CallResult): Outcome {
  if (typeof result === 'string') return result;
  return result < 0 ? errnoName(-result) : 'ok';
}

/** How a person reads an operation, and what pastes back into a test. */
export function showOp(step: Op | null): string {
  if (step === null) return 'exchange';
  const args = step.args.map(arg => (typeof arg === 'number' ? `0o${arg.toString(8)}` : JSON.stringify(arg)));
  const plain = `op(${[`'${step.call}'`, ...args].join(', ')})`;
  return step.as === undefined
    ? plain
    : `as(${step.as.uid}, ${step.as.gid}, ${plain}, 0o${step.as.umask.toString(8)})`;
}

/** Runs operations on the tree below a directory with raw system calls. */
export class SystemRunner {
  readonly calls: FileCalls;

  constructor(root: number) {
    this.calls = new FileCalls(root);
  }

  run(step: Op): Outcome {
    const method = this.calls[step.call] as (...args: (string | number)[]) => CallResult;
    const who = step.as ?? { uid: 0, gid: 0, umask: 0o022 };
    const before = native.umask(who.umask);
    if (who.uid !== 0 || who.gid !== 0) native.setfsids(who.uid, who.gid);
    try {
      return outcomeOf(method.apply(this.calls, [...step.args]));
    } finally {
      if (who.uid !== 0 || who.gid !== 0) native.setfsids(0, 0);
      native.umask(before);
    }
  }

  /** Closes every descriptor that operations left open. */
  close(): void {
    this.calls.closeAll();
  }
}
