// Real mounts over io_uring: all that mounts by /dev/fuse do, and what only a ring has.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type RingChannel, unmount } from '../../src/fuse/index.js';
import { Mirror } from '../support/mirror.js';
import type { MirrorHandle } from '../support/mirror-node.js';
import { ringOn } from '../support/ring-switch.js';
import { inside, type Live, type LiveOptions, live, shell } from './fixture.js';
import { mountCases } from './mount-cases.js';

ringOn(t);

/** Reads wait until they are let go. */
class Gated extends Mirror {
  waiting = 0;
  private readonly gates: (() => void)[] = [];
  private readonly watchers: (() => void)[] = [];

  /** Resolves when so many reads wait. */
  async arrived(count: number): Promise<void> {
    while (this.waiting < count) await new Promise<void>(resolve => this.watchers.push(resolve));
  }

  letGo(): void {
    for (const open of this.gates.splice(0)) open();
  }

  override async read(handle: MirrorHandle, ...rest: [number, number, Buffer, number]): Promise<number> {
    this.waiting++;
    for (const tell of this.watchers.splice(0)) tell();
    await new Promise<void>(resolve => this.gates.push(resolve));
    return super.read(handle, ...rest);
  }
}

interface Slow extends Live {
  readonly fs: Gated;
}

async function slow(t: Test, options: LiveOptions = {}): Promise<Slow> {
  const mount = await live(t, {}, { channel: 'io_uring', ...options }, dir => new Gated(dir));
  writeFileSync(join(mount.dir, 'f'), 'content');
  return mount as Slow;
}

const overRing = ({ channel }: Live): boolean => (channel as RingChannel).overRing;

t.test('the kernel takes the ring', async t => {
  const mount = await live(t, {}, { channel: 'io_uring' });
  t.equal(await mount.sh('echo x > f; cat f'), 'x\n');
  t.ok(overRing(mount));
});

t.test('entries that the kernel refuses leave the mount on /dev/fuse', async t => {
  const mount = await live(t, {}, { channel: 'io_uring', payload: 8192 });
  t.equal(await mount.sh('echo x > f; cat f; ls'), 'x\nf\n');
  t.notOk(overRing(mount));
});

t.test('requests that take long hold up nobody, however many there are on one CPU', async t => {
  const mount = await slow(t);
  const { dir, mnt, fs } = mount;
  const readers = 80;
  for (let i = 0; i < readers; i++) writeFileSync(join(dir, String(i)), `${i}\n`);
  const reading = shell(
    `for i in $(seq 0 ${readers - 1}); do taskset 1 cat $i & sleep 0.002; done; wait`,
    mnt,
  );
  await fs.arrived(readers);
  t.equal(await shell('taskset 1 stat -c %s f; taskset 1 ls absent || true', mnt), '7\n');
  fs.letGo();
  const said = (await reading).trim().split('\n').map(Number);
  t.same(
    said.sort((a, b) => a - b),
    Array.from({ length: readers }, (_, i) => i),
  );
});

t.test('a mount that ends while requests are held', async t => {
  const cat = (mnt: string) => {
    const reader = spawn('sh', inside(mnt, 'exec 2>&1; cat f || true'));
    let said = '';
    reader.stdout.setEncoding('latin1').on('data', text => {
      said += text;
    });
    return once(reader, 'close').then(() => said);
  };
  await t.test('because its daemon abandons it', async t => {
    const { fs, mnt, channel, ended } = await slow(t);
    const said = cat(mnt);
    await fs.arrived(1);
    channel.close();
    t.match(await said, /Software caused connection abort|not connected/);
    fs.letGo();
    await ended;
    t.ok(fs.destroyed);
    await t.rejects(shell('ls', mnt), /not connected/);
  });
  await t.test('because the connection is aborted; the late answer goes nowhere', async t => {
    const { fs, mnt, ended } = await slow(t);
    const said = cat(mnt);
    await fs.arrived(1);
    await shell('umount -f "$0" || true; umount -l "$0" || true'.replaceAll('$0', mnt), '/');
    t.match(await said, /Software caused connection abort|not connected/);
    fs.letGo();
    await ended;
    t.ok(fs.destroyed);
  });
});

t.test('many mounts that are unmounted under load, one after the other', async t => {
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  const round = async (): Promise<void> => {
    await t.test('a mount', async t => {
      const { mnt, ended } = await live(t, { async: true }, { channel: 'io_uring' });
      const busy = 'while ls -l . no; do echo y > f$$; cat f$$; done; exit 0';
      const loads = [1, 2, 3].map(() => shell(`(${busy}) >/dev/null 2>&1 || true`, mnt));
      await shell('ls -lR', mnt);
      await unmount(mnt, { lazy: true });
      await Promise.all(loads);
      await ended;
    });
  };
  await round();
  const before = descriptors();
  for (let i = 0; i < 10; i++) await round();
  t.equal(descriptors(), before);
});

mountCases(t, 'io_uring');
