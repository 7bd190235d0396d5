// /dev/fuse with a real mount: a daemon of a few lines that answers INIT by hand and knows no names.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { E, ok } from '../../src/base/index.js';
import {
  close,
  fsyncAsync,
  fuseBackingClose,
  fuseBackingOpen,
  fuseRead,
  fuseWrite,
  listMounts,
  MNT,
  MS,
  mount,
  O,
  openPath,
  preadAsync,
  statx,
  umount,
  watchReadable,
} from '../../src/sys/index.js';
import { needs } from '../support/needs.js';
import { opened, put, scratch, type Test } from './scratch.js';

needs('mount', 'setfattr', 'fusermount3');

const ROOM = 65536;
const LOOKUP = 1;
const INIT = 26;

interface Request {
  readonly opcode: number;
  readonly unique: Buffer;
  readonly body: Buffer;
}

class Device {
  readonly buffer = Buffer.allocUnsafeSlow(8 * ROOM);
  readonly starts = new Int32Array(17);
  constructor(
    readonly fd: number,
    readonly path: string,
  ) {}

  /** What one fuseRead brings; a failure as its -errno. */
  read(spin = 0): Request[] | number {
    const count = fuseRead(this.fd, this.buffer, this.starts, ROOM, spin);
    if (count < 0) return count;
    return Array.from({ length: count }, (_, i) => {
      const raw = this.buffer.subarray(this.starts[i], this.starts[i + 1]);
      const length = raw.readUInt32LE(0);
      const body = Buffer.from(raw.subarray(40, length));
      return { opcode: raw.readUInt32LE(4), unique: Buffer.from(raw.subarray(8, 16)), body };
    });
  }

  /** Answers each request with an error or a body; the results of the writes. */
  reply(answers: readonly [Request, number | Buffer][]): number[] {
    const messages = answers.map(([request, answer]) => {
      const body = typeof answer === 'number' ? Buffer.alloc(0) : answer;
      const head = Buffer.alloc(16);
      head.writeUInt32LE(16 + body.length, 0);
      head.writeInt32LE(typeof answer === 'number' ? answer : 0, 4);
      request.unique.copy(head, 8);
      return Buffer.concat([head, body]);
    });
    let end = 0;
    const ends = Int32Array.from(messages, message => {
      end += message.length;
      return end;
    });
    const results = new Int32Array(messages.length).fill(1);
    ok(fuseWrite(this.fd, Buffer.concat(messages), ends, messages.length, results), 'fuseWrite');
    return [...results];
  }

  /** Until the device is readable; the status with which the watch woke. */
  ready(): Promise<number> {
    return new Promise(done => {
      const watch = watchReadable(this.fd, status => {
        watch.stop();
        done(status);
      });
    });
  }
}

/** The file in which the kernel counts the requests that wait for a mount. Asking the mount itself would be a request. */
function waitingFile(t: Test, path: string): string {
  const control = `${scratch(t).path}/control`;
  mkdirSync(control);
  ok(mount('lamina-test', control, 'fusectl', 0, ''), 'fusectl');
  t.teardown(() => umount(control, 0));
  const connection = listMounts().find(mounted => mounted.mountpoint === path)?.devMinor;
  return `${control}/${connection}/waiting`;
}

/** fuse_init_out of protocol 7.40 with passthrough. */
function initReply(): Buffer {
  const out = Buffer.alloc(64);
  out.writeUInt32LE(7, 0);
  out.writeUInt32LE(40, 4);
  out.writeUInt32LE(2 ** 30 + 2 ** 18, 12); // INIT_EXT; PARALLEL_DIROPS, or lookups in one directory wait in line
  out.writeUInt32LE(4096, 20); // max_write
  out.writeUInt32LE(1 << 5, 32); // PASSTHROUGH, bit 37
  out.writeUInt32LE(1, 36); // max_stack_depth
  return out;
}

async function device(t: Test): Promise<Device> {
  const { path } = scratch(t);
  mkdirSync(`${path}/mnt`);
  const fd = ok(openPath('/dev/fuse', O.RDWR | O.NONBLOCK), '/dev/fuse');
  const options = `fd=${fd},rootmode=40000,user_id=0,group_id=0`;
  ok(mount('lamina-test', `${path}/mnt`, 'fuse.lamina', MS.NOSUID | MS.NODEV, options), 'mount');
  t.teardown(() => {
    umount(`${path}/mnt`, MNT.DETACH);
    close(fd);
  });
  return new Device(fd, `${path}/mnt`);
}

async function initialised(t: Test): Promise<Device> {
  const fuse = await device(t);
  await fuse.ready();
  const requests = fuse.read();
  if (typeof requests === 'number' || requests[0]?.opcode !== INIT) throw new Error(`no INIT: ${requests}`);
  const [result] = fuse.reply([[requests[0], initReply()]]);
  ok(result ?? -E.EIO, 'INIT reply');
  return fuse;
}

t.test('nothing to read, and no room to read into', async t => {
  const fuse = await initialised(t);
  t.strictSame(fuse.read(), []);
  const before = process.hrtime.bigint();
  t.strictSame(fuse.read(20_000), []);
  t.ok(process.hrtime.bigint() - before >= 20_000_000n, 'it spins as long as it was told to');
  t.equal(fuseRead(fuse.fd, Buffer.alloc(64), fuse.starts, 65, 0), 0, 'a buffer smaller than the room');
  t.equal(fuseRead(fuse.fd, Buffer.alloc(64), fuse.starts, 64, 0), -E.EINVAL, "the kernel's own least");
  t.equal(fuseRead(fuse.fd, fuse.buffer, new Int32Array(1), ROOM, 0), -E.EINVAL);
  t.equal(fuseRead(fuse.fd, fuse.buffer, fuse.starts, 0, 0), -E.EINVAL);
  t.equal(fuseRead(-1, fuse.buffer, fuse.starts, ROOM, 0), -E.EBADF);
});

t.test('a batch of requests, answered in one call', async t => {
  const fuse = await initialised(t);
  const waiting = waitingFile(t, fuse.path);
  const names = ['a', 'bb', 'ccc', 'dddd'];
  const asked = names.map(name => spawn('stat', [`${fuse.path}/${name}`], { stdio: 'ignore' }));
  const exits = asked.map(child => once(child, 'exit'));
  // The kernel tells nobody when a second request joins the first.
  while (Number(readFileSync(waiting, 'latin1')) < names.length) await new Promise(setImmediate);
  const requests = fuse.read();
  if (typeof requests === 'number') throw new Error(`fuseRead ${requests}`);
  t.strictSame(
    requests.map(request => request.opcode),
    names.map(() => LOOKUP),
  );
  t.strictSame(
    requests.map(request => request.body.toString('latin1')).sort(),
    names.map(name => `${name}\0`),
  );
  t.ok([...fuse.starts.subarray(0, 5)].every(start => start % 8 === 0));
  const stranger = { opcode: 0, unique: Buffer.from('unknown!'), body: Buffer.alloc(0) };
  const answers: [Request, number][] = requests.map(request => [request, -E.ENOENT]);
  const results = fuse.reply([...answers.slice(0, 2), [stranger, -E.ENOENT], ...answers.slice(2)]);
  t.strictSame(results, [0, 0, -E.ENOENT, 0, 0], 'an unknown request does not stop the others');
  for (const exit of exits) t.equal((await exit)[0], 1);
});

t.test('messages that do not lie in their buffer', async t => {
  const fuse = await initialised(t);
  const results = new Int32Array(2);
  const write = (ends: number[], count: number) =>
    fuseWrite(fuse.fd, Buffer.alloc(32), Int32Array.from(ends), count, results);
  t.equal(write([33], 1), -E.EINVAL);
  t.equal(write([-1], 1), -E.EINVAL);
  t.equal(write([16], 2), -E.EINVAL);
  t.equal(write([16, 16, 16], 3), -E.EINVAL, 'no room for the results');
  t.equal(write([], -1), -E.EINVAL);
  t.equal(write([], 0), 0);
  t.equal(write([16, 8], 2), -E.EINVAL);
  t.equal(results[0], -E.EINVAL, 'a message of zeroes');
});

t.test('backing files', async t => {
  const fuse = await initialised(t);
  const file = opened(t, scratch(t).fd, 'file');
  put(file, 'text');
  const id = fuseBackingOpen(fuse.fd, file);
  t.ok(id > 0, `backing id ${id}`);
  t.equal(fuseBackingClose(fuse.fd, id), 0);
  t.equal(fuseBackingClose(fuse.fd, id), -E.ENOENT);
  t.equal(fuseBackingOpen(fuse.fd, -1), -E.EBADF);
  t.equal(fuseBackingOpen(file, file), -E.ENOTTY);
});

t.test('the end of a mount', async t => {
  const fuse = await initialised(t);
  const woken = fuse.ready();
  t.equal(umount(fuse.path, 0), 0);
  t.equal(await woken, -E.EBADF, 'libuv reports POLLERR so');
  t.equal(fuse.read(), -E.ENODEV);
  t.equal(fuse.read(1000), -E.ENODEV);
  t.equal(statx(-100, fuse.path, 0, new Float64Array(26)), 0, 'the directory below is back');
});

t.test('jobs that block hold up no other', async t => {
  const { path, fd: dir } = scratch(t);
  mkdirSync(`${path}/mnt`);
  const fd = ok(openPath('/dev/fuse', O.RDWR), '/dev/fuse');
  t.teardown(() => close(fd));
  const options = `fd=${fd},rootmode=40000,user_id=0,group_id=0`;
  ok(mount('lamina-test', `${path}/mnt`, 'fuse.lamina', MS.NOSUID | MS.NODEV, options), 'mount');
  const read = () => preadAsync(fd, Buffer.alloc(ROOM), 0, ROOM, 0);
  t.ok((await read()) > 0, 'INIT');
  const blocked = Array.from({ length: 12 }, read);
  t.equal(await fsyncAsync(dir, false), 0);
  t.equal(umount(`${path}/mnt`, MNT.FORCE), 0);
  t.strictSame(await Promise.all(blocked), Array(12).fill(-E.ENODEV));
});
