// A volume mounted by a process of its own: how that ends, when it is asked to, when it is killed, and that what was
// acknowledged to a database is there after the worst.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { E, isErrno } from '../../src/base/index.js';
import { listLoops } from '../../src/export/loop.js';
import { unmountVolume, type VolumeMountOptions, volumeMounts } from '../../src/export/volumemount.js';
import { checkPool, Pool } from '../../src/thin/index.js';
import { mountsBelow, type Scratch, scratch } from '../support/cleanup.js';
import { MAIN } from '../support/daemon.js';
import { MiB, shell } from './stage.js';

const SCRIPT = fileURLToPath(new URL('serve-volume.mjs', import.meta.url));
/** The compiled sources, since a process that is started often should start fast. */
const DIST = dirname(dirname(MAIN));

interface Daemon {
  readonly process: ChildProcess;
  /** The next line that it prints. */
  line(): Promise<string>;
  /** How it ended: its status, or the signal. */
  readonly ended: Promise<number | string>;
}

interface Site {
  readonly s: Scratch;
  readonly pool: string;
  readonly stateDir: string;
  readonly mnt: string;
  sh(script: string): Promise<string>;
  /** Starts the process; its first line is "ready" when it has mounted. */
  start(options?: VolumeMountOptions, path?: string): Daemon;
  serve(options?: VolumeMountOptions): Promise<Daemon>;
}

async function makeSite(t: Test): Promise<Site> {
  const s = scratch(t, 'volumedaemon');
  const pool = s.path('pool');
  await Pool.create(pool, { size: 512 * MiB });
  const open = await Pool.open(pool);
  await open.createVolume({ name: 'v', size: 320 * MiB });
  await open.close();
  const running = new Set<Daemon>();
  t.teardown(async () => {
    for (const daemon of running) daemon.process.kill('SIGKILL');
    await Promise.all([...running].map(daemon => daemon.ended));
    for (const loop of await listLoops())
      if (loop.file.startsWith(`${s.dir}/`)) await shell(`losetup -d ${loop.device}`);
  });
  const site = { s, pool, stateDir: s.path('run'), mnt: s.mkdir('mnt') };
  const begin = (options: VolumeMountOptions = {}, path = process.env.PATH): Daemon => {
    const words = [site.pool, 'v', site.mnt, JSON.stringify({ stateDir: site.stateDir, ...options })];
    const daemon = start([SCRIPT, DIST, ...words], path);
    running.add(daemon);
    return daemon;
  };
  return {
    ...site,
    sh: script => shell(script, { S: s.dir, M: site.mnt }),
    start: begin,
    async serve(options) {
      const daemon = begin(options);
      const said = await daemon.line();
      if (said !== 'ready') throw new Error(`no mount: ${said}`);
      return daemon;
    },
  };
}

function start(argv: readonly string[], path = ''): Daemon {
  // Without what the test runner puts there for node processes of its own.
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, argv, {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: '/',
    env: { ...env, PATH: path },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = once(child, 'close').then(([status, signal]) => (signal ?? status) as number | string);
  return {
    process: child,
    line: async () =>
      ((await lines.next()).value as string | undefined) ?? `nothing, ended with ${await ended}`,
    ended,
  };
}

async function nothingLeft(t: Test, { s, stateDir }: Site): Promise<void> {
  t.same(
    (await listLoops()).filter(loop => loop.file.startsWith(s.dir)),
    [],
    'no loop device',
  );
  t.same(mountsBelow(s.dir), [], 'no mount');
  t.same(readdirSync(stateDir), [], 'no note');
}

t.test('the ways to end it', async t => {
  const site = await makeSite(t);
  const { sh, pool, mnt, stateDir } = site;
  await t.test('by umount(8)', async t => {
    const daemon = await site.serve({ format: 'ext4' });
    await sh('umount $M');
    t.equal(await daemon.ended, 0);
    await nothingLeft(t, site);
  });
  await t.test('by unmountVolume from another process, which returns when the pool is free', async t => {
    const daemon = await site.serve();
    await Pool.open(pool).then(
      () => t.fail('two processes have the pool'),
      error => t.ok(isErrno(error, E.EBUSY)),
    );
    await unmountVolume(mnt, { stateDir });
    await (await Pool.open(pool)).close();
    t.equal(await daemon.ended, 0);
    await nothingLeft(t, site);
  });
  await t.test('by SIGTERM, but not while it is in use', async t => {
    const daemon = await site.serve();
    await sh('mkfifo $S/go $S/here');
    const holding = sh('cd $M; echo > $S/here; read < $S/go; touch still');
    await sh('read < $S/here');
    daemon.process.kill('SIGTERM');
    t.match(await daemon.line(), /target is busy/);
    await sh('echo > $S/go');
    await holding;
    daemon.process.kill('SIGTERM');
    t.equal(await daemon.ended, 0);
    await nothingLeft(t, site);
  });
});

t.test('killed while it is written to: nothing hangs, and the next mount cleans up', async t => {
  const site = await makeSite(t);
  const { sh, mnt, stateDir } = site;
  const first = await site.serve({ format: 'ext4' });
  await sh('echo durable > $M/kept; sync $M/kept; mkfifo $S/started $S/go');
  const writing =
    sh(`cd $M; dd if=/dev/zero of=x bs=64k count=16 oflag=sync status=none; echo > $S/started; read < $S/go
    ! dd if=/dev/zero of=y bs=64k count=16 oflag=sync status=none 2> $S/said; cat $S/said`);
  await sh('read < $S/started');
  first.process.kill('SIGKILL');
  t.equal(await first.ended, 'SIGKILL');
  await sh('echo > $S/go');
  t.match(await writing, /Input\/output error|Read-only file system/);
  t.match(volumeMounts({ stateDir }), [{ volume: 'v', mountpoint: mnt, alive: false }]);
  const second = await site.serve();
  t.equal(await sh('cat $M/kept'), 'durable\n');
  t.match(volumeMounts({ stateDir }), [{ alive: true }]);
  t.equal(mountsBelow(mnt).length, 1, 'the dead file system is gone');
  second.process.kill('SIGKILL');
  await second.ended;
  await unmountVolume(mnt, { stateDir });
  await nothingLeft(t, site);
  const third = await site.serve();
  third.process.kill('SIGKILL');
  await third.ended;
  await sh('umount $M');
  const fourth = await site.serve();
  t.equal(await sh('cat $M/kept'), 'durable\n', 'unmounted by hand in between');
  await unmountVolume(mnt, { stateDir });
  t.equal(await fourth.ended, 0);
  await nothingLeft(t, site);
});

t.test(
  'killed while the file system is frozen for a snapshot: it thaws, and its loop device goes',
  async t => {
    const site = await makeSite(t);
    const { sh, mnt, stateDir } = site;
    for (const format of ['ext4', 'xfs']) {
      const daemon = await site.serve({ format, force: true });
      const [{ device } = { device: '' }] = volumeMounts({ stateDir });
      await sh('echo durable > $M/kept; fsfreeze --freeze $M');
      daemon.process.kill('SIGKILL');
      t.equal(await daemon.ended, 'SIGKILL');
      await unmountVolume(mnt, { stateDir });
      await nothingLeft(t, site);
      // Without its mount the file has no longer path than this.
      const left = (await listLoops()).filter(loop => loop.device === device && loop.file === '/v');
      t.same(left, [], `${format}: ${device} is free`);
      const next = await site.serve();
      t.equal(await sh('cat $M/kept'), 'durable\n', 'what was written before the freeze is there');
      await unmountVolume(mnt, { stateDir });
      t.equal(await next.ended, 0);
    }
  },
);

t.test('killed while a file system is made: the next mount cleans up', async t => {
  const site = await makeSite(t);
  const { sh, s } = site;
  const bin = s.mkdir('bin');
  s.write('bin/mkfs.ext4', `#!/bin/sh\necho > ${s.path('here')}; read line < ${s.path('go')}\n`);
  await sh('chmod +x $S/bin/mkfs.ext4; mkfifo $S/here $S/go');
  const daemon = site.start({ format: 'ext4' }, `${bin}:${process.env.PATH}`);
  await sh('read < $S/here');
  daemon.process.kill('SIGKILL');
  await daemon.ended;
  await sh('echo > $S/go');
  const left = (await listLoops()).filter(loop => loop.file.startsWith(s.dir));
  t.equal(left.length, 1, 'a loop device that nobody would take away');
  const next = await site.serve({ format: 'ext4' });
  await sh('umount $M');
  t.equal(await next.ended, 0);
  await nothingLeft(t, site);
});

/** Commits numbers one by one until that fails, and prints each once its commit has returned. */
const WRITER = `
import sqlite3, sys
path, journal = sys.argv[1:]
db = sqlite3.connect(path, isolation_level=None)
db.execute(f'pragma journal_mode={journal}')
db.execute('pragma synchronous=extra')
db.execute('create table if not exists t (i integer primary key, filler blob)')
i = (db.execute('select max(i) from t').fetchone()[0] or 0) + 1
while True:
    try:
        db.execute('insert into t values (?, randomblob(3000))', (i,))
    except (sqlite3.OperationalError, sqlite3.DatabaseError):
        sys.exit(0)
    print(i, flush=True)
    i += 1
`;

t.test('a database keeps every commit that it acknowledged when the process is killed', async t => {
  const site = await makeSite(t);
  const { sh, s } = site;
  s.write('writer.py', WRITER);
  let acknowledged = 0;
  for (const [round, journal] of ['wal', 'delete', 'wal'].entries()) {
    const daemon = await site.serve(round === 0 ? { format: 'xfs' } : {});
    if (round > 0) {
      t.equal(await sh(`sqlite3 $M/db 'pragma integrity_check'`), 'ok\n');
      const rows = await sh(`sqlite3 $M/db 'select count(*), max(i) from t'`);
      const [count = 0, highest = 0] = rows.trim().split('|').map(Number);
      t.ok(highest >= acknowledged, `${highest} are there, ${acknowledged} were acknowledged`);
      t.equal(count, highest, 'none is missing');
    }
    const writer = spawn('python3', [s.path('writer.py'), `${site.mnt}/db`, journal], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    for await (const line of createInterface({ input: writer.stdout })) {
      acknowledged = Number(line);
      if (acknowledged >= 40 * (round + 1)) daemon.process.kill('SIGKILL');
    }
    t.equal(await daemon.ended, 'SIGKILL');
  }
  await unmountVolume(site.mnt, { stateDir: site.stateDir });
  await nothingLeft(t, site);
  t.ok(acknowledged >= 120, `${acknowledged} commits`);
  t.same((await checkPool(site.pool)).findings, [], 'the pool is clean');
});
