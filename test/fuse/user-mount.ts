// Run as an ordinary user by user.test.ts: mounts a Mirror through fusermount3, uses it, unmounts, twice; then tries what
// must fail. Prints what happened as JSON. Arguments: directory, mountpoint, a directory of somebody else's.
import { SysError } from '../../src/base/index.js';
import { mountFuse, RingChannel, serve, unmount } from '../../src/fuse/index.js';
import { listMounts } from '../../src/sys/index.js';
import { Mirror } from '../support/mirror.js';
import { shell } from './fixture.js';

const [dir, mnt, foreign] = process.argv.slice(2) as [string, string, string];
const options = { fsname: 'of a user, with a comma', subtype: 'lamina', defaultPermissions: true };

async function round(number: number): Promise<unknown> {
  const errors: string[] = [];
  const fd = await mountFuse({ ...options, mountpoint: mnt, flags: ['noatime'] });
  const fs = new Mirror(dir, { passthrough: true });
  const onError = (error: unknown): unknown => errors.push(String(error));
  const channel = new RingChannel(fd, { onError });
  const ended = serve(fs, channel, { onError });
  const said = await shell(`mkdir -p d; echo ${number} > d/f; cat d/f`, mnt);
  const { overRing } = channel;
  const mount = listMounts().find(one => one.mountpoint === mnt);
  await unmount(mnt);
  await ended;
  const left = listMounts().some(one => one.mountpoint === mnt);
  return { said, mount, left, errors, passthrough: fs.agreed?.passthrough, overRing };
}

async function complaint(operation: Promise<unknown>): Promise<string> {
  return operation.then(
    () => 'success',
    (error: unknown) => (error instanceof SysError ? `${error.code} ${error.what}` : String(error)),
  );
}

const rounds = [await round(1), await round(2)];
const refused = await complaint(mountFuse({ ...options, mountpoint: foreign }));
const absent = await complaint(unmount(mnt));
process.stdout.write(JSON.stringify({ uid: process.getuid!(), rounds, refused, absent }));
