// The process behind `lamina pool mount` and `lamina volume mount`: takes a Service from descriptor 3 (daemonise.ts), answers
// there when it is live, and ends with it. Exit status 0 after a clean end.
import { answer, daemonRequest, fail, log } from './daemon-control.js';
import type { Service } from './service.js';

process.on('uncaughtException', fail);
const service = daemonRequest() as Service;
process.title = service.title;
process.chdir('/');
const { runService } = await import('./service.js');
await runService(service, log, notes => answer({ ready: true, notes })).catch(fail);
