// Podman and buildah as an ordinary user with subordinate ids. All steps run in one mount and PID namespace, which ends with
// everything in it, and in which the user exists, has ids in /etc/subuid, and may open /dev/fuse, as udev makes it.
import { chownSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { scratch } from './cleanup.js';
import { shMeanwhile } from './daemon.js';
import { checkSteps, type Step, stepScript, stepsOf } from './engine-steps.js';
import { configure, makeImage, type Subject } from './engine-store.js';

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const USER = 7777;

// Files of /etc that get a line for the user; $S is the scratch directory.
const SETUP = `
  mkdir "$S/checkout"; mount --bind "$CHECKOUT" "$S/checkout"
  mknod -m 666 "$S/fuse" c 10 229; mount --bind "$S/fuse" /dev/fuse
  line() { { if test -e /etc/$1; then cat /etc/$1; fi; echo "$2"; } >"$S/$1"; touch /etc/$1; mount --bind "$S/$1" /etc/$1; }
  line passwd "someone:x:${USER}:${USER}::$S/home:/bin/bash"; line group "someone:x:${USER}:"
  line subuid someone:200000:65536; line subgid someone:200000:65536
  cd "$S"
  exec setpriv --reuid ${USER} --regid ${USER} --clear-groups env HOME="$S/home" USER=someone XDG_RUNTIME_DIR="$S/home/xdg" bash script`;

/** Plays the steps that `subject` can do as a user of no privilege. */
export async function playRootless(t: Test, subject: Subject, steps: readonly Step[]): Promise<void> {
  const s = scratch(t, 'rootless');
  makeImage(s.dir);
  const home = s.mkdir('home');
  const results = s.mkdir('steps');
  for (const dir of [s.dir, home, results, s.mkdir('home', 'xdg'), s.path('context'), s.path('context/b')])
    chownSync(dir, USER, USER);
  // The checkout may be closed to others; the user sees it elsewhere.
  const program = subject.program?.replace(CHECKOUT, s.path('checkout')) ?? null;
  const env = configure(s, home, program);
  const mine = stepsOf(steps, subject);
  s.write('script', stepScript(mine, results));
  await shMeanwhile(`unshare --mount --pid --fork --mount-proc --kill-child bash -euc "$SETUP"`, {
    env: { ...env, S: s.dir, CHECKOUT, SETUP },
    timeout: 300_000,
  });
  checkSteps(t, subject, mine, results);
}
