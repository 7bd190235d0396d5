// A `lamina serve` for containerd with a client at its socket, for tests.
import type { Test } from 'tap';
import type { Mount } from '../../src/drivers/containerd-schema.js';
import { type Scratch, scratch } from './cleanup.js';
import { type Serving, startServe } from './engine-serve.js';
import { type SnapshotsClient, snapshotsClient } from './snapshots-client.js';

export interface Site {
  readonly s: Scratch;
  readonly socket: string;
  client: SnapshotsClient;
  serving: Serving;
  start(): Promise<void>;
}

/** Starts it in a scratch directory, where its root is `root`. */
export async function site(t: Test, args: readonly string[] = []): Promise<Site> {
  const s = scratch(t, 'snapshots');
  const socket = s.path('run/c.sock');
  const start = () =>
    startServe(t, ['--root', s.path('root'), '--containerd', socket, '--log-level', 'warn', ...args]);
  const made: Site = {
    ...{ s, socket, serving: await start(), client: snapshotsClient(t, socket) },
    async start() {
      made.serving = await start();
      // A client that was there before waits for a while before it tries again.
      made.client = snapshotsClient(t, socket);
    },
  };
  return made;
}

/** The call fails with gRPC's `code`; what it says. */
export async function fails(t: Test, code: number, call: Promise<unknown>, what: string): Promise<string> {
  const error = await call.then(
    () => null,
    (caught: { code: number; details: string }) => caught,
  );
  t.equal(error?.code, code, `${what}: ${error?.details}`);
  return error?.details ?? '';
}

/** Where a snapshot is to be seen: the source of its one bind mount. */
export function placeOf({ mounts }: { mounts: Mount[] }): string {
  const [mount] = mounts;
  if (mounts.length !== 1 || mount?.type !== 'bind') throw new Error(JSON.stringify(mounts));
  return mount.source;
}
