// The process behind a mount: takes one request from descriptor 3 (daemonise.ts), mounts, answers there, and serves until
// the mount is gone. Exit status 0 after a clean end.
import { appendFileSync, closeSync, readFileSync, writeSync } from 'node:fs';
import { CONTROL_FD, type DaemonReply } from './daemonise.js';
import { describe } from './output.js';
import type { MountRequest } from './request.js';

let answered = false;

function answer(reply: DaemonReply): void {
  if (answered) return;
  answered = true;
  writeSync(CONTROL_FD, JSON.stringify(reply));
  closeSync(CONTROL_FD);
}

/** LAMINA_LOG names a file for what a daemon has to say after it has let go of its caller. */
function log(text: string): void {
  const file = process.env.LAMINA_LOG;
  if (file !== undefined) appendFileSync(file, `${new Date().toISOString()} ${process.pid} ${text}\n`);
}

function fail(error: unknown): never {
  answer({ error: describe(error) });
  log(describe(error));
  process.exit(1);
}

process.on('uncaughtException', fail);
const request = JSON.parse(readFileSync(CONTROL_FD, 'utf8')) as MountRequest;
process.title = `lamina mount ${process.argv[2]}`;
process.chdir('/');
// Loaded here and not above, so that an addon that is missing reaches the caller as a reason.
const { serve } = await import('./serve.js');
await serve(request, log, notes => answer({ ready: true, notes })).catch(fail);
