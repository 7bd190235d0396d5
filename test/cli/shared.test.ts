// `lamina-mount` and the process that serves all mounts of a store: when it is shared and when not, how it begins and ends, and
// what happens when it dies or hangs.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { close, listenUnix } from '../../src/sys/index.js';
import { mountsBelow } from '../support/cleanup.js';
import { CLIENT, isRunning, lamina, openFiles, run, umount, waitGone, waitUntil } from '../support/daemon.js';
import { mountIdMapped } from '../support/idmapped.js';
import { needs } from '../support/needs.js';
import { end, holds, SOCKETS, stage } from '../support/shared-stage.js';

needs('pgrep', 'prlimit', 'setpriv', 'unshare');

t.test('a process of its own: nothing of the caller is kept', async t => {
  const s = stage(t);
  const place = s.mount('a');
  s.show(place);
  const pid = s.server();
  t.equal(readFileSync(`${place.mnt}/low`, 'utf8'), 'low');
  t.equal(readlinkSync(`/proc/${pid}/cwd`), '/');
  for (const fd of [0, 1, 2]) t.equal(readlinkSync(`/proc/${pid}/fd/${fd}`), '/dev/null');
  t.equal(run(['ps', '-o', 'sess=', '-p', String(pid)]).stdout.trim(), String(pid), 'a session of its own');
  const kept = openFiles(pid);
  t.notOk(
    kept.some(path => path.startsWith(s.store) || path.startsWith(`${SOCKETS}/`)),
    'no directory of the store',
  );
});

t.test('one process serves many mounts, and each ends alone', async t => {
  const s = stage(t);
  const [a, b] = [s.mount('a'), s.mount('b')];
  s.show(a);
  const pid = s.server();
  s.show(b);
  t.equal(s.server(), pid);
  writeFileSync(`${a.mnt}/new`, 'a');
  end(a, pid);
  t.equal(readFileSync(`${a.upper}/new`, 'utf8'), 'a');
  t.ok(holds(pid, b.upper));
  t.equal(readFileSync(`${b.mnt}/low`, 'utf8'), 'low', 'the other goes on');
  s.show(a);
  t.equal(s.server(), pid, 'mounted again at once');
  t.equal(readFileSync(`${a.mnt}/new`, 'utf8'), 'a');
});

t.test('many first callers at once start one process', async t => {
  const s = stage(t);
  const places = Array.from({ length: 12 }, (_, i) => s.mount(`m${i}`));
  const callers = places.map(({ options, mnt }) =>
    once(
      spawn(CLIENT, ['-o', options, mnt], { cwd: s.store, stdio: 'ignore', env: plainEnvironment() }),
      'close',
    ),
  );
  t.same(
    await Promise.all(callers),
    places.map(() => [0, null]),
  );
  t.equal(s.servers().length, 1);
  const pid = s.server();
  for (const place of places) t.ok(holds(pid, place.upper), place.mnt);
});

t.test('who would not have started the same process has another', async t => {
  const s = stage(t);
  s.show(s.mount('a'));
  const first = s.server();
  const others: Record<string, Parameters<typeof s.show>[1]> = {
    'other limits': { through: ['prlimit', '--nofile=700:700'] },
    'other capabilities': { through: ['setpriv', '--bounding-set', '-sys_time'] },
    'other settings': { env: { LAMINA_LOG: s.scratch.path('log') } },
    'another directory': { cwd: s.scratch.mkdir('elsewhere') },
  };
  const log = s.mount('logged');
  for (const [name, caller] of Object.entries(others)) {
    const place = name === 'other settings' ? log : s.mount(name.replace(/ /g, '-'));
    s.show(place, caller);
    t.notOk(holds(first, place.upper), name);
  }
  t.equal(s.servers().length, 4, 'of which one belongs to another store');
  for (const pid of run(['pgrep', '-f', '-x', `lamina mounts ${s.scratch.path('elsewhere')}`])
    .stdout.trim()
    .split('\n'))
    process.kill(Number(pid), 'SIGTERM');
  t.equal(s.servers().length, 4);
});

t.test('another mount name space: the mount is made there', async t => {
  const s = stage(t);
  const [a, b] = [s.mount('a'), s.mount('b')];
  s.show(a);
  const script = `"${CLIENT}" -o "${b.options}" "${b.mnt}" && cat "${b.mnt}/low"`;
  const inside = run(['unshare', '--mount', '--pid', '--fork', '--mount-proc', 'sh', '-c', script], {
    cwd: s.store,
  });
  t.equal(inside.stdout, 'low', inside.stderr);
  t.same(mountsBelow(b.mnt), [], 'and nowhere else');
});

t.test('it ends when it has been idle for a while, and leaves nothing', async t => {
  const s = stage(t);
  const place = s.mount('a');
  const before = sockets();
  s.show(place);
  const pid = s.server();
  const dead = join(SOCKETS, randomBytes(16).toString('hex'));
  close(listenUnix(dead, 0o600));
  const name = sockets().find(one => !before.includes(one))!;
  t.ok(name);
  end(place, pid);
  waitGone(pid);
  t.notOk(existsSync(join(SOCKETS, name)));
  t.notOk(existsSync(dead), 'nor what one has left that was killed');
  s.show(place);
  t.not(s.server(), pid, 'the next one starts another');
});

t.test('kill -9: the next mount is served by a new process', async t => {
  const s = stage(t);
  const [a, b] = [s.mount('a'), s.mount('b')];
  s.show(a);
  const pid = s.server();
  process.kill(pid, 'SIGKILL');
  waitGone(pid);
  s.show(b);
  t.not(s.server(), pid);
  const again = s.ask(a.options, a.mnt);
  t.match(again, {
    status: 1,
    stderr: /^lamina: mount point .* is a mount whose daemon has died; unmount it first/,
  });
  umount(a.mnt);
  s.show(a);
  t.equal(s.servers().length, 1);
});

t.test('SIGTERM unmounts everything', async t => {
  const s = stage(t);
  const [a, b] = [s.mount('a'), s.mount('b')];
  s.show(a);
  s.show(b);
  const pid = s.server();
  writeFileSync(`${a.mnt}/new`, 'kept');
  process.kill(pid, 'SIGTERM');
  waitGone(pid);
  t.same(mountsBelow(s.scratch.dir), []);
  t.equal(readFileSync(`${a.upper}/new`, 'utf8'), 'kept');
  s.show(a);
  t.not(s.server(), pid);
});

t.test('what is wrong is said in the words of lamina, with its status', async t => {
  const s = stage(t);
  const place = s.mount('a');
  const rows = [
    'lowerdir=/nowhere',
    'lowerdri=/',
    `${place.options},redirect_dir=sideways`,
    `lowerdir=${place.upper}/../..,upperdir=${place.upper},workdir=${place.upper}/../work`,
  ];
  for (const options of rows) {
    const alone = lamina(['-o', options, place.mnt], { cwd: s.store });
    const { status, stdout, stderr } = s.ask(options, place.mnt);
    t.same({ status, stdout, stderr }, { status: 1, stdout: '', stderr: alone.stderr }, options);
  }
  t.equal(s.ask(place.options, s.scratch.path('nowhere')).status, 1);
  const noted = s.ask(`${place.options},uuid=on`, place.mnt);
  t.match(noted, { status: 0, stderr: /^lamina: note: uuid: .*\n$/ });
});

t.test('everything else is passed to lamina', async t => {
  t.match(run([CLIENT, '--version']), { status: 0, stdout: /^lamina: version \d/ });
  t.match(run([CLIENT, 'umount', '/nowhere']), { status: 1, stderr: 'lamina: /nowhere does not exist\n' });
});

t.test('a mount on a mount of the same process is served by another one', async t => {
  const s = stage(t);
  const [a, b, c] = [s.mount('a'), s.mount('b'), s.mount('c')];
  s.show(a);
  const pid = s.server();
  s.show({ ...b, options: `lowerdir=${a.mnt}` });
  t.equal(readFileSync(`${b.mnt}/low`, 'utf8'), 'low');
  symlinkSync(a.mnt, s.scratch.path('link'));
  s.show({ ...c, options: `lowerdir=${s.scratch.path('link')}/.` });
  t.equal(readFileSync(`${c.mnt}/low`, 'utf8'), 'low');
  t.same(s.ask('lowerdir=/nowhere', `${a.mnt}/nowhere`).status, 1);
  t.ok(isRunning(pid));
  umount(c.mnt);
  umount(b.mnt);
});

t.test('a layer is not looked for behind a mount of the same process', async t => {
  const s = stage(t);
  const [a, b] = [s.mount('a'), s.mount('b')];
  s.show(a);
  const pid = s.server();
  const [disk, mapped] = [s.scratch.mkdir('disk'), s.scratch.mkdir('mapped')];
  const mount = (...args: string[]) => t.equal(run(['mount', ...args]).status, 0, args.join(' '));
  mount('-t', 'tmpfs', 'tmpfs', disk);
  mkdirSync(`${disk}/layer`);
  mountIdMapped(`${disk}/layer`, mapped, [0, 100_000, 65_536]);
  mkdirSync(`${a.mnt}/inside`);
  mount('--bind', disk, `${a.mnt}/inside`);
  umount(disk);
  const maps = 'uidmapping=0:100000:65536,gidmapping=0:100000:65536';
  const { status, stderr } = s.ask(
    `${b.options.replace(/lowerdir=[^,]*/, `lowerdir=${mapped}`)},${maps}`,
    b.mnt,
  );
  t.match({ status, stderr }, { status: 0, stderr: /maps ids already; both mappings apply to it/ });
  t.ok(holds(pid, b.upper), 'it is the same process');
  umount(`${a.mnt}/inside`);
});

t.test('a process that hangs: mounts do without it, and it takes no request of who has gone', async t => {
  const s = stage(t);
  const [a, b] = [s.mount('a'), s.mount('b')];
  s.show(a);
  const pid = s.server();
  process.kill(pid, 'SIGSTOP');
  try {
    s.show(b);
    t.equal(readFileSync(`${b.mnt}/low`, 'utf8'), 'low');
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  umount(b.mnt);
  s.show(s.mount('c'));
  t.equal(s.server(), pid);
  t.same(mountsBelow(b.mnt), [], 'what was asked meanwhile is not done');
});

t.test('descriptors run out: mounts do without it, and it does not spin', async t => {
  const s = stage(t);
  const [a, b, c] = [s.mount('a'), s.mount('b'), s.mount('c')];
  const caller = { through: ['prlimit', '--nofile=100:100'] };
  s.show(a, caller);
  const pid = s.server();
  // Files that are written to, which the process has open as well.
  const files: number[] = [];
  t.throws(
    () => {
      for (;;) files.push(openSync(`${a.mnt}/file${files.length}`, 'w'));
    },
    { code: 'EMFILE' },
  );
  const before = cpuSeconds(pid);
  s.show(b, caller);
  t.notOk(holds(pid, b.upper));
  t.ok(cpuSeconds(pid) - before < 2, `${cpuSeconds(pid) - before} s of CPU`);
  for (const fd of files) closeSync(fd);
  waitUntil(() => readdirSync(`/proc/${pid}/fd`).length < 40, 'the files are closed there');
  s.show(c, caller);
  t.ok(holds(pid, c.upper), 'it comes back');
  umount(b.mnt);
});

t.test('a defect: it serves what it has, and takes no more', async t => {
  const s = stage(t);
  const [a, b] = [s.mount('a'), s.mount('b')];
  const defect = `--import=data:text/javascript,process.on(\`SIGUSR2\`,()=>{setTimeout(()=>{throw(new(Error)(\`defect\`))})})`;
  const env = { NODE_OPTIONS: defect, LAMINA_LOG: s.scratch.path('log') };
  s.show(a, { env });
  const pid = s.server();
  process.kill(pid, 'SIGUSR2');
  waitUntil(() => existsSync(env.LAMINA_LOG), 'the defect is logged');
  t.match(readFileSync(env.LAMINA_LOG, 'utf8'), /Error: defect/);
  t.equal(readFileSync(`${a.mnt}/low`, 'utf8'), 'low');
  s.show(b, { env });
  t.notOk(holds(pid, b.upper));
  end(a, pid);
  waitGone(pid);
  t.equal(readFileSync(`${b.mnt}/low`, 'utf8'), 'low');
});

t.test('a process of another build is not asked', async t => {
  const top = stage(t).scratch.mkdir('package');
  const from = (path: string): string => join(CLIENT, '../../..', path);
  cpSync(from('dist'), join(top, 'dist'), { recursive: true });
  cpSync(from('package.json'), join(top, 'package.json'));
  symlinkSync(from('node_modules'), join(top, 'node_modules'));
  for (const file of ['lamina.node', 'lamina-mount'])
    cpSync(from(`build/Release/${file}`), join(top, 'build/Release', file));
  const s = stage(t, { client: join(top, 'build/Release/lamina-mount') });
  const [a, b] = [s.mount('a'), s.mount('b')];
  s.show(a);
  const pid = s.server();
  chmodSync(join(top, 'dist/cli/main.js'), 0o755);
  s.show(b);
  t.equal(s.servers().length, 2);
  t.notOk(holds(pid, b.upper));
  t.equal(readFileSync(`${a.mnt}/low`, 'utf8'), 'low', 'the old one goes on');
});

t.test('fifty mounts: memory, and descriptors that come back', { timeout: 120_000 }, async t => {
  const s = stage(t);
  const places = Array.from({ length: 50 }, (_, i) => s.mount(`m${i}`));
  s.show(places[0]!);
  const pid = s.server();
  const one = usage(pid);
  for (const place of places.slice(1)) s.show(place);
  const fifty = usage(pid);
  t.ok(fifty.mebibytes < one.mebibytes + 100, `${one.mebibytes} MiB for one, ${fifty.mebibytes} for fifty`);
  for (const place of places.slice(1)) end(place, pid);
  t.equal(usage(pid).descriptors, one.descriptors);
  for (let i = 0; i < 300; i++) {
    s.show(places[1]!);
    end(places[1]!, pid);
  }
  const after = usage(pid);
  t.equal(after.descriptors, one.descriptors);
  t.ok(after.mebibytes < fifty.mebibytes + 30, `${after.mebibytes} MiB after 350 mounts`);
});

function sockets(): string[] {
  return existsSync(SOCKETS) ? readdirSync(SOCKETS).filter(name => name !== 'lock') : [];
}

function usage(pid: number): { mebibytes: number; descriptors: number } {
  const kibibytes = Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  return { mebibytes: Math.round(kibibytes / 1024), descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

function cpuSeconds(pid: number): number {
  // Behind the name, which may hold blanks, utime and stime are the 12th and 13th field (proc_pid_stat(5)).
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Without what the test runner puts there for processes of its own. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH };
}
