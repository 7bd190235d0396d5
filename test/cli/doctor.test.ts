// `lamina doctor` tries things for real: on a file system that can do little, it says so, and nowhere does it leave a trace.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { hasRing, needs, RING_SWITCH } from '../support/needs.js';
import { ringOn } from '../support/ring-switch.js';
import { lamina, MAIN, Place, run } from './run.js';

needs('mount', 'setfattr', 'fusermount3');

type Report = { host: Record<string, unknown>; directories: Record<string, unknown>[]; advice: string[] };

/** A new file system mounted in `place`. */
function mounted(place: Place, name: string, ...commands: (readonly [string, ...string[]])[]): string {
  const dir = place.dir(name);
  for (const [program, ...args] of [
    ...commands,
    ['mount', '-t', name, '-o', 'loop', `${dir}.img`, dir] as const,
  ]) {
    const { status, stderr } = run(program, args);
    if (status !== 0) throw new Error(stderr);
  }
  return dir;
}

t.test('on a machine as root', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const { status, stdout, stderr } = lamina(['doctor', '--json', place.base, '/dev/shm']);
  t.same({ status, stderr }, { status: 0, stderr: '' });
  const { host, directories, advice } = JSON.parse(stdout) as Report;
  t.match(host, {
    'FUSE mount': true,
    'FUSE protocol': /^7\.\d+$/,
    CAP_SYS_ADMIN: true,
    passthrough: Boolean,
  });
  t.match(directories, [
    { path: place.base, 'user xattrs': true, O_TMPFILE: true },
    { path: '/dev/shm', type: 'tmpfs', reflinks: false },
  ]);
  t.ok(advice.length >= 2);
  t.same(readdirSync(place.base).sort(), ['bottom', 'mnt', 'top', 'upper', 'work'], 'leaves nothing');
});

t.test('io_uring for FUSE is switched on when told to, and by root only', { skip: !hasRing() }, async t => {
  ringOn(t);
  const { status, stdout } = lamina(['doctor', '--json', '--enable-io-uring', '/dev/shm']);
  t.equal(status, 0);
  t.equal((JSON.parse(stdout) as Report).host['FUSE over io_uring'], true);
  t.equal(readFileSync(RING_SWITCH, 'latin1').trim(), 'Y');
  const drop = ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, MAIN, 'doctor'];
  t.match(run('setpriv', [...drop, '--enable-io-uring', '/dev/shm']), {
    status: 1,
    stderr: /^lamina: cannot switch FUSE over io_uring on; that takes root: EACCES/,
  });
});

t.test('what a file system can do is tried', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const image = join(place.base, 'xfs.img');
  const xfs = mounted(place, 'xfs', ['truncate', '-s', '320M', image], ['mkfs.xfs', '-q', image]);
  const ramfs = place.dir('ramfs');
  t.equal(run('mount', ['-t', 'ramfs', 'none', ramfs]).status, 0);
  const { directories, advice } = JSON.parse(lamina(['doctor', '--json', xfs, ramfs]).stdout) as Report;
  t.match(directories[0], { type: 'xfs', reflinks: true, 'trusted xattrs': true, 'device 0/0': true });
  t.match(directories[1], { type: 'ramfs', reflinks: false, 'trusted xattrs': false, 'user xattrs': false });
  t.match(advice.join('\n'), `upperdir in ${xfs}: the defaults are best`);
  t.match(advice.join('\n'), `upperdir in ${ramfs}: userxattr`);
});

t.test('for people', async t => {
  const { status, stdout } = lamina(['doctor'], { cwd: '/tmp' });
  t.equal(status, 0);
  t.match(stdout, /^This host\n {2}kernel +\d+\.\d+/);
  t.match(stdout, /\n\/tmp \(\w+, [\d.]+ GiB free\)\n/);
  t.match(stdout, /\nAdvice\n {2}upperdir in \/tmp: /);
});
