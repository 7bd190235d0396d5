// Giving memory back. V8 keeps the garbage of a burst until it allocates again, which an idle daemon does not do.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** So many freed objects are worth a collection. */
const WORTHWHILE = 50_000;
/** Milliseconds without more of them after which it is made. */
const QUIET = 500;

let freed = 0;
let timer: NodeJS.Timeout | undefined;
let collect: (() => void) | undefined;

/** Tells that a long-lived object has become garbage. After many of them, and a quiet moment, the heap is collected. */
export function objectFreed(): void {
  freed++;
  if (freed < WORTHWHILE) return;
  if (timer === undefined) timer = setTimeout(trim, QUIET).unref();
  else if (freed % WORTHWHILE === 0) timer.refresh();
}

function trim(): void {
  timer = undefined;
  freed = 0;
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
}
