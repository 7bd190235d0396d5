// Whatever bytes arrive, every request that expects an answer gets one, and the session goes on.
import t from 'tap';
import { E } from '../../src/base/index.js';
import { layout, protocol } from '../../src/fuse/index.js';
import { O } from '../../src/sys/index.js';
import { Body } from '../support/fuse-wire.js';
import { fails, fixture } from './fixture.js';

const { OP } = protocol;
const SILENT = new Set<number>([OP.FORGET, OP.BATCH_FORGET]);
const seed = Number(process.env.LAMINA_SEED ?? 20261123);

/** mulberry32. */
function random(state: number): () => number {
  let s = state >>> 0;
  return () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let x = Math.imul(s ^ (s >>> 15), s | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

t.test('names that no kernel sends', async t => {
  const { client } = await fixture(t);
  const { wire } = client;
  const body = (text: string): Buffer => Buffer.from(text, 'latin1');
  for (const bad of ['', '\0', 'a', 'a/b\0', '.\0', '..\0', '/\0']) {
    await fails(t, wire.call(OP.LOOKUP, 1, body(bad)), E.EINVAL, JSON.stringify(bad));
    await fails(t, wire.call(OP.UNLINK, 1, body(bad)), E.EINVAL);
  }
  await fails(
    t,
    wire.call(OP.RENAME2, 1, new Body(4).set64(0, 1).text('a').done()),
    E.EINVAL,
    'one name of two',
  );
  await fails(t, wire.call(OP.SYMLINK, 1, body('a\0unterminated')), E.EINVAL);
  t.equal((await wire.lookup(1, '...')).nodeid, 0, 'three dots are a name');
  t.equal((await wire.lookup(1, '.a')).nodeid, 0);
});

t.test('nodes and handles that nobody was given', async t => {
  const { client } = await fixture(t);
  const { wire } = client;
  for (const id of [0, 2, 99, 2 ** 40, 2 ** 53]) {
    await fails(t, wire.getattr(id), E.ESTALE, `node ${id}`);
    await fails(t, wire.lookup(id, 'x'), E.ESTALE);
    await fails(t, wire.open(id, 0), E.ESTALE);
  }
  for (const fh of [0, 5, 2 ** 40]) {
    await fails(t, wire.read(1, fh, 0, 10), E.EBADF, `handle ${fh}`);
    await fails(t, wire.release(1, fh), E.EBADF);
    await fails(t, wire.readdir(1, fh, 0, 4096, true), E.EBADF);
  }
  await client.writeFile('/f', 'x');
  const file = await client.open('/f', O.RDONLY);
  await fails(t, wire.readdir(1, file.fh, 0, 4096, false), E.EBADF, 'a file is not a directory');
  await fails(t, wire.release(1, file.fh, true), E.EBADF);
  await file.close();
  await fails(t, file.close(), E.EBADF, 'released twice');
  wire.forget(12345, 7);
  wire.forget(1, 7);
  t.ok(await client.stat('/'), 'the root cannot be forgotten');
});

t.test('sizes beyond the request or the reply', async t => {
  const { client } = await fixture(t);
  const { wire } = client;
  await client.writeFile('/f', 'abc');
  const file = await client.open('/f', O.RDWR);
  const { WRITE_IN: at } = layout;
  const write = new Body(at.words).set64(at.fh, file.fh).set(at.size, 100).bytes(Buffer.from('abc')).done();
  await fails(t, wire.call(OP.WRITE, file.nodeid, write), E.EINVAL, 'WRITE of more than was sent');
  await fails(t, wire.read(file.nodeid, file.fh, 0, 2 ** 31), E.EINVAL, 'READ of more than a reply holds');
  t.equal((await wire.read(file.nodeid, file.fh, 2 ** 60, 10)).length, 0, 'READ beyond what a file can be');
  const far = new Body(at.words)
    .set64(at.fh, file.fh)
    .set64(at.offset, 2 ** 60)
    .set(at.size, 1)
    .bytes(Buffer.from('x'));
  await fails(t, wire.call(OP.WRITE, file.nodeid, far.done()), E.EFBIG);
  const setxattr = new Body(4).set(0, 50).text('user.a').bytes(Buffer.from('abc')).done();
  await fails(t, wire.call(OP.SETXATTR, file.nodeid, setxattr), E.EINVAL);
  await fails(t, wire.call(OP.IOCTL, file.nodeid, new Body(8).set(3, 0x40086602).set(6, 4).done()), E.EINVAL);
  await file.close();
});

t.test('requests without a row are not implemented', async t => {
  const { client } = await fixture(t);
  for (const opcode of [
    OP.FLUSH,
    OP.GETLK,
    OP.SETLK,
    OP.BMAP,
    OP.POLL,
    OP.INTERRUPT,
    7,
    19,
    63,
    64,
    4096,
    2 ** 31,
  ]) {
    await fails(t, client.wire.call(opcode, 1, Buffer.alloc(128)), E.ENOSYS, `opcode ${opcode}`);
  }
});

t.test('truncated and random requests', async t => {
  const errors: unknown[] = [];
  const { client } = await fixture(t, {}, { onError: error => errors.push(error) });
  const { wire } = client;
  await client.writeFile('/f', 'abc');
  await client.mkdir('/d');
  const file = await client.open('/f', O.RDWR);
  const answers: Buffer[] = [];
  wire.channel.write = (buffer, ends, count) => {
    for (let i = 0, from = 0; i < count; i++) {
      answers.push(Buffer.from(buffer.subarray(from, ends[i])));
      from = ends[i]!;
    }
  };
  const next = random(seed);
  const int = (below: number): number => Math.floor(next() * below);
  let expected = 0;
  for (let i = 0; i < 20000; i++) {
    const body = Buffer.alloc(int(120));
    for (let at = 0; at < body.length; at++) body[at] = next() < 0.6 ? int(3) : int(256);
    const opcode = next() < 0.95 ? int(56) : int(2 ** 32);
    // Nothing may end the session: neither DESTROY, nor an opcode or a length of any value.
    const request = wire.encode(opcode, int(5), body, i + 1);
    const cut = next() < 0.3 ? request.subarray(0, int(request.length + 1)) : request;
    if (cut.length >= 16 && !(SILENT.has(opcode) && cut.length >= 40)) expected++;
    wire.channel.deliver(cut);
  }
  while (wire.session.outstanding > 0) await new Promise(resolve => setImmediate(resolve));
  t.equal(answers.length, expected, `seed ${seed}: one answer each`);
  for (const answer of answers) {
    const error = answer.readInt32LE(4);
    if (answer.readUInt32LE(0) !== answer.length || error > 0 || error <= -512)
      t.fail(`a reply that a kernel refuses: ${answer.toString('hex')}`);
  }
  t.same(errors.map(String), [], `seed ${seed}: no defect was met`);
  Reflect.deleteProperty(wire.channel, 'write');
  t.ok(await client.stat('/'), 'the session still answers');
  await file.close().catch(() => undefined);
});
