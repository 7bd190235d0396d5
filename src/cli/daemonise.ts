// Starts the daemon that serves a mount and waits until the mount is live. The request goes down and the outcome comes up
// by one socket pair (descriptor 3 of the child), so options may be of any length; the child has no other tie to
// the caller: its standard streams are /dev/null, its session is its own, and its directory is /.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { toText } from '../base/index.js';
import { UserError } from './output.js';
import type { MountRequest } from './request.js';

/** The child's descriptors: 3 carries the two messages below, 4 is an already mounted FUSE device, if there is one. */
export const CONTROL_FD = 3;
const DEVICE_FD = 4;

/** What the child answers, as JSON up to the end of the stream. */
export type DaemonReply =
  | { readonly ready: true; readonly notes: readonly string[] }
  | { readonly error: string };

/**
 * Mounts in a daemon; returns once the mount is live, with notes for the user.
 * @throws UserError with the daemon's reason, or its exit status when it died without one.
 */
export async function daemonise(request: MountRequest): Promise<readonly string[]> {
  const { mountpoint } = request;
  const device = /^\/dev\/fd\/([0-9]+)$/.exec(mountpoint)?.[1];
  const target = device === undefined ? mountpoint : `/dev/fd/${DEVICE_FD}`;
  const message = { ...request, mountpoint: target };
  return startDaemon(new URL('./daemon.js', import.meta.url), toText(mountpoint), message, device);
}

/**
 * The same for any daemon: `script` is its code and `mountpoint` its argument, `request` what it gets as JSON, `device` a
 * descriptor that it gets as number 4.
 */
export async function startDaemon(
  script: URL,
  mountpoint: string,
  request: unknown,
  device?: string,
): Promise<readonly string[]> {
  const child = spawn(process.execPath, [fileURLToPath(script), mountpoint], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', device === undefined ? 'ignore' : Number(device)],
  });
  const ended = outcome(child);
  const control = child.stdio[CONTROL_FD] as Socket;
  const reply = await converse(control, JSON.stringify(request));
  if (reply === '')
    throw new UserError(`the daemon for ${mountpoint} ended before the mount was live: ${await ended}`);
  child.unref();
  const parsed = JSON.parse(reply) as DaemonReply;
  if ('error' in parsed) throw new UserError(parsed.error);
  return parsed.notes;
}

/** Sends `request`, and returns all that comes back. A daemon that dies while it is told is one that says nothing. */
async function converse(control: Socket, request: string): Promise<string> {
  let reply = '';
  control.setEncoding('utf8');
  control.on('data', text => {
    reply += text;
  });
  control.on('error', () => control.destroy());
  control.end(request);
  await new Promise<void>(resolve => control.once('close', () => resolve()));
  return reply;
}

function outcome(child: ChildProcess): Promise<string> {
  return new Promise(resolve => {
    child.once('error', error => resolve(error.message));
    child.once('exit', (status, signal) =>
      resolve(signal === null ? `exit status ${status}` : `killed by ${signal}`),
    );
  });
}
