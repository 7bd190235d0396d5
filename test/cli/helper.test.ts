// Called by others: mount(8) with the type fuse.NAME, fstab, mount.fuse3, and an engine that waits for the end of a pipe.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { needs } from '../support/needs.js';
import { lamina, MAIN, Place, run } from './run.js';

needs('mount', 'setfattr', 'fusermount3');

// mount(8) looks for the type's program in the system's directories, whatever PATH says.
const NAME = `lamina-test-${process.pid}`;
const LINK = `/usr/local/bin/${NAME}`;
symlinkSync(MAIN, LINK);
t.teardown(() => rmSync(LINK));

function place(t: Tap): Place {
  const place = new Place();
  t.teardown(() => place.remove());
  return place;
}
type Tap = Pick<typeof t, 'teardown'>;

t.test('mount -t fuse.NAME', async t => {
  const p = place(t);
  const result = run('mount', ['-t', `fuse.${NAME}`, 'layers', p.mnt, '-o', `nodev,${p.options}`]);
  t.same(result, { status: 0, stdout: '', stderr: '' });
  t.match(p.mounted(), ['layers', p.mnt, 'fuse.lamina', /^rw,nodev,/]);
  t.equal(p.read('low'), 'low');
  t.same(run('umount', [p.mnt]), { status: 0, stdout: '', stderr: '' }, 'umount(8)');
});

t.test('mount -t fuse NAME#SRC', async t => {
  const p = place(t);
  t.equal(run('mount', ['-t', 'fuse', `${NAME}#layers`, p.mnt, '-o', `ro,${p.options}`]).status, 0);
  t.match(p.mounted(), ['layers', p.mnt, 'fuse.lamina', /^ro,/]);
});

t.test("a failure is mount(8)'s", async t => {
  const p = place(t);
  const result = run('mount', ['-t', `fuse.${NAME}`, 'layers', p.mnt, '-o', 'lowerdir=/no/such/layer']);
  t.not(result.status, 0);
  t.match(result.stderr, /lamina: .*\/no\/such\/layer/);
  t.equal(p.mounted(), null);
});

t.test('fstab', async t => {
  const p = place(t);
  const fstab = join(p.base, 'fstab');
  const line = [
    'layers',
    p.mnt,
    `fuse.${NAME}`,
    `defaults,noauto,_netdev,x-test=1,${p.options}`,
    '0',
    '0',
  ].join(' ');
  writeFileSync(fstab, `${line}\n`);
  t.same(run('mount', ['--fstab', fstab, p.mnt]), { status: 0, stdout: '', stderr: '' });
  t.equal(p.read('both'), 'top');
});

t.test('mount.fuse3 -t NAME', async t => {
  const p = place(t);
  const result = run('mount.fuse3', ['layers', p.mnt, '-o', p.options, '-o', 'noexec', '-t', NAME]);
  t.equal(result.status, 0, result.stderr);
  t.match(p.mounted(), ['layers', p.mnt, 'fuse.lamina', /noexec/]);
});

t.test('mount.fuse3 with a device that is mounted already', async t => {
  const p = place(t);
  const options = `${p.options},drop_privileges`;
  const result = run('mount.fuse3', ['layers', p.mnt, '-o', options, '-t', NAME]);
  t.equal(result.status, 0, result.stderr);
  t.equal(p.read('low'), 'low', 'served through /dev/fd/N');
});

t.test('as /sbin/mount.NAME', async t => {
  const p = place(t);
  const helper = `/sbin/mount.${NAME}`;
  symlinkSync(MAIN, helper);
  t.teardown(() => rmSync(helper));
  t.equal(run('mount', ['-f', '-t', NAME, 'layers', p.mnt, '-o', p.options]).status, 0);
  t.equal(p.mounted(), null, 'mount -f only pretends');
  t.same(run('mount', ['-v', '-t', NAME, 'layers', p.mnt, '-o', p.options]).status, 0);
  t.equal(p.read('low'), 'low');
});

t.test('the caller of a mount program gets to the end of its pipes', async t => {
  const p = place(t);
  const child = spawn(process.execPath, [MAIN, '-o', `${p.options},`, p.mnt], {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: p.base,
    timeout: 30_000,
  });
  child.stdout.resume();
  child.stderr.resume();
  // 'close' comes after the process has ended and both pipes have.
  const [status] = await once(child, 'close');
  t.equal(status, 0);
  t.equal(p.read('low'), 'low');
  t.equal(lamina(['umount', p.mnt]).status, 0);
});
