// A daemon's side of its start (daemonise.ts): the request comes from descriptor 3, and one answer goes back.
import { appendFileSync, closeSync, readFileSync, writeSync } from 'node:fs';
import { CONTROL_FD, type DaemonReply } from './daemonise.js';
import { describe } from './output.js';

let answered = false;

/** The request, once. */
export function daemonRequest(): unknown {
  return JSON.parse(readFileSync(CONTROL_FD, 'utf8'));
}

/** Lets the caller go with the outcome; later ones have nobody to hear them. */
export function answer(reply: DaemonReply): void {
  if (answered) return;
  answered = true;
  writeSync(CONTROL_FD, JSON.stringify(reply));
  closeSync(CONTROL_FD);
}

/** LAMINA_LOG names a file for what a daemon has to say after it has let go of its caller. */
export function log(text: string): void {
  const file = process.env.LAMINA_LOG;
  if (file !== undefined) appendFileSync(file, `${new Date().toISOString()} ${process.pid} ${text}\n`);
}

/** Ends the daemon: the caller gets the reason if it still waits. */
export function fail(error: unknown): never {
  answer({ error: describe(error) });
  log(describe(error));
  process.exit(1);
}
