// Named crash points: places between two steps that must each leave a whole tree behind. A test counts them with
// LAMINA_CRASH_TRACE=FILE (one line per point passed) and dies at the N-th with LAMINA_CRASH_AT=N; else they cost a test of null.
import { appendFileSync } from 'node:fs';

const trace = process.env.LAMINA_CRASH_TRACE;
const at = Number(process.env.LAMINA_CRASH_AT ?? 0);
let passed = 0;

function armed(name: string): void {
  passed++;
  if (trace !== undefined) appendFileSync(trace, `${name}\n`);
  if (passed === at) process.kill(process.pid, 'SIGKILL');
}

const hook: ((name: string) => void) | null = trace !== undefined || at > 0 ? armed : null;

/** Marks the moment after the step `name` ("operation:step") has been done. */
export function crashPoint(name: string): void {
  if (hook !== null) hook(name);
}
