// The process that serves the mounts of one container store, for `lamina-mount` (native/mount-client.cc), which starts it as
// `node mounts-daemon.js STORE SOCKET` with that socket, listening, as descriptor 3 and with /dev/null as its standard streams.
// It ends when it has had no mount for a while. The first SIGTERM, SIGINT or SIGHUP unmounts all that it has.
import { log } from './daemon-control.js';
import { MountsListener } from './mounts-listener.js';
import { SharedMounts } from './mounts-shared.js';
import { describe } from './output.js';
import { SIGNALS } from './signals.js';

const LISTENER_FD = 3;
const [store = '', socket = ''] = process.argv.slice(2);
process.title = `lamina mounts ${store}`;
// The first caller's may be short, and is everybody's.
process.env.PATH = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;

const mounts = new SharedMounts(log);
const listener = new MountsListener(LISTENER_FD, socket, mounts, log);

// Nobody knows what a defect has spoilt. It is no reason to take the mounts of others down, but one to take no more.
process.on('uncaughtException', error => {
  log(describe(error));
  listener.leave();
});
let asked = false;
for (const signal of SIGNALS)
  process.on(signal, () => {
    if (asked) process.exit(1);
    asked = true;
    listener.leave();
    void mounts.close();
  });
