// What the tests of this room share: a Mirror of a scratch directory and a client that drives it, over the memory channel
// or through a real mount.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { E, errnoName, isErrno, SysError } from '../../src/base/index.js';
import {
  DevChannel,
  type MountOptions,
  mountFuse,
  RingChannel,
  type SessionOptions,
  serve,
  unmount,
} from '../../src/fuse/index.js';
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

export type ChannelName = 'dev' | 'io_uring';

export interface Live {
  readonly channel: DevChannel | RingChannel;
  readonly fs: Mirror;
  /** The mirrored directory and where it is mounted. */
  readonly dir: string;
  readonly mnt: string;
  /** Settles when the session has ended. */
  readonly ended: Promise<void>;
  /** What a shell command prints that runs in the mount; this process is the daemon, so it must not wait for it. */
  sh(command: string): Promise<string>;
}

export interface LiveOptions extends SessionOptions {
  readonly mount?: Partial<MountOptions>;
  readonly spinMicros?: number;
  /** How requests come (default: dev). io_uring is nothing but an offer that the kernel takes or leaves. */
  readonly channel?: ChannelName;
  /** Bytes of a ring entry's payload. */
  readonly payload?: number;
}

/** A mounted Mirror, served by this process; unmounted when the test ends. */
export async function live(
  t: Test,
  mirror: MirrorOptions = {},
  options: LiveOptions = {},
  make: (dir: string, options: MirrorOptions) => Mirror = (dir, wanted) => new Mirror(dir, wanted),
): Promise<Live> {
  const place = scratch(t, 'fuse');
  const dir = place.mkdir('dir');
  const mnt = place.mkdir('mnt');
  const errors: unknown[] = [];
  const onError = (error: unknown): unknown => errors.push(error);
  const mount = {
    mountpoint: mnt,
    fsname: 'mirror',
    subtype: 'lamina',
    allowOther: true,
    defaultPermissions: true,
  };
  const fd = await mountFuse({ ...mount, ...options.mount });
  const fs = make(dir, mirror);
  const { spinMicros, payload } = options;
  const Channel = options.channel === 'io_uring' ? RingChannel : DevChannel;
  const channel = new Channel(fd, {
    onError,
    ...(spinMicros === undefined ? {} : { spinMicros }),
    ...(payload === undefined ? {} : { payload }),
  });
  const ended = serve(fs, channel, { onError, ...options });
  t.teardown(async () => {
    await unmount(mnt, { lazy: true }).catch(error => {
      if (!isErrno(error, E.EINVAL)) throw error;
    });
    await ended;
    if (errors.length > 0) throw errors[0];
  });
  return { fs, channel, dir, mnt, ended, sh: command => shell(command, mnt) };
}

/** What a shell command prints in `cwd`; fails with what it complained. */
export async function shell(command: string, cwd: string): Promise<string> {
  const { stdout } = await promisify(execFile)('sh', inside(cwd, command), {
    encoding: 'latin1',
    timeout: 30_000,
  });
  return stdout;
}

/** Arguments of sh: the shell changes the directory, because spawn() would wait for it on this thread. */
export function inside(cwd: string, command: string): string[] {
  return ['-ec', `cd "$0"\n${command}`, cwd];
}
