// How systemd starts services: sockets that it listens on and hands over, and the word that a service is ready.
// Sources: sd_listen_fds(3), sd_notify(3).
import { errnoName, fromText } from '../base/index.js';
import { close, sendDatagram, type UnixListener } from '../sys/index.js';
import { UserError } from './output.js';

const FIRST_FD = 3;

/** The sockets that systemd has handed to this process, by the names that the unit gives them (FileDescriptorName=). */
export function takeListeners(environment: NodeJS.ProcessEnv = process.env): Map<string, UnixListener> {
  const found = new Map<string, UnixListener>();
  if (Number(environment.LISTEN_PID) !== process.pid) return found;
  const names = (environment.LISTEN_FDNAMES ?? '').split(':');
  for (let i = 0; i < Number(environment.LISTEN_FDS); i++) {
    const name = names[i] ?? '';
    // The file is systemd's, which listens on it before and after us.
    found.set(name, { path: `systemd's ${name}`, fd: FIRST_FD + i, unlink: () => {} });
  }
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[name];
  return found;
}

/** Closes what nobody has taken: a socket that nobody serves would keep its callers waiting. */
export function closeListeners(listeners: ReadonlyMap<string, UnixListener>): void {
  for (const { fd } of listeners.values()) close(fd);
}

/** Tells whoever started the process how it is: "READY=1", "STOPPING=1", "STATUS=...". Without a listener nothing happens. */
export function notify(state: string, environment: NodeJS.ProcessEnv = process.env): void {
  const socket = environment.NOTIFY_SOCKET;
  if (socket === undefined || socket === '') return;
  const rc = sendDatagram(fromText(socket), Buffer.from(state));
  if (rc < 0) throw new UserError(`cannot tell NOTIFY_SOCKET ${socket}: ${errnoName(-rc)}`);
}
