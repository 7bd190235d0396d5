// What the tests of this room share: a Mirror of a scratch directory and a client that drives it, over the memory channel.
import type { Test } from 'tap';
import { errnoName, SysError } from '../../src/base/index.js';
import { scratch } from '../support/cleanup.js';
import { FuseClient } from '../support/fuse-client.js';
import type { WireOptions } from '../support/fuse-wire.js';
import { Mirror, type MirrorOptions } from '../support/mirror.js';

export interface Fixture {
  readonly fs: Mirror;
  readonly client: FuseClient;
  /** The mirrored directory. */
  readonly dir: string;
}

/** A client of a Mirror of an empty directory; unmounted when the test ends. */
export async function fixture(
  t: Test,
  mirror: MirrorOptions = {},
  wire: WireOptions = {},
  make: (dir: string, options: MirrorOptions) => Mirror = (dir, options) => new Mirror(dir, options),
): Promise<Fixture> {
  const { dir } = scratch(t, 'fuse');
  const fs = make(dir, mirror);
  const client = await FuseClient.start(fs, wire);
  t.teardown(() => client.unmount());
  return { fs, client, dir };
}

/** The operation fails with this errno. */
export async function fails(
  t: Test,
  operation: Promise<unknown>,
  errno: number,
  what = errnoName(errno),
): Promise<void> {
  const got = await operation.then(
    () => 'success',
    (error: unknown) => (error instanceof SysError ? error.code : String(error)),
  );
  t.equal(got, errnoName(errno), what);
}
