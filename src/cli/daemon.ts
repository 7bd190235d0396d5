// The process behind a mount: takes one request from descriptor 3 (daemonise.ts), mounts, answers there, and serves until
// the mount is gone. Exit status 0 after a clean end.
import { answer, daemonRequest, fail, log } from './daemon-control.js';
import type { MountRequest } from './request.js';

process.on('uncaughtException', fail);
const request = daemonRequest() as MountRequest;
process.title = `lamina mount ${process.argv[2]}`;
process.chdir('/');
// Loaded here and not above, so that an addon that is missing reaches the caller as a reason.
const { serve } = await import('./serve.js');
await serve(request, log, notes => answer({ ready: true, notes })).catch(fail);
