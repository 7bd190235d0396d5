// Real mounts, by either channel: what ordinary programs see and do there, with and without passthrough.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { E, ok } from '../../src/base/index.js';
import { mountFuse, unmount } from '../../src/fuse/index.js';
import { listMounts, native } from '../../src/sys/index.js';
import { scratch } from '../support/cleanup.js';
import type { MirrorOptions } from '../support/mirror.js';
import { Mirror } from '../support/mirror.js';
import type { MirrorHandle, MirrorNode } from '../support/mirror-node.js';
import { type ChannelName, fails, inside, type Live, type LiveOptions, live as liveBy } from './fixture.js';

const MMAP = `
import mmap, os
f = open('mapped', 'r+b')
m = mmap.mmap(f.fileno(), 0)
assert m[:5] == b'hello', m[:5]
m[0:5] = b'HELLO'
m.flush()
os.fsync(f.fileno())
print(open('mapped', 'rb').read().decode(), end='')
`;

const LOCKS = `
import fcntl, os, sys
a = open('locked', 'w'); b = open('locked', 'w')
fcntl.flock(a, fcntl.LOCK_EX)
try:
    fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print('flock does not lock')
except BlockingIOError:
    pass
fcntl.lockf(a, fcntl.LOCK_EX)
if os.fork() == 0:
    try:
        fcntl.lockf(open('locked', 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)
        print('fcntl does not lock')
    except BlockingIOError:
        pass
    sys.stdout.flush()
    os._exit(0)
os.wait()
`;

async function tour(t: Test, { sh, dir }: Live): Promise<void> {
  await sh(
    'mkdir -p a/b/c; echo text > a/b/file; cp a/b/file copy; mv a/b/file a/moved; ln -s a/moved link; ln copy hard',
  );
  t.equal(await sh('cat link copy hard'), 'text\ntext\ntext\n');
  t.equal(await sh('ls -1 . a'), '.:\na\ncopy\nhard\nlink\n\na:\nb\nmoved\n');
  t.equal(await sh("stat -c '%h %s %F' copy"), '2 5 regular file\n');
  t.ok(Number(await sh('stat -c %W copy')) > 1_700_000_000, 'statx gives the birth time');
  await sh('chmod 4711 copy; touch -d @1234567890 copy');
  t.match(statSync(join(dir, 'copy')), { mode: 0o104711, mtimeMs: 1234567890000 });
  const big = Buffer.from(Array.from({ length: 3_000_001 }, (_, i) => (i * 7919) % 253));
  writeFileSync(join(dir, 'big'), big);
  await sh(
    'cp big big2; cmp big big2; dd if=big2 of=big3 bs=64k status=none; cmp big3 big2; cat big3 >> big2',
  );
  t.ok(readFileSync(join(dir, 'big2')).equals(Buffer.concat([big, big])));
  await sh('truncate -s 100 big2; dd if=big of=direct bs=4096 count=8 iflag=direct oflag=direct status=none');
  t.equal(statSync(join(dir, 'big2')).size, 100);
  t.ok(readFileSync(join(dir, 'direct')).equals(big.subarray(0, 32768)));
  await sh("printf 'hello world' > mapped");
  t.equal(await sh(`python3 -c "${MMAP}"`), 'HELLO world');
  t.equal(readFileSync(join(dir, 'mapped'), 'latin1'), 'HELLO world');
  t.equal(await sh(`python3 -c "${LOCKS}"`), '', 'locks are the kernel’s');
  await sh('exec 3<> gone; rm gone; echo still >&3');
  await sh(
    'setfattr -n user.k -v value copy; getfattr -n user.k copy | grep -q value; chattr +d copy; lsattr copy | grep -q d',
  );
  await sh(
    "df . > /dev/null; find . -name '*' | sort | md5sum; sync -f .; rm -r a big* copy hard link mapped locked direct",
  );
  t.same(readdirSync(dir), []);
}

/** Asks again while an unasked message is on its way to the kernel. */
async function until(ask: () => Promise<string>, good: (text: string) => boolean): Promise<string> {
  for (let i = 0; i < 50; i++) {
    const text = await ask();
    if (good(text)) return text;
  }
  return ask();
}

/** Declares them all for mounts by `channel`. */
export function mountCases(t: Test, channel: ChannelName): void {
  const live = (
    test: Test,
    mirror: MirrorOptions = {},
    options: LiveOptions = {},
    make?: (dir: string) => Mirror,
  ): Promise<Live> => liveBy(test, mirror, { channel, ...options }, make);

  t.test('ordinary programs, data through the daemon', async t => {
    const mount = await live(t);
    await tour(t, mount);
    t.ok(mount.fs.reads > 0 && mount.fs.writes > 0);
  });

  t.test('ordinary programs, answers that come later', async t =>
    tour(t, await live(t, { async: true, timeout: 0 })),
  );

  t.test('ordinary programs, passthrough: no byte passes through the daemon', async t => {
    const mount = await live(t, { passthrough: true });
    await tour(t, mount);
    t.ok(mount.fs.agreed?.passthrough);
    t.same([mount.fs.reads, mount.fs.writes], [0, 0]);
  });

  t.test('passthrough switched off', async t => {
    const mount = await live(t, { passthrough: true }, { passthrough: false });
    await mount.sh('echo x > f; cat f');
    t.ok(mount.fs.writes > 0);
  });

  t.test('a big directory, read twice, forgotten', async t => {
    const { sh, dir, fs } = await live(t);
    for (let i = 0; i < 3000; i++) writeFileSync(join(dir, `file-${i}`), '');
    t.equal((await sh('find . -type f -links 1 | wc -l; ls | wc -l')).replace(/\s+/g, ' '), '3000 3000 ');
    await sh('echo 2 > /proc/sys/vm/drop_caches');
    const forgotten = await until(
      () => sh('echo').then(() => String(fs.forgotten)),
      n => Number(n) >= 3000,
    );
    t.ok(Number(forgotten) >= 3000, `${forgotten} nodes were given back`);
    t.equal((await sh('ls | wc -l')).trim(), '3000');
  });

  t.test('many callers at once', async t => {
    for (const spinMicros of [0, 40]) {
      const { sh } = await live(t, { async: true }, { spinMicros });
      const task = (i: number): Promise<string> =>
        sh(`mkdir d${i}; for n in 1 2 3 4 5 6 7 8; do echo $n > d${i}/$n; cat d${i}/$n; done; rm -r d${i}`);
      const all = await Promise.all(Array.from({ length: 12 }, (_, i) => task(i)));
      t.same(new Set(all), new Set(['1\n2\n3\n4\n5\n6\n7\n8\n']));
      t.equal(await sh('ls'), '');
    }
  });

  t.test('what changed behind the mount is seen after a notice, not before', async t => {
    const { sh, dir, fs } = await live(t, { timeout: 3600 });
    const stat = (): Promise<string> => sh('stat -c %s f; ls gone 2>&1 || true');
    writeFileSync(join(dir, 'f'), 'old');
    t.match(await stat(), /^3\n.*cannot access/);
    writeFileSync(join(dir, 'f'), 'newer');
    writeFileSync(join(dir, 'gone'), '');
    t.match(await stat(), /^3\n.*cannot access/, 'cached, negative entries too');
    fs.notify!.data(fs.root.children.get('f')!);
    fs.notify!.entry(fs.root, 'gone');
    t.equal(await until(stat, text => text === '5\ngone\n'), '5\ngone\n');
    t.equal(await sh('cat f'), 'newer');
    writeFileSync(join(dir, 'f'), 'longer still');
    fs.notify!.attributes(fs.root.children.get('f')!);
    t.equal(await until(stat, text => text.startsWith('12')), '12\ngone\n');
  });

  t.test('a notice that must wait for a caller’s lock does not hold up the answers', async t => {
    /** The next read or unlink says that it has come, and waits; the kernel may ask again for what a notice has dropped. */
    class Gated extends Mirror {
      private arrived: (() => void) | undefined;
      private gate: Promise<void> | undefined;
      /** Resolves, once somebody waits, to what lets it go on. */
      next(): Promise<() => void> {
        let open = (): void => undefined;
        this.gate = new Promise(resolve => {
          open = resolve;
        });
        return new Promise(resolve => {
          this.arrived = () => resolve(open);
        });
      }
      private async wait(): Promise<void> {
        const { gate, arrived } = this;
        this.gate = undefined;
        arrived?.();
        await gate;
      }
      override async read(handle: MirrorHandle, ...rest: [number, number, Buffer, number]): Promise<number> {
        await this.wait();
        return super.read(handle, ...rest);
      }
      override async unlink(parent: MirrorNode, name: string): Promise<void> {
        await this.wait();
        super.unlink(parent, name);
      }
    }
    const { sh, dir, fs } = await live(t, {}, {}, path => new Gated(path));
    const gated = fs as Gated;
    writeFileSync(join(dir, 'f'), 'content');
    writeFileSync(join(dir, 'other'), '');
    const first = gated.next();
    const cat = sh('cat f');
    const openFirst = await first;
    // The page is locked by the reader; the directory, below, by the unlink.
    gated.notify!.data(gated.root.children.get('f')!);
    t.equal((await sh('stat -c %s other')).trim(), '0');
    openFirst();
    t.equal(await cat, 'content');
    const second = gated.next();
    const removal = sh('rm -f f');
    const openSecond = await second;
    gated.notify!.entry(gated.root, 'other');
    t.equal((await sh('stat -f -c %T .')).trim(), 'fuseblk');
    openSecond();
    await removal;
    t.same(readdirSync(dir), ['other']);
  });

  t.test('mount options arrive', async t => {
    const { mnt, sh } = await live(
      t,
      {},
      {
        mount: { readonly: true, flags: ['nosuid', 'nodev', 'noexec', 'noatime'], fsname: 'a name,with \\' },
      },
    );
    const mount = listMounts().find(one => one.mountpoint === mnt)!;
    t.equal(mount.type, 'fuse.lamina');
    t.equal(mount.source, 'a name,with \\');
    t.same(
      ['ro', 'nosuid', 'nodev', 'noexec', 'noatime'].filter(option => !mount.options.includes(option)),
      [],
    );
    t.same(
      ['default_permissions', 'allow_other'].filter(option => !mount.superOptions.includes(option)),
      [],
    );
    await t.rejects(sh('echo x > f'), /Read-only file system/);
  });

  t.test('the ways to end', async t => {
    await t.test('a busy mount, then one that is free', async t => {
      const { mnt, ended, fs } = await live(t);
      const holder = spawn('sh', inside(mnt, 'echo here; exec sleep 100'));
      await once(holder.stdout, 'data');
      await fails(t, unmount(mnt), E.EBUSY);
      const patient = unmount(mnt);
      holder.kill();
      await patient;
      await ended;
      t.ok(fs.destroyed);
      await fails(t, unmount(mnt), E.EINVAL, 'not mounted');
    });
    await t.test('lazily, with an open file that lives on', async t => {
      const { mnt, dir, ended, fs } = await live(t);
      const reader = spawn('sh', inside(mnt, 'exec 3<> f; echo opened; read line; echo after >&3'));
      await once(reader.stdout, 'data');
      await unmount(mnt, { lazy: true });
      reader.stdin.end('go\n');
      await once(reader, 'close');
      await ended;
      t.equal(readFileSync(join(dir, 'f'), 'latin1'), 'after\n');
      t.equal(fs.handles.size, 0);
    });
    await t.test('an aborted connection', async t => {
      const { mnt, ended, fs } = await live(t);
      const { devMinor } = listMounts().find(one => one.mountpoint === mnt)!;
      const control = scratch(t, 'fuse-control').dir;
      ok(native.mount('none', control, 'fusectl', 0, ''), 'mount fusectl');
      writeFileSync(join(control, String(devMinor), 'abort'), '1');
      await ended;
      t.ok(fs.destroyed);
    });
  });

  t.test('what cannot be mounted', async t => {
    const options = { fsname: 'x', subtype: 'lamina' };
    await fails(t, mountFuse({ ...options, mountpoint: '/nowhere/at/all' }), E.ENOENT);
    await fails(t, mountFuse({ ...options, mountpoint: '/etc/passwd' }), E.ENOTDIR);
    t.equal(
      await mountFuse({ ...options, mountpoint: '/dev/fd/17' }),
      17,
      'a descriptor that mount.fuse3 has mounted',
    );
  });

  t.test('mounts leave no descriptor behind', async t => {
    const count = (): number => readdirSync('/proc/self/fd').length;
    const once = async (): Promise<void> => {
      await t.test('one mount', async t => {
        const { sh, mnt, ended } = await live(t, { passthrough: true });
        await sh('echo x > f; cat f; ls -l');
        await unmount(mnt);
        await ended;
      });
    };
    await once();
    const before = count();
    for (let i = 0; i < 5; i++) await once();
    t.equal(count(), before);
  });
}
