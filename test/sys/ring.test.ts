// The ring of FUSE over io_uring without a kernel that uses it: what it refuses, what it says of entries that nobody wants,
// and its end. Real mounts over it are in test/fuse/ring.test.ts.
import t from 'tap';
import { E } from '../../src/base/index.js';
import { native, type Ring } from '../../src/sys/index.js';
import { descriptors } from './scratch.js';

const { ringAdd, ringBell, ringClose, ringOpen, ringReply, ringSubmit, ringTake } = native;
const HEAD = native.constants.RING_ENTRY_HEAD!;
const NO_FILE = -1;

function opened(t: { teardown(task: () => void): void }): Ring {
  const ring = ringOpen(8);
  if (typeof ring === 'number') throw new Error(`ringOpen ${ring}`);
  t.teardown(() => ringClose(ring));
  return ring;
}

t.test('nothing comes from a ring without entries', async t => {
  const ring = opened(t);
  t.ok(ringBell(ring) > 0);
  t.equal(ringTake(ring, new Int32Array(6), 0), 0);
  t.equal(ringSubmit(ring), 0);
  const before = process.hrtime.bigint();
  t.equal(ringTake(ring, new Int32Array(6), 20_000), 0);
  t.ok(process.hrtime.bigint() - before >= 20_000_000n, 'it spins as long as it was told to');
});

t.test('entries that the kernel refuses are told of, one by one, and more than a batch of them', async t => {
  const ring = opened(t);
  const [first, second] = [3, 20];
  t.equal(ringAdd(ring, NO_FILE, 0, Buffer.alloc(first * (HEAD + 64)), first), 0);
  t.equal(ringAdd(ring, NO_FILE, 1, Buffer.alloc(second * (HEAD + 64)), second), 1);
  const taken = new Int32Array(3 * 4);
  const said: number[][] = [];
  for (let count = ringTake(ring, taken, 0); count > 0; count = ringTake(ring, taken, 0)) {
    for (let i = 0; i < count; i++) said.push([...taken.subarray(3 * i, 3 * i + 3)]);
  }
  const refusal = (block: number) => [-1 - block, E.EBADF, 1];
  t.same(said, [...Array(first).fill(refusal(0)), ...Array(second).fill(refusal(1))]);
});

t.test('memory that no entry fits in', async t => {
  const ring = opened(t);
  const whole = Buffer.alloc(2 * (HEAD + 64));
  t.equal(ringAdd(ring, NO_FILE, 0, whole, 0), -E.EINVAL);
  t.equal(ringAdd(ring, NO_FILE, 0, whole.subarray(0, HEAD), 1), -E.EINVAL, 'no payload');
  t.equal(ringAdd(ring, NO_FILE, 0, whole, 3), -E.EINVAL);
  t.equal(ringAdd(ring, NO_FILE, 0, whole.subarray(1), 1), -E.EINVAL, 'not at a multiple of 8');
  t.equal(ringAdd(ring, NO_FILE, 65_536, whole, 1), -E.EINVAL, 'no such queue');
  t.equal(ringAdd(ring, NO_FILE, 0, whole, 1), 0, 'those before were no blocks');
});

t.test('answers to what never came, and messages that are none', async t => {
  const ring = opened(t);
  const results = Int32Array.of(7, 7);
  const message = Buffer.alloc(40, 1);
  t.equal(ringReply(ring, message, Int32Array.of(16, 40), 2, results), 0);
  t.same([...results], [-1, -1]);
  t.equal(ringReply(ring, message, Int32Array.of(15), 1, results), -E.EINVAL, 'shorter than a header');
  t.equal(ringReply(ring, message, Int32Array.of(41), 1, results), -E.EINVAL, 'beyond the buffer');
  t.equal(ringReply(ring, message, Int32Array.of(32, 16), 2, results), -E.EINVAL, 'backwards');
  t.equal(ringReply(ring, message, Int32Array.of(16), 2, results), -E.EINVAL, 'fewer ends than messages');
  t.equal(ringReply(ring, message, Int32Array.of(16), -1, results), -E.EINVAL);
});

t.test('a closed ring', async t => {
  const before = descriptors();
  const ring = opened(t);
  t.ok(descriptors() > before);
  t.equal(ringClose(ring), 0);
  t.equal(descriptors(), before);
  t.equal(ringClose(ring), 0, 'twice');
  t.equal(ringBell(ring), -E.EBADF);
  t.equal(ringTake(ring, new Int32Array(3), 0), -E.EBADF);
  t.equal(ringSubmit(ring), -E.EBADF);
  t.equal(ringAdd(ring, NO_FILE, 0, Buffer.alloc(4096), 1), -E.EBADF);
  t.equal(ringReply(ring, Buffer.alloc(16), Int32Array.of(16), 1, new Int32Array(1)), -E.EBADF);
});

t.test('a ring of a size that no kernel makes', async t => {
  t.equal(ringOpen(0), -E.EINVAL);
});
