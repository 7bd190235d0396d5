// The life of images and containers as a table: what is typed, and what everybody who mounts for the engine must make it say.
// All steps of a table run in one bash, in order and over one store; each is then a subtest.
import { readFileSync } from 'node:fs';
import type { Test } from 'tap';
import { shMeanwhile } from './daemon.js';
import type { Store, Subject } from './engine-store.js';

export interface Step {
  readonly name: string;
  /** Bash, with `set -euo pipefail`, in the directory of the store. Variables: R (graph root). */
  readonly run: string;
  /** What it prints on its standard output. */
  readonly says: string;
  /** What it prints with kernel overlayfs, where the engine looks at layers itself and finds other spellings. */
  readonly overlay?: string;
  /** Subjects that cannot do it. */
  readonly without?: readonly Subject['name'][];
}

// $m is a mount point in functions: who serves it, and the wait until nobody does. A process of many mounts serves this one as
// long as it has the layer open that the mount writes to, or shows first.
const PRELUDE = `
ALONE() { echo "lamina mount $1\\$|fuse-overlayfs .*$1\\$"; }
shared() { for p in $(pgrep -f -- '^lamina mounts '); do test -z "$(find /proc/$p/fd -lname "\${1%/merged}/diff" 2>/dev/null)" || echo $p; done; }
daemon() { pgrep -f -- "$(ALONE $1)" || true; shared $1; }
gone() {
  timeout 20 pidwait -f -- "$(ALONE $1)" || test $? = 1
  for i in $(seq 400); do if test -z "$(shared $1)"; then return 0; fi; sleep 0.05; done; echo "still served: $1" >&2; return 1
}
upper() { podman inspect -f '{{.GraphDriver.Data.UpperDir}}' "$1"; }
listing() { tar tvf - --numeric-owner | awk '{ print $1, $2, $3, $6, $7, $8 }' | sed 's/ *$//' | sort -k 4; }
`;

/**
 * The process that serves the mounts of the store has been idle for a while: it ends by itself. Containers of other stores keep a
 * copy of its mounts as long as they run.
 */
export const ENDED: Step = {
  name: 'the process that served the mounts ends',
  run: `timeout 120 sh -c 'while pidwait -f "$1"; do :; done' sh "^lamina mounts $R$"; pgrep -f "^lamina mounts $R$" || true`,
  says: '',
};

/** The script that runs `steps` and leaves, for each, files NUMBER.out, NUMBER.err and NUMBER.status in `dir`. */
export function stepScript(steps: readonly Step[], dir: string): string {
  const parts = steps.map(
    (step, i) =>
      `( set -euo pipefail\n${step.run}\n) >"${dir}/${i}.out" 2>"${dir}/${i}.err"\necho $? >"${dir}/${i}.status"`,
  );
  return [PRELUDE, ...parts].join('\n');
}

/** Plays the steps that `store` can do. */
export async function playSteps(t: Test, store: Store, steps: readonly Step[]): Promise<void> {
  const mine = stepsOf(steps, store.subject);
  const dir = store.scratch.mkdir('steps');
  const script = store.scratch.write('steps/script', stepScript(mine, dir));
  await shMeanwhile(`bash "${script}"`, { cwd: store.scratch.dir, env: store.env, timeout: 300_000 });
  checkSteps(t, store.subject, mine, dir);
}

export function stepsOf(steps: readonly Step[], subject: Subject): Step[] {
  return steps.filter(step => !step.without?.includes(subject.name));
}

/** Compares what the steps have left in `dir` with the table. */
export function checkSteps(t: Test, subject: Subject, steps: readonly Step[], dir: string): void {
  for (const [i, step] of steps.entries()) {
    const read = (what: string): string => readFileSync(`${dir}/${i}.${what}`, 'utf8');
    const expected = (subject.name === 'overlay' ? step.overlay : undefined) ?? step.says;
    const status = Number(read('status'));
    const why = status === 0 ? {} : { stderr: read('err') };
    t.strictSame(
      { status, says: read('out').split('\n') },
      { status: 0, says: expected.split('\n') },
      step.name,
      why,
    );
  }
}
