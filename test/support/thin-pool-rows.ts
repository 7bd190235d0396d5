// The contract of BlockDevice (base/blockdevice.ts) as rows: what is done to a device, and what must be so then. `flat` is what
// the device must hold.
import type { Test } from 'tap';
import { errnoName } from '../../src/base/index.js';
import { Random } from './random.js';
import { BLOCK, contentOf, difference, KIB, MIB, outcomeOf, type Piece, pattern } from './thin-pool.js';
import type { Stage, Subject } from './thin-pool-subjects.js';

/** Bytes of every device. */
export const SIZE = MIB;

export interface Place extends Stage {
  readonly t: Test;
  readonly subject: Subject;
  /** What the device must hold. */
  readonly flat: Buffer;
}

/** Writes to the device and to the flat copy. */
async function put(place: Place, offset: number, length: number, seed: number): Promise<void> {
  const data = pattern(length, seed);
  data.copy(place.flat, offset);
  await place.device.write(offset, data);
}

async function same(place: Place, what: string): Promise<void> {
  const content = await contentOf(place.device);
  place.t.equal(difference(content, place.flat), null, what);
}

function mapped(pieces: readonly Piece[], hole: boolean): number {
  return pieces.reduce((sum, [length, is]) => sum + (is === hole ? length : 0), 0);
}

export type Row = readonly [name: string, run: (place: Place) => Promise<void>];

const READING: readonly Row[] = [
  [
    'nothing written reads as zeros',
    async place => {
      await same(place, 'zeros');
      const pieces = await place.map(0, SIZE);
      place.t.equal(mapped(pieces, true) + mapped(pieces, false), SIZE);
      if (place.subject.fresh === 'hole') place.t.same(pieces, [[SIZE, true]]);
    },
  ],
  [
    'reads fill their part of the buffer and nothing else',
    async place => {
      await put(place, 0, 3 * BLOCK, 1);
      const into = Buffer.alloc(1000, 0xee);
      await place.device.read(BLOCK - 100, 200, into, 300);
      place.t.equal(difference(into.subarray(300, 500), place.flat.subarray(BLOCK - 100, BLOCK + 100)), null);
      place.t.ok(into.subarray(0, 300).every(byte => byte === 0xee));
      place.t.ok(into.subarray(500).every(byte => byte === 0xee));
    },
  ],
  [
    'extents cover the range exactly, wherever it begins and ends',
    async place => {
      await put(place, 3 * BLOCK, 2 * BLOCK, 1);
      await place.device.discard(7 * BLOCK, BLOCK);
      for (const [offset, length] of [
        [0, SIZE],
        [1, SIZE - 1],
        [3 * BLOCK + 5, 10],
        [2 * BLOCK + 7, 3 * BLOCK],
        [SIZE - 1, 1],
      ] as const) {
        const pieces = await place.map(offset, length);
        place.t.equal(mapped(pieces, true) + mapped(pieces, false), length, `${length} bytes at ${offset}`);
      }
      place.t.same(await place.map(3 * BLOCK + 1, 2 * BLOCK - 2), [[2 * BLOCK - 2, false]]);
      place.t.same(await place.map(7 * BLOCK + 1, BLOCK - 2), [[BLOCK - 2, true]]);
    },
  ],
];

const WRITING: readonly Row[] = [
  [
    'unaligned writes cross blocks and leave their neighbours alone',
    async place => {
      await put(place, BLOCK - 10, 20, 1);
      await put(place, 5 * BLOCK + 1, 3 * BLOCK, 2);
      await put(place, SIZE - 1, 1, 3);
      await put(place, 0, 1, 4);
      await same(place, 'after four writes');
    },
  ],
  [
    'a write over the whole device',
    async place => {
      await put(place, 0, SIZE, 5);
      await same(place, 'all of it');
      place.t.same(await place.map(0, SIZE), [[SIZE, false]]);
    },
  ],
  [
    'the data of an ended write is the caller’s again',
    async place => {
      const data = pattern(BLOCK + 100, 1);
      data.copy(place.flat, 50);
      await place.device.write(50, data);
      data.fill(0x77);
      await same(place, 'after the buffer was used again');
    },
  ],
  [
    'random reads and writes of any size',
    async place => {
      const random = new Random(7);
      for (let i = 0; i < 120; i++) {
        const offset = random.below(SIZE);
        const length = random.below(Math.min(SIZE - offset, random.pick([600, 5000, 200_000])) + 1);
        if (random.oneIn(2)) await put(place, offset, length, i);
        else {
          const content = await contentOf(place.device, offset, length);
          const wrong = difference(content, place.flat.subarray(offset, offset + length));
          if (wrong !== null) place.t.fail(`read ${i}: ${wrong}`);
        }
      }
      await same(place, 'at the end');
    },
  ],
];

const CLEARING: readonly Row[] = [
  [
    'zero keeps what is around it',
    async place => {
      await put(place, 0, SIZE, 1);
      await place.device.zero(100, 3 * BLOCK, false);
      place.flat.fill(0, 100, 100 + 3 * BLOCK);
      await same(place, 'zeros in the middle');
    },
  ],
  [
    'zero with unmap makes holes of whole blocks',
    async place => {
      await put(place, 0, SIZE, 1);
      await place.device.zero(BLOCK + 100, 3 * BLOCK, true);
      place.flat.fill(0, BLOCK + 100, 4 * BLOCK + 100);
      await same(place, 'zeros in the middle');
      place.t.same(await place.map(2 * BLOCK, 2 * BLOCK), [[2 * BLOCK, true]]);
      place.t.same(await place.map(4 * BLOCK + 4 * KIB, BLOCK), [[BLOCK, false]]);
    },
  ],
  [
    'zero of what is unmapped stays zero',
    async place => {
      await place.device.discard(0, SIZE);
      await place.device.zero(100, 2 * BLOCK, true);
      await place.device.zero(5 * BLOCK + 1, 10, false);
      await put(place, 5 * BLOCK + 3, 2, 1);
      await same(place, 'zeros but for two bytes');
    },
  ],
  [
    'discard unmaps whole blocks and keeps the edges',
    async place => {
      await put(place, 0, SIZE, 1);
      await place.device.discard(BLOCK - 1, 2 * BLOCK + 2);
      place.flat.fill(0, BLOCK, 3 * BLOCK);
      await same(place, 'blocks 1 and 2 are gone');
      place.t.same(await place.map(0, SIZE), [
        [BLOCK, false],
        [2 * BLOCK, true],
        [SIZE - 3 * BLOCK, false],
      ]);
      await place.device.discard(5 * BLOCK + 1, 2 * BLOCK - 2);
      await same(place, 'no whole block, nothing gone');
    },
  ],
  [
    'what was discarded can be written again',
    async place => {
      for (let round = 0; round < 3; round++) {
        await put(place, BLOCK, 2 * BLOCK, round);
        await place.device.discard(BLOCK, BLOCK);
        place.flat.fill(0, BLOCK, 2 * BLOCK);
        await put(place, BLOCK + 100 * round, 50, round + 10);
      }
      await same(place, 'three rounds');
    },
  ],
  [
    'discard of everything',
    async place => {
      await put(place, 0, SIZE, 1);
      await place.device.discard(0, SIZE);
      place.flat.fill(0);
      await same(place, 'nothing left');
      place.t.same(await place.map(0, SIZE), [[SIZE, true]]);
    },
  ],
];

const REFUSING: readonly Row[] = [
  [
    'what is out of range is refused, and changes nothing',
    async place => {
      const { device, t } = place;
      await put(place, SIZE - BLOCK, BLOCK, 1);
      const data = Buffer.alloc(20, 1);
      const { beyond } = place.subject.errors;
      for (const offset of [SIZE, SIZE - 10, 2 * SIZE, 2 ** 40]) {
        const at = `20 bytes at ${offset}`;
        t.equal(await outcomeOf(() => contentOf(device, offset, 20)), 'EINVAL', `read of ${at}`);
        t.equal(await outcomeOf(() => device.write(offset, data)), errnoName(beyond), `write of ${at}`);
        t.equal(await outcomeOf(() => device.zero(offset, 20, true)), errnoName(beyond), `zero of ${at}`);
        t.equal(await outcomeOf(() => device.discard(offset, 20)), 'EINVAL', `discard of ${at}`);
        t.equal(await outcomeOf(() => place.map(offset, 20)), 'EINVAL', `map of ${at}`);
      }
      await same(place, 'unchanged');
    },
  ],
  [
    'a read-only device reads, and refuses the rest',
    async place => {
      const { t } = place;
      await put(place, 10, 2 * BLOCK, 1);
      const device = await place.readOnly();
      const expected = errnoName(place.subject.errors.readOnly);
      t.ok(device.readOnly);
      t.equal(difference(await contentOf(device), place.flat), null);
      t.equal(await outcomeOf(() => device.write(0, Buffer.alloc(10))), expected, 'write');
      t.equal(await outcomeOf(() => device.zero(0, BLOCK, false)), expected, 'zero');
      t.equal(await outcomeOf(() => device.zero(0, BLOCK, true)), expected, 'zero and unmap');
      t.equal(await outcomeOf(() => device.discard(0, BLOCK)), expected, 'discard');
      t.equal(difference(await contentOf(device), place.flat), null);
      await device.flush();
    },
  ],
  [
    'no bytes at all are fine everywhere',
    async place => {
      const { device } = place;
      for (const offset of [0, 5, BLOCK, SIZE]) {
        await device.read(offset, 0, Buffer.alloc(0), 0);
        await device.write(offset, Buffer.alloc(0));
        await device.zero(offset, 0, false);
        await device.zero(offset, 0, true);
        await device.discard(offset, 0);
      }
      await same(place, 'nothing done');
      if (place.subject.fresh === 'hole') place.t.same(await place.map(0, SIZE), [[SIZE, true]]);
    },
  ],
];

/** Pieces of 512 bytes that are neither all of one buffer nor all of the other. */
function torn(found: Buffer, one: Buffer, other: Buffer): number {
  let count = 0;
  for (let at = 0; at < found.length; at += 512) {
    const piece = found.subarray(at, at + 512);
    if (!piece.equals(one.subarray(at, at + 512)) && !piece.equals(other.subarray(at, at + 512))) count++;
  }
  return count;
}

const AT_ONCE: readonly Row[] = [
  [
    'many writes at once into one new block',
    async place => {
      const order = new Random(3);
      const pieces = Array.from({ length: 16 }, (_, i) => i * 4 * KIB).sort(() => order.below(3) - 1);
      await Promise.all(pieces.map((offset, i) => put(place, 2 * BLOCK + offset, 4 * KIB - 100, i)));
      await same(place, 'sixteen writes, one block');
    },
  ],
  [
    'writes at once over borders of new blocks',
    async place => {
      const writes = Array.from({ length: 30 }, (_, i) => i * 30_000);
      await Promise.all(writes.map((offset, i) => put(place, offset + 17, 29_000, i)));
      await same(place, 'thirty writes');
    },
  ],
  [
    'overlapping writes at once: each sector is of one of them',
    async place => {
      const [one, other] = [pattern(2 * BLOCK, 1), pattern(2 * BLOCK, 2)];
      await Promise.all([place.device.write(512, one), place.device.write(512, other)]);
      place.t.equal(torn(await contentOf(place.device, 512, 2 * BLOCK), one, other), 0);
    },
  ],
  [
    'a read during a write sees each sector before or after it',
    async place => {
      await put(place, 0, 4 * BLOCK, 1);
      const before = Buffer.from(place.flat.subarray(0, 4 * BLOCK));
      const after = pattern(4 * BLOCK, 2);
      const into = Buffer.alloc(4 * BLOCK);
      await Promise.all([place.device.write(0, after), place.device.read(0, 4 * BLOCK, into, 0)]);
      place.t.equal(torn(into, before, after), 0);
      after.copy(place.flat);
      await same(place, 'after it');
    },
  ],
  [
    'discards, zeros, writes and flushes at once on neighbouring blocks',
    async place => {
      await put(place, 0, SIZE, 1);
      const tasks: unknown[] = [];
      for (let block = 0; block < 16; block += 4) {
        tasks.push(place.device.discard(block * BLOCK, BLOCK));
        tasks.push(put(place, (block + 1) * BLOCK + 100, BLOCK, block));
        tasks.push(place.device.flush());
        tasks.push(place.device.zero((block + 2) * BLOCK + 100, BLOCK, true));
        place.flat.fill(0, block * BLOCK, (block + 1) * BLOCK);
        place.flat.fill(0, (block + 2) * BLOCK + 100, (block + 3) * BLOCK + 100);
      }
      await Promise.all(tasks);
      await same(place, 'each did its part');
    },
  ],
  [
    'a write and a discard of the same block at once: one or the other wins',
    async place => {
      for (let round = 0; round < 10; round++) {
        const data = pattern(4 * KIB, round);
        const tasks = [
          () => place.device.write(BLOCK + 8 * KIB, data),
          () => place.device.discard(BLOCK, BLOCK),
        ];
        await Promise.all((round % 2 === 0 ? tasks : tasks.reverse()).map(task => task()));
        const found = await contentOf(place.device, BLOCK + 8 * KIB, 4 * KIB);
        place.t.ok(found.equals(data) || found.every(byte => byte === 0), `round ${round}`);
        await place.device.discard(BLOCK, BLOCK);
      }
      await same(place, 'nothing left of it');
    },
  ],
];

const LASTING: readonly Row[] = [
  [
    'what was flushed is there when it is opened again',
    async place => {
      await put(place, 100, 5 * BLOCK, 1);
      await place.device.discard(BLOCK, BLOCK);
      place.flat.fill(0, BLOCK, 2 * BLOCK);
      await place.device.flush();
      await place.reopen();
      await same(place, 'opened again');
      place.t.same(await place.map(BLOCK, BLOCK), [[BLOCK, true]]);
      await put(place, BLOCK + 5, 10, 2);
      await place.reopen();
      await same(place, 'and again');
    },
  ],
  [
    'it grows while it is open',
    async place => {
      if (place.grow === undefined) {
        place.t.pass('a client is not told');
        return;
      }
      await put(place, SIZE - 10, 10, 1);
      const writes = Array.from({ length: 8 }, (_, i) => put(place, i * BLOCK + 3, 1000, i));
      await Promise.all([place.grow(2 * SIZE + BLOCK / 2), ...writes]);
      place.t.equal(place.device.size, 2 * SIZE + BLOCK / 2);
      const larger = { ...place, device: place.device, flat: Buffer.alloc(2 * SIZE + BLOCK / 2) };
      place.flat.copy(larger.flat);
      await same(larger, 'the new part is zeros');
      await put(larger, SIZE - 5, SIZE, 2);
      await put(larger, larger.flat.length - 1, 1, 3);
      await same(larger, 'and is written like the rest');
      await larger.device.discard(2 * SIZE, BLOCK / 2);
      larger.flat.fill(0, 2 * SIZE);
      await same(larger, 'a short last block is discarded whole');
    },
  ],
];

export const ROWS: readonly Row[] = [
  ...READING,
  ...WRITING,
  ...CLEARING,
  ...REFUSING,
  ...AT_ONCE,
  ...LASTING,
];
