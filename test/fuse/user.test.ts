// An ordinary user mounts through fusermount3: a process of that user does it (user-mount.ts), without any privilege.
import { execFile } from 'node:child_process';
import { chmodSync, chownSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { hasRing } from '../support/needs.js';
import { ringOn } from '../support/ring-switch.js';

if (hasRing()) ringOn(t);

const NOBODY = 65534;
const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

t.test('mount, use and unmount, twice; fusermount3 says why not', async t => {
  const place = scratch(t, 'fuse-user');
  const dir = place.mkdir('dir');
  const mnt = place.mkdir('mnt');
  const foreign = place.mkdir('foreign');
  chmodSync(foreign, 0o755);
  for (const path of [place.dir, dir, mnt]) chownSync(path, NOBODY, NOBODY);
  // In a mount namespace of its own the user sees this checkout, wherever it is, and /dev/fuse as udev makes it on every
  // Debian machine.
  const seen = place.mkdir('checkout');
  const move = (argument: string) => argument.replaceAll(CHECKOUT, seen);
  const loader = process.execArgv.map(move);
  const script = move(fileURLToPath(new URL('user-mount.ts', import.meta.url)));
  const device = place.path('fuse');
  const setup = `mount --bind "${CHECKOUT}" "${seen}"; mknod -m 666 "${device}" c 10 229; mount --bind "${device}" /dev/fuse
    exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups "$@"`;
  const words = ['-m', 'bash', '-euc', setup, 'bash', process.execPath, ...loader, script, dir, mnt, foreign];
  const { stdout } = await promisify(execFile)('unshare', words, { timeout: 120_000, cwd: '/' });
  const { uid, rounds, refused, absent } = JSON.parse(stdout);
  t.equal(uid, NOBODY);
  for (const [i, { said, mount, left, errors, passthrough, overRing }] of rounds.entries()) {
    t.equal(said, `${i + 1}\n`);
    t.match(mount, { type: 'fuse.lamina', source: 'of a user, with a comma' });
    t.same(
      ['nosuid', 'nodev', 'noatime'].filter(option => !mount.options.includes(option)),
      [],
    );
    t.equal(passthrough, false, 'passthrough needs CAP_SYS_ADMIN');
    t.equal(overRing, hasRing(), 'io_uring needs no privilege');
    t.equal(left, false);
    t.same(errors, []);
  }
  t.match(refused, /^EPERM fusermount3: .*no write access to mountpoint/);
  t.match(absent, /^EPERM fusermount3: /);
});
